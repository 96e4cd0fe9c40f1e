//! The safety net under the notifications: what was committed since the last look is told to this node's sockets, and tries
//! that were stopped elsewhere stop here.
//!
//! The cursor stops below the oldest running transaction, so a commit that lands late is met by a later look. Agents' feeds
//! look for themselves (`inbox::pump`); they are only asked to look at once when something may have been missed.

use std::collections::HashMap;
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

/// How far this node has looked.
#[derive(Default)]
struct Places {
    /// By workspace, of those with a visitor here.
    of: HashMap<WorkspaceId, Cursor>,
    /// Before the last look: where it begins for a workspace whose first visitor came since.
    before: Option<Cursor>,
}

/// Looks until the process stops.
pub async fn run(state: AppState) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut places = Places::default();
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = state.missed.notified() => state.feeds.catch_up(),
            _ = tick.tick() => {}
        }
        // The places are kept when a look fails: the next one begins there.
        if let Err(error) = look(&state, &mut places).await {
            tracing::debug!(%error, "what other nodes committed cannot be read now");
        }
    }
}

async fn look(state: &AppState, places: &mut Places) -> Result<(), DbError> {
    let wire = state.conversations.wire();
    let mut conn = state.conversations.db().read().await?;
    let before = lists::settled_everywhere(&mut conn).await?;
    let here = wire.presence.workspaces_of_visitors();
    places.of.retain(|workspace, _| here.contains(workspace));
    for workspace in here {
        let now = lists::feed_now(&mut conn, workspace).await?;
        if let Some(after) = places.of.get(&workspace).copied().or(places.before)
            && after < now
        {
            let moved = lists::moved_between(&mut conn, workspace, after, now).await?;
            for moved in moved {
                let key = (moved.inbox, moved.contact);
                // Sockets compare numbers: what they have costs them nothing.
                wire.visitors.publish(&key, Live::Moved(Arc::new(moved)));
            }
        }
        places.of.insert(workspace, now);
    }
    let ended = store::ended_tries(&mut conn, &wire.gates.running()).await?;
    for (turn, attempt) in ended {
        wire.gates.shut_through(turn, attempt);
    }
    places.before = Some(before);
    Ok(())
}
