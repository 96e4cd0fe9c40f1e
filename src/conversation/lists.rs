//! SQL for what people look at: list rows, counts, unread marks, places in the queue, the workspace's feed.
//!
//! Reading only, but for the read mark, which is nobody's business but the reader's. A page is one statement: each holder
//! is a branch of its own, so that both engines walk `(workspace, holder, updated_at)` backwards and stop at the limit.

mod alarms;
mod feed;
mod turns;

use sqlx::FromRow;

pub use alarms::{AlarmReader, OpenAlarm, alarm, alarms};
pub use feed::{
    Fed, committed_after, feed_after, feed_now, first_after, moved_between, settled_everywhere,
};
pub use turns::{Explained, RECORDS_AT_ONCE, turn, turn_records};

use super::events::Evidence;
use super::state::Conversation;
use super::store::{from_json, parse, parse_opt, unsigned};
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql};
use crate::ids::{AgentId, ContactId, ConversationId, InboxId, MessageId, WorkspaceId};

/// One conversation as a list shows it.
#[derive(Debug, Clone)]
pub struct ListRow {
    /// The state.
    pub conversation: Conversation,
    /// The visitor's language.
    pub locale: String,
    /// The last public message, as the door stored it.
    pub snippet: Option<Snippet>,
    /// Who the visitor is.
    pub contact_name: Option<String>,
    /// Their address.
    pub contact_email: Option<String>,
    /// Their number.
    pub contact_phone: Option<String>,
    /// How far this agent has read.
    pub last_read_seq: Option<u64>,
    /// Visitor messages after that.
    pub unread: u64,
    /// Somebody has to look.
    pub alarm: bool,
    /// Why it is in the queue, in words.
    pub evidence: Option<Evidence>,
    /// When it began.
    pub created_at: Timestamp,
    /// When something last happened.
    pub updated_at: Timestamp,
    /// The page the visitor wrote from.
    pub page_url: Option<String>,
    /// Its title.
    pub page_title: Option<String>,
}

/// The last public message.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Snippet {
    /// Who wrote it.
    pub author_kind: String,
    /// Its beginning.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    state: String,
    locale: String,
    last_message: Option<String>,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    read_seq: Option<i64>,
    unread: i64,
    alarm: bool,
    condition: Option<String>,
    evidence: Option<String>,
    evidence_message: Option<String>,
    created_at: i64,
    updated_at: i64,
    page_url: Option<String>,
    page_title: Option<String>,
}

impl TryFrom<Row> for ListRow {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        let evidence = (row.condition.is_some() || row.evidence.is_some())
            .then(|| {
                Ok::<_, DbError>(Evidence {
                    condition: row.condition,
                    quote: row.evidence,
                    message: parse_opt::<MessageId>(
                        row.evidence_message.as_deref(),
                        "handoff.message",
                    )?,
                })
            })
            .transpose()?;
        Ok(Self {
            conversation: from_json(&row.state, "conversation.state")?,
            locale: row.locale,
            snippet: row
                .last_message
                .map(|json| from_json(&json, "conversation.last_message"))
                .transpose()?,
            contact_name: row.name,
            contact_email: row.email,
            contact_phone: row.phone,
            last_read_seq: row.read_seq.map(unsigned),
            unread: unsigned(row.unread),
            alarm: row.alarm,
            evidence,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            page_url: row.page_url,
            page_title: row.page_title,
        })
    }
}

/// What a row shows; `$1` is the workspace, `$2` the reading agent. Nobody's unread messages are not counted.
macro_rules! row {
    ($from:literal) => {
        concat!(
            "SELECT c.state, c.locale, c.last_message, k.name, k.email, k.phone, r.seq AS read_seq,
                CASE WHEN $2 IS NULL THEN 0 ELSE
                    (SELECT count(*) FROM message m WHERE m.conversation = c.id AND m.seq > COALESCE(r.seq, 0)
                        AND m.author_kind = 'visitor') END AS unread,
                EXISTS (SELECT 1 FROM alarm a WHERE a.conversation = c.id AND a.acknowledged_at IS NULL
                    AND a.ended_at IS NULL) AS alarm,
                h.condition, h.evidence, h.message AS evidence_message,
                c.created_at, c.updated_at, c.page_url, c.page_title
             FROM ",
            $from,
            " JOIN contact k ON k.id = c.contact
             LEFT JOIN read_mark r ON r.agent = $2 AND r.conversation = c.id
             LEFT JOIN handoff h ON c.holder = 'queue' AND h.conversation = c.id
                AND h.seq = (SELECT max(n.seq) FROM handoff n WHERE n.conversation = c.id)
                AND EXISTS (SELECT 1 FROM event e WHERE e.conversation = h.conversation AND e.seq = h.seq
                    AND e.at = c.queued_at) "
        )
    };
}

/// Where a page of the list starts: the last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Its last activity.
    pub updated_at: Timestamp,
    /// Its id.
    pub id: ConversationId,
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.updated_at.millis(), self.id)
    }
}

impl std::str::FromStr for After {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('.').ok_or(())?;
        Ok(Self {
            updated_at: Timestamp::from_millis(at.parse().map_err(|_| ())?),
            id: id.parse().map_err(|_| ())?,
        })
    }
}

/// Which conversations of a workspace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those with one of these holders (`assistant`, `queue`, `assigned`, `closed`); empty names are none.
    pub holders: [&'static str; 4],
    /// Only those that this agent holds; the holders do not count then.
    pub assignee: Option<AgentId>,
    /// Only of this inbox.
    pub inbox: Option<InboxId>,
}

/// One page of the list, newest activity first.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn page(
    conn: &mut Conn,
    workspace: WorkspaceId,
    reader: AgentId,
    filter: Filter,
    after: Option<After>,
    limit: u32,
) -> Result<Vec<ListRow>, DbError> {
    macro_rules! branch {
        ($which:literal) => {
            concat!(
                "SELECT * FROM (SELECT id, updated_at FROM conversation WHERE workspace = $1 AND ",
                $which,
                " AND updated_at <= $3 AND (updated_at < $3 OR id < $4) AND (CAST($5 AS TEXT) IS NULL OR inbox = $5)
                 ORDER BY updated_at DESC, id DESC LIMIT $6) AS "
            )
        };
    }
    macro_rules! paged {
        ($ids:expr) => {
            concat!(
                row!("conversation c"),
                " WHERE c.id IN (SELECT id FROM (",
                $ids,
                ") AS page ORDER BY updated_at DESC, id DESC LIMIT $6) ORDER BY c.updated_at DESC, c.id DESC"
            )
        };
    }
    let (at, id) =
        after.map_or((i64::MAX, String::new()), |a| (a.updated_at.millis(), a.id.to_string()));
    let query = if let Some(assignee) = filter.assignee {
        const MINE: &str = paged!(concat!(branch!("assignee = $7"), "mine"));
        sql(MINE)
            .bind(workspace)
            .bind(reader)
            .bind(at)
            .bind(id)
            .bind(filter.inbox)
            .bind(limit)
            .bind(assignee)
    } else {
        const HELD: &str = paged!(concat!(
            branch!("holder = $7"),
            "a UNION ALL ",
            branch!("holder = $8"),
            "b UNION ALL ",
            branch!("holder = $9"),
            "c UNION ALL ",
            branch!("holder = $10"),
            "d"
        ));
        let [a, b, c, d] = filter.holders;
        sql(HELD)
            .bind(workspace)
            .bind(reader)
            .bind(at)
            .bind(id)
            .bind(filter.inbox)
            .bind(limit)
            .bind(a)
            .bind(b)
            .bind(c)
            .bind(d)
    };
    let rows: Vec<Row> = query.all(conn).await?;
    rows.into_iter().map(ListRow::try_from).collect()
}

/// One conversation as a list shows it to this agent; without one, everything counts as unread.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn row(
    conn: &mut Conn,
    workspace: WorkspaceId,
    reader: Option<AgentId>,
    id: ConversationId,
) -> Result<Option<ListRow>, DbError> {
    sql(concat!(row!("conversation c"), "WHERE c.workspace = $1 AND c.id = $3"))
        .bind(workspace)
        .bind(reader)
        .bind(id)
        .optional::<Row>(conn)
        .await?
        .map(ListRow::try_from)
        .transpose()
}

/// The conversations of a contact, whatever the inbox.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn of_contact(
    conn: &mut Conn,
    workspace: WorkspaceId,
    contact: ContactId,
) -> Result<Vec<ConversationId>, DbError> {
    // By inbox first, since that is how the unique index begins.
    let rows: Vec<(String,)> = sql("SELECT c.id FROM inbox i
         JOIN conversation c ON c.inbox = i.id AND c.contact = $2 WHERE i.workspace = $1")
    .bind(workspace)
    .bind(contact)
    .all(conn)
    .await?;
    rows.into_iter().map(|(id,)| parse(&id, "conversation.id")).collect()
}

/// The open conversations of an agent.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn assigned_to(
    conn: &mut Conn,
    workspace: WorkspaceId,
    agent: AgentId,
) -> Result<Vec<ConversationId>, DbError> {
    let rows: Vec<(String,)> =
        sql("SELECT id FROM conversation WHERE workspace = $1 AND assignee = $2")
            .bind(workspace)
            .bind(agent)
            .all(conn)
            .await?;
    rows.into_iter().map(|(id,)| parse(&id, "conversation.id")).collect()
}

/// The state of a conversation, for those who only look.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn state(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<Option<Conversation>, DbError> {
    let row: Option<(String,)> =
        sql("SELECT state FROM conversation WHERE workspace = $1 AND id = $2")
            .bind(workspace)
            .bind(id)
            .optional(conn)
            .await?;
    row.map(|(json,)| from_json(&json, "conversation.state")).transpose()
}

/// The number beside each view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Counts {
    /// Not closed.
    pub open: i64,
    /// In the queue.
    pub unassigned: i64,
    /// This agent's.
    pub mine: i64,
    /// Of the queue's and this agent's, those with a visitor message not yet read.
    pub unread: i64,
    /// Alarms that this agent has to look at.
    pub alarms: i64,
}

/// Counts the views of one agent.
///
/// # Errors
/// When the database is away.
pub async fn counts(
    conn: &mut Conn,
    workspace: WorkspaceId,
    reader: AlarmReader,
) -> Result<Counts, DbError> {
    const UNREAD: &str = "SELECT
        (SELECT count(*) FROM conversation WHERE workspace = $1 AND holder IN ('assistant', 'queue', 'assigned')) AS open,
        (SELECT count(*) FROM conversation WHERE workspace = $1 AND holder = 'queue') AS unassigned,
        (SELECT count(*) FROM conversation WHERE workspace = $1 AND assignee = $2) AS mine,
        (SELECT count(*) FROM conversation c LEFT JOIN read_mark r ON r.agent = $2 AND r.conversation = c.id
            WHERE c.workspace = $1 AND c.holder = 'queue'
            AND EXISTS (SELECT 1 FROM message m WHERE m.conversation = c.id AND m.seq > COALESCE(r.seq, 0)
                AND m.author_kind = 'visitor'))
        + (SELECT count(*) FROM conversation c LEFT JOIN read_mark r ON r.agent = $2 AND r.conversation = c.id
            WHERE c.workspace = $1 AND c.assignee = $2
            AND EXISTS (SELECT 1 FROM message m WHERE m.conversation = c.id AND m.seq > COALESCE(r.seq, 0)
                AND m.author_kind = 'visitor')) AS unread,
        (SELECT count(*) FROM alarm WHERE workspace = $1 AND acknowledged_at IS NULL AND ended_at IS NULL
            AND recipient IN ($2, 'inbox', $3)) AS alarms";
    sql(UNREAD).bind(workspace).bind(reader.agent).bind(reader.third()).one(conn).await
}

/// Moves an agent's read mark on; never back, never beyond the log.
///
/// # Errors
/// When the database is away.
pub async fn mark_read(
    conn: &mut Conn,
    workspace: WorkspaceId,
    agent: AgentId,
    conversation: ConversationId,
    seq: u64,
) -> Result<(), DbError> {
    sql("INSERT INTO read_mark (workspace, agent, conversation, seq)
         SELECT c.workspace, $2, c.id, CASE WHEN c.seq < $4 THEN c.seq ELSE $4 END FROM conversation c
         WHERE c.workspace = $1 AND c.id = $3
         ON CONFLICT (agent, conversation) DO UPDATE SET seq = EXCLUDED.seq WHERE read_mark.seq < EXCLUDED.seq")
        .bind(workspace)
        .bind(agent)
        .bind(conversation)
        .bind(seq)
        .execute(conn)
        .await?;
    Ok(())
}

/// How far everybody has read a conversation.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn read_marks(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
) -> Result<Vec<(AgentId, u64)>, DbError> {
    let rows: Vec<(String, i64)> = sql("SELECT r.agent, r.seq FROM agent g
         JOIN read_mark r ON r.agent = g.id AND r.conversation = $2 WHERE g.workspace = $1")
    .bind(workspace)
    .bind(conversation)
    .all(conn)
    .await?;
    rows.into_iter()
        .map(|(agent, seq)| Ok((parse(&agent, "read_mark.agent")?, unsigned(seq))))
        .collect()
}

/// The numbers of the newest visitor messages, newest first.
///
/// # Errors
/// When the database is away.
pub async fn visitor_seqs(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    limit: u32,
) -> Result<Vec<u64>, DbError> {
    let rows: Vec<(i64,)> =
        sql("SELECT seq FROM message WHERE workspace = $1 AND conversation = $2
         AND author_kind = 'visitor' ORDER BY seq DESC LIMIT $3")
        .bind(workspace)
        .bind(conversation)
        .bind(limit)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|(seq,)| unsigned(seq)).collect())
}

/// The place in an inbox's queue of a conversation that has waited since `since`, from 1.
///
/// # Errors
/// When the database is away.
pub async fn queue_position(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
    since: Timestamp,
) -> Result<u64, DbError> {
    let (ahead,): (i64,) = sql("SELECT count(*) FROM conversation
         WHERE workspace = $1 AND inbox = $2 AND queued_at < $3")
    .bind(workspace)
    .bind(inbox)
    .bind(since)
    .one(conn)
    .await?;
    Ok(unsigned(ahead) + 1)
}
