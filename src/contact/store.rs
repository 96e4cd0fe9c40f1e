//! SQL for contacts.

use super::{Contact, ContactChange};
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql, stored, stored_json};
use crate::ids::{ContactId, WorkspaceId};

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    locale: String,
    blocked: bool,
    attributes: String,
    created_at: i64,
}

impl TryFrom<Row> for Contact {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: stored(&row.id)?,
            name: row.name,
            email: row.email,
            phone: row.phone,
            locale: row.locale,
            blocked: row.blocked,
            created_at: Timestamp::from_millis(row.created_at),
            attributes: stored_json(&row.attributes)?,
        })
    }
}

/// Makes a contact of whom only the language is known; the caller has checked it with [`crate::field::locale`].
///
/// # Errors
/// What the database says.
pub async fn create(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ContactId,
    locale: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at) \
         VALUES ($1, $2, $3, '{}', $4, $4)")
    .bind(id)
    .bind(workspace)
    .bind(locale)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// One contact.
///
/// # Errors
/// What the database says.
pub async fn get(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ContactId,
) -> Result<Option<Contact>, DbError> {
    let row: Option<Row> =
        sql("SELECT id, name, email, phone, locale, blocked, attributes, created_at \
         FROM contact WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    row.map(Contact::try_from).transpose()
}

/// Changes a contact; `None` if there is no such contact here.
///
/// # Errors
/// What the database says.
pub async fn update(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ContactId,
    change: &ContactChange,
) -> Result<Option<Contact>, DbError> {
    sql("UPDATE contact SET name = CASE WHEN $3 THEN $4 ELSE name END, \
         email = CASE WHEN $5 THEN $6 ELSE email END, phone = CASE WHEN $7 THEN $8 ELSE phone END \
         WHERE workspace = $1 AND id = $2")
    .bind(workspace)
    .bind(id)
    .bind(change.name.is_some())
    .bind(change.name.clone().flatten())
    .bind(change.email.is_some())
    .bind(change.email.clone().flatten())
    .bind(change.phone.is_some())
    .bind(change.phone.clone().flatten())
    .execute(conn)
    .await?;
    get(conn, workspace, id).await
}

/// Records that a contact was here, and in which language.
///
/// # Errors
/// What the database says.
pub async fn seen(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ContactId,
    locale: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    sql("UPDATE contact SET seen_at = $3, locale = $4 WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .bind(now)
        .bind(locale)
        .execute(conn)
        .await?;
    Ok(())
}

/// Blocks or unblocks; the caller changes the conversations in the same unit. False if there is no such contact here.
///
/// # Errors
/// What the database says.
pub async fn set_blocked(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ContactId,
    blocked: bool,
) -> Result<bool, DbError> {
    let changed = sql("UPDATE contact SET blocked = $3 WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .bind(blocked)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}
