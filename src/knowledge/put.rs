//! Storing an article: what is new is embedded and added, what is the same keeps its chunk id and vector, what is gone goes.
//!
//! Vectors are made before the transaction, since a model may take seconds; the transaction then compares with what is
//! stored *now*, so that two writers of one article cannot mix.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql};
use crate::ids::{ArticleId, ChunkId};

use super::article::ArticleDraft;
use super::chunk::{ChunkDraft, content_hash, hash_of};
use super::index::{BaseKey, TokenCounts};
use super::source::TOKENS_BY;
use super::store::raise_revision;

/// What storing an article changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// Its content differs.
    Changed,
    /// Everything was there already.
    Unchanged,
}

/// A stored article and what storing it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The article.
    pub article: ArticleId,
    /// What became of it.
    pub change: Change,
    /// Chunks that are new.
    pub chunks_added: usize,
    /// Chunks that kept their id and vector.
    pub chunks_kept: usize,
    /// Chunks that are gone.
    pub chunks_removed: usize,
}

/// Everything a transaction needs to store an article; made outside it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub key: BaseKey,
    pub source: String,
    pub source_key: String,
    pub draft: ArticleDraft,
    pub content_hash: String,
    pub chunks: Vec<PlannedChunk>,
    /// For an article that is new.
    pub fresh_id: ArticleId,
    /// What makes vectors now; the tokens alone if nothing does.
    pub encoder: String,
    /// What the chunk is marked with whose vector could not be made.
    pub no_encoder: String,
    pub vectors: Arc<HashMap<String, Vec<u8>>>,
    pub now: Timestamp,
}

#[derive(Debug, Clone)]
pub struct PlannedChunk {
    pub draft: ChunkDraft,
    pub hash: String,
    /// For a chunk that is new.
    pub fresh_id: ChunkId,
}

/// Names the content of an article.
pub fn article_hash(draft: &ArticleDraft) -> String {
    let url = draft.url.as_deref().unwrap_or_default();
    hash_of(&[&draft.title, &draft.body, draft.audience.as_str(), &draft.locale, url])
}

/// Names the content of each chunk; equal chunks of one article are told apart by their number.
pub fn chunk_hashes(draft: &ArticleDraft, chunks: &[ChunkDraft]) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    chunks
        .iter()
        .map(|chunk| {
            let hash = content_hash(&draft.title, &draft.locale, chunk);
            let times = seen.entry(hash.clone()).or_default();
            *times += 1;
            if *times == 1 { hash } else { format!("{hash}-{times}") }
        })
        .collect()
}

#[derive(sqlx::FromRow)]
struct Known {
    id: String,
    content_hash: String,
}

/// A stored chunk, as far as a plan compares it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct KnownChunk {
    pub id: String,
    pub content_hash: String,
    pub encoder: String,
}

/// The chunks stored under one key of one source.
pub async fn known_chunks(
    conn: &mut Conn,
    key: BaseKey,
    source: &str,
    source_key: &str,
) -> Result<Vec<KnownChunk>, DbError> {
    sql("SELECT c.id, c.content_hash, c.encoder FROM chunk c \
         JOIN article a ON a.id = c.article AND a.workspace = c.workspace \
         WHERE a.workspace = $1 AND a.knowledge_base = $2 AND a.source = $3 AND a.source_key = $4")
    .bind(key.workspace)
    .bind(key.base)
    .bind(source)
    .bind(source_key)
    .all(conn)
    .await
}

/// Whether nothing of the plan would change anything.
pub async fn is_stored(conn: &mut Conn, plan: &Plan) -> Result<Option<ArticleId>, DbError> {
    let Some(known) = known(conn, plan).await? else { return Ok(None) };
    let chunks = known_chunks(conn, plan.key, &plan.source, &plan.source_key).await?;
    let same = known.content_hash == plan.content_hash
        && chunks.len() == plan.chunks.len()
        && plan.chunks.iter().all(|planned| {
            chunks.iter().any(|c| {
                c.content_hash == planned.hash
                    && (c.encoder == plan.encoder || !plan.vectors.contains_key(&planned.hash))
            })
        });
    if same { super::store::parsed(&known.id).map(Some) } else { Ok(None) }
}

async fn known(conn: &mut Conn, plan: &Plan) -> Result<Option<Known>, DbError> {
    sql("SELECT id, content_hash FROM article \
         WHERE workspace = $1 AND knowledge_base = $2 AND source = $3 AND source_key = $4")
    .bind(plan.key.workspace)
    .bind(plan.key.base)
    .bind(&plan.source)
    .bind(&plan.source_key)
    .optional(conn)
    .await
}

/// Stores the plan; `None` if the workspace has no such base. Can run again.
pub async fn put(conn: &mut Conn, plan: &Plan) -> Result<Option<Stored>, DbError> {
    let Some(revision) = raise_revision(conn, plan.key).await? else { return Ok(None) };
    let (article, change) = put_article(conn, plan).await?;
    let mut stored = Stored { article, change, chunks_added: 0, chunks_kept: 0, chunks_removed: 0 };
    let before = known_chunks(conn, plan.key, &plan.source, &plan.source_key).await?;
    let mut before: HashMap<String, KnownChunk> =
        before.into_iter().map(|chunk| (chunk.content_hash.clone(), chunk)).collect();
    for (ordinal, planned) in plan.chunks.iter().enumerate() {
        if let Some(kept) = before.remove(&planned.hash) {
            keep_chunk(conn, plan, planned, ordinal, &kept, revision).await?;
            stored.chunks_kept += 1;
        } else {
            add_chunk(conn, plan, planned, ordinal, article, revision).await?;
            stored.chunks_added += 1;
        }
    }
    for gone in before.into_values() {
        remove_chunk(conn, plan, &gone.id, revision).await?;
        stored.chunks_removed += 1;
    }
    Ok(Some(stored))
}

async fn put_article(conn: &mut Conn, plan: &Plan) -> Result<(ArticleId, Change), DbError> {
    let draft = &plan.draft;
    let updated_at = draft.updated.unwrap_or(plan.now);
    if let Some(known) = known(conn, plan).await? {
        sql("UPDATE article SET title = $3, body = $4, audience = $5, locale = $6, url = $7, content_hash = $8, \
             updated_at = $9 WHERE workspace = $1 AND id = $2")
            .bind(plan.key.workspace)
            .bind(&known.id)
            .bind(&draft.title)
            .bind(&draft.body)
            .bind(draft.audience.as_str())
            .bind(&draft.locale)
            .bind(draft.url.clone())
            .bind(&plan.content_hash)
            .bind(updated_at)
            .execute(conn)
            .await?;
        return Ok((super::store::parsed(&known.id)?, Change::Changed));
    }
    sql("INSERT INTO article (id, workspace, knowledge_base, source, source_key, title, body, audience, locale, url, \
         content_hash, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
        .bind(plan.fresh_id)
        .bind(plan.key.workspace)
        .bind(plan.key.base)
        .bind(&plan.source)
        .bind(&plan.source_key)
        .bind(&draft.title)
        .bind(&draft.body)
        .bind(draft.audience.as_str())
        .bind(&draft.locale)
        .bind(draft.url.clone())
        .bind(&plan.content_hash)
        .bind(plan.now)
        .bind(updated_at)
        .execute(conn)
        .await?;
    Ok((plan.fresh_id, Change::Added))
}

/// The same words: place and audience may have changed, and the vector may be from another model.
async fn keep_chunk(
    conn: &mut Conn,
    plan: &Plan,
    planned: &PlannedChunk,
    ordinal: usize,
    kept: &KnownChunk,
    revision: i64,
) -> Result<(), DbError> {
    sql("UPDATE chunk SET ordinal = $3 WHERE workspace = $1 AND id = $2 AND ordinal <> $3")
        .bind(plan.key.workspace)
        .bind(&kept.id)
        .bind(ordinal)
        .execute(conn)
        .await?;
    sql("UPDATE chunk SET audience = $3, revision = $4 WHERE workspace = $1 AND id = $2 AND audience <> $3")
        .bind(plan.key.workspace)
        .bind(&kept.id)
        .bind(plan.draft.audience.as_str())
        .bind(revision)
        .execute(conn)
        .await?;
    if kept.encoder != plan.encoder
        && let Some(vector) = plan.vectors.get(&planned.hash)
    {
        sql("UPDATE chunk SET dense = $3, encoder = $4, revision = $5 WHERE workspace = $1 AND id = $2")
            .bind(plan.key.workspace)
            .bind(&kept.id)
            .bind(vector.clone())
            .bind(&plan.encoder)
            .bind(revision)
            .execute(conn)
            .await?;
    }
    Ok(())
}

async fn add_chunk(
    conn: &mut Conn,
    plan: &Plan,
    planned: &PlannedChunk,
    ordinal: usize,
    article: ArticleId,
    revision: i64,
) -> Result<(), DbError> {
    let vector = plan.vectors.get(&planned.hash).cloned();
    let encoder = if vector.is_some() { &plan.encoder } else { &plan.no_encoder };
    let (title, locale) = (&plan.draft.title, &plan.draft.locale);
    let tokens = TokenCounts::of_chunk(title, &planned.draft.section, &planned.draft.text, locale);
    sql("INSERT INTO chunk (id, workspace, knowledge_base, article, ordinal, section, text, audience, content_hash, \
         encoder, dense, revision, tokens, tokens_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
        .bind(planned.fresh_id)
        .bind(plan.key.workspace)
        .bind(plan.key.base)
        .bind(article)
        .bind(ordinal)
        .bind(&planned.draft.section)
        .bind(&planned.draft.text)
        .bind(plan.draft.audience.as_str())
        .bind(&planned.hash)
        .bind(encoder)
        .bind(vector)
        .bind(revision)
        .bind(tokens.to_bytes())
        .bind(TOKENS_BY)
        .execute(conn)
        .await?;
    Ok(())
}

async fn remove_chunk(
    conn: &mut Conn,
    plan: &Plan,
    id: &str,
    revision: i64,
) -> Result<(), DbError> {
    sql("DELETE FROM chunk WHERE workspace = $1 AND id = $2")
        .bind(plan.key.workspace)
        .bind(id)
        .execute(conn)
        .await?;
    sql("INSERT INTO chunk_removed (workspace, knowledge_base, chunk, revision, removed_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(plan.key.workspace)
        .bind(plan.key.base)
        .bind(id)
        .bind(revision)
        .bind(plan.now)
        .execute(conn)
        .await?;
    Ok(())
}
