//! What a turn needs of an assistant's published configuration.

use async_trait::async_trait;

use crate::assistant::store;
use crate::db::{Db, DbError};
use crate::ids::{AssistantId, WorkspaceId};

use super::plan::Settings;
use super::prompt::Persona;
use super::worker::SettingsSource;

/// Published configurations, read from the database at each turn.
pub struct Published(pub Db);

#[async_trait]
impl SettingsSource for Published {
    async fn published(
        &self,
        workspace: WorkspaceId,
        assistant: AssistantId,
    ) -> Result<Option<Settings>, DbError> {
        let mut conn = self.0.read().await?;
        let found = store::published(&mut conn, workspace, assistant).await?;
        Ok(found.map(|published| settings(workspace, published)))
    }
}

/// As a turn reads it.
#[must_use]
pub fn settings(workspace: WorkspaceId, published: store::Published) -> Settings {
    let config = published.config;
    Settings {
        workspace,
        assistant: published.id,
        version: u64::try_from(published.version).unwrap_or(0),
        persona: Persona {
            name: config.identity.name,
            tone: config.identity.tone,
            job_description: config.job_description,
            languages: config.identity.languages,
        },
        knowledge_bases: config.knowledge_bases,
        conditions: config.conditions,
        model: config.model,
    }
}
