//! Keeps this node's rows, and deals with what nodes that have ended left behind.
//!
//! A node lives as long as it moves the end of its row on. One whose end has passed is dead: its leases end at once, its
//! people are forgotten, and after the grace their conversations are told that they went offline. A node judges others only
//! while its own heart beats in time: after the database was away, every row looks dead.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::hear::forget;
use crate::app::AppState;
use crate::conversation::Heard;
use crate::conversation::others::Item;
use crate::db::{DbError, EngineKind};
use crate::hub::store::{self, Beat, Missed};
use crate::ids::NodeId;
use crate::inbox::presence::{tell_conversations, told_gone};
use crate::jobs;

/// How many times in its life a node says that it is alive, so that some may fail.
const BEATS: u32 = 4;
/// How long one heartbeat may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a living node may take to tell of agents who left, beyond the grace, before others do.
const SLACK: Duration = Duration::from_secs(15);

/// Keeps one node.
pub struct Keeper {
    state: AppState,
    node: NodeId,
    life: Duration,
    is_alone: bool,
    /// Before that, rows of others tell nothing.
    judges_from: Instant,
    beaten_at: Option<Instant>,
    /// Somebody is missed, but not for long enough.
    someone_missed: bool,
}

impl Keeper {
    pub fn new(state: &AppState) -> Self {
        let is_alone = state.conversations.db().kind() == EngineKind::Sqlite;
        Self {
            state: state.clone(),
            node: state.conversations.node(),
            life: state.live.node_life,
            is_alone,
            judges_from: if is_alone {
                Instant::now()
            } else {
                Instant::now() + state.live.node_life
            },
            beaten_at: None,
            someone_missed: true,
        }
    }

    /// The first heartbeat.
    pub async fn begin(&mut self) {
        self.beat().await;
    }

    /// Until the process stops; then the row says so.
    pub async fn run(mut self) {
        let mut tick = interval(self.life / BEATS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let wire = std::sync::Arc::clone(self.state.conversations.wire());
        let stop = self.state.shutdown.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = wire.presence_changed.notified() => self.keep_agents().await,
                // Who owns the database alone has nobody to live for.
                _ = tick.tick(), if !self.is_alone || self.someone_missed => self.beat().await,
            }
        }
        let (node, now) = (self.node, self.state.conversations.clock().now());
        let ended = self
            .state
            .conversations
            .db()
            .write(move |conn| Box::pin(async move { store::end(conn, node, now).await }));
        if let Err(error) = ended.await {
            tracing::warn!(%error, "the end of this node was not recorded; it is missed after a while");
        }
    }

    async fn beat(&mut self) {
        let done = timeout(PATIENCE, async {
            if self.is_alone {
                self.live_alone().await?;
            } else {
                self.live_among_others().await?;
            }
            self.keep_agents().await;
            if Instant::now() >= self.judges_from { self.bury_the_dead().await } else { Ok(()) }
        });
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "this node cannot say that it is alive"),
            Err(_) => tracing::warn!(
                patience_ms = PATIENCE.as_millis(),
                "this node cannot say in time that it is alive"
            ),
        }
    }

    /// SQLite: every process before this one has ended.
    async fn live_alone(&mut self) -> Result<(), DbError> {
        if self.beaten_at.is_some() {
            return Ok(());
        }
        let (node, now) = (self.node, self.state.conversations.clock().now());
        let forever = crate::clock::Timestamp::from_millis(i64::MAX);
        let begun = self.state.conversations.db().write(move |conn| {
            Box::pin(async move {
                store::end_others(conn, node, now).await?;
                store::beat(conn, node, now, forever).await
            })
        });
        begun.await?;
        self.beaten_at = Some(Instant::now());
        Ok(())
    }

    async fn live_among_others(&mut self) -> Result<(), DbError> {
        let conversations = self.state.conversations.clone();
        let (node, now, life) = (self.node, conversations.clock().now(), self.life);
        let beat = conversations.db().write(move |conn| {
            Box::pin(async move { store::beat(conn, node, now, now + life).await })
        });
        let Beat { was_dead, others } = beat.await?;
        let beaten = Instant::now();
        let is_steady =
            self.beaten_at.is_some_and(|before| beaten.duration_since(before) < life / 2);
        if self.beaten_at.is_some() && !is_steady {
            // The database was away, or this process slept: the others may only just be coming back.
            self.judges_from = beaten + life;
        }
        if was_dead && self.beaten_at.is_some() {
            tracing::warn!("this node counted as dead for a while");
            self.come_back();
        }
        self.beaten_at = Some(beaten);
        if conversations.wire().others.set_count(others.len()) {
            tracing::info!(nodes.others = others.len(), "the number of other nodes has changed");
        }
        if beaten >= self.judges_from {
            for gone in conversations.wire().presence.elsewhere() {
                if !others.contains(&gone) {
                    forget(&self.state, gone);
                }
            }
        }
        self.read_agents(&others).await
    }

    /// Others have told, or will, that the agents of this node are gone: they are not.
    fn come_back(&self) {
        let presence = &self.state.conversations.wire().presence;
        let agents: Vec<_> = presence.here().agents.into_keys().collect();
        presence.change_again(agents.iter().copied());
        for (workspace, agent) in agents {
            let conversations = self.state.conversations.clone();
            self.state.tasks.spawn(async move {
                let _told = tell_conversations(conversations, workspace, agent, true).await;
            });
        }
    }

    /// Agents on the other nodes, from their rows: whatever was not heard is mended here.
    async fn read_agents(&self, alive: &[NodeId]) -> Result<(), DbError> {
        let wire = self.state.conversations.wire();
        if alive.is_empty() && wire.presence.elsewhere().is_empty() {
            return Ok(());
        }
        let heard = wire.presence.heard();
        let now = self.state.conversations.clock().now();
        let mut conn = self.state.conversations.db().read().await?;
        let rows = store::agents_elsewhere(&mut conn, self.node, now).await?;
        drop(conn);
        let changed = wire.presence.set_agents_elsewhere(heard, alive, rows);
        for (workspace, agent) in changed {
            wire.agents.publish(&workspace, Heard::Presence { agent });
        }
        Ok(())
    }

    /// Writes what changed of this node's agents, then tells the others.
    async fn keep_agents(&self) {
        let conversations = &self.state.conversations;
        let presence = &conversations.wire().presence;
        let changed = presence.take_changed();
        if changed.is_empty() {
            return;
        }
        let (node, now) = (self.node, conversations.clock().now());
        let rows = changed.clone();
        let kept = conversations.db().write(move |conn| {
            let rows = rows.clone();
            Box::pin(async move {
                for (workspace, agent, says) in rows {
                    store::keep_agent(conn, node, workspace, agent, says, now).await?;
                }
                Ok(())
            })
        });
        match kept.await {
            Ok(()) => {
                for (workspace, agent, says) in changed {
                    conversations.wire().others.tell(|| Item::Agent(workspace, agent, says));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "who is here cannot be kept now; it is tried again");
                presence.change_again(changed.into_iter().map(|(ws, agent, _)| (ws, agent)));
                self.try_again_soon();
            }
        }
    }

    fn try_again_soon(&self) {
        let (state, stop) = (self.state.clone(), self.state.shutdown.clone());
        let wait = self.life / BEATS;
        self.state.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => state.conversations.wire().presence_changed.notify_one(),
            }
        });
    }

    /// What nodes that are dead left: running turns and jobs, agents whose conversations were not told.
    async fn bury_the_dead(&mut self) -> Result<(), DbError> {
        let conversations = self.state.conversations.clone();
        let (db, now) = (conversations.db().clone(), conversations.clock().now());
        let mut conn = db.read().await?;
        let dead = store::dead(&mut conn, now).await?;
        let missed = store::missed(&mut conn, now, self.state.live.offline_grace + SLACK).await?;
        drop(conn);
        let mut ended = 0;
        for node in &dead {
            let node = *node;
            ended += conversations.end_leases_of(node).await?;
            ended += db
                .write(move |conn| {
                    Box::pin(async move { jobs::store::end_leases_of(conn, node, now).await })
                })
                .await?;
        }
        if ended > 0 {
            tracing::info!(leases = ended, "work that a node left when it ended is taken over");
            conversations.wire().turn_due.notify_one();
            conversations.wire().job_due.notify_one();
        }
        let mut waiting: HashSet<NodeId> = HashSet::new();
        for missed in missed {
            if !self.told(missed).await? {
                waiting.insert(missed.node);
            }
        }
        for node in dead.iter().copied().filter(|node| !waiting.contains(node)) {
            db.write(move |conn| Box::pin(async move { store::bury(conn, node, now).await }))
                .await?;
        }
        self.someone_missed = !waiting.is_empty();
        Ok(())
    }

    /// Tells the conversations of an agent who is missed. Returns whether nothing is left to do.
    async fn told(&self, missed: Missed) -> Result<bool, DbError> {
        let conversations = &self.state.conversations;
        let now = conversations.clock().now();
        let is_over = missed.is_back
            || conversations.wire().presence.is_connected(missed.workspace, missed.agent);
        if !is_over {
            if now.since(missed.since) < self.state.live.offline_grace {
                return Ok(false);
            }
            if !told_gone(conversations, missed.workspace, missed.agent).await {
                return Ok(false);
            }
            tracing::info!(agent.id = %missed.agent, "an agent whose node has ended is offline");
        }
        conversations
            .db()
            .write(move |conn| {
                Box::pin(async move { store::forget_missed(conn, missed, now).await })
            })
            .await?;
        Ok(true)
    }
}
