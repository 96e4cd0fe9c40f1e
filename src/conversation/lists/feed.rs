//! The workspace's feed: every event in one order, by which consoles resume.

use super::super::events::Cursor;
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
        EngineKind::Sqlite => EVERYTHING,
        EngineKind::Postgres if Guard::FeedHorizon.is_broken() => EVERYTHING,
        EngineKind::Postgres => {
            "SELECT tx, feed, conversation, seq FROM event
             WHERE workspace = $1 AND tx >= $2 AND (tx > $2 OR feed > $3)
                AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY tx, feed LIMIT $4"
        }
    };
    let rows: Vec<(i64, i64, String, i64)> =
        sql(text).bind(workspace).bind(after.tx).bind(after.feed).bind(limit).all(conn).await?;
    rows.into_iter().map(fed).collect()
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
            let (xmin,): (i64,) =
                sql("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
                    .one(conn)
                    .await?;
            Ok(Cursor { tx: xmin - 1, feed: i64::MAX })
        }
    }
}
