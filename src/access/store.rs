//! SQL for people: workspaces, accounts, members, invitations.

use std::time::Duration;

use super::role::{Presence, Role};
use super::secret::{fresh_token, token_hash};
use crate::clock::{Clock, Timestamp};
use crate::db::{Conn, Db, DbError, EngineKind, sql, stored};
use crate::ids::{AccountId, AgentId, Ids, WorkspaceId};

/// How long an invitation is good.
pub const INVITATION_LIFE: Duration = Duration::from_hours(7 * 24);

/// A person of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person in this workspace.
    pub id: AgentId,
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
    /// How many open conversations they hold.
    pub open: i64,
}

/// A log-in with the hash of its password.
#[derive(Debug, Clone)]
pub struct Account {
    /// The log-in.
    pub id: AccountId,
    /// The argon2id hash.
    pub password_hash: String,
}

/// What makes a person.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// Shown to colleagues and visitors.
    pub name: String,
    /// Normalised address.
    pub email: String,
    /// The argon2id hash, used if the address has no account yet.
    pub password_hash: String,
    /// What they will be.
    pub role: Role,
}

/// What the first start found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstStart {
    /// The workspace, made if there was none.
    pub workspace: WorkspaceId,
    /// The token of a fresh one-time link while nobody owns the workspace; the link is `/#/welcome?token=…`.
    pub owner_invitation: Option<String>,
}

/// An invitation that is still good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Where to.
    pub workspace: WorkspaceId,
    /// The workspace's name.
    pub workspace_name: String,
    /// As what.
    pub role: Role,
}

/// Why an invitation was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAccepted {
    /// Unknown, used or too old.
    Gone,
    /// This account is a member already.
    AlreadyMember,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    id: String,
    account: String,
    name: String,
    email: String,
    role: String,
    presence: String,
    locale: String,
    open: i64,
}

impl TryFrom<MemberRow> for Member {
    type Error = DbError;
    fn try_from(row: MemberRow) -> Result<Self, DbError> {
        Ok(Self {
            id: stored(&row.id)?,
            account: stored(&row.account)?,
            role: stored(&row.role)?,
            presence: stored(&row.presence)?,
            name: row.name,
            email: row.email,
            locale: row.locale,
            open: row.open,
        })
    }
}

/// Everybody who works in a workspace, in the order they came.
///
/// # Errors
/// What the database says.
pub async fn members(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Member>, DbError> {
    let rows: Vec<MemberRow> = sql("SELECT a.id, a.account, a.name, c.email, a.role, a.presence, a.locale, \
         (SELECT COUNT(*) FROM conversation v WHERE v.workspace = a.workspace AND v.assignee = a.id) AS open \
         FROM agent a JOIN account c ON c.id = a.account \
         WHERE a.workspace = $1 AND a.disabled_at IS NULL ORDER BY a.created_at, a.id")
    .bind(workspace)
    .all(conn)
    .await?;
    rows.into_iter().map(Member::try_from).collect()
}

/// One person.
///
/// # Errors
/// What the database says.
pub async fn member(
    conn: &mut Conn,
    workspace: WorkspaceId,
    agent: AgentId,
) -> Result<Option<Member>, DbError> {
    let row: Option<MemberRow> = sql("SELECT a.id, a.account, a.name, c.email, a.role, a.presence, a.locale, \
         (SELECT COUNT(*) FROM conversation v WHERE v.workspace = a.workspace AND v.assignee = a.id) AS open \
         FROM agent a JOIN account c ON c.id = a.account \
         WHERE a.workspace = $1 AND a.id = $2 AND a.disabled_at IS NULL")
    .bind(workspace)
    .bind(agent)
    .optional(conn)
    .await?;
    row.map(Member::try_from).transpose()
}

/// Sets what a person may change about themselves; `None` leaves it.
///
/// # Errors
/// What the database says.
pub async fn update_member(
    conn: &mut Conn,
    workspace: WorkspaceId,
    agent: AgentId,
    name: Option<&str>,
    presence: Option<Presence>,
    locale: Option<&str>,
) -> Result<bool, DbError> {
    let changed =
        sql("UPDATE agent SET name = COALESCE($3, name), presence = COALESCE($4, presence), \
         locale = COALESCE($5, locale) WHERE workspace = $1 AND id = $2 AND disabled_at IS NULL")
        .bind(workspace)
        .bind(agent)
        .bind(name)
        .bind(presence.map(Presence::as_str))
        .bind(locale)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: String,
    password_hash: String,
}

/// The log-in of a normalised address.
///
/// # Errors
/// What the database says.
pub async fn account(conn: &mut Conn, email: &str) -> Result<Option<Account>, DbError> {
    let row: Option<AccountRow> = sql("SELECT id, password_hash FROM account WHERE email = $1")
        .bind(email)
        .optional(conn)
        .await?;
    row.map(|row| Ok(Account { id: stored(&row.id)?, password_hash: row.password_hash }))
        .transpose()
}

/// Where an account works: its oldest membership.
///
/// # Errors
/// What the database says.
pub async fn home(
    conn: &mut Conn,
    account: AccountId,
) -> Result<Option<(WorkspaceId, AgentId)>, DbError> {
    let row: Option<(String, String)> = sql("SELECT workspace, id FROM agent \
         WHERE account = $1 AND disabled_at IS NULL ORDER BY created_at, id LIMIT 1")
    .bind(account)
    .optional(conn)
    .await?;
    row.map(|(workspace, agent)| Ok((stored(&workspace)?, stored(&agent)?))).transpose()
}

/// Makes a workspace.
///
/// # Errors
/// What the database says.
pub async fn create_workspace(
    conn: &mut Conn,
    id: WorkspaceId,
    name: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO workspace (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(name)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes a person, with an account unless the address has one; `None` if they are a member already.
///
/// # Errors
/// What the database says.
pub async fn create_member(
    conn: &mut Conn,
    workspace: WorkspaceId,
    ids: Ids,
    new: &NewMember,
    now: Timestamp,
) -> Result<Option<AgentId>, DbError> {
    sql("INSERT INTO account (id, email, password_hash, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (email) DO NOTHING")
    .bind(ids.fresh::<AccountId>())
    .bind(&new.email)
    .bind(&new.password_hash)
    .bind(now)
    .execute(conn)
    .await?;
    let (account,): (String,) =
        sql("SELECT id FROM account WHERE email = $1").bind(&new.email).one(conn).await?;
    let agent: AgentId = ids.fresh();
    let made = sql("INSERT INTO agent (id, workspace, account, name, role, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workspace, account) DO NOTHING")
    .bind(agent)
    .bind(workspace)
    .bind(account)
    .bind(&new.name)
    .bind(new.role.as_str())
    .bind(now)
    .execute(conn)
    .await?;
    Ok((made == 1).then_some(agent))
}

/// Gives an account a new password.
///
/// # Errors
/// What the database says.
pub async fn set_password(
    conn: &mut Conn,
    email: &str,
    password_hash: &str,
) -> Result<(), DbError> {
    sql("UPDATE account SET password_hash = $2 WHERE email = $1")
        .bind(email)
        .bind(password_hash)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes an invitation for the stored form of a token.
///
/// # Errors
/// What the database says.
pub async fn create_invitation(
    conn: &mut Conn,
    workspace: WorkspaceId,
    token_hash: &str,
    role: Role,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO invitation (token_hash, workspace, role, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(token_hash)
        .bind(workspace)
        .bind(role.as_str())
        .bind(now + INVITATION_LIFE)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct InvitationRow {
    workspace: String,
    workspace_name: String,
    role: String,
}

/// The invitation a token stands for, if it is still good.
///
/// # Errors
/// What the database says.
pub async fn invitation(
    conn: &mut Conn,
    token: &str,
    now: Timestamp,
) -> Result<Option<Invitation>, DbError> {
    let row: Option<InvitationRow> = sql("SELECT i.workspace, w.name AS workspace_name, i.role \
         FROM invitation i JOIN workspace w ON w.id = i.workspace \
         WHERE i.token_hash = $1 AND i.used_at IS NULL AND i.expires_at > $2")
    .bind(token_hash(token))
    .bind(now)
    .optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Invitation {
        workspace: stored(&row.workspace)?,
        workspace_name: row.workspace_name,
        role: stored(&row.role)?,
    }))
}

/// Uses an invitation up and makes the person it was for. The role is the invitation's.
///
/// # Errors
/// What the database says.
pub async fn accept_invitation(
    conn: &mut Conn,
    token: &str,
    ids: Ids,
    new: &NewMember,
    now: Timestamp,
) -> Result<Result<(WorkspaceId, AgentId), NotAccepted>, DbError> {
    let Some(invitation) = invitation(conn, token, now).await? else {
        return Ok(Err(NotAccepted::Gone));
    };
    let taken = sql("UPDATE invitation SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL")
        .bind(token_hash(token))
        .bind(now)
        .execute(conn)
        .await?;
    if taken != 1 {
        return Ok(Err(NotAccepted::Gone));
    }
    let new = NewMember { role: invitation.role, ..new.clone() };
    match create_member(conn, invitation.workspace, ids, &new, now).await? {
        Some(agent) => Ok(Ok((invitation.workspace, agent))),
        None => Ok(Err(NotAccepted::AlreadyMember)),
    }
}

/// Sees to it that there is a workspace, and a way in while nobody owns it.
///
/// Every call while there is no owner makes a new link and ends the older ones.
///
/// # Errors
/// What the database says.
pub async fn first_start(
    db: &Db,
    clock: &Clock,
    ids: Ids,
    workspace_name: &str,
) -> Result<FirstStart, DbError> {
    let (now, name, token) = (clock.now(), workspace_name.to_owned(), fresh_token());
    db.write(move |conn| {
        let (name, token) = (name.clone(), token.clone());
        Box::pin(async move {
            if conn.kind() == EngineKind::Postgres {
                // Two nodes may start at once. The number only has to be ours: "baton" in ASCII.
                sql("SELECT pg_advisory_xact_lock(422541815662)").execute(conn).await?;
            }
            let existing: Option<(String,)> =
                sql("SELECT id FROM workspace ORDER BY created_at, id LIMIT 1")
                    .optional(conn)
                    .await?;
            let workspace = match existing {
                Some((id,)) => stored(&id)?,
                None => {
                    let id = ids.fresh();
                    create_workspace(conn, id, &name, now).await?;
                    id
                }
            };
            let owner: Option<(String,)> = sql("SELECT id FROM agent WHERE workspace = $1 \
                 AND role = 'owner' AND disabled_at IS NULL LIMIT 1")
            .bind(workspace)
            .optional(conn)
            .await?;
            if owner.is_some() {
                return Ok(FirstStart { workspace, owner_invitation: None });
            }
            sql("DELETE FROM invitation WHERE workspace = $1 AND role = 'owner' AND used_at IS NULL")
                .bind(workspace)
                .execute(conn)
                .await?;
            create_invitation(conn, workspace, &token_hash(&token), Role::Owner, now).await?;
            Ok(FirstStart { workspace, owner_invitation: Some(token) })
        })
    })
    .await
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
