//! The rows that a step adds or replaces.

use serde::Serialize;

use super::row::to_json;
use crate::clock::Timestamp;
use crate::conversation::events::{Cursor, Evidence, Logged};
use crate::conversation::message::Message;
use crate::conversation::state::{Conversation, Holder, Policy};
use crate::db::{Conn, DbError, sql};
use crate::guard::Guard;
use crate::ids::{AgentId, ConversationId, JobId, TurnId, WorkspaceId};

/// How many characters of the last message a list row shows.
const SNIPPET_CHARS: usize = 160;

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
pub(in crate::conversation) async fn insert(
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
pub(in crate::conversation) async fn update(
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
    if changed == 1 || Guard::CompareAndSet.is_broken() { Ok(()) } else { Err(DbError::Conflict) }
}

/// What the list shows of a message.
pub(in crate::conversation) fn snippet(message: &Message) -> Result<String, DbError> {
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

/// Rows of the log that go in one statement.
const EVENTS_AT_ONCE: usize = 3;

macro_rules! insert_events {
    ($($row:literal),*) => {
        concat!(
            "INSERT INTO event (workspace, conversation, at, seq, epoch, kind, actor_kind, actor, message, data) VALUES ",
            $($row,)*
            " RETURNING tx, feed"
        )
    };
}

/// Appends to the log, in order, and returns the last row's place in the feed.
pub(in crate::conversation) async fn insert_events(
    conn: &mut Conn,
    c: &Conversation,
    events: &[Logged],
) -> Result<Cursor, DbError> {
    let mut last = Cursor::default();
    for some in events.chunks(EVENTS_AT_ONCE) {
        let text = match some.len() {
            1 => insert_events!("($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"),
            2 => insert_events!(
                "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), ",
                "($1, $2, $3, $11, $12, $13, $14, $15, $16, $17)"
            ),
            _ => insert_events!(
                "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), ",
                "($1, $2, $3, $11, $12, $13, $14, $15, $16, $17), ",
                "($1, $2, $3, $18, $19, $20, $21, $22, $23, $24)"
            ),
        };
        // All events of a step are of one moment.
        let at = some.first().map(|logged| logged.at);
        let mut query = sql(text).bind(c.workspace).bind(c.id).bind(at);
        for logged in some {
            let stored = serde_json::to_value(&logged.record)
                .map_err(|e| DbError::Broken(format!("event: {e}")))?;
            let kind = stored.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
            let data = stored.get("data").map_or_else(|| "{}".to_owned(), ToString::to_string);
            query = query
                .bind(logged.seq)
                .bind(logged.epoch)
                .bind(kind)
                .bind(logged.actor.kind())
                .bind(logged.actor.id())
                .bind(logged.record.message())
                .bind(data);
        }
        let places: Vec<(i64, i64)> = query.all(conn).await?;
        let newest = places.into_iter().map(|(tx, feed)| Cursor { tx, feed }).max();
        last = newest.unwrap_or(last);
    }
    Ok(last)
}

/// Stores a message.
pub(in crate::conversation) async fn insert_message(
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
pub(in crate::conversation) async fn insert_evidence(
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

/// Orders work on a conversation, in the transaction that caused it.
pub(in crate::conversation) async fn insert_job(
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

/// Stores what explains a try of a turn, once: what was stored with its result stays, whatever a worker that never heard of
/// that result has to say later.
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
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (turn, attempt) DO NOTHING")
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
