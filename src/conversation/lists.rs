//! SQL for what people look at: list rows, counts, unread marks, places in the queue, the workspace's feed.
//!
//! Reading only, but for the read mark, which is nobody's business but the reader's. A page is one statement: each holder
//! is a branch of its own, so that both engines walk `(workspace, holder, updated_at)` backwards and stop at the limit.

use sqlx::FromRow;

use super::record::AlarmFor;
use super::state::Conversation;
use super::store::{from_json, parse, parse_opt, unsigned};
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, EngineKind, sql};
use crate::ids::{
    AgentId, AlarmId, ArtifactId, ContactId, ConversationId, InboxId, MessageId, TurnId,
    WorkspaceId,
};

use super::events::{Cursor, Evidence};

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

/// What a row shows; `$1` is the workspace, `$2` the reading agent.
macro_rules! row {
    ($from:literal) => {
        concat!(
            "SELECT c.state, c.locale, c.last_message, k.name, k.email, k.phone, r.seq AS read_seq,
                (SELECT count(*) FROM message m WHERE m.conversation = c.id AND m.seq > COALESCE(r.seq, 0)
                    AND m.author_kind = 'visitor') AS unread,
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

/// Who reads alarms: the agent, and whether those for owners are theirs too.
#[derive(Debug, Clone, Copy)]
pub struct AlarmReader {
    /// The agent.
    pub agent: AgentId,
    /// An owner or admin.
    pub owner: bool,
}

impl AlarmReader {
    /// The third recipient beside the agent and everybody.
    fn third(self) -> &'static str {
        if self.owner { AlarmFor::Owners.as_str() } else { AlarmFor::Inbox.as_str() }
    }

    /// Whether an alarm to this recipient, as stored, is for this reader.
    #[must_use]
    pub fn hears(self, recipient: &str) -> bool {
        recipient == AlarmFor::Inbox.as_str()
            || recipient == self.third()
            || recipient.parse() == Ok(self.agent)
    }
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
            WHERE c.workspace = $1 AND (c.holder = 'queue' OR c.assignee = $2)
            AND EXISTS (SELECT 1 FROM message m WHERE m.conversation = c.id AND m.seq > COALESCE(r.seq, 0)
                AND m.author_kind = 'visitor')) AS unread,
        (SELECT count(*) FROM alarm WHERE workspace = $1 AND acknowledged_at IS NULL AND ended_at IS NULL
            AND recipient IN ($2, 'inbox', $3)) AS alarms";
    sql(UNREAD).bind(workspace).bind(reader.agent).bind(reader.third()).one(conn).await
}

/// An alarm that nobody has looked at.
#[derive(Debug, Clone)]
pub struct OpenAlarm {
    /// Its id.
    pub id: AlarmId,
    /// Where.
    pub conversation: ConversationId,
    /// What about.
    pub kind: String,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// Which step of the ladder.
    pub step: u64,
    /// To whom, as stored.
    pub recipient: String,
    /// Who waits.
    pub contact_name: Option<String>,
}

type AlarmRow = (String, String, String, i64, i64, String, Option<String>);

fn open_alarm(row: AlarmRow) -> Result<OpenAlarm, DbError> {
    let (id, conversation, kind, raised_at, step, recipient, contact_name) = row;
    Ok(OpenAlarm {
        id: parse(&id, "alarm.id")?,
        conversation: parse(&conversation, "alarm.conversation")?,
        kind,
        raised_at: Timestamp::from_millis(raised_at),
        step: unsigned(step),
        recipient,
        contact_name,
    })
}

/// The open alarms of a reader, oldest first.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn alarms(
    conn: &mut Conn,
    workspace: WorkspaceId,
    reader: AlarmReader,
    limit: u32,
) -> Result<Vec<OpenAlarm>, DbError> {
    let rows: Vec<AlarmRow> =
        sql("SELECT a.id, a.conversation, a.kind, a.raised_at, a.step, a.recipient, k.name
         FROM alarm a JOIN conversation c ON c.id = a.conversation JOIN contact k ON k.id = c.contact
         WHERE a.workspace = $1 AND a.acknowledged_at IS NULL AND a.ended_at IS NULL
            AND a.recipient IN ($2, 'inbox', $3)
         ORDER BY a.raised_at, a.id LIMIT $4")
        .bind(workspace)
        .bind(reader.agent)
        .bind(reader.third())
        .bind(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(open_alarm).collect()
}

/// One alarm, looked at or not.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn alarm(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AlarmId,
) -> Result<Option<(OpenAlarm, bool)>, DbError> {
    type Found = (String, String, String, i64, i64, String, Option<String>, bool);
    let row: Option<Found> =
        sql("SELECT a.id, a.conversation, a.kind, a.raised_at, a.step, a.recipient, k.name,
            (a.acknowledged_at IS NULL AND a.ended_at IS NULL) AS open
         FROM alarm a JOIN conversation c ON c.id = a.conversation JOIN contact k ON k.id = c.contact
         WHERE a.workspace = $1 AND a.id = $2")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    let Some((id, conversation, kind, raised_at, step, recipient, name, open)) = row else {
        return Ok(None);
    };
    Ok(Some((open_alarm((id, conversation, kind, raised_at, step, recipient, name))?, open)))
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

/// An event of the feed, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Its place.
    pub cursor: Cursor,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Which event.
    pub seq: u64,
}

/// Events of a workspace after a place in its feed, in feed order. On PostgreSQL it stops below the oldest transaction that
/// still runs, so that nothing can appear below a place that was handed out.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn feed_after(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: Cursor,
    limit: u32,
) -> Result<Vec<Fed>, DbError> {
    let text = match conn.kind() {
        EngineKind::Sqlite => {
            "SELECT tx, feed, conversation, seq FROM event
             WHERE workspace = $1 AND tx >= $2 AND (tx > $2 OR feed > $3) ORDER BY tx, feed LIMIT $4"
        }
        EngineKind::Postgres => {
            "SELECT tx, feed, conversation, seq FROM event
             WHERE workspace = $1 AND tx >= $2 AND (tx > $2 OR feed > $3)
                AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY tx, feed LIMIT $4"
        }
    };
    let rows: Vec<(i64, i64, String, i64)> =
        sql(text).bind(workspace).bind(after.tx).bind(after.feed).bind(limit).all(conn).await?;
    rows.into_iter()
        .map(|(tx, feed, conversation, seq)| {
            Ok(Fed {
                cursor: Cursor { tx, feed },
                conversation: parse(&conversation, "event.conversation")?,
                seq: unsigned(seq),
            })
        })
        .collect()
}

/// The place in the feed below which everything is readable now.
///
/// # Errors
/// When the database is away.
pub async fn feed_now(conn: &mut Conn, workspace: WorkspaceId) -> Result<Cursor, DbError> {
    match conn.kind() {
        EngineKind::Sqlite => {
            let (feed,): (Option<i64>,) =
                sql("SELECT max(feed) FROM event WHERE workspace = $1 AND tx = 0")
                    .bind(workspace)
                    .one(conn)
                    .await?;
            Ok(Cursor { tx: 0, feed: feed.unwrap_or(0) })
        }
        EngineKind::Postgres => {
            let (xmin,): (i64,) =
                sql("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
                    .one(conn)
                    .await?;
            Ok(Cursor { tx: xmin - 1, feed: i64::MAX })
        }
    }
}

/// What explains a turn, as the worker left it.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Where it happened.
    pub conversation: ConversationId,
    /// Where it stands.
    pub status: String,
    /// The newest try.
    pub attempt: u64,
    /// The record of the newest try that left one, as JSON.
    pub record: Option<String>,
}

/// A turn with the record of its newest try.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn turn(
    conn: &mut Conn,
    workspace: WorkspaceId,
    turn: TurnId,
) -> Result<Option<Explained>, DbError> {
    let row: Option<(String, String, i64, Option<String>)> =
        sql("SELECT t.conversation, t.status, t.attempt, r.record FROM turn t
         LEFT JOIN turn_record r ON r.turn = t.id
            AND r.attempt = (SELECT max(n.attempt) FROM turn_record n WHERE n.turn = t.id)
         WHERE t.workspace = $1 AND t.id = $2")
        .bind(workspace)
        .bind(turn)
        .optional(conn)
        .await?;
    row.map(|(conversation, status, attempt, record)| {
        Ok(Explained {
            conversation: parse(&conversation, "turn.conversation")?,
            status,
            attempt: unsigned(attempt),
            record,
        })
    })
    .transpose()
}

/// A brief, a summary or suggested replies, as stored.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its id.
    pub id: ArtifactId,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// What it is.
    pub kind: String,
    /// `pending`, `ready` or `failed`.
    pub state: String,
    /// What it has read.
    pub at_seq: u64,
    /// What made it.
    pub source: Option<String>,
    /// The content, as JSON.
    pub content: Option<String>,
    /// The thread has moved on since.
    pub stale: bool,
    /// When it was ordered.
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct ArtifactRow {
    conversation: String,
    kind: String,
    state: String,
    at_seq: i64,
    source: Option<String>,
    content: Option<String>,
    stale: bool,
    created_at: i64,
}

/// One artifact.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn artifact(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ArtifactId,
) -> Result<Option<Artifact>, DbError> {
    let row: Option<ArtifactRow> =
        sql("SELECT a.conversation, a.kind, a.state, a.at_seq, a.source, a.content, a.created_at,
            EXISTS (SELECT 1 FROM message m WHERE m.conversation = a.conversation AND m.seq > a.at_seq
                AND m.kind = 'text') AS stale
         FROM artifact a WHERE a.workspace = $1 AND a.id = $2")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    row.map(|row| {
        Ok(Artifact {
            id,
            conversation: parse(&row.conversation, "artifact.conversation")?,
            kind: row.kind,
            state: row.state,
            at_seq: unsigned(row.at_seq),
            source: row.source,
            content: row.content,
            stale: row.stale,
            created_at: Timestamp::from_millis(row.created_at),
        })
    })
    .transpose()
}

/// How many turns [`turn_records`] takes at once.
pub const RECORDS_AT_ONCE: usize = 8;

/// The records of up to [`RECORDS_AT_ONCE`] turns of a conversation, older tries first.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn turn_records(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    turns: &[TurnId],
) -> Result<Vec<(TurnId, String)>, DbError> {
    let mut query = sql("SELECT turn, record FROM turn_record
         WHERE turn IN ($3, $4, $5, $6, $7, $8, $9, $10) AND workspace = $1 AND conversation = $2
         ORDER BY turn, attempt")
    .bind(workspace)
    .bind(conversation);
    for place in 0..RECORDS_AT_ONCE {
        query = query.bind(turns.get(place).copied());
    }
    let rows: Vec<(String, String)> = query.all(conn).await?;
    rows.into_iter().map(|(turn, record)| Ok((parse(&turn, "turn_record.turn")?, record))).collect()
}
