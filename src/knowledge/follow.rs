//! Opens bases at the revision that the database has now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::db::Db;
use crate::ids::{KnowledgeBaseId, WorkspaceId};
use crate::text::Language;

use super::index::{BaseKey, Reading, Source, VectorIndex};
use super::service::KnowledgeError;
use super::store;

/// The one that follows.
pub struct Follower {
    db: Db,
    index: Arc<dyn VectorIndex>,
    pub source: Arc<dyn Source>,
    languages: Mutex<HashMap<BaseKey, (i64, Vec<Language>)>>,
}

/// The bases a search may use, all up to date, and the languages their articles are written in.
pub struct Current {
    pub reading: Box<dyn Reading>,
    pub languages: Vec<Language>,
}

impl Follower {
    pub fn new(db: Db, index: Arc<dyn VectorIndex>, source: Arc<dyn Source>) -> Self {
        Self { db, index, source, languages: Mutex::default() }
    }

    /// Opens those of `wanted` that the workspace has.
    pub async fn open(
        &self,
        workspace: WorkspaceId,
        wanted: &[KnowledgeBaseId],
    ) -> Result<Current, KnowledgeError> {
        let revisions = store::revisions(&mut self.db.read().await?, workspace).await?;
        let bases: Vec<(BaseKey, i64)> = revisions
            .into_iter()
            .filter(|(base, _)| wanted.contains(base))
            .map(|(base, revision)| (BaseKey { workspace, base }, revision))
            .collect();
        let reading = self.index.open(&bases, &self.source).await?;
        let mut languages = Vec::new();
        for (key, revision) in bases {
            languages.extend(self.languages(key, revision).await?);
        }
        languages.sort_unstable();
        languages.dedup();
        Ok(Current { reading, languages })
    }

    /// The bases that were searched here, in the order of their workspaces.
    pub fn held(&self) -> Vec<BaseKey> {
        let known = self.languages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<BaseKey> = known.keys().copied().collect();
        keys.sort_unstable_by_key(|key| key.workspace);
        keys
    }

    async fn languages(
        &self,
        key: BaseKey,
        revision: i64,
    ) -> Result<Vec<Language>, KnowledgeError> {
        let known =
            self.languages.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, languages)) = known
            && at >= revision
        {
            return Ok(languages);
        }
        let locales = store::locales(&mut self.db.read().await?, key).await?;
        let languages: Vec<Language> =
            locales.iter().filter_map(|locale| Language::of_locale(locale)).collect();
        let mut all = self.languages.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key, (revision, languages.clone()));
        Ok(languages)
    }
}
