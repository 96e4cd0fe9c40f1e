//! The workspace's feed: every event in one order, by which consoles resume.

use super::super::events::Cursor;
use super::super::others::Moved;
use super::super::store::{parse, unsigned};
use crate::db::{Conn, DbError, EngineKind, sql};
use crate::guard::Guard;
use crate::ids::{ConversationId, WorkspaceId};

/// Everything after a place.
const EVERYTHING: &str = "SELECT tx, feed, conversation, seq FROM event
     WHERE workspace = $1 AND tx >= $2 AND (tx > $2 OR feed > $3) ORDER BY tx, feed LIMIT $4";

/// An event of the feed, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Its place.
    pub cursor: Cursor,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Which event.
    pub seq: u64,
}

/// Events of a workspace after a place in its feed, in feed order. On PostgreSQL it stops below the oldest transaction that
/// still runs, so that nothing can appear below a place that was handed out.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn feed_after(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: Cursor,
    limit: u32,
) -> Result<Vec<Fed>, DbError> {
    let text = match conn.kind() {
        EngineKind::Postgres if !Guard::FeedHorizon.is_broken() => {
            "SELECT tx, feed, conversation, seq FROM event
             WHERE workspace = $1 AND tx >= $2 AND (tx > $2 OR feed > $3)
                AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY tx, feed LIMIT $4"
        }
        EngineKind::Sqlite | EngineKind::Postgres => {
            "SELECT tx, feed, conversation, seq FROM event
             WHERE workspace = $1 AND tx >= $2 AND (tx > $2 OR feed > $3) ORDER BY tx, feed LIMIT $4"
        }
    };
    let rows: Vec<(i64, i64, String, i64)> =
        sql(text).bind(workspace).bind(after.tx).bind(after.feed).bind(limit).all(conn).await?;
    let is_full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let mut fed: Vec<Fed> = rows.into_iter().map(fed).collect::<Result<_, _>>()?;
    // On PostgreSQL a reader tells by its place whether it knows a commit, so it gets commits whole.
    if is_full
        && conn.kind() == EngineKind::Postgres
        && let Some(cut) = fed.last().map(|last| last.cursor.tx)
        && fed.first().is_some_and(|first| first.cursor.tx < cut)
    {
        fed.retain(|fed| fed.cursor.tx < cut);
    }
    Ok(fed)
}

/// The conversations of a workspace that have changed after a place in the feed and below another, as they stand now.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn moved_between(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: Cursor,
    through: Cursor,
) -> Result<Vec<Moved>, DbError> {
    let rows: Vec<(String, String, String, i64, i64, i64)> =
        sql("SELECT id, inbox, contact, seq, public_seq, epoch FROM conversation WHERE workspace = $1 AND id IN (
                SELECT conversation FROM event WHERE workspace = $1 AND tx >= $2 AND (tx > $2 OR feed > $3) AND tx <= $4)")
            .bind(workspace)
            .bind(after.tx)
            .bind(after.feed)
            .bind(through.tx)
            .all(conn)
            .await?;
    rows.into_iter()
        .map(|(id, inbox, contact, seq, public_seq, epoch)| {
            Ok(Moved {
                workspace,
                inbox: parse(&inbox, "conversation.inbox")?,
                contact: parse(&contact, "conversation.contact")?,
                conversation: parse(&id, "conversation.id")?,
                from: unsigned(seq),
                seq: unsigned(seq),
                public_seq: unsigned(public_seq),
                epoch: unsigned(epoch),
                cursor: through,
                begins: None,
                ended: Vec::new(),
            })
        })
        .collect()
}

/// Everything committed after a place in the feed, and of each whether its place is settled: on PostgreSQL an event above the
/// oldest running transaction is readable, but others may yet appear below it, so no client may resume from there.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn committed_after(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: Cursor,
    limit: u32,
) -> Result<Vec<(Fed, bool)>, DbError> {
    let now = feed_now(conn, workspace).await?;
    let rows: Vec<(i64, i64, String, i64)> = sql(EVERYTHING)
        .bind(workspace)
        .bind(after.tx)
        .bind(after.feed)
        .bind(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(fed).map(|fed| fed.map(|fed| (fed, fed.cursor <= now))).collect()
}

fn fed((tx, feed, conversation, seq): (i64, i64, String, i64)) -> Result<Fed, DbError> {
    Ok(Fed {
        cursor: Cursor { tx, feed },
        conversation: parse(&conversation, "event.conversation")?,
        seq: unsigned(seq),
    })
}

/// The place in the feed below which everything is readable now.
///
/// # Errors
/// When the database is away.
pub async fn feed_now(conn: &mut Conn, workspace: WorkspaceId) -> Result<Cursor, DbError> {
    match conn.kind() {
        EngineKind::Sqlite => {
            let (feed,): (Option<i64>,) =
                sql("SELECT max(feed) FROM event WHERE workspace = $1 AND tx = 0")
                    .bind(workspace)
                    .one(conn)
                    .await?;
            Ok(Cursor { tx: 0, feed: feed.unwrap_or(0) })
        }
        EngineKind::Postgres => {
            let text = if Guard::FeedHorizon.is_broken() {
                "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            } else {
                "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
            };
            let (xmin,): (i64,) = sql(text).one(conn).await?;
            Ok(Cursor { tx: xmin - 1, feed: i64::MAX })
        }
    }
}

/// Events of a conversation before one of them that stand above a place in the feed: none, unless two nodes' commits were
/// told in the other order.
///
/// # Errors
/// When the database is away.
pub async fn untold_before(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    before: u64,
    place: Cursor,
) -> Result<Vec<u64>, DbError> {
    let rows: Vec<(i64,)> = sql("SELECT seq FROM event
         WHERE workspace = $1 AND conversation = $2 AND seq < $3 AND tx >= $4 AND (tx > $4 OR feed > $5)
         ORDER BY seq")
        .bind(workspace)
        .bind(conversation)
        .bind(before)
        .bind(place.tx)
        .bind(place.feed)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|(seq,)| unsigned(seq)).collect())
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
