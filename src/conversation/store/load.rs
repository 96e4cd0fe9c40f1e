//! What a step, and a turn, ask of a conversation before they begin.

use sqlx::FromRow;

use super::row::{from_json, parse, parse_opt};
use crate::assistant::inbox::InboxSettings;
use crate::clock::Timestamp;
use crate::conversation::state::{Conversation, Policy};
use crate::db::{Conn, DbError, EngineKind, sql};
use crate::ids::{AgentId, AssistantId, ContactId, ConversationId, InboxId, WorkspaceId};

/// A conversation with the facts of its inbox that a step asks for.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The state row.
    pub conversation: Conversation,
    /// The inbox's policy.
    pub policy: Policy,
    /// The assistant that may hold, with its name: published and nothing stopped.
    pub assistant: Option<(AssistantId, String)>,
    /// Which version of it is published.
    pub published: Option<i64>,
    /// The visitor's language.
    pub locale: String,
    /// The end of the current turn's lease.
    pub lease_until: Option<Timestamp>,
    /// The message that was asked about is stored already.
    pub sent_before: bool,
}

/// A message that may have been stored already: who wrote it, under which id of their own.
#[derive(Debug, Clone, Copy)]
pub(in crate::conversation) struct Sent<'a> {
    /// The kind of author.
    pub author_kind: &'static str,
    /// Their own id.
    pub client_id: &'a str,
}

#[derive(FromRow)]
struct LoadedRow {
    state: String,
    locale: String,
    settings: String,
    assistant: Option<String>,
    assistant_name: Option<String>,
    published: Option<i64>,
    lease_until: Option<i64>,
    sent_before: Option<String>,
}

impl TryFrom<LoadedRow> for Loaded {
    type Error = DbError;
    fn try_from(row: LoadedRow) -> Result<Self, DbError> {
        let settings: InboxSettings = from_json(&row.settings, "inbox.settings")?;
        let assistant = parse_opt(row.assistant.as_deref(), "inbox.assistant")?;
        Ok(Self {
            conversation: from_json(&row.state, "conversation.state")?,
            policy: Policy::from(&settings),
            assistant: assistant.zip(row.assistant_name),
            published: row.published,
            locale: row.locale,
            lease_until: row.lease_until.map(Timestamp::from_millis),
            sent_before: row.sent_before.is_some(),
        })
    }
}

/// On PostgreSQL many may want to change one conversation at once: they stand in line for its row, first come first
/// served, instead of colliding until one of them gives up. SQLite has one writer.
pub(in crate::conversation) async fn wait_for_turn(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<(), DbError> {
    if conn.kind() == EngineKind::Postgres {
        sql("SELECT id FROM conversation WHERE workspace = $1 AND id = $2 FOR UPDATE")
            .bind(workspace)
            .bind(id)
            .optional::<(String,)>(conn)
            .await?;
    }
    Ok(())
}

/// The same for a conversation that is known by its contact.
pub(in crate::conversation) async fn wait_for_turn_of_contact(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
    contact: ContactId,
) -> Result<(), DbError> {
    if conn.kind() == EngineKind::Postgres {
        sql("SELECT id FROM conversation WHERE workspace = $1 AND inbox = $2 AND contact = $3 FOR UPDATE")
            .bind(workspace)
            .bind(inbox)
            .bind(contact)
            .optional::<(String,)>(conn)
            .await?;
    }
    Ok(())
}

macro_rules! loaded {
    ($which:literal) => {
        concat!(
            "SELECT c.state, c.locale, i.settings, a.id AS assistant, a.name AS assistant_name, a.published,
                (SELECT max(t.lease_until) FROM turn t WHERE t.conversation = c.id AND t.status = 'running') AS lease_until,
                (SELECT m.id FROM message m WHERE m.conversation = c.id AND m.author_kind = $3 AND m.client_id = $4) AS sent_before
             FROM conversation c
             JOIN inbox i ON i.id = c.inbox
             LEFT JOIN assistant a ON a.id = i.assistant AND a.published IS NOT NULL AND NOT a.stopped AND NOT i.stopped
             WHERE c.workspace = $1 AND ",
            $which
        )
    };
}

/// Loads the conversation of a contact for a step, if there is one.
pub(in crate::conversation) async fn load_of_contact(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
    contact: ContactId,
    sent: Option<Sent<'_>>,
) -> Result<Option<Loaded>, DbError> {
    sql(loaded!("c.inbox = $2 AND c.contact = $5"))
        .bind(workspace)
        .bind(inbox)
        .bind(sent.map(|sent| sent.author_kind))
        .bind(sent.map(|sent| sent.client_id))
        .bind(contact)
        .optional::<LoadedRow>(conn)
        .await?
        .map(Loaded::try_from)
        .transpose()
}

/// Loads a conversation for a step.
pub(in crate::conversation) async fn load(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
    sent: Option<Sent<'_>>,
) -> Result<Option<Loaded>, DbError> {
    sql(loaded!("c.id = $2"))
        .bind(workspace)
        .bind(id)
        .bind(sent.map(|sent| sent.author_kind))
        .bind(sent.map(|sent| sent.client_id))
        .optional::<LoadedRow>(conn)
        .await?
        .map(Loaded::try_from)
        .transpose()
}

/// What an inbox brings to a conversation that is about to start.
pub(in crate::conversation) struct Opening {
    /// Its policy.
    pub policy: Policy,
    /// The assistant that may hold, with its name.
    pub assistant: Option<(AssistantId, String)>,
    /// Which version of it is published.
    pub published: Option<i64>,
}

/// The inbox's policy and assistant, for a conversation that is about to start.
pub(in crate::conversation) async fn load_inbox(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
) -> Result<Option<Opening>, DbError> {
    #[derive(FromRow)]
    struct Row {
        settings: String,
        assistant: Option<String>,
        assistant_name: Option<String>,
        published: Option<i64>,
    }
    let row = sql("SELECT i.settings, a.id AS assistant, a.name AS assistant_name, a.published FROM inbox i
         LEFT JOIN assistant a ON a.id = i.assistant AND a.published IS NOT NULL AND NOT a.stopped AND NOT i.stopped
         WHERE i.workspace = $1 AND i.id = $2")
        .bind(workspace)
        .bind(inbox)
        .optional::<Row>(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let settings: InboxSettings = from_json(&row.settings, "inbox.settings")?;
    let assistant = parse_opt(row.assistant.as_deref(), "inbox.assistant")?;
    Ok(Some(Opening {
        policy: Policy::from(&settings),
        assistant: assistant.zip(row.assistant_name),
        published: row.published,
    }))
}

/// The conversation of a contact in an inbox.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn of_contact(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
    contact: ContactId,
) -> Result<Option<ConversationId>, DbError> {
    let row: Option<(String,)> =
        sql("SELECT id FROM conversation WHERE workspace = $1 AND inbox = $2 AND contact = $3")
            .bind(workspace)
            .bind(inbox)
            .bind(contact)
            .optional(conn)
            .await?;
    row.map(|(id,)| parse(&id, "conversation.id")).transpose()
}

/// Whether the contact is blocked; `None` if there is no such contact in the workspace.
pub(in crate::conversation) async fn contact_blocked(
    conn: &mut Conn,
    workspace: WorkspaceId,
    contact: ContactId,
) -> Result<Option<bool>, DbError> {
    let row: Option<(bool,)> = sql("SELECT blocked FROM contact WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(contact)
        .optional(conn)
        .await?;
    Ok(row.map(|(blocked,)| blocked))
}

/// The name of an active agent of the workspace.
pub(in crate::conversation) async fn agent_name(
    conn: &mut Conn,
    workspace: WorkspaceId,
    agent: AgentId,
) -> Result<Option<String>, DbError> {
    let row: Option<(String,)> =
        sql("SELECT name FROM agent WHERE workspace = $1 AND id = $2 AND disabled_at IS NULL")
            .bind(workspace)
            .bind(agent)
            .optional(conn)
            .await?;
    Ok(row.map(|(name,)| name))
}

/// What a turn asks of its conversation beside the state.
#[derive(Debug, Clone)]
pub struct TurnFacts {
    /// The assistant that may hold.
    pub assistant: AssistantId,
    /// The version of it that is published.
    pub version: i64,
    /// The visitor's language.
    pub locale: String,
}

impl TurnFacts {
    /// What was loaded, as a turn asks for it; `None` if no assistant may hold.
    pub(in crate::conversation) fn of(loaded: &Loaded) -> Option<Self> {
        let (assistant, _) = loaded.assistant.as_ref()?;
        Some(Self {
            assistant: *assistant,
            version: loaded.published?,
            locale: loaded.locale.clone(),
        })
    }
}

/// The assistant and language of a conversation; `None` if no assistant may hold it.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn turn_facts(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<Option<TurnFacts>, DbError> {
    Ok(load(conn, workspace, id, None).await?.as_ref().and_then(TurnFacts::of))
}
