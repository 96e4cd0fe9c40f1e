//! All SQL of knowledge: bases, articles, chunks, and the trail that indexes follow.
//!
//! Invariant: whatever changes a chunk raises the `revision` of its base in the same transaction, and does so first, so
//! that two writers of one base take turns. Every query takes the workspace.

use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql};
use crate::ids::{ArticleId, ChunkId, KnowledgeBaseId, WorkspaceId};

use super::Audience;
use super::article::Article;
use super::index::{BaseKey, Cursor, Reader, Want};
use super::source::TOKENS_BY;

/// A set of articles that is searched together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnowledgeBase {
    /// Its id.
    pub id: KnowledgeBaseId,
    /// Its name.
    pub name: String,
    /// Raised by every change of its chunks.
    pub revision: i64,
    /// How many articles it has.
    pub articles: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct BaseRow {
    id: String,
    name: String,
    revision: i64,
    articles: i64,
    created_at: i64,
}

impl TryFrom<BaseRow> for KnowledgeBase {
    type Error = DbError;
    fn try_from(row: BaseRow) -> Result<Self, DbError> {
        Ok(Self {
            id: parsed(&row.id)?,
            name: row.name,
            revision: row.revision,
            articles: u64::try_from(row.articles).unwrap_or(0),
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

#[derive(sqlx::FromRow)]
struct ArticleRow {
    id: String,
    knowledge_base: String,
    source: String,
    source_key: String,
    title: String,
    body: String,
    audience: String,
    locale: String,
    url: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<ArticleRow> for Article {
    type Error = DbError;
    fn try_from(row: ArticleRow) -> Result<Self, DbError> {
        Ok(Self {
            id: parsed(&row.id)?,
            knowledge_base: parsed(&row.knowledge_base)?,
            source: row.source,
            source_key: row.source_key,
            title: row.title,
            body: row.body,
            audience: row.audience.parse().map_err(DbError::Broken)?,
            locale: row.locale,
            url: row.url,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}

pub(super) fn parsed<T: std::str::FromStr<Err = crate::ids::InvalidId>>(
    text: &str,
) -> Result<T, DbError> {
    text.parse().map_err(|invalid: crate::ids::InvalidId| DbError::Broken(invalid.to_string()))
}

/// Stores a new base.
///
/// # Errors
/// What the database says.
pub async fn insert_base(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: KnowledgeBaseId,
    name: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO knowledge_base (id, workspace, name, created_at) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(workspace)
        .bind(name)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// The bases of a workspace, oldest first.
///
/// # Errors
/// What the database says.
pub async fn bases(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<KnowledgeBase>, DbError> {
    let rows: Vec<BaseRow> = sql("SELECT b.id, b.name, b.revision, b.created_at, \
             (SELECT COUNT(*) FROM article a WHERE a.workspace = b.workspace AND a.knowledge_base = b.id) AS articles \
             FROM knowledge_base b WHERE b.workspace = $1 ORDER BY b.id")
        .bind(workspace)
        .all(conn)
        .await?;
    rows.into_iter().map(KnowledgeBase::try_from).collect()
}

/// One base.
///
/// # Errors
/// What the database says.
pub async fn base(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: KnowledgeBaseId,
) -> Result<Option<KnowledgeBase>, DbError> {
    let row: Option<BaseRow> = sql("SELECT b.id, b.name, b.revision, b.created_at, \
             (SELECT COUNT(*) FROM article a WHERE a.workspace = b.workspace AND a.knowledge_base = b.id) AS articles \
             FROM knowledge_base b WHERE b.workspace = $1 AND b.id = $2")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    row.map(KnowledgeBase::try_from).transpose()
}

/// Raises the revision of a base and returns it; `None` if the workspace has no such base. Call it first: it is what makes
/// two writers of one base take turns.
///
/// # Errors
/// What the database says.
pub async fn raise_revision(conn: &mut Conn, key: BaseKey) -> Result<Option<i64>, DbError> {
    let row: Option<(i64,)> = sql("UPDATE knowledge_base SET revision = revision + 1 \
             WHERE workspace = $1 AND id = $2 RETURNING revision")
    .bind(key.workspace)
    .bind(key.base)
    .optional(conn)
    .await?;
    Ok(row.map(|(revision,)| revision))
}

/// The revision of every base of a workspace.
///
/// # Errors
/// What the database says.
pub async fn revisions(
    conn: &mut Conn,
    workspace: WorkspaceId,
) -> Result<Vec<(KnowledgeBaseId, i64)>, DbError> {
    let rows: Vec<(String, i64)> =
        sql("SELECT id, revision FROM knowledge_base WHERE workspace = $1")
            .bind(workspace)
            .all(conn)
            .await?;
    rows.into_iter().map(|(id, revision)| Ok((parsed(&id)?, revision))).collect()
}

/// The languages that articles of a base are written in.
///
/// # Errors
/// What the database says.
pub async fn locales(conn: &mut Conn, key: BaseKey) -> Result<Vec<String>, DbError> {
    let rows: Vec<(String,)> = sql("SELECT DISTINCT locale FROM article \
             WHERE workspace = $1 AND knowledge_base = $2 ORDER BY locale")
    .bind(key.workspace)
    .bind(key.base)
    .all(conn)
    .await?;
    Ok(rows.into_iter().map(|(locale,)| locale).collect())
}

/// One article.
///
/// # Errors
/// What the database says.
pub async fn article(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ArticleId,
) -> Result<Option<Article>, DbError> {
    let row: Option<ArticleRow> =
        sql("SELECT id, knowledge_base, source, source_key, title, body, audience, locale, url, created_at, updated_at \
             FROM article WHERE workspace = $1 AND id = $2")
            .bind(workspace)
            .bind(id)
            .optional(conn)
            .await?;
    row.map(Article::try_from).transpose()
}

/// Articles of a base, newest first, older than `before`, whose title or body contains `q`.
///
/// # Errors
/// What the database says.
pub async fn articles(
    conn: &mut Conn,
    key: BaseKey,
    q: Option<&str>,
    before: Option<ArticleId>,
    limit: usize,
) -> Result<Vec<Article>, DbError> {
    let pattern = q.map(|q| format!("%{}%", escaped(&q.to_lowercase())));
    let rows: Vec<ArticleRow> =
        sql("SELECT id, knowledge_base, source, source_key, title, body, audience, locale, url, created_at, updated_at \
             FROM article WHERE workspace = $1 AND knowledge_base = $2 AND ($3 IS NULL OR id < $3) \
             AND ($4 IS NULL OR LOWER(title) LIKE $4 ESCAPE '!' OR LOWER(body) LIKE $4 ESCAPE '!') \
             ORDER BY id DESC LIMIT $5")
            .bind(key.workspace)
            .bind(key.base)
            .bind(before)
            .bind(pattern)
            .bind(limit)
            .all(conn)
            .await?;
    rows.into_iter().map(Article::try_from).collect()
}

fn escaped(q: &str) -> String {
    q.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// What is stored under one key of one source.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredSource {
    /// The article's id, as text.
    pub id: String,
    /// Its key within the source.
    pub source_key: String,
    /// What its content was.
    pub content_hash: String,
}

/// Everything one source has put into a base.
///
/// # Errors
/// What the database says.
pub async fn of_source(
    conn: &mut Conn,
    key: BaseKey,
    source: &str,
) -> Result<Vec<StoredSource>, DbError> {
    sql("SELECT id, source_key, content_hash FROM article \
         WHERE workspace = $1 AND knowledge_base = $2 AND source = $3 ORDER BY source_key")
    .bind(key.workspace)
    .bind(key.base)
    .bind(source)
    .all(conn)
    .await
}

/// Deletes an article with its chunks, leaving only their ids for indexes to follow. The base's revision must have been
/// raised to `revision` in this transaction.
///
/// # Errors
/// What the database says.
pub async fn delete_article(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ArticleId,
    revision: i64,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO chunk_removed (workspace, knowledge_base, chunk, revision, removed_at) \
         SELECT workspace, knowledge_base, id, CAST($3 AS BIGINT), CAST($4 AS BIGINT) FROM chunk \
         WHERE workspace = $1 AND article = $2")
    .bind(workspace)
    .bind(id)
    .bind(revision)
    .bind(now)
    .execute(conn)
    .await?;
    sql("DELETE FROM chunk WHERE workspace = $1 AND article = $2")
        .bind(workspace)
        .bind(id)
        .execute(conn)
        .await?;
    sql("DELETE FROM article WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// A chunk as an index needs it; what was not asked for is not there.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct IndexedRow {
    /// The chunk's id, as text.
    pub id: String,
    /// The revision of its last change.
    pub revision: i64,
    /// Who may read it.
    pub audience: String,
    /// Its tokens, if they are stored as they are made now.
    pub tokens: Option<Vec<u8>>,
    /// The article's title.
    pub title: String,
    /// The headings above it.
    pub section: String,
    /// The article's language.
    pub locale: String,
    /// Its words, if its tokens are not stored.
    pub text: Option<String>,
    /// Its vector, if the encoder made it.
    pub dense: Option<Vec<u8>>,
}

/// How many rows [`changed`] returns at most; fewer are the last.
pub const PAGE_ROWS: usize = 1_000;

/// The chunks of a base that changed behind a place, in order.
///
/// # Errors
/// What the database says.
pub async fn changed(
    conn: &mut Conn,
    key: BaseKey,
    from: Cursor,
    want: Want,
    encoder: &str,
) -> Result<Vec<IndexedRow>, DbError> {
    // Without a chunk the whole revision is behind the place: no id is greater than nothing.
    sql("SELECT c.id, c.revision, c.audience, a.title, c.section, a.locale, \
         CASE WHEN $5 AND c.tokens_by = $6 THEN c.tokens END AS tokens, \
         CASE WHEN $5 AND (c.tokens IS NULL OR c.tokens_by IS NULL OR c.tokens_by <> $6) THEN c.text END AS text, \
         CASE WHEN $7 AND c.encoder = $8 THEN c.dense END AS dense \
         FROM chunk c JOIN article a ON a.id = c.article AND a.workspace = c.workspace \
         WHERE c.workspace = $1 AND c.knowledge_base = $2 AND c.revision >= $3 AND (c.revision > $3 OR c.id > $4) \
         ORDER BY c.revision, c.id LIMIT $9")
        .bind(key.workspace)
        .bind(key.base)
        .bind(from.revision)
        .bind(from.chunk)
        .bind(want.words())
        .bind(TOKENS_BY)
        .bind(want.vectors())
        .bind(encoder)
        .bind(PAGE_ROWS)
        .all(conn)
        .await
}

/// The revision of one base.
///
/// # Errors
/// What the database says.
pub async fn revision(conn: &mut Conn, key: BaseKey) -> Result<Option<i64>, DbError> {
    let row: Option<(i64,)> =
        sql("SELECT revision FROM knowledge_base WHERE workspace = $1 AND id = $2")
            .bind(key.workspace)
            .bind(key.base)
            .optional(conn)
            .await?;
    Ok(row.map(|(revision,)| revision))
}

/// How many chunks of a base have a vector of this encoder.
///
/// # Errors
/// What the database says.
pub async fn count_vectors(conn: &mut Conn, key: BaseKey, encoder: &str) -> Result<u64, DbError> {
    let (count,): (i64,) = sql("SELECT COUNT(*) FROM chunk \
         WHERE workspace = $1 AND knowledge_base = $2 AND encoder = $3 AND dense IS NOT NULL")
    .bind(key.workspace)
    .bind(key.base)
    .bind(encoder)
    .one(conn)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The revision up to which tombstones of a base may be missing.
///
/// # Errors
/// What the database says.
pub async fn pruned_revision(conn: &mut Conn, key: BaseKey) -> Result<i64, DbError> {
    let row: Option<(i64,)> =
        sql("SELECT pruned_revision FROM knowledge_base WHERE workspace = $1 AND id = $2")
            .bind(key.workspace)
            .bind(key.base)
            .optional(conn)
            .await?;
    Ok(row.map_or(0, |(revision,)| revision))
}

/// Forgets the tombstones of all workspaces that were made before `before`; those of unknown age begin to age `now`.
///
/// # Errors
/// What the database says.
pub async fn prune_tombstones(
    conn: &mut Conn,
    now: Timestamp,
    before: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE chunk_removed SET removed_at = $1 WHERE removed_at IS NULL")
        .bind(now)
        .execute(conn)
        .await?;
    sql("UPDATE knowledge_base SET pruned_revision = ( \
             SELECT MAX(r.revision) FROM chunk_removed r \
             WHERE r.workspace = knowledge_base.workspace AND r.knowledge_base = knowledge_base.id AND r.removed_at < $1) \
         WHERE pruned_revision < ( \
             SELECT COALESCE(MAX(r.revision), 0) FROM chunk_removed r \
             WHERE r.workspace = knowledge_base.workspace AND r.knowledge_base = knowledge_base.id AND r.removed_at < $1)")
        .bind(before)
        .execute(conn)
        .await?;
    sql("DELETE FROM chunk_removed WHERE removed_at < $1").bind(before).execute(conn).await
}

/// The chunks of a base that went away after `revision`.
///
/// # Errors
/// What the database says.
pub async fn removed_since(
    conn: &mut Conn,
    key: BaseKey,
    revision: i64,
) -> Result<Vec<ChunkId>, DbError> {
    let rows: Vec<(String,)> = sql("SELECT chunk FROM chunk_removed \
             WHERE workspace = $1 AND knowledge_base = $2 AND revision > $3")
    .bind(key.workspace)
    .bind(key.base)
    .bind(revision)
    .all(conn)
    .await?;
    rows.iter().map(|(id,)| parsed(id)).collect()
}

/// A chunk that lacks a vector.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UnembeddedRow {
    /// The chunk's id, as text.
    pub id: String,
    /// The article's title.
    pub title: String,
    /// The headings above it.
    pub section: String,
    /// Its words.
    pub text: String,
}

/// The chunks of a base without a vector of this encoder, by id, behind `after`.
///
/// # Errors
/// What the database says.
pub async fn not_embedded(
    conn: &mut Conn,
    key: BaseKey,
    encoder: &str,
    after: Option<ChunkId>,
    limit: usize,
) -> Result<Vec<UnembeddedRow>, DbError> {
    sql("SELECT c.id, a.title, c.section, c.text \
         FROM chunk c JOIN article a ON a.id = c.article AND a.workspace = c.workspace \
         WHERE c.workspace = $1 AND c.knowledge_base = $2 AND c.encoder <> $3 AND ($4 IS NULL OR c.id > $4) \
         ORDER BY c.id LIMIT $5")
        .bind(key.workspace)
        .bind(key.base)
        .bind(encoder)
        .bind(after)
        .bind(limit)
        .all(conn)
        .await
}

/// Gives chunks their vectors at a revision of their base, which must have been raised in this transaction; returns how many
/// are still there.
///
/// # Errors
/// What the database says.
pub async fn set_vectors(
    conn: &mut Conn,
    key: BaseKey,
    vectors: &[(ChunkId, Vec<u8>)],
    encoder: &str,
    revision: i64,
) -> Result<usize, DbError> {
    let mut set = 0;
    for (chunk, dense) in vectors {
        let rows = sql("UPDATE chunk SET dense = $4, encoder = $5, revision = $6 \
             WHERE workspace = $1 AND knowledge_base = $2 AND id = $3")
        .bind(key.workspace)
        .bind(key.base)
        .bind(*chunk)
        .bind(dense.clone())
        .bind(encoder)
        .bind(revision)
        .execute(conn)
        .await?;
        set += usize::from(rows > 0);
    }
    Ok(set)
}

/// A chunk as it is shown.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PassageRow {
    /// The chunk's id, as text.
    pub id: String,
    /// Its article's id, as text.
    pub article: String,
    /// The article's title.
    pub title: String,
    /// The headings above it.
    pub section: String,
    /// Its words.
    pub text: String,
    /// Who may read it.
    pub audience: String,
    /// The article's language.
    pub locale: String,
    /// Where a visitor can read it.
    pub url: Option<String>,
}

/// How many chunks [`passages`] fetches at most.
pub const MAX_PASSAGES: usize = 32;

/// The chunks with these ids (at most [`MAX_PASSAGES`]) that belong to the workspace and that the reader may read.
///
/// # Errors
/// What the database says.
pub async fn passages(
    conn: &mut Conn,
    workspace: WorkspaceId,
    reader: Reader,
    ids: &[ChunkId],
) -> Result<Vec<PassageRow>, DbError> {
    // COALESCE keeps SQLite from walking all chunks of the workspace by an index that begins with it, instead of fetching
    // these by their ids.
    let mut query =
        sql("SELECT c.id, c.article, a.title, c.section, c.text, c.audience, a.locale, a.url \
         FROM chunk c JOIN article a ON a.id = c.article AND a.workspace = c.workspace \
         WHERE COALESCE(c.workspace, '') = $1 \
         AND ($2 OR (c.audience = 'public' AND a.audience = 'public')) AND c.id IN ( \
         $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
         $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34)")
        .bind(workspace)
        .bind(reader.may_read(Audience::Internal));
    for place in 0..MAX_PASSAGES {
        query = query.bind(ids.get(place).copied());
    }
    query.all(conn).await
}
