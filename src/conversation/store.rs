//! All SQL of conversations, their messages, log, turns headers, obligations and alarms.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use super::events::{Cursor, Evidence, Logged};
use super::message::{Actor, Message};
use super::record::{AlarmFor, EndedBy, Record};
use super::state::{Conversation, Holder, Policy};
use crate::assistant::inbox::InboxSettings;
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, EngineKind, sql};
use crate::ids::{
    AgentId, AlarmId, AssistantId, ContactId, ConversationId, InboxId, JobId, MessageId, NodeId,
    TurnId, WorkspaceId,
};

/// How many characters of the last message a list row shows.
const SNIPPET_CHARS: usize = 160;

/// Reads a stored value, or says which column is broken.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, column: &str) -> Result<T, DbError> {
    text.parse().map_err(|_| DbError::Broken(format!("{column}: `{text}`")))
}

pub(crate) fn parse_opt<T: std::str::FromStr>(
    text: Option<&str>,
    column: &str,
) -> Result<Option<T>, DbError> {
    text.map(|text| parse(text, column)).transpose()
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str, column: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|e| DbError::Broken(format!("{column}: {e}")))
}

pub(crate) fn to_json<T: Serialize>(value: &T, column: &str) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|e| DbError::Broken(format!("{column}: {e}")))
}

/// A whole number of the database as one of ours.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A conversation with the facts of its inbox that a step asks for.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The state row.
    pub conversation: Conversation,
    /// The inbox's policy.
    pub policy: Policy,
    /// The assistant that may hold, with its name: published and nothing stopped.
    pub assistant: Option<(AssistantId, String)>,
    /// The visitor's language.
    pub locale: String,
    /// The end of the current turn's lease.
    pub lease_until: Option<Timestamp>,
}

#[derive(FromRow)]
struct LoadedRow {
    state: String,
    locale: String,
    settings: String,
    assistant: Option<String>,
    assistant_name: Option<String>,
    lease_until: Option<i64>,
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
            locale: row.locale,
            lease_until: row.lease_until.map(Timestamp::from_millis),
        })
    }
}

/// On PostgreSQL many may want to change one conversation at once: they stand in line for its row, first come first
/// served, instead of colliding until one of them gives up. SQLite has one writer.
pub(super) async fn wait_for_turn(
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

/// Loads a conversation for a step.
pub(super) async fn load(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<Option<Loaded>, DbError> {
    sql("SELECT c.state, c.locale, i.settings, a.id AS assistant, a.name AS assistant_name,
            (SELECT max(t.lease_until) FROM turn t WHERE t.conversation = c.id AND t.status = 'running') AS lease_until
         FROM conversation c
         JOIN inbox i ON i.id = c.inbox
         LEFT JOIN assistant a ON a.id = i.assistant AND a.published IS NOT NULL AND NOT a.stopped AND NOT i.stopped
         WHERE c.workspace = $1 AND c.id = $2")
        .bind(workspace)
        .bind(id)
        .optional::<LoadedRow>(conn)
        .await?
        .map(Loaded::try_from)
        .transpose()
}

/// The inbox's policy and assistant, for a conversation that is about to start.
pub(super) async fn load_inbox(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
) -> Result<Option<(Policy, Option<(AssistantId, String)>)>, DbError> {
    #[derive(FromRow)]
    struct Row {
        settings: String,
        assistant: Option<String>,
        assistant_name: Option<String>,
    }
    let row = sql("SELECT i.settings, a.id AS assistant, a.name AS assistant_name FROM inbox i
         LEFT JOIN assistant a ON a.id = i.assistant AND a.published IS NOT NULL AND NOT a.stopped AND NOT i.stopped
         WHERE i.workspace = $1 AND i.id = $2")
        .bind(workspace)
        .bind(inbox)
        .optional::<Row>(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let settings: InboxSettings = from_json(&row.settings, "inbox.settings")?;
    let assistant = parse_opt(row.assistant.as_deref(), "inbox.assistant")?;
    Ok(Some((Policy::from(&settings), assistant.zip(row.assistant_name))))
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
pub(super) async fn contact_blocked(
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
pub(super) async fn agent_name(
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

struct Columns {
    state: String,
    holder: &'static str,
    assignee: Option<AgentId>,
    queued_at: Option<Timestamp>,
}

fn columns(c: &Conversation) -> Result<Columns, DbError> {
    let queued_at = match &c.holder {
        Holder::Queue { since, .. } => Some(*since),
        Holder::Assistant { .. } | Holder::Assigned { .. } | Holder::Closed { .. } => None,
    };
    let holder = match &c.holder {
        Holder::Assistant { .. } => "assistant",
        Holder::Queue { .. } => "queue",
        Holder::Assigned { .. } => "assigned",
        Holder::Closed { .. } => "closed",
    };
    Ok(Columns {
        state: to_json(c, "conversation.state")?,
        holder,
        assignee: c.holder.assignee(),
        queued_at,
    })
}

/// Where and in which language a conversation starts.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The visitor's language.
    pub locale: String,
    /// The page they wrote from.
    pub page_url: Option<String>,
    /// Its title.
    pub page_title: Option<String>,
}

/// Inserts the row of a conversation that has just started.
pub(super) async fn insert(
    conn: &mut Conn,
    c: &Conversation,
    origin: &Origin,
    policy: &Policy,
    snippet: Option<String>,
    now: Timestamp,
) -> Result<(), DbError> {
    let cols = columns(c)?;
    sql("INSERT INTO conversation (id, workspace, inbox, contact, state, holder, assignee, queued_at, epoch, seq,
            public_seq, next_timer_at, waiting_since, locale, page_url, page_title, last_message, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18)")
        .bind(c.id)
        .bind(c.workspace)
        .bind(c.inbox)
        .bind(c.contact)
        .bind(cols.state)
        .bind(cols.holder)
        .bind(cols.assignee)
        .bind(cols.queued_at)
        .bind(c.epoch)
        .bind(c.seq)
        .bind(c.public_seq)
        .bind(c.next_timer_at(policy))
        .bind(c.waiting.map(|m| m.at))
        .bind(origin.locale.as_str())
        .bind(origin.page_url.clone())
        .bind(origin.page_title.clone())
        .bind(snippet)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Replaces the state row if it is still the one that was read.
pub(super) async fn update(
    conn: &mut Conn,
    before: &Conversation,
    c: &Conversation,
    policy: &Policy,
    snippet: Option<String>,
    now: Timestamp,
) -> Result<(), DbError> {
    let cols = columns(c)?;
    let changed = sql("UPDATE conversation SET state = $3, holder = $4, assignee = $5, queued_at = $6, epoch = $7, seq = $8,
            public_seq = $9, next_timer_at = $10, waiting_since = $11, last_message = COALESCE($12, last_message), updated_at = $13
         WHERE workspace = $1 AND id = $2 AND seq = $14 AND epoch = $15")
        .bind(c.workspace)
        .bind(c.id)
        .bind(cols.state)
        .bind(cols.holder)
        .bind(cols.assignee)
        .bind(cols.queued_at)
        .bind(c.epoch)
        .bind(c.seq)
        .bind(c.public_seq)
        .bind(c.next_timer_at(policy))
        .bind(c.waiting.map(|m| m.at))
        .bind(snippet)
        .bind(now)
        .bind(before.seq)
        .bind(before.epoch)
        .execute(conn)
        .await?;
    if changed == 1 { Ok(()) } else { Err(DbError::Conflict) }
}

/// What the list shows of a message.
pub(super) fn snippet(message: &Message) -> Result<String, DbError> {
    #[derive(Serialize)]
    struct Snippet<'a> {
        author_kind: &'a str,
        text: String,
        at: Timestamp,
    }
    let text = message.text.chars().take(SNIPPET_CHARS).collect();
    to_json(
        &Snippet { author_kind: message.author.kind(), text, at: message.at },
        "conversation.last_message",
    )
}

/// Appends to the log and returns the row's place in the feed.
pub(super) async fn insert_event(
    conn: &mut Conn,
    c: &Conversation,
    logged: &Logged,
) -> Result<Cursor, DbError> {
    let stored =
        serde_json::to_value(&logged.record).map_err(|e| DbError::Broken(format!("event: {e}")))?;
    let kind = stored.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
    let data = stored.get("data").map_or_else(|| "{}".to_owned(), ToString::to_string);
    let (tx, feed): (i64, i64) = sql("INSERT INTO event (workspace, conversation, seq, epoch, kind, actor_kind, actor, message, data, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING tx, feed")
        .bind(c.workspace)
        .bind(c.id)
        .bind(logged.seq)
        .bind(logged.epoch)
        .bind(kind)
        .bind(logged.actor.kind())
        .bind(logged.actor.id())
        .bind(logged.record.message())
        .bind(data)
        .bind(logged.at)
        .one(conn)
        .await?;
    Ok(Cursor { tx, feed })
}

/// Stores a message.
pub(super) async fn insert_message(
    conn: &mut Conn,
    c: &Conversation,
    m: &Message,
) -> Result<(), DbError> {
    sql("INSERT INTO message (id, workspace, conversation, seq, public_seq, kind, notice, author_kind, author, author_name,
            text, citations, client_id, turn, answers_from, answers_to, incomplete, flags, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)")
        .bind(m.id)
        .bind(c.workspace)
        .bind(c.id)
        .bind(m.seq)
        .bind(m.public_seq)
        .bind(m.kind.as_str())
        .bind(m.notice.clone())
        .bind(m.author.kind())
        .bind(m.author.id())
        .bind(m.author_name.clone())
        .bind(m.text.as_str())
        .bind(to_json(&m.citations, "message.citations")?)
        .bind(m.client_id.clone())
        .bind(m.turn)
        .bind(m.answers.map(|a| a.0))
        .bind(m.answers.map(|a| a.1))
        .bind(m.incomplete)
        .bind(to_json(&m.flags, "message.flags")?)
        .bind(m.at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores why a conversation was handed off.
pub(super) async fn insert_evidence(
    conn: &mut Conn,
    c: &Conversation,
    seq: u64,
    evidence: &Evidence,
) -> Result<(), DbError> {
    sql("INSERT INTO handoff (workspace, conversation, seq, condition, evidence, message) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(c.workspace)
        .bind(c.id)
        .bind(seq)
        .bind(evidence.condition.clone())
        .bind(evidence.quote.clone())
        .bind(evidence.message)
        .execute(conn)
        .await?;
    Ok(())
}

/// Brings turn headers, obligations and alarms in line with one record; `before` is the state just before that record.
pub(super) async fn project(
    conn: &mut Conn,
    before: &Conversation,
    after: &Conversation,
    logged: &Logged,
    lease: Lease,
    now: Timestamp,
) -> Result<(), DbError> {
    match &logged.record {
        Record::TurnDue { turn, run_at } => {
            sql("INSERT INTO turn (id, workspace, conversation, status, attempt, run_at, created_at)
                 VALUES ($1, $2, $3, 'due', 0, $4, $5)
                 ON CONFLICT (id) DO UPDATE SET run_at = EXCLUDED.run_at, status = 'due', lease_until = NULL")
                .bind(*turn)
                .bind(after.workspace)
                .bind(after.id)
                .bind(*run_at)
                .bind(now)
                .execute(conn)
                .await?;
        }
        Record::TurnStarted { turn, attempt, .. } => {
            let changed = sql("UPDATE turn SET status = 'running', attempt = $3, node = $4, lease_until = $5
                 WHERE workspace = $1 AND id = $2 AND attempt = $6 AND status IN ('due', 'running')")
                .bind(after.workspace)
                .bind(*turn)
                .bind(*attempt)
                .bind(lease.node)
                .bind(lease.until)
                .bind(attempt - 1)
                .execute(conn)
                .await?;
            if changed != 1 {
                return Err(DbError::Conflict);
            }
        }
        Record::TurnSuperseded { turn } => {
            end_turn(conn, after, *turn, None, "superseded", now).await?;
        }
        Record::TurnCancelled { turn, .. } => {
            end_turn(conn, after, *turn, None, "cancelled", now).await?;
        }
        Record::AssistantAnswered { turn, .. } => {
            let attempt = before.holder.turn().map(|t| t.attempt);
            end_turn(conn, after, *turn, attempt, "answered", now).await?;
        }
        Record::HandedOff { turn: Some(turn), .. } => {
            // An incomplete reply has ended the turn already in the same step.
            let running = before.holder.turn().filter(|t| t.id == *turn);
            if let Some(attempt) = running.map(|t| t.attempt) {
                end_turn(conn, after, *turn, Some(attempt), "handed_off", now).await?;
            }
        }
        Record::ObligationOpened { anchor, due_at } => {
            sql("INSERT INTO obligation (workspace, conversation, opened_seq, anchor_seq, opened_at, due_at, step)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)")
                .bind(after.workspace)
                .bind(after.id)
                .bind(logged.seq)
                .bind(*anchor)
                .bind(now)
                .bind(*due_at)
                .bind(after.obligation.map_or(0, |open| open.step))
                .execute(conn)
                .await?;
        }
        Record::ObligationMoved { due_at, step } => {
            sql("UPDATE obligation SET due_at = COALESCE($3, due_at), step = $4
                 WHERE workspace = $1 AND conversation = $2 AND ended_at IS NULL")
            .bind(after.workspace)
            .bind(after.id)
            .bind(*due_at)
            .bind(*step)
            .execute(conn)
            .await?;
        }
        Record::ObligationEnded { by } => end_obligation(conn, after, *by, now).await?,
        Record::AlarmRaised { alarm, anchor, step, recipient } => {
            raise_alarm(conn, after, (*alarm, *anchor, *step, *recipient), now).await?;
        }
        Record::AlarmAcknowledged { alarm, by } => {
            sql("UPDATE alarm SET acknowledged_by = $3, acknowledged_at = $4
                 WHERE workspace = $1 AND id = $2 AND acknowledged_at IS NULL")
            .bind(after.workspace)
            .bind(*alarm)
            .bind(*by)
            .bind(now)
            .execute(conn)
            .await?;
        }
        _ => {}
    }
    Ok(())
}

/// Who leases a turn, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// The node.
    pub node: NodeId,
    /// The end, unless renewed.
    pub until: Timestamp,
}

async fn end_turn(
    conn: &mut Conn,
    c: &Conversation,
    turn: TurnId,
    attempt: Option<u32>,
    status: &'static str,
    now: Timestamp,
) -> Result<(), DbError> {
    let changed = sql("UPDATE turn SET status = $3, ended_at = $4, lease_until = NULL
         WHERE workspace = $1 AND id = $2 AND ended_at IS NULL AND ($5 IS NULL OR attempt = $5)")
    .bind(c.workspace)
    .bind(turn)
    .bind(status)
    .bind(now)
    .bind(attempt.map(i64::from))
    .execute(conn)
    .await?;
    if changed == 1 { Ok(()) } else { Err(DbError::Conflict) }
}

async fn end_obligation(
    conn: &mut Conn,
    c: &Conversation,
    by: EndedBy,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE obligation SET ended_at = $3, ended_by = $4 WHERE workspace = $1 AND conversation = $2 AND ended_at IS NULL")
        .bind(c.workspace)
        .bind(c.id)
        .bind(now)
        .bind(by.as_str())
        .execute(conn)
        .await?;
    sql("UPDATE alarm SET ended_at = $3 WHERE workspace = $1 AND conversation = $2 AND ended_at IS NULL")
        .bind(c.workspace)
        .bind(c.id)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

async fn raise_alarm(
    conn: &mut Conn,
    c: &Conversation,
    (alarm, anchor, step, recipient): (AlarmId, u64, u32, AlarmFor),
    now: Timestamp,
) -> Result<(), DbError> {
    let to = match (recipient, c.holder.assignee()) {
        (AlarmFor::Assignee, Some(agent)) => agent.to_string(),
        (recipient, _) => recipient.as_str().to_owned(),
    };
    sql("INSERT INTO alarm (id, workspace, conversation, kind, anchor_seq, step, recipient, raised_at)
         VALUES ($1, $2, $3, 'obligation', $4, $5, $6, $7)")
        .bind(alarm)
        .bind(c.workspace)
        .bind(c.id)
        .bind(anchor)
        .bind(step)
        .bind(to)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// A stored message's columns.
#[derive(FromRow)]
struct MessageRow {
    id: String,
    seq: i64,
    public_seq: Option<i64>,
    kind: String,
    notice: Option<String>,
    author_kind: String,
    author: Option<String>,
    author_name: Option<String>,
    text: String,
    citations: String,
    client_id: Option<String>,
    turn: Option<String>,
    answers_from: Option<i64>,
    answers_to: Option<i64>,
    incomplete: bool,
    flags: String,
    at: i64,
}

/// Who did something, from its two columns.
pub(crate) fn actor(kind: &str, id: Option<&str>) -> Result<Actor, DbError> {
    let id = id.unwrap_or_default();
    Ok(match kind {
        "visitor" => Actor::Visitor(parse(id, "actor")?),
        "assistant" => Actor::Assistant(parse(id, "actor")?),
        "agent" => Actor::Agent(parse(id, "actor")?),
        "system" => Actor::System,
        other => return Err(DbError::Broken(format!("actor_kind: `{other}`"))),
    })
}

impl TryFrom<MessageRow> for Message {
    type Error = DbError;
    fn try_from(row: MessageRow) -> Result<Self, DbError> {
        Ok(Self {
            id: parse(&row.id, "message.id")?,
            seq: unsigned(row.seq),
            public_seq: row.public_seq.map(unsigned),
            kind: parse(&row.kind, "message.kind")?,
            notice: row.notice,
            author: actor(&row.author_kind, row.author.as_deref())?,
            author_name: row.author_name,
            text: row.text,
            citations: from_json(&row.citations, "message.citations")?,
            client_id: row.client_id,
            turn: parse_opt(row.turn.as_deref(), "message.turn")?,
            answers: row.answers_from.map(unsigned).zip(row.answers_to.map(unsigned)),
            incomplete: row.incomplete,
            flags: from_json(&row.flags, "message.flags")?,
            at: Timestamp::from_millis(row.at),
        })
    }
}

macro_rules! message_columns {
    () => {
        "m.id, m.seq, m.public_seq, m.kind, m.notice, m.author_kind, m.author, m.author_name, m.text, m.citations, \
         m.client_id, m.turn, m.answers_from, m.answers_to, m.incomplete, m.flags, m.at"
    };
}

/// The message a writer has already sent under this client id.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn message_by_client_id(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    author_kind: &str,
    client_id: &str,
) -> Result<Option<Message>, DbError> {
    sql(concat!(
        "SELECT ",
        message_columns!(),
        " FROM message m WHERE m.workspace = $1 AND m.conversation = $2 AND m.author_kind = $3 AND m.client_id = $4"
    ))
    .bind(workspace)
    .bind(conversation)
    .bind(author_kind)
    .bind(client_id)
    .optional::<MessageRow>(conn)
    .await?
    .map(Message::try_from)
    .transpose()
}

/// One message of a conversation.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn message(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    id: MessageId,
) -> Result<Option<Message>, DbError> {
    sql(concat!(
        "SELECT ",
        message_columns!(),
        " FROM message m WHERE m.workspace = $1 AND m.conversation = $2 AND m.id = $3"
    ))
    .bind(workspace)
    .bind(conversation)
    .bind(id)
    .optional::<MessageRow>(conn)
    .await?
    .map(Message::try_from)
    .transpose()
}

/// What a turn asks of its conversation beside the state.
#[derive(Debug, Clone)]
pub struct TurnFacts {
    /// The assistant that may hold.
    pub assistant: AssistantId,
    /// The visitor's language.
    pub locale: String,
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
    let loaded = load(conn, workspace, id).await?;
    Ok(loaded
        .and_then(|l| l.assistant.map(|(assistant, _)| TurnFacts { assistant, locale: l.locale })))
}

/// Which part of a conversation's messages.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Public ones after this public number, oldest first.
    PublicAfter(u64),
    /// The last public ones before this public number, oldest first.
    PublicBefore(u64),
    /// Any up to the newest with this seq, the last ones, oldest first.
    LastUpTo(u64),
}

/// Messages of a conversation, oldest first, at most `limit`.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn messages(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    part: Part,
    limit: u32,
) -> Result<Vec<Message>, DbError> {
    let (text, bound, newest_first) = match part {
        Part::PublicAfter(n) => (
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM message m WHERE m.workspace = $1 AND m.conversation = $2 AND m.public_seq > $3
                  ORDER BY m.public_seq LIMIT $4"
            ),
            n,
            false,
        ),
        Part::PublicBefore(n) => (
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM message m WHERE m.workspace = $1 AND m.conversation = $2 AND m.public_seq < $3
                  ORDER BY m.public_seq DESC LIMIT $4"
            ),
            n,
            true,
        ),
        Part::LastUpTo(n) => (
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM message m WHERE m.workspace = $1 AND m.conversation = $2 AND m.seq <= $3
                  ORDER BY m.seq DESC LIMIT $4"
            ),
            n,
            true,
        ),
    };
    let rows: Vec<MessageRow> =
        sql(text).bind(workspace).bind(conversation).bind(bound).bind(limit).all(conn).await?;
    let mut messages: Vec<Message> =
        rows.into_iter().map(Message::try_from).collect::<Result<_, _>>()?;
    if newest_first {
        messages.reverse();
    }
    Ok(messages)
}

#[derive(FromRow)]
struct EventRow {
    seq: i64,
    epoch: i64,
    kind: String,
    actor_kind: String,
    actor: Option<String>,
    data: String,
    at: i64,
    condition: Option<String>,
    evidence: Option<String>,
    evidence_message: Option<String>,
}

/// Which part of the timeline.
#[derive(Debug, Clone, Copy)]
pub enum Span {
    /// After this seq, oldest first.
    After(u64),
    /// The last ones before this seq.
    Before(u64),
}

/// A stretch of a conversation's log with its words, oldest first.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn timeline(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    span: Span,
    limit: u32,
) -> Result<Vec<Logged>, DbError> {
    macro_rules! events {
        ($tail:literal) => {
            concat!(
                "SELECT e.seq, e.epoch, e.kind, e.actor_kind, e.actor, e.data, e.at, h.condition, h.evidence,
                    h.message AS evidence_message
                 FROM event e LEFT JOIN handoff h ON h.conversation = e.conversation AND h.seq = e.seq
                 WHERE e.workspace = $1 AND e.conversation = $2 AND ",
                $tail
            )
        };
    }
    let (text, bound, newest_first) = match span {
        Span::After(n) => (events!("e.seq > $3 ORDER BY e.seq LIMIT $4"), n, false),
        Span::Before(n) => (events!("e.seq < $3 ORDER BY e.seq DESC LIMIT $4"), n, true),
    };
    let mut rows: Vec<EventRow> =
        sql(text).bind(workspace).bind(conversation).bind(bound).bind(limit).all(conn).await?;
    if newest_first {
        rows.reverse();
    }
    let (Some(first), Some(last)) = (rows.first().map(|r| r.seq), rows.last().map(|r| r.seq))
    else {
        return Ok(Vec::new());
    };
    let words: Vec<MessageRow> = sql(concat!(
        "SELECT ",
        message_columns!(),
        " FROM message m WHERE m.workspace = $1 AND m.conversation = $2 AND m.seq >= $3 AND m.seq <= $4"
    ))
    .bind(workspace)
    .bind(conversation)
    .bind(first)
    .bind(last)
    .all(conn)
    .await?;
    let mut by_seq = words
        .into_iter()
        .map(|row| Message::try_from(row).map(|m| (m.seq, m)))
        .collect::<Result<std::collections::HashMap<_, _>, _>>()?;
    rows.into_iter()
        .map(|row| {
            let seq = unsigned(row.seq);
            let record = record(&row.kind, &row.data)?;
            let evidence = if row.condition.is_some() || row.evidence.is_some() {
                let message =
                    parse_opt::<MessageId>(row.evidence_message.as_deref(), "handoff.message")?;
                Some(Evidence { condition: row.condition, quote: row.evidence, message })
            } else {
                None
            };
            Ok(Logged {
                seq,
                epoch: unsigned(row.epoch),
                at: Timestamp::from_millis(row.at),
                actor: actor(&row.actor_kind, row.actor.as_deref())?,
                record,
                message: by_seq.remove(&seq),
                evidence,
            })
        })
        .collect()
}

fn record(kind: &str, data: &str) -> Result<Record, DbError> {
    let data: serde_json::Value = from_json(data, "event.data")?;
    let empty = data.as_object().is_some_and(serde_json::Map::is_empty);
    let stored = if empty {
        serde_json::json!({ "kind": kind })
    } else {
        serde_json::json!({ "kind": kind, "data": data })
    };
    serde_json::from_value(stored).map_err(|e| DbError::Broken(format!("event: {e}")))
}

/// Turns that a worker may take: due ones, and running ones whose lease is over.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn due_turns(
    conn: &mut Conn,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<DueTurn>, DbError> {
    let rows: Vec<(String, String, String, i64)> =
        sql("SELECT id, workspace, conversation, attempt FROM turn
         WHERE (status = 'due' AND run_at <= $1) OR (status = 'running' AND lease_until <= $1)
         ORDER BY run_at LIMIT $2")
        .bind(now)
        .bind(limit)
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|(id, workspace, conversation, attempt)| {
            Ok(DueTurn {
                turn: parse(&id, "turn.id")?,
                workspace: parse(&workspace, "turn.workspace")?,
                conversation: parse(&conversation, "turn.conversation")?,
                attempt: u32::try_from(attempt).unwrap_or(0),
            })
        })
        .collect()
}

/// A turn that a worker may take.
#[derive(Debug, Clone, Copy)]
pub struct DueTurn {
    /// The turn.
    pub turn: TurnId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Where.
    pub conversation: ConversationId,
    /// How often it was leased so far.
    pub attempt: u32,
}

/// When the next turn will be due, if any waits.
///
/// # Errors
/// When the database is away.
pub async fn next_turn_at(conn: &mut Conn) -> Result<Option<Timestamp>, DbError> {
    let (at,): (Option<i64>,) = sql("SELECT min(at) FROM (
            SELECT min(run_at) AS at FROM turn WHERE status = 'due'
            UNION ALL SELECT min(lease_until) FROM turn WHERE status = 'running') AS times")
    .one(conn)
    .await?;
    Ok(at.map(Timestamp::from_millis))
}

/// Moves the end of a lease on, if it is still held.
pub(super) async fn renew(
    conn: &mut Conn,
    workspace: WorkspaceId,
    turn: TurnId,
    attempt: u32,
    until: Timestamp,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE turn SET lease_until = $4
         WHERE workspace = $1 AND id = $2 AND attempt = $3 AND status = 'running'")
    .bind(workspace)
    .bind(turn)
    .bind(attempt)
    .bind(until)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Ends every lease that nodes other than `node` hold: right only when this process owns the database alone.
pub(super) async fn end_leases_of_others(
    conn: &mut Conn,
    node: NodeId,
    now: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE turn SET lease_until = $2 WHERE status = 'running' AND (node IS NULL OR node <> $1)")
        .bind(node)
        .bind(now)
        .execute(conn)
        .await
}

/// Conversations with a timer due, and when the next one will be.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn due_timers(
    conn: &mut Conn,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(WorkspaceId, ConversationId)>, DbError> {
    let rows: Vec<(String, String)> = sql("SELECT workspace, id FROM conversation
         WHERE next_timer_at IS NOT NULL AND next_timer_at <= $1 ORDER BY next_timer_at LIMIT $2")
    .bind(now)
    .bind(limit)
    .all(conn)
    .await?;
    rows.into_iter()
        .map(|(ws, id)| Ok((parse(&ws, "conversation.workspace")?, parse(&id, "conversation.id")?)))
        .collect()
}

/// When the next timer of any conversation is due.
///
/// # Errors
/// When the database is away.
pub async fn next_timer_at(conn: &mut Conn) -> Result<Option<Timestamp>, DbError> {
    let (at,): (Option<i64>,) =
        sql("SELECT min(next_timer_at) FROM conversation WHERE next_timer_at IS NOT NULL")
            .one(conn)
            .await?;
    Ok(at.map(Timestamp::from_millis))
}

/// Orders work on a conversation, in the transaction that caused it.
pub(super) async fn insert_job(
    conn: &mut Conn,
    c: &Conversation,
    job: JobId,
    kind: &'static str,
    payload: String,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO job (id, workspace, conversation, kind, payload, status, run_at, created_at)
         SELECT $1, $2, $3, $4, $5, 'due', $6, $6
         WHERE NOT EXISTS (SELECT 1 FROM job WHERE conversation = $3 AND kind = $4 AND status = 'due')")
        .bind(job)
        .bind(c.workspace)
        .bind(c.id)
        .bind(kind)
        .bind(payload)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores what explains a turn; the last word for a try wins.
///
/// # Errors
/// When the database is away.
pub async fn put_turn_record(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    turn: TurnId,
    attempt: u32,
    record: String,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO turn_record (turn, attempt, workspace, conversation, record, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (turn, attempt) DO UPDATE SET record = EXCLUDED.record")
        .bind(turn)
        .bind(attempt)
        .bind(workspace)
        .bind(conversation)
        .bind(record)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}
