//! Turns with what explains them.

use super::super::store::{parse, unsigned};
use crate::db::{Conn, DbError, sql};
use crate::ids::{ConversationId, TurnId, WorkspaceId};

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
