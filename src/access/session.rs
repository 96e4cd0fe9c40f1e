//! Sessions of signed-in agents: a random token in a cookie, its hash in the database, an end that moves on with use.

use std::time::Duration;

use super::role::{Presence, Role};
use super::secret::{fresh_token, token_hash};
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql, stored};
use crate::ids::{AccountId, AgentId, WorkspaceId};

/// A session ends after this long without use.
pub const IDLE_LIFE: Duration = Duration::from_hours(14 * 24);
/// A session ends after this long whatever happens.
pub const LONGEST_LIFE: Duration = Duration::from_hours(90 * 24);
/// Use is recorded at most this often, so that reading does not become writing.
pub const TOUCH_EVERY: Duration = Duration::from_mins(5);

/// The secrets of a session that is about to be stored; made outside the unit, which may run twice.
#[derive(Clone)]
pub struct NewSession {
    /// What the cookie carries.
    pub token: String,
    /// What the CSRF header must carry.
    pub csrf: String,
}

impl NewSession {
    /// Fresh random secrets.
    #[must_use]
    pub fn fresh() -> Self {
        Self { token: fresh_token(), csrf: fresh_token() }
    }
}

/// A session that is good, with the person it belongs to.
#[derive(Debug, Clone)]
pub struct Session {
    /// The stored form of the token: the session's name within the server.
    pub token_hash: String,
    /// What the CSRF header must carry.
    pub csrf: String,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The workspace's name.
    pub workspace_name: String,
    /// The person in this workspace.
    pub agent: AgentId,
    /// The person's log-in.
    pub account: AccountId,
    /// Shown to colleagues and visitors.
    pub name: String,
    /// The address they sign in with.
    pub email: String,
    /// What they are here.
    pub role: Role,
    /// Whether they are there.
    pub presence: Presence,
    /// The language of their screens.
    pub locale: String,
    /// When the session began.
    pub created_at: Timestamp,
    /// When use was last recorded.
    pub seen_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    token_hash: String,
    csrf: String,
    workspace: String,
    workspace_name: String,
    agent: String,
    account: String,
    name: String,
    email: String,
    role: String,
    presence: String,
    locale: String,
    created_at: i64,
    seen_at: i64,
}

impl TryFrom<Row> for Session {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            workspace: stored(&row.workspace)?,
            agent: stored(&row.agent)?,
            account: stored(&row.account)?,
            role: stored(&row.role)?,
            presence: stored(&row.presence)?,
            created_at: Timestamp::from_millis(row.created_at),
            seen_at: Timestamp::from_millis(row.seen_at),
            token_hash: row.token_hash,
            csrf: row.csrf,
            workspace_name: row.workspace_name,
            name: row.name,
            email: row.email,
            locale: row.locale,
        })
    }
}

/// Stores a session.
///
/// # Errors
/// What the database says.
pub async fn create(
    conn: &mut Conn,
    workspace: WorkspaceId,
    agent: AgentId,
    new: &NewSession,
    now: Timestamp,
) -> Result<(), DbError> {
    sql(
        "INSERT INTO session (token_hash, workspace, agent, csrf, created_at, seen_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $5, $6)",
    )
    .bind(token_hash(&new.token))
    .bind(workspace)
    .bind(agent)
    .bind(&new.csrf)
    .bind(now)
    .bind(now + IDLE_LIFE)
    .execute(conn)
    .await?;
    Ok(())
}

/// The session a stored token names, if it is still good and its person still works here.
///
/// # Errors
/// What the database says.
pub async fn find(
    conn: &mut Conn,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<Session>, DbError> {
    let row: Option<Row> =
        sql("SELECT s.token_hash, s.csrf, s.workspace, w.name AS workspace_name, s.agent, \
         a.account, a.name, c.email, a.role, a.presence, a.locale, s.created_at, s.seen_at \
         FROM session s JOIN agent a ON a.id = s.agent AND a.workspace = s.workspace \
         JOIN account c ON c.id = a.account JOIN workspace w ON w.id = s.workspace \
         WHERE s.token_hash = $1 AND s.expires_at > $2 AND a.disabled_at IS NULL")
        .bind(token_hash)
        .bind(now)
        .optional(conn)
        .await?;
    row.map(Session::try_from).transpose()
}

/// Records use and moves the end on, but never beyond [`LONGEST_LIFE`].
///
/// # Errors
/// What the database says.
pub async fn touch(
    conn: &mut Conn,
    token_hash: &str,
    created_at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let end = (now + IDLE_LIFE).min(created_at + LONGEST_LIFE);
    sql("UPDATE session SET seen_at = $2, expires_at = $3 WHERE token_hash = $1")
        .bind(token_hash)
        .bind(now)
        .bind(end)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends a session.
///
/// # Errors
/// What the database says.
pub async fn end(conn: &mut Conn, workspace: WorkspaceId, token_hash: &str) -> Result<(), DbError> {
    sql("DELETE FROM session WHERE workspace = $1 AND token_hash = $2")
        .bind(workspace)
        .bind(token_hash)
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes sessions that have ended, of every workspace.
///
/// # Errors
/// What the database says.
pub async fn sweep(conn: &mut Conn, now: Timestamp) -> Result<u64, DbError> {
    sql("DELETE FROM session WHERE expires_at <= $1").bind(now).execute(conn).await
}
