//! The database as the source of indexes.

use async_trait::async_trait;

use crate::db::{Db, DbError};
use crate::ids::ChunkId;
use crate::text::ENCODING;

use super::index::{BaseKey, Cursor, IndexError, Page, Point, Removed, Source, TokenCounts, Want};
use super::store::{self, IndexedRow, PAGE_ROWS, parsed};

/// The chunks of all bases as one encoder sees them: vectors of others are not comparable and are left out.
pub struct DatabaseSource {
    pub db: Db,
    pub encoder: String,
}

#[async_trait]
impl Source for DatabaseSource {
    async fn revision(&self, base: BaseKey) -> Result<Option<i64>, IndexError> {
        Ok(store::revision(&mut self.db.read().await?, base).await?)
    }

    async fn changed(&self, base: BaseKey, from: Cursor, want: Want) -> Result<Page, IndexError> {
        let mut conn = self.db.read_much().await?;
        let rows = store::changed(&mut conn, base, from, want, &self.encoder).await?;
        drop(conn);
        let decoded = tokio::task::spawn_blocking(move || {
            let next = match rows.last() {
                Some(last) if rows.len() == PAGE_ROWS => {
                    Some(Cursor { revision: last.revision, chunk: Some(parsed(&last.id)?) })
                }
                _ => None,
            };
            let points = rows.into_iter().map(|row| point(row, want)).collect::<Result<_, _>>()?;
            Ok::<_, DbError>(Page { points, next })
        });
        let page = decoded.await.map_err(|_| failed("decoding chunks panicked"))?;
        Ok(page?)
    }

    async fn removed(&self, base: BaseKey, since: i64) -> Result<Removed, IndexError> {
        let mut conn = self.db.read_much().await?;
        let removed: Vec<ChunkId> = store::removed_since(&mut conn, base, since).await?;
        // In this order: what was forgotten before the list was read is noticed.
        let pruned = store::pruned_revision(&mut conn, base).await?;
        Ok(if pruned > since { Removed::Forgotten } else { Removed::Chunks(removed) })
    }

    async fn vectors(&self, base: BaseKey) -> Result<u64, IndexError> {
        Ok(store::count_vectors(&mut self.db.read_much().await?, base, &self.encoder).await?)
    }
}

fn failed(what: &str) -> IndexError {
    IndexError::Failed(what.to_owned())
}

fn point(row: IndexedRow, want: Want) -> Result<Point, DbError> {
    let tokens = match (want.words(), &row.tokens, &row.text) {
        (false, ..) => TokenCounts::default(),
        (true, Some(bytes), None) => TokenCounts::from_bytes(bytes)
            .ok_or_else(|| DbError::Broken(format!("the tokens of {} cannot be read", row.id)))?,
        (true, _, text) => {
            let text = text.as_deref().unwrap_or_default();
            TokenCounts::of_chunk(&row.title, &row.section, text, &row.locale)
        }
    };
    Ok(Point {
        chunk: parsed(&row.id)?,
        audience: row.audience.parse().map_err(DbError::Broken)?,
        tokens,
        dense: row.dense.map(|bytes| floats_of(&bytes)).filter(|v| v.iter().all(|x| x.is_finite())),
    })
}

fn floats_of(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// What names the tokens that are stored now.
pub const TOKENS_BY: &str = ENCODING;
