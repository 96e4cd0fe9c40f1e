//! What a turn needs of an assistant's published configuration.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::assistant::store;
use crate::db::{Db, DbError};
use crate::ids::{AssistantId, WorkspaceId};

use super::plan::Settings;
use super::prompt::Persona;
use super::worker::SettingsSource;

/// Published configurations. What is published is asked of the database at each turn, what a version says only once.
pub struct Published {
    db: Db,
    /// The last version of each assistant that a turn asked for.
    known: Mutex<HashMap<AssistantId, (i64, Settings)>>,
}

impl Published {
    /// Those in `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<AssistantId, (i64, Settings)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SettingsSource for Published {
    async fn published(
        &self,
        workspace: WorkspaceId,
        assistant: AssistantId,
    ) -> Result<Option<Settings>, DbError> {
        let mut conn = self.db.read().await?;
        let found = store::published(&mut conn, workspace, assistant).await?;
        Ok(found.map(|published| settings(workspace, published)))
    }

    async fn version(
        &self,
        workspace: WorkspaceId,
        assistant: AssistantId,
        version: i64,
    ) -> Result<Option<Settings>, DbError> {
        let known = self.known().get(&assistant).cloned();
        if let Some((_, settings)) =
            known.filter(|(known, s)| *known == version && s.workspace == workspace)
        {
            return Ok(Some(settings));
        }
        let found = self.published(workspace, assistant).await?;
        if let Some(settings) = &found {
            let number = i64::try_from(settings.version).unwrap_or(0);
            self.known().insert(assistant, (number, settings.clone()));
        }
        Ok(found)
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
