//! SQL for inboxes.

use super::{Inbox, InboxSettings, ReopenTo};
use crate::access::AllowedOrigins;
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql, stored, stored_json, to_json};
use crate::ids::{AssistantId, InboxId, WorkspaceId};

/// What makes an inbox.
#[derive(Debug, Clone)]
pub struct NewInbox {
    /// Shown to agents and visitors.
    pub name: String,
    /// From `access::secret::fresh_public_key`.
    pub public_key: String,
    /// Who answers first.
    pub assistant: Option<AssistantId>,
    /// Which pages may embed it.
    pub allowed_origins: AllowedOrigins,
    /// The rest.
    pub settings: InboxSettings,
}

impl NewInbox {
    /// An inbox with the usual settings and a key of its own, answered by nobody yet.
    #[must_use]
    pub fn named(name: &str, allowed_origins: AllowedOrigins) -> Self {
        Self {
            name: name.to_owned(),
            public_key: crate::access::secret::fresh_public_key(),
            assistant: None,
            allowed_origins,
            settings: InboxSettings::default(),
        }
    }
}

/// What is to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct InboxChange {
    /// The name.
    pub name: Option<String>,
    /// Who answers first; `Some(None)` is nobody.
    pub assistant: Option<Option<AssistantId>>,
    /// Which pages may embed it.
    pub allowed_origins: Option<AllowedOrigins>,
    /// Who gets a closed conversation that goes on.
    pub reopen_to: Option<ReopenTo>,
    /// The widget's colour.
    pub accent: Option<String>,
}

/// Why an inbox was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotChanged {
    /// There is no such inbox here.
    Missing,
    /// The AI agent is not one of this workspace's.
    UnknownAssistant,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    public_key: String,
    assistant: Option<String>,
    allowed_origins: String,
    settings: String,
    stopped: bool,
}

impl TryFrom<Row> for Inbox {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        let origins: Vec<String> = stored_json(&row.allowed_origins)?;
        Ok(Self {
            id: stored(&row.id)?,
            name: row.name,
            public_key: row.public_key,
            assistant: row.assistant.as_deref().map(stored).transpose()?,
            allowed_origins: AllowedOrigins::parse("allowed_origins", &origins)
                .map_err(|invalid| DbError::Broken(invalid.to_string()))?,
            settings: stored_json(&row.settings)?,
            stopped: row.stopped,
        })
    }
}

/// Every inbox of a workspace, in the order they were made.
///
/// # Errors
/// What the database says.
pub async fn list(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Inbox>, DbError> {
    let rows: Vec<Row> =
        sql("SELECT id, name, public_key, assistant, allowed_origins, settings, stopped \
         FROM inbox WHERE workspace = $1 ORDER BY created_at, id")
        .bind(workspace)
        .all(conn)
        .await?;
    rows.into_iter().map(Inbox::try_from).collect()
}

/// One inbox.
///
/// # Errors
/// What the database says.
pub async fn get(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: InboxId,
) -> Result<Option<Inbox>, DbError> {
    let row: Option<Row> =
        sql("SELECT id, name, public_key, assistant, allowed_origins, settings, stopped \
         FROM inbox WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    row.map(Inbox::try_from).transpose()
}

/// Makes an inbox.
///
/// # Errors
/// What the database says.
pub async fn create(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: InboxId,
    new: &NewInbox,
    now: Timestamp,
) -> Result<Inbox, DbError> {
    sql("INSERT INTO inbox (id, workspace, name, public_key, assistant, allowed_origins, settings, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(id)
    .bind(workspace)
    .bind(&new.name)
    .bind(&new.public_key)
    .bind(new.assistant)
    .bind(to_json(&new.allowed_origins.to_list())?)
    .bind(to_json(&new.settings)?)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(Inbox {
        id,
        name: new.name.clone(),
        public_key: new.public_key.clone(),
        assistant: new.assistant,
        allowed_origins: new.allowed_origins.clone(),
        settings: new.settings.clone(),
        stopped: false,
    })
}

/// Changes an inbox.
///
/// # Errors
/// What the database says.
pub async fn update(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: InboxId,
    change: &InboxChange,
) -> Result<Result<Inbox, NotChanged>, DbError> {
    // Settings are read, changed and written back: on PostgreSQL the row must stay ours meanwhile.
    sql("UPDATE inbox SET name = name WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .execute(conn)
        .await?;
    let Some(mut inbox) = get(conn, workspace, id).await? else {
        return Ok(Err(NotChanged::Missing));
    };
    if let Some(assistant) = change.assistant {
        if let Some(assistant) = assistant
            && !assistant_exists(conn, workspace, assistant).await?
        {
            return Ok(Err(NotChanged::UnknownAssistant));
        }
        inbox.assistant = assistant;
    }
    if let Some(name) = &change.name {
        inbox.name.clone_from(name);
    }
    if let Some(origins) = &change.allowed_origins {
        inbox.allowed_origins.clone_from(origins);
    }
    if let Some(reopen_to) = change.reopen_to {
        inbox.settings.reopen_to = reopen_to;
    }
    if let Some(accent) = &change.accent {
        inbox.settings.accent.clone_from(accent);
    }
    sql("UPDATE inbox SET name = $3, assistant = $4, allowed_origins = $5, settings = $6 \
         WHERE workspace = $1 AND id = $2")
    .bind(workspace)
    .bind(id)
    .bind(&inbox.name)
    .bind(inbox.assistant)
    .bind(to_json(&inbox.allowed_origins.to_list())?)
    .bind(to_json(&inbox.settings)?)
    .execute(conn)
    .await?;
    Ok(Ok(inbox))
}

async fn assistant_exists(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AssistantId,
) -> Result<bool, DbError> {
    let found: Option<(String,)> = sql("SELECT id FROM assistant WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    Ok(found.is_some())
}
