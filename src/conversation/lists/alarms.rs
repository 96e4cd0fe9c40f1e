//! Alarms: broken promises that somebody has to look at.

use super::super::record::AlarmFor;
use super::super::store::{parse, unsigned};
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql};
use crate::ids::{AgentId, AlarmId, ConversationId, WorkspaceId};

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
    pub(super) fn third(self) -> &'static str {
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
