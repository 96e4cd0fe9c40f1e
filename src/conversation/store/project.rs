//! Turn headers, obligations and alarms: kept in line with the log, record by record.

use crate::clock::Timestamp;
use crate::conversation::events::Logged;
use crate::conversation::record::{AlarmFor, EndedBy, Record};
use crate::conversation::state::Conversation;
use crate::db::{Conn, DbError, sql};
use crate::guard::Guard;
use crate::ids::{AlarmId, NodeId, TurnId};

/// Brings turn headers, obligations and alarms in line with one record; `before` is the state just before that record.
pub(in crate::conversation) async fn project(
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
            // A renewal changes nothing else of the conversation, so it may have come since this step read the lease.
            let changed =
                sql("UPDATE turn SET status = 'running', attempt = $3, node = $4, lease_until = $5
                 WHERE workspace = $1 AND id = $2 AND attempt = $6 AND (status = 'due'
                    OR (status = 'running' AND (lease_until IS NULL OR lease_until <= $7)))")
                .bind(after.workspace)
                .bind(*turn)
                .bind(*attempt)
                .bind(lease.node)
                .bind(lease.until)
                .bind(attempt - 1)
                .bind(if Guard::Lease.is_broken() { i64::MAX } else { now.millis() })
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
    if changed == 1 || Guard::Fence.is_broken() { Ok(()) } else { Err(DbError::Conflict) }
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
