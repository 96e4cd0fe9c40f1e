//! The workspace's feed: every event in one order, by which consoles resume.

use super::super::events::Cursor;
use super::super::others::Moved;
use super::super::store::{parse, unsigned};
use crate::db::{Conn, DbError, EngineKind, sql};
use crate::guard::Guard;
use crate::ids::{ConversationId, WorkspaceId};

/// Events after a place, in feed order.
macro_rules! after {
    ($which:literal) => {
        concat!(
            "SELECT tx, feed, conversation, seq FROM event WHERE workspace = $1 AND (tx, feed) > ($2, $3)",
            $which,
            " ORDER BY tx, feed LIMIT $4"
        )
    };
}

/// The place of the last event.
macro_rules! last {
    ($which:literal) => {
        concat!(
            "SELECT tx, feed FROM event WHERE workspace = $1",
            $which,
            " ORDER BY tx DESC, feed DESC LIMIT 1"
        )
    };
}

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
            after!(" AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        }
        EngineKind::Sqlite | EngineKind::Postgres => after!(""),
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
                SELECT conversation FROM event WHERE workspace = $1 AND (tx, feed) > ($2, $3)
                    AND (tx, feed) <= ($4, $5))")
            .bind(workspace)
            .bind(after.tx)
            .bind(after.feed)
            .bind(through.tx)
            .bind(through.feed)
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
    let rows: Vec<(i64, i64, String, i64)> = sql(after!(""))
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

/// The place of the last event below which everything is readable, now and later.
///
/// It is the place of something stored. The number of a transaction alone would not do: a PostgreSQL server that crashes
/// hands out once more the numbers of those that left nothing on the disk, and what is written under them then would stand
/// below the place.
///
/// # Errors
/// When the database is away.
pub async fn feed_now(conn: &mut Conn, workspace: WorkspaceId) -> Result<Cursor, DbError> {
    let text = match conn.kind() {
        EngineKind::Postgres if !Guard::FeedHorizon.is_broken() => {
            last!(" AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        }
        EngineKind::Sqlite | EngineKind::Postgres => last!(""),
    };
    let last: Option<(i64, i64)> = sql(text).bind(workspace).optional(conn).await?;
    Ok(last.map_or_else(Cursor::default, |(tx, feed)| Cursor { tx, feed }))
}

/// A place below which everything of every workspace is readable. It may lag behind what [`feed_now`] says of one of them.
///
/// # Errors
/// When the database is away.
pub async fn settled_everywhere(conn: &mut Conn) -> Result<Cursor, DbError> {
    let text = match conn.kind() {
        // Not above something stored, for the same reason.
        EngineKind::Postgres => {
            "SELECT LEAST(tx, pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1), CAST(0 AS BIGINT) FROM event
             ORDER BY feed DESC LIMIT 1"
        }
        EngineKind::Sqlite => "SELECT tx, feed FROM event ORDER BY feed DESC LIMIT 1",
    };
    let last: Option<(i64, i64)> = sql(text).optional(conn).await?;
    Ok(last.map_or_else(Cursor::default, |(tx, feed)| Cursor { tx, feed }))
}

/// The first event of a conversation that stands above a place in the feed.
///
/// # Errors
/// When the database is away.
pub async fn first_after(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    place: Cursor,
) -> Result<Option<u64>, DbError> {
    let (first,): (Option<i64>,) = sql("SELECT min(seq) FROM event
         WHERE workspace = $1 AND conversation = $2 AND (tx, feed) > ($3, $4)")
    .bind(workspace)
    .bind(conversation)
    .bind(place.tx)
    .bind(place.feed)
    .one(conn)
    .await?;
    Ok(first.map(unsigned))
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
