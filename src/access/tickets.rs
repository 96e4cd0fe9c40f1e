//! Tickets that let a signed-in agent open a socket: single use, 30 seconds, good on every node of the database.
//!
//! The session cookie does not travel with the socket's first frame, and a token must not stand in a URL.

use std::time::Duration;

use super::secret::{fresh_token, token_hash};
use crate::clock::{Clock, Timestamp};
use crate::db::{Conn, Db, DbError, sql, stored};
use crate::ids::{AgentId, WorkspaceId};

/// How long a ticket is good.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);

/// Whom a ticket stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketOwner {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// The stored form of the session, so that the socket can end with it.
    pub session: String,
}

/// A fresh ticket and when it ends.
///
/// # Errors
/// When the database is away.
pub async fn issue(
    db: &Db,
    owner: TicketOwner,
    clock: &Clock,
) -> Result<(String, Timestamp), DbError> {
    let ticket = fresh_token();
    let expires_at = clock.now() + TICKET_LIFE;
    let hash = token_hash(&ticket);
    db.write(move |conn| {
        let (hash, owner) = (hash.clone(), owner.clone());
        Box::pin(async move {
            sql("INSERT INTO live_ticket (ticket_hash, workspace, agent, session, expires_at)
                 VALUES ($1, $2, $3, $4, $5)")
            .bind(hash)
            .bind(owner.workspace)
            .bind(owner.agent)
            .bind(owner.session)
            .bind(expires_at)
            .execute(conn)
            .await
        })
    })
    .await?;
    Ok((ticket, expires_at))
}

/// Uses a ticket up.
///
/// # Errors
/// When the database is away.
pub async fn redeem(db: &Db, ticket: &str, clock: &Clock) -> Result<Option<TicketOwner>, DbError> {
    type Row = (String, String, String, i64);
    let hash = token_hash(ticket);
    // What was never issued costs a look, not a write.
    let (known,): (i64,) = sql("SELECT count(*) FROM live_ticket WHERE ticket_hash = $1")
        .bind(&hash)
        .one(&mut db.read().await?)
        .await?;
    if known == 0 {
        return Ok(None);
    }
    let used = db.write(move |conn| {
        let hash = hash.clone();
        Box::pin(async move {
            sql("DELETE FROM live_ticket WHERE ticket_hash = $1
                 RETURNING workspace, agent, session, expires_at")
            .bind(hash)
            .optional::<Row>(conn)
            .await
        })
    });
    let Some((workspace, agent, session, expires_at)) = used.await? else { return Ok(None) };
    if Timestamp::from_millis(expires_at) <= clock.now() {
        return Ok(None);
    }
    Ok(Some(TicketOwner { workspace: stored(&workspace)?, agent: stored(&agent)?, session }))
}

/// Removes tickets that nobody used, of every workspace.
///
/// # Errors
/// What the database says.
pub async fn sweep(conn: &mut Conn, now: Timestamp) -> Result<u64, DbError> {
    sql("DELETE FROM live_ticket WHERE expires_at <= $1").bind(now).execute(conn).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::role::Role;
    use crate::access::testing::{member, state};
    use crate::db::testing::databases;

    #[tokio::test]
    async fn a_ticket_works_once_and_not_for_long() {
        for db in databases().await {
            let access = state(db.clone());
            let clock = &access.clock;
            let (workspace, agent) = member(&access, Role::Agent, "ana@example.com").await;
            let owner = TicketOwner { workspace, agent, session: "s".to_owned() };
            let (ticket, _) = issue(&db, owner.clone(), clock).await.expect("issued");
            assert_eq!(redeem(&db, "other", clock).await.expect("looks"), None);
            let both = tokio::join!(redeem(&db, &ticket, clock), redeem(&db, &ticket, clock));
            let both = [both.0.expect("looks"), both.1.expect("looks")];
            assert_eq!(both.iter().flatten().collect::<Vec<_>>(), [&owner], "used once");
            assert_eq!(redeem(&db, &ticket, clock).await.expect("looks"), None);
            let (late, _) = issue(&db, owner.clone(), clock).await.expect("issued");
            clock.advance(TICKET_LIFE);
            assert_eq!(redeem(&db, &late, clock).await.expect("looks"), None);
            issue(&db, owner, clock).await.expect("issued");
            clock.advance(TICKET_LIFE);
            let now = clock.now();
            let swept = db.write(move |conn| Box::pin(async move { sweep(conn, now).await }));
            assert_eq!(swept.await.expect("sweeps"), 1);
        }
    }
}
