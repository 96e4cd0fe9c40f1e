//! The timers worker: fires what is due on conversations (answer deadlines, obligations, snoozes, idle times).
//!
//! Invariants: a timer fires through `conversation::commit` only, which checks again that it is due, so that several
//! nodes may run this; a conversation whose timers cannot be fired is set aside for a while and holds up no other.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::conversation::{CommitError, Conversations, store};
use crate::db::DbError;
use crate::health::Pulse;
use crate::ids::{ConversationId, WorkspaceId};

/// How often due timers are looked for whatever happens (other nodes, changed policies).
const POLL: Duration = Duration::from_secs(5);

/// A timer that is due but not gone after a round is another node's, or in trouble: no hurry.
const AGAIN: Duration = Duration::from_secs(1);

/// How many conversations one round takes.
const ROUND: u32 = 100;

/// How long a conversation is set aside after its first failure; doubled each time, up to [`LONGEST_PAUSE`]. It is not
/// doubled while the database is away: that is no trouble of the conversation's, and must not make it late afterwards.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest time a conversation is set aside.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A conversation whose timers failed.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    failures: u32,
    not_before: Timestamp,
}

/// Fires timers. Cheap to clone.
#[derive(Clone)]
pub struct Timers {
    conversations: Conversations,
    troubles: Arc<Mutex<HashMap<ConversationId, Trouble>>>,
}

impl Timers {
    /// For these conversations.
    #[must_use]
    pub fn new(conversations: Conversations) -> Self {
        Self { conversations, troubles: Arc::default() }
    }

    /// Fires what is due until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken, pulse: Pulse) {
        let wire = self.conversations.wire();
        while !stop.is_cancelled() {
            pulse.beat();
            // What is set while this looks wakes it again, however late it is due.
            wire.timers_looked_at.store(i64::MAX, Ordering::SeqCst);
            let wait = match self.fire_all(&pulse).await {
                // There may be more.
                Ok(fired) if fired >= ROUND as usize => continue,
                Ok(_) => self.until_next().await,
                Err(error) => {
                    tracing::warn!(%error, "due timers could not be read");
                    POLL
                }
            };
            let again = self.conversations.clock().now() + wait;
            wire.timers_looked_at.store(again.millis(), Ordering::SeqCst);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = wire.timer_set.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    async fn until_next(&self) -> Duration {
        let next = async { store::next_timer_at(&mut self.conversations.db().read().await?).await };
        let now = self.conversations.clock().now();
        match next.await {
            Ok(Some(at)) if at > now => at.since(now).min(POLL),
            Ok(Some(_)) => AGAIN,
            Ok(None) | Err(_) => POLL,
        }
    }

    /// One round over the conversations whose timers are due. Returns how many were dealt with.
    ///
    /// # Errors
    /// When due timers cannot be read; a failure of one conversation is logged and sets that one aside.
    pub async fn fire_due(&self) -> Result<usize, DbError> {
        self.fire_all(&Pulse::default()).await
    }

    async fn fire_all(&self, pulse: &Pulse) -> Result<usize, DbError> {
        let now = self.conversations.clock().now();
        let aside = self.aside(now);
        // Those set aside come first in the order of time, so they must not use up the round.
        let limit = ROUND.saturating_add(u32::try_from(aside).unwrap_or(u32::MAX));
        let due = store::due_timers(&mut self.conversations.db().read().await?, now, limit).await?;
        let mut fired = 0;
        for (workspace, id) in due {
            if self.is_aside(id, now) {
                continue;
            }
            fired += usize::from(self.fire(workspace, id, now).await);
            pulse.beat();
        }
        Ok(fired)
    }

    /// Fires what is due on one conversation. Returns whether that changed anything.
    async fn fire(&self, workspace: WorkspaceId, id: ConversationId, now: Timestamp) -> bool {
        match self.conversations.fire_timers(workspace, id).await {
            Ok(()) => {
                self.with(|troubles| troubles.remove(&id));
                true
            }
            Err(error) => {
                let away = matches!(&error, CommitError::Db(error) if error.is_unavailable());
                let pause = self.set_aside(id, now, away);
                tracing::warn!(conversation.id = %id, %error, pause_ms = pause.as_millis(),
                    "the timers of a conversation could not be fired");
                false
            }
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<ConversationId, Trouble>) -> T) -> T {
        f(&mut self.troubles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn aside(&self, now: Timestamp) -> usize {
        self.with(|troubles| troubles.values().filter(|t| t.not_before > now).count())
    }

    fn is_aside(&self, id: ConversationId, now: Timestamp) -> bool {
        self.with(|troubles| troubles.get(&id).is_some_and(|t| t.not_before > now))
    }

    fn set_aside(&self, id: ConversationId, now: Timestamp, away: bool) -> Duration {
        self.with(|troubles| {
            let before = troubles.get(&id).map_or(0, |t| t.failures);
            let failures = if away { 0 } else { before };
            let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
            let failures = if away { before } else { before + 1 };
            troubles.insert(id, Trouble { failures, not_before: now + pause });
            pause
        })
    }
}

#[cfg(test)]
#[path = "timers_tests.rs"]
mod tests;
