//! SQL for AI agents and their versions.

use super::config::AssistantConfig;
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql, stored, stored_json, to_json};
use crate::ids::{AgentId, AssistantId, KnowledgeBaseId, WorkspaceId};

/// An AI agent as it answers now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assistant {
    /// Which.
    pub id: AssistantId,
    /// Whether somebody has stopped it.
    pub stopped: bool,
    /// The published version's number.
    pub version: i64,
    /// The published version.
    pub config: AssistantConfig,
}

/// What a turn answers with.
pub type Published = Assistant;

/// Why a configuration was not saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSaved {
    /// There is no such AI agent here.
    Missing,
    /// Somebody has saved meanwhile.
    Stale {
        /// The version that is published now.
        current: i64,
    },
    /// A knowledge base is not one of this workspace's.
    UnknownKnowledgeBase(KnowledgeBaseId),
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    stopped: bool,
    version: i64,
    config: String,
}

impl TryFrom<Row> for Assistant {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: stored(&row.id)?,
            stopped: row.stopped,
            version: row.version,
            config: stored_json(&row.config)?,
        })
    }
}

/// Every AI agent of a workspace, in the order they were made.
///
/// # Errors
/// What the database says.
pub async fn list(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Assistant>, DbError> {
    let rows: Vec<Row> =
        sql("SELECT a.id, a.stopped, v.number AS version, v.config FROM assistant a \
         JOIN assistant_version v ON v.assistant = a.id AND v.number = a.published \
         WHERE a.workspace = $1 AND v.workspace = $1 ORDER BY a.created_at, a.id")
        .bind(workspace)
        .all(conn)
        .await?;
    rows.into_iter().map(Assistant::try_from).collect()
}

/// What is published of an AI agent, if anything.
///
/// # Errors
/// What the database says.
pub async fn published(
    conn: &mut Conn,
    workspace: WorkspaceId,
    assistant: AssistantId,
) -> Result<Option<Published>, DbError> {
    let row: Option<Row> =
        sql("SELECT a.id, a.stopped, v.number AS version, v.config FROM assistant a \
         JOIN assistant_version v ON v.assistant = a.id AND v.number = a.published \
         WHERE a.workspace = $1 AND v.workspace = $1 AND a.id = $2")
        .bind(workspace)
        .bind(assistant)
        .optional(conn)
        .await?;
    row.map(Assistant::try_from).transpose()
}

/// One version, for replaying a turn.
///
/// # Errors
/// What the database says.
pub async fn version(
    conn: &mut Conn,
    workspace: WorkspaceId,
    assistant: AssistantId,
    number: i64,
) -> Result<Option<AssistantConfig>, DbError> {
    let row: Option<(String,)> = sql("SELECT config FROM assistant_version \
         WHERE workspace = $1 AND assistant = $2 AND number = $3")
    .bind(workspace)
    .bind(assistant)
    .bind(number)
    .optional(conn)
    .await?;
    row.map(|(config,)| stored_json(&config)).transpose()
}

/// Makes an AI agent with its first version, published. The caller has validated the configuration.
///
/// # Errors
/// What the database says.
pub async fn create(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AssistantId,
    config: &AssistantConfig,
    by: Option<AgentId>,
    now: Timestamp,
) -> Result<Assistant, DbError> {
    sql("INSERT INTO assistant (id, workspace, name, published, created_at) VALUES ($1, $2, $3, 1, $4)")
        .bind(id)
        .bind(workspace)
        .bind(&config.identity.name)
        .bind(now)
        .execute(conn)
        .await?;
    insert_version(conn, workspace, id, 1, config, by, now).await?;
    Ok(Assistant { id, stopped: false, version: 1, config: config.clone() })
}

async fn insert_version(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AssistantId,
    number: i64,
    config: &AssistantConfig,
    by: Option<AgentId>,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO assistant_version (workspace, assistant, number, config, created_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(workspace)
    .bind(id)
    .bind(number)
    .bind(to_json(config)?)
    .bind(by)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Saves and publishes a new version, if `edited` is still the published one. The caller has validated the configuration.
///
/// # Errors
/// What the database says.
pub async fn save(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AssistantId,
    edited: i64,
    config: &AssistantConfig,
    by: AgentId,
    now: Timestamp,
) -> Result<Result<Assistant, NotSaved>, DbError> {
    if published(conn, workspace, id).await?.is_none() {
        return Ok(Err(NotSaved::Missing));
    }
    if let Some(unknown) = unknown_base(conn, workspace, &config.knowledge_bases).await? {
        return Ok(Err(NotSaved::UnknownKnowledgeBase(unknown)));
    }
    let number = edited.saturating_add(1);
    let moved = sql("UPDATE assistant SET published = $4, name = $5 \
         WHERE workspace = $1 AND id = $2 AND published = $3")
    .bind(workspace)
    .bind(id)
    .bind(edited)
    .bind(number)
    .bind(&config.identity.name)
    .execute(conn)
    .await?;
    let Some(current) = published_number(conn, workspace, id).await? else {
        return Ok(Err(NotSaved::Missing));
    };
    if moved == 0 {
        return Ok(Err(NotSaved::Stale { current }));
    }
    insert_version(conn, workspace, id, number, config, Some(by), now).await?;
    let saved = published(conn, workspace, id).await?;
    Ok(saved.ok_or(NotSaved::Missing))
}

async fn published_number(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AssistantId,
) -> Result<Option<i64>, DbError> {
    let row: Option<(i64,)> = sql("SELECT COALESCE(published, 0) AS published FROM assistant \
         WHERE workspace = $1 AND id = $2")
    .bind(workspace)
    .bind(id)
    .optional(conn)
    .await?;
    Ok(row.map(|(number,)| number))
}

async fn unknown_base(
    conn: &mut Conn,
    workspace: WorkspaceId,
    bases: &[KnowledgeBaseId],
) -> Result<Option<KnowledgeBaseId>, DbError> {
    for base in bases {
        let found: Option<(String,)> =
            sql("SELECT id FROM knowledge_base WHERE workspace = $1 AND id = $2")
                .bind(workspace)
                .bind(*base)
                .optional(conn)
                .await?;
        if found.is_none() {
            return Ok(Some(*base));
        }
    }
    Ok(None)
}

/// Stops an AI agent, or lets it go on; false if there is none.
///
/// # Errors
/// What the database says.
pub async fn set_stopped(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AssistantId,
    stopped: bool,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE assistant SET stopped = $3 WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .bind(stopped)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}
