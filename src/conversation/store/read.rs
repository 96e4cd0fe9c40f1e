//! Messages and the log, as they are read.

use sqlx::FromRow;

use super::row::{from_json, parse, parse_opt, unsigned};
use crate::clock::Timestamp;
use crate::conversation::events::{Evidence, Logged};
use crate::conversation::message::{Actor, Message};
use crate::conversation::record::Record;
use crate::db::{Conn, DbError, sql};
use crate::ids::{ConversationId, MessageId, WorkspaceId};

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
fn actor(kind: &str, id: Option<&str>) -> Result<Actor, DbError> {
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
