//! The safety net under the notifications: what was committed since the last look is told to this node's sockets, and tries
//! that were stopped elsewhere stop here.
//!
//! The cursor stops below the oldest running transaction, so a commit that lands late is met by a later look. Agents' feeds
//! look for themselves (`inbox::pump`); they are only asked to look at once when something may have been missed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::app::AppState;
use crate::conversation::lists;
use crate::conversation::{Cursor, Live, store};
use crate::db::DbError;
use crate::ids::WorkspaceId;

/// How often this node looks whatever it hears.
pub const EVERY: Duration = Duration::from_secs(2);

/// Looks until the process stops.
pub async fn run(state: AppState) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut place: Option<Cursor> = None;
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = state.missed.notified() => state.feeds.catch_up(),
            _ = tick.tick() => {}
        }
        // The place is kept when a look fails: the next one begins there.
        if let Err(error) = look(&state, &mut place).await {
            tracing::debug!(%error, "what other nodes committed cannot be read now");
        }
    }
}

async fn look(state: &AppState, place: &mut Option<Cursor>) -> Result<(), DbError> {
    let wire = state.conversations.wire();
    let mut conn = state.conversations.db().read().await?;
    // The same for every workspace: a place in time.
    let nowhere: WorkspaceId = state.conversations.ids().fresh();
    let now = lists::feed_now(&mut conn, nowhere).await?;
    if let Some(after) = *place {
        for workspace in wire.presence.workspaces_of_visitors() {
            let moved = lists::moved_between(&mut conn, workspace, after, now).await?;
            for moved in moved {
                let key = (moved.inbox, moved.contact);
                // Sockets compare numbers: what they have costs them nothing.
                wire.visitors.publish(&key, Live::Moved(Arc::new(moved)));
            }
        }
    }
    let ended = store::ended_tries(&mut conn, &wire.gates.running()).await?;
    for (turn, attempt) in ended {
        wire.gates.shut_through(turn, attempt);
    }
    *place = Some(now);
    Ok(())
}
