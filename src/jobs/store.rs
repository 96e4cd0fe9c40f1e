//! All SQL of jobs. Workers work for every workspace; whoever orders or asks names theirs.

use std::time::Duration;

use sqlx::FromRow;

use super::Job;
use super::retry::MAX_ATTEMPTS;
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql, stored};
use crate::ids::{ConversationId, JobId, NodeId, WorkspaceId};

/// How long a job that was given up is shown to operators.
const KEEP_PARKED: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Work on a conversation that is to be ordered.
#[derive(Debug, Clone)]
pub struct Order {
    /// The job's id, if it becomes one.
    pub id: JobId,
    /// What to do.
    pub kind: &'static str,
    /// With what.
    pub payload: String,
}

/// Orders work on a conversation.
///
/// # Errors
/// When the database is away.
pub async fn order(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    order: &Order,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO job (id, workspace, conversation, kind, payload, status, run_at, created_at)
         VALUES ($1, $2, $3, $4, $5, 'due', $6, $6)")
    .bind(order.id)
    .bind(workspace)
    .bind(conversation)
    .bind(order.kind)
    .bind(&order.payload)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Work on a conversation that waits or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The job.
    pub id: JobId,
    /// What it does.
    pub kind: String,
    /// With what.
    pub payload: String,
    /// A worker has it already, and may have read the conversation.
    pub running: bool,
    /// When it was ordered.
    pub created_at: Timestamp,
}

/// The jobs of a conversation that wait or run, newest first.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn waiting(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
) -> Result<Vec<Waiting>, DbError> {
    let rows: Vec<(String, String, String, String, i64)> =
        sql("SELECT id, kind, payload, status, created_at FROM job
             WHERE workspace = $1 AND conversation = $2 AND status IN ('due', 'running')
             ORDER BY created_at DESC, id DESC LIMIT 50")
        .bind(workspace)
        .bind(conversation)
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|(id, kind, payload, status, created_at)| {
            Ok(Waiting {
                id: stored(&id)?,
                kind,
                payload,
                running: status == "running",
                created_at: Timestamp::from_millis(created_at),
            })
        })
        .collect()
}

#[derive(FromRow)]
struct JobRow {
    id: String,
    workspace: String,
    conversation: Option<String>,
    kind: String,
    payload: String,
    attempt: i64,
}

impl TryFrom<JobRow> for Job {
    type Error = DbError;
    fn try_from(row: JobRow) -> Result<Self, DbError> {
        Ok(Self {
            id: stored(&row.id)?,
            workspace: stored(&row.workspace)?,
            conversation: row.conversation.as_deref().map(stored).transpose()?,
            kind: row.kind,
            payload: row.payload,
            attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
        })
    }
}

/// Takes jobs that are due, or whose lease is over, until `until`.
///
/// The outer condition is not for show: on PostgreSQL a second worker that waited for the row looks at it again, and only
/// that condition tells it that the job is taken. Jobs whose last try ended without a word are left to [`give_up_lost`].
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn claim(
    conn: &mut Conn,
    node: NodeId,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Result<Vec<Job>, DbError> {
    let rows: Vec<JobRow> = sql("UPDATE job SET status = 'running', attempt = attempt + 1, node = $2, lease_until = $3
         WHERE id IN (SELECT id FROM (
                SELECT id, run_at AS at FROM job WHERE status = 'due' AND run_at <= $1
                UNION ALL
                SELECT id, lease_until FROM job WHERE status = 'running' AND lease_until <= $1 AND attempt < $5
            ) AS ready ORDER BY at, id LIMIT $4)
           AND ((status = 'due' AND run_at <= $1) OR (status = 'running' AND lease_until <= $1 AND attempt < $5))
         RETURNING id, workspace, conversation, kind, payload, attempt")
        .bind(now)
        .bind(node)
        .bind(until)
        .bind(limit)
        .bind(MAX_ATTEMPTS)
        .all(conn)
        .await?;
    let mut jobs: Vec<Job> = rows.into_iter().map(Job::try_from).collect::<Result<_, _>>()?;
    jobs.sort_by_key(|job| job.id);
    Ok(jobs)
}

/// Gives up jobs that took their worker down at every try.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn give_up_lost(conn: &mut Conn, now: Timestamp) -> Result<Vec<Job>, DbError> {
    let rows: Vec<JobRow> =
        sql("UPDATE job SET status = 'failed', lease_until = NULL, last_error = 'lease_lost'
         WHERE status = 'running' AND lease_until <= $1 AND attempt >= $2
         RETURNING id, workspace, conversation, kind, payload, attempt")
        .bind(now)
        .bind(MAX_ATTEMPTS)
        .all(conn)
        .await?;
    rows.into_iter().map(Job::try_from).collect()
}

/// When the next job is due or the next lease is over.
///
/// # Errors
/// When the database is away.
pub async fn next_at(conn: &mut Conn) -> Result<Option<Timestamp>, DbError> {
    let (at,): (Option<i64>,) = sql("SELECT min(at) FROM (
            SELECT min(run_at) AS at FROM job WHERE status = 'due'
            UNION ALL SELECT min(lease_until) FROM job WHERE status = 'running') AS times")
    .one(conn)
    .await?;
    Ok(at.map(Timestamp::from_millis))
}

/// Moves the end of a lease on. Returns whether it is still held.
///
/// # Errors
/// When the database is away.
pub async fn renew(conn: &mut Conn, job: &Job, until: Timestamp) -> Result<bool, DbError> {
    let changed = sql("UPDATE job SET lease_until = $4
         WHERE workspace = $1 AND id = $2 AND attempt = $3 AND status = 'running'")
    .bind(job.workspace)
    .bind(job.id)
    .bind(job.attempt)
    .bind(until)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// The job is done: its row goes. Returns whether the lease was still held.
///
/// # Errors
/// When the database is away.
pub async fn finish(conn: &mut Conn, job: &Job) -> Result<bool, DbError> {
    let changed = sql(
        "DELETE FROM job WHERE workspace = $1 AND id = $2 AND attempt = $3 AND status = 'running'",
    )
    .bind(job.workspace)
    .bind(job.id)
    .bind(job.attempt)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// The job goes back to wait until `run_at`, or is given up if there is no such time. Returns whether the lease was still
/// held.
///
/// # Errors
/// When the database is away.
pub async fn put_back(
    conn: &mut Conn,
    job: &Job,
    run_at: Option<Timestamp>,
    error: &'static str,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE job SET status = $4, run_at = COALESCE($5, run_at), lease_until = NULL, node = NULL, last_error = $6
         WHERE workspace = $1 AND id = $2 AND attempt = $3 AND status = 'running'")
        .bind(job.workspace)
        .bind(job.id)
        .bind(job.attempt)
        .bind(if run_at.is_some() { "due" } else { "failed" })
        .bind(run_at)
        .bind(error)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Ends every lease that nodes other than `node` hold: right only when this process owns the database alone.
///
/// # Errors
/// When the database is away.
pub async fn end_leases_of_others(
    conn: &mut Conn,
    node: NodeId,
    now: Timestamp,
) -> Result<u64, DbError> {
    sql("UPDATE job SET lease_until = $2 WHERE status = 'running' AND (node IS NULL OR node <> $1)")
        .bind(node)
        .bind(now)
        .execute(conn)
        .await
}

/// Ends every lease that one node holds: it is dead.
///
/// # Errors
/// When the database is away.
pub async fn end_leases_of(conn: &mut Conn, node: NodeId, now: Timestamp) -> Result<u64, DbError> {
    sql("UPDATE job SET lease_until = $2 WHERE status = 'running' AND node = $1 AND lease_until > $2")
        .bind(node)
        .bind(now)
        .execute(conn)
        .await
}

/// Jobs of one kind that were given up for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// What they were to do.
    pub kind: String,
    /// Why the last try failed.
    pub error: String,
    /// How many.
    pub jobs: u64,
}

/// Every job that was given up, of every workspace: for whoever runs the installation.
///
/// # Errors
/// When the database is away.
pub async fn parked(conn: &mut Conn) -> Result<Vec<Parked>, DbError> {
    let rows: Vec<(String, String, i64)> =
        sql("SELECT kind, COALESCE(last_error, 'unknown'), COUNT(*) FROM job
         WHERE status = 'failed' GROUP BY kind, COALESCE(last_error, 'unknown') ORDER BY kind, 2")
        .all(conn)
        .await?;
    let parked =
        |(kind, error, jobs)| Parked { kind, error, jobs: u64::try_from(jobs).unwrap_or(0) };
    Ok(rows.into_iter().map(parked).collect())
}

/// Removes jobs that were given up long ago.
///
/// # Errors
/// When the database is away.
pub async fn sweep(conn: &mut Conn, now: Timestamp) -> Result<u64, DbError> {
    sql("DELETE FROM job WHERE status = 'failed' AND created_at <= $1")
        .bind(now - KEEP_PARKED)
        .execute(conn)
        .await
}
