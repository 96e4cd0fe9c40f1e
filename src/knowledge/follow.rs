//! Keeps an index in step with the database: reads what changed since the revision it holds, and applies that.
//!
//! Built lazily: a base is loaded when it is first searched. One task loads a base, others that need it wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::db::{Db, DbError};
use crate::ids::{KnowledgeBaseId, WorkspaceId};
use crate::text::Language;

use super::index::{BaseKey, Difference, IndexError, Point, TokenCounts, VectorIndex};
use super::service::KnowledgeError;
use super::store::{self, IndexedRow, parsed};

/// The one that follows.
pub struct Follower {
    db: Db,
    index: Arc<dyn VectorIndex>,
    /// Vectors of other encoders are not comparable and are left out.
    encoder: String,
    bases: Mutex<HashMap<BaseKey, Arc<tokio::sync::Mutex<Held>>>>,
}

#[derive(Debug, Default)]
struct Held {
    revision: i64,
    languages: Vec<Language>,
}

/// The bases a search may use, all up to date, and the languages their articles are written in.
#[derive(Debug, Default)]
pub struct Current {
    pub bases: Vec<BaseKey>,
    pub languages: Vec<Language>,
}

impl Follower {
    pub fn new(db: Db, index: Arc<dyn VectorIndex>, encoder: String) -> Self {
        Self { db, index, encoder, bases: Mutex::default() }
    }

    /// Brings those of `wanted` that the workspace has up to the revision the database has now.
    pub async fn bring_up_to_date(
        &self,
        workspace: WorkspaceId,
        wanted: &[KnowledgeBaseId],
    ) -> Result<Current, KnowledgeError> {
        let revisions = store::revisions(&mut self.db.read().await?, workspace).await?;
        let mut current = Current::default();
        for (base, revision) in revisions.into_iter().filter(|(base, _)| wanted.contains(base)) {
            let key = BaseKey { workspace, base };
            let held = Arc::clone(
                self.bases.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default(),
            );
            let mut held = held.lock().await;
            if held.revision < revision {
                self.load(key, revision, &mut held).await?;
            }
            current.bases.push(key);
            current.languages.extend(&held.languages);
        }
        current.languages.sort_unstable();
        current.languages.dedup();
        Ok(current)
    }

    /// The bases that are held, in the order of their workspaces.
    pub fn held(&self) -> Vec<BaseKey> {
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<BaseKey> = bases.keys().copied().collect();
        keys.sort_unstable_by_key(|key| key.workspace);
        keys
    }

    async fn load(&self, key: BaseKey, to: i64, held: &mut Held) -> Result<(), KnowledgeError> {
        let from = self.index.revision(key).await?;
        let mut conn = self.db.read().await?;
        // In this order: a chunk that goes away in between is read, and then removed.
        let rows = store::changed_since(&mut conn, key, from).await?;
        // A first load needs only what goes away while it runs.
        let since = if from == 0 { to } else { from };
        let removed = store::removed_since(&mut conn, key, since).await?;
        let locales = store::locales(&mut conn, key).await?;
        drop(conn);
        let encoder = self.encoder.clone();
        let put = tokio::task::spawn_blocking(move || {
            rows.into_iter().map(|row| point(row, &encoder)).collect::<Result<Vec<_>, DbError>>()
        })
        .await
        .map_err(|_| IndexError("encoding chunks panicked".to_owned()))??;
        self.index.apply(key, Difference { to, put, removed }).await?;
        held.revision = to;
        held.languages = locales.iter().filter_map(|l| Language::of_locale(l)).collect();
        Ok(())
    }
}

fn point(row: IndexedRow, encoder: &str) -> Result<Point, DbError> {
    Ok(Point {
        chunk: parsed(&row.id)?,
        article: parsed(&row.article)?,
        audience: row.audience.parse().map_err(DbError::Broken)?,
        tokens: TokenCounts::of_chunk(&row.title, &row.section, &row.text, &row.locale),
        dense: row.dense.filter(|_| row.encoder == encoder).map(|bytes| floats_of(&bytes)),
    })
}

fn floats_of(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}
