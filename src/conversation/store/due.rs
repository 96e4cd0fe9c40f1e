//! What is due: turns to lease, timers to fire, and the leases of running turns.

use super::row::parse;
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql};
use crate::guard::Guard;
use crate::ids::{ConversationId, NodeId, TurnId, WorkspaceId};

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
         WHERE (status = 'due' AND run_at <= $1) OR (status = 'running' AND lease_until <= $3)
         ORDER BY run_at LIMIT $2")
        .bind(now)
        .bind(limit)
        .bind(if Guard::Lease.is_broken() { i64::MAX } else { now.millis() })
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
pub(in crate::conversation) async fn renew(
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
pub(in crate::conversation) async fn end_leases_of_others(
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

/// Ends every lease that one node holds: it is dead.
pub(in crate::conversation) async fn end_leases_of(
    conn: &mut Conn,
    node: NodeId,
    now: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE turn SET lease_until = $2 WHERE status = 'running' AND node = $1 AND lease_until > $2")
        .bind(node)
        .bind(now)
        .execute(conn)
        .await
}

/// Of these tries, the ones that are not the running try of their turn any more.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn ended_tries(
    conn: &mut Conn,
    tries: &[(TurnId, u32)],
) -> Result<Vec<(TurnId, u32)>, DbError> {
    let mut ended = Vec::new();
    for (turn, attempt) in tries {
        let row: Option<(String, i64)> = sql("SELECT status, attempt FROM turn WHERE id = $1")
            .bind(*turn)
            .optional(conn)
            .await?;
        let runs = row.is_some_and(|(status, newest)| match status.as_str() {
            "running" => newest <= i64::from(*attempt),
            // Not leased yet, or given back: nobody else has it.
            "due" => newest < i64::from(*attempt),
            _ => false,
        });
        if !runs {
            ended.push((*turn, *attempt));
        }
    }
    Ok(ended)
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
