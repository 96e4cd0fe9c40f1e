//! Tokens of visitors: one contact in one inbox, kept in the page's storage, rotated before they end.

use std::time::Duration;

use super::origin::AllowedOrigins;
use super::secret::{fresh_token, token_hash};
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql, stored, stored_json};
use crate::ids::{ContactId, InboxId, WorkspaceId};

/// How long a token is good.
pub const TOKEN_LIFE: Duration = Duration::from_hours(90 * 24);
/// After how long the widget should ask for a new one: half its life.
pub const RENEW_AFTER: Duration = Duration::from_hours(45 * 24);
/// How long the old token goes on after a renewal: another tab may still hold it.
pub const RENEW_GRACE: Duration = Duration::from_mins(5);

/// Who a visitor token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorToken {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The inbox.
    pub inbox: InboxId,
    /// The contact.
    pub contact: ContactId,
    /// The stored form of the token.
    pub token_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Which pages may use it.
    pub allowed_origins: AllowedOrigins,
}

/// A token for the client, which is never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token itself.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// From when on the client should renew it.
    pub renew_after: Timestamp,
}

impl IssuedToken {
    /// A fresh token; make it outside the unit that stores it, since a unit may run twice.
    #[must_use]
    pub fn fresh(now: Timestamp) -> Self {
        Self { token: fresh_token(), expires_at: now + TOKEN_LIFE, renew_after: now + RENEW_AFTER }
    }
}

/// What the street door needs to know of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The inbox.
    pub inbox: InboxId,
    /// Which pages may embed it.
    pub allowed_origins: AllowedOrigins,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    workspace: String,
    inbox: String,
    contact: String,
    token_hash: String,
    created_at: i64,
    expires_at: i64,
    allowed_origins: String,
}

/// Stores a token for a contact in an inbox.
///
/// # Errors
/// What the database says.
pub async fn issue(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
    contact: ContactId,
    new: &IssuedToken,
    now: Timestamp,
) -> Result<(), DbError> {
    sql(
        "INSERT INTO visitor_token (token_hash, workspace, inbox, contact, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(token_hash(&new.token))
    .bind(workspace)
    .bind(inbox)
    .bind(contact)
    .bind(now)
    .bind(new.expires_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Who a token stands for, if it is still good.
///
/// # Errors
/// What the database says.
pub async fn find(
    conn: &mut Conn,
    token: &str,
    now: Timestamp,
) -> Result<Option<VisitorToken>, DbError> {
    let row: Option<TokenRow> =
        sql("SELECT t.workspace, t.inbox, t.contact, t.token_hash, t.created_at, \
         t.expires_at, i.allowed_origins FROM visitor_token t \
         JOIN inbox i ON i.id = t.inbox AND i.workspace = t.workspace \
         WHERE t.token_hash = $1 AND t.expires_at > $2")
        .bind(token_hash(token))
        .bind(now)
        .optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(VisitorToken {
        workspace: stored(&row.workspace)?,
        inbox: stored(&row.inbox)?,
        contact: stored(&row.contact)?,
        token_hash: row.token_hash,
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: Timestamp::from_millis(row.expires_at),
        allowed_origins: origins(&row.allowed_origins)?,
    }))
}

/// Replaces a token; the old one goes on for [`RENEW_GRACE`].
///
/// # Errors
/// What the database says.
pub async fn renew(
    conn: &mut Conn,
    old: &VisitorToken,
    new: &IssuedToken,
    now: Timestamp,
) -> Result<(), DbError> {
    let grace = (now + RENEW_GRACE).min(old.expires_at);
    sql("UPDATE visitor_token SET expires_at = $3 WHERE workspace = $1 AND token_hash = $2")
        .bind(old.workspace)
        .bind(&old.token_hash)
        .bind(grace)
        .execute(conn)
        .await?;
    issue(conn, old.workspace, old.inbox, old.contact, new, now).await
}

/// Ends every token of a contact (blocked, erased, signed out).
///
/// # Errors
/// What the database says.
pub async fn revoke(
    conn: &mut Conn,
    workspace: WorkspaceId,
    contact: ContactId,
) -> Result<u64, DbError> {
    sql("DELETE FROM visitor_token WHERE workspace = $1 AND contact = $2")
        .bind(workspace)
        .bind(contact)
        .execute(conn)
        .await
}

/// Removes tokens that have ended, of every workspace.
///
/// # Errors
/// What the database says.
pub async fn sweep(conn: &mut Conn, now: Timestamp) -> Result<u64, DbError> {
    sql("DELETE FROM visitor_token WHERE expires_at <= $1").bind(now).execute(conn).await
}

/// The inbox behind a public key.
///
/// # Errors
/// What the database says.
pub async fn door(conn: &mut Conn, public_key: &str) -> Result<Option<Door>, DbError> {
    let row: Option<(String, String, String)> =
        sql("SELECT workspace, id, allowed_origins FROM inbox WHERE public_key = $1")
            .bind(public_key)
            .optional(conn)
            .await?;
    let Some((workspace, inbox, list)) = row else { return Ok(None) };
    Ok(Some(Door {
        workspace: stored(&workspace)?,
        inbox: stored(&inbox)?,
        allowed_origins: origins(&list)?,
    }))
}

fn origins(list: &str) -> Result<AllowedOrigins, DbError> {
    let list: Vec<String> = stored_json(list)?;
    AllowedOrigins::parse("allowed_origins", &list).map_err(|e| DbError::Broken(e.to_string()))
}
