//! All SQL of the audit: the rows of one conversation, and what is asked of all rows at once.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::Finding;
use crate::assistant::inbox::InboxSettings;
use crate::clock::Timestamp;
use crate::conversation::state::{Conversation, Policy};
use crate::conversation::store::{from_json, parse, unsigned};
use crate::conversation::verify::{AlarmRow, Columns, Kind, PromiseRow, TurnRow, Violation};
use crate::db::{Conn, DbError, EngineKind, sql};
use crate::ids::{AlarmId, ConversationId, TurnId, WorkspaceId};

/// Conversations whose rows are read at once.
const HEADS_AT_ONCE: u32 = 200;

/// The row of a conversation.
#[derive(FromRow)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) workspace: String,
    state: String,
    holder: String,
    assignee: Option<String>,
    queued_at: Option<i64>,
    epoch: i64,
    seq: i64,
    public_seq: i64,
    next_timer_at: Option<i64>,
    waiting_since: Option<i64>,
    settings: Option<String>,
}

impl Head {
    pub(super) fn read(&self) -> Result<(Conversation, Policy), DbError> {
        let row: Conversation = from_json(&self.state, "conversation.state")?;
        if row.id.to_string() != self.id {
            return Err(DbError::Broken("conversation.state: of another one".to_owned()));
        }
        let settings = self.settings.as_deref().unwrap_or("{}");
        let settings: InboxSettings = from_json(settings, "inbox.settings")?;
        Ok((row, Policy::from(&settings)))
    }

    pub(super) fn columns(&self) -> Columns {
        Columns {
            holder: self.holder.clone(),
            assignee: self.assignee.clone(),
            queued_at: self.queued_at.map(Timestamp::from_millis),
            epoch: unsigned(self.epoch),
            seq: unsigned(self.seq),
            public_seq: unsigned(self.public_seq),
            waiting_since: self.waiting_since.map(Timestamp::from_millis),
        }
    }

    pub(super) fn next_timer_at(&self) -> Option<Timestamp> {
        self.next_timer_at.map(Timestamp::from_millis)
    }
}

/// The next conversations after an id.
pub(super) async fn heads(
    conn: &mut Conn,
    only: Option<WorkspaceId>,
    after: &str,
) -> Result<Vec<Head>, DbError> {
    sql("SELECT c.id, c.workspace, c.state, c.holder, c.assignee, c.queued_at, c.epoch, c.seq, c.public_seq,
            c.next_timer_at, c.waiting_since, i.settings
         FROM conversation c LEFT JOIN inbox i ON i.id = c.inbox
         WHERE c.id > $1 AND ($2 IS NULL OR c.workspace = $2) ORDER BY c.id LIMIT $3")
        .bind(after)
        .bind(only)
        .bind(HEADS_AT_ONCE)
        .all(conn)
        .await
}

pub(super) async fn turns(
    conn: &mut Conn,
    id: ConversationId,
) -> Result<BTreeMap<TurnId, TurnRow>, DbError> {
    let rows: Vec<(String, String, i64, i64, Option<i64>)> =
        sql("SELECT id, status, attempt, run_at, ended_at FROM turn WHERE conversation = $1")
            .bind(id)
            .all(conn)
            .await?;
    rows.into_iter()
        .map(|(turn, status, attempt, run_at, ended_at)| {
            let run_at = (status == "due").then(|| Timestamp::from_millis(run_at));
            let (attempt, ended) = (unsigned(attempt), ended_at.is_some());
            Ok((parse(&turn, "turn.id")?, TurnRow { status, attempt, run_at, ended }))
        })
        .collect()
}

pub(super) async fn promises(
    conn: &mut Conn,
    id: ConversationId,
) -> Result<BTreeMap<u64, PromiseRow>, DbError> {
    type Row = (i64, i64, i64, i64, Option<i64>, Option<String>);
    let rows: Vec<Row> = sql("SELECT opened_seq, anchor_seq, due_at, step, ended_at, ended_by
         FROM obligation WHERE conversation = $1")
    .bind(id)
    .all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(opened, anchor, due_at, step, ended_at, ended_by)| {
            let due_at = Timestamp::from_millis(due_at);
            // Ended is what has a time; by what is then known, too.
            let ended_by = ended_at.map(|_| ended_by.unwrap_or_default());
            let (anchor, step) = (unsigned(anchor), unsigned(step));
            (unsigned(opened), PromiseRow { anchor, due_at, step, ended_by })
        })
        .collect())
}

pub(super) async fn alarms(
    conn: &mut Conn,
    id: ConversationId,
) -> Result<BTreeMap<AlarmId, AlarmRow>, DbError> {
    type Row = (String, i64, i64, String, Option<String>, Option<i64>);
    let rows: Vec<Row> = sql("SELECT id, anchor_seq, step, recipient, acknowledged_by, ended_at
         FROM alarm WHERE conversation = $1")
    .bind(id)
    .all(conn)
    .await?;
    rows.into_iter()
        .map(|(alarm, anchor, step, recipient, acknowledged_by, ended_at)| {
            let (anchor, step, ended) = (unsigned(anchor), unsigned(step), ended_at.is_some());
            let row = AlarmRow { anchor, step, recipient, acknowledged_by, ended };
            Ok((parse(&alarm, "alarm.id")?, row))
        })
        .collect()
}

/// A question over all rows of a table. Its rows are what is wrong: workspace, conversation, seq, and which thing.
struct Question {
    kind: Kind,
    what: &'static str,
    text: &'static str,
}

macro_rules! question {
    ($kind:ident, $what:literal, $($text:tt)+) => {
        Question {
            kind: Kind::$kind,
            what: $what,
            text: concat!($($text)+, " AND ($1 IS NULL OR x.workspace = $1) LIMIT 1000"),
        }
    };
}

/// A row whose conversation is not there, or is another workspace's.
macro_rules! housed {
    ($($table:literal),*) => {[$(
        question!(
            Workspace,
            "a row of another workspace, or of no conversation",
            concat!(
                "SELECT x.workspace, x.conversation, NULL, '", $table, "' FROM ", $table, " x
                 LEFT JOIN conversation c ON c.id = x.conversation AND c.workspace = x.workspace
                 WHERE x.conversation IS NOT NULL AND c.id IS NULL"
            )
        ),
    )*]};
}

const HOUSED: [Question; 10] = housed![
    "event",
    "message",
    "turn",
    "turn_record",
    "obligation",
    "alarm",
    "artifact",
    "job",
    "handoff",
    "read_mark"
];

const ACROSS: [Question; 10] = [
    question!(
        Workspace,
        "its inbox or contact is another workspace's",
        "SELECT x.workspace, x.id, NULL, 'conversation' FROM conversation x
         LEFT JOIN inbox i ON i.id = x.inbox AND i.workspace = x.workspace
         LEFT JOIN contact p ON p.id = x.contact AND p.workspace = x.workspace
         WHERE (i.id IS NULL OR p.id IS NULL)"
    ),
    question!(
        MessageUnknown,
        "a message beside no event",
        "SELECT x.workspace, x.conversation, x.seq, x.id FROM message x
         LEFT JOIN event e ON e.conversation = x.conversation AND e.seq = x.seq WHERE e.seq IS NULL"
    ),
    question!(
        Stray,
        "the words of a handoff that the log does not know",
        "SELECT x.workspace, x.conversation, x.seq, 'handoff' FROM handoff x
         LEFT JOIN event e ON e.conversation = x.conversation AND e.seq = x.seq AND e.kind = 'handed_off'
         WHERE e.seq IS NULL"
    ),
    question!(
        Stray,
        "the record of a try that was never begun",
        "SELECT x.workspace, x.conversation, NULL, x.turn FROM turn_record x
         LEFT JOIN turn t ON t.id = x.turn AND t.conversation = x.conversation
         WHERE (t.id IS NULL OR t.attempt < x.attempt)"
    ),
    question!(
        Stray,
        "read further than the log goes",
        "SELECT x.workspace, x.conversation, x.seq, x.agent FROM read_mark x
         JOIN conversation c ON c.id = x.conversation WHERE x.seq > c.seq"
    ),
    question!(
        Stray,
        "made of more than the log holds",
        "SELECT x.workspace, x.conversation, x.at_seq, x.id FROM artifact x
         JOIN conversation c ON c.id = x.conversation WHERE x.at_seq > c.seq"
    ),
    question!(
        Lease,
        "runs under a lease without an end",
        "SELECT x.workspace, x.conversation, NULL, x.id FROM turn x
         WHERE x.status = 'running' AND x.lease_until IS NULL"
    ),
    question!(
        Lease,
        "neither due nor failed nor under a lease that ends",
        "SELECT x.workspace, x.conversation, NULL, x.id FROM job x
         WHERE NOT (x.status IN ('due', 'failed') OR (x.status = 'running' AND x.lease_until IS NOT NULL))"
    ),
    question!(
        FeedOrder,
        "stands in the feed before the event that it follows",
        "SELECT x.workspace, x.conversation, x.seq, 'event' FROM event x
         JOIN event b ON b.conversation = x.conversation AND b.seq = x.seq - 1 WHERE b.feed >= x.feed"
    ),
    question!(
        MessageNumber,
        "the event names another message than its data",
        "SELECT x.workspace, x.conversation, x.seq, m.id FROM event x
         JOIN message m ON m.conversation = x.conversation AND m.seq = x.seq
         WHERE (x.message IS NULL OR x.message <> m.id)"
    ),
];

/// SQLite's feed is ordered by its number alone.
const SQLITE: Question = question!(
    FeedAhead,
    "stands in the feed behind every reader: its transaction is not 0",
    "SELECT x.workspace, x.conversation, x.seq, 'event' FROM event x WHERE x.tx <> 0"
);

/// PostgreSQL's is read up to the oldest running transaction.
const POSTGRES: Question = question!(
    FeedAhead,
    "stands in the feed ahead of every reader: its transaction is yet to come",
    "SELECT x.workspace, x.conversation, x.seq, 'event' FROM event x
     WHERE x.tx >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
);

type Answer = (String, Option<String>, Option<i64>, String);

/// What can be asked of all rows at once.
pub(super) async fn across(
    conn: &mut Conn,
    only: Option<WorkspaceId>,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<(), DbError> {
    let engine = match conn.kind() {
        EngineKind::Sqlite => SQLITE,
        EngineKind::Postgres => POSTGRES,
    };
    for question in HOUSED.iter().chain(&ACROSS).chain([&engine]) {
        let answers: Vec<Answer> = sql(question.text).bind(only).all(conn).await?;
        for (workspace, conversation, seq, thing) in answers {
            let what = format!("{thing}: {}", question.what);
            let violation = Violation { kind: question.kind, seq: seq.map(unsigned), what };
            tell(Finding { workspace, conversation, violation });
        }
    }
    counter(conn, tell).await
}

/// The next number of the feed must be a new one.
async fn counter(conn: &mut Conn, tell: &mut (dyn FnMut(Finding) + Send)) -> Result<(), DbError> {
    let text = match conn.kind() {
        EngineKind::Sqlite => {
            "SELECT COALESCE((SELECT max(seq) FROM sqlite_sequence WHERE name = 'event'), 0) AS given,
                COALESCE((SELECT max(feed) FROM event), 0) AS used"
        }
        EngineKind::Postgres => {
            "SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence('event', 'feed')::regclass),
                    s.seqstart - 1) AS given,
                COALESCE((SELECT max(feed) FROM event), 0) AS used
             FROM pg_sequence s WHERE s.seqrelid = pg_get_serial_sequence('event', 'feed')::regclass"
        }
    };
    let (given, used): (i64, i64) = sql(text).one(conn).await?;
    if given < used {
        let what = format!("the next number is {}, and {used} is taken", given + 1);
        let violation = Violation { kind: Kind::FeedCounter, seq: None, what };
        tell(Finding { workspace: String::new(), conversation: None, violation });
    }
    Ok(())
}
