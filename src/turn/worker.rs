//! The turn worker: leases due turns, makes each reply, commits it under its fence.
//!
//! Invariants: at most one try of a turn runs on this node; what a try releases passes its gate; a result is committed only
//! under the fence it was made under; a try that cannot commit leaves its lease to end, so that another takes the turn.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::figures::Begun;
use super::plan::{HISTORY_MESSAGES, Plan, Settings};
use super::produce::{Produced, Producer, Release};
use super::record::Explained;
use crate::clock::Timestamp;
use crate::conversation::others::Item;
use crate::conversation::store::{self, DueTurn, Part, TurnFacts};
use crate::conversation::{
    Command, CommitError, Conversation, Conversations, Draft, Event, Evidence, Fence, HandoffCode,
    Phase, Place, Reply, TakenTurn, TurnRecord, VisitorKey, Wire, Words,
};
use crate::db::DbError;
use crate::health::Pulse;
use crate::hub::Gate;
use crate::ids::{AssistantId, ConversationId, MessageId, TurnId, WorkspaceId};
use crate::metrics;

/// The safety net under the wake-ups.
const POLL: Duration = Duration::from_secs(2);
/// How many due turns are looked at at once.
const BATCH: u32 = 128;
/// How many times a running turn renews its lease before it would end.
const RENEWALS: u32 = 3;
/// How often the commit of a result is tried while the database is away; the lease ends meanwhile.
const COMMIT_TRIES: u32 = 20;
/// Wait between those tries, and before a turn that could not be run is looked at again.
const COMMIT_WAIT: Duration = Duration::from_millis(500);

/// Where the published configuration of an assistant comes from.
#[async_trait::async_trait]
pub trait SettingsSource: Send + Sync {
    /// The published configuration; `None` if there is none.
    async fn published(
        &self,
        workspace: WorkspaceId,
        assistant: AssistantId,
    ) -> Result<Option<Settings>, DbError>;

    /// The same where the published version is known already: versions never change, so it may be remembered.
    async fn version(
        &self,
        workspace: WorkspaceId,
        assistant: AssistantId,
        version: i64,
    ) -> Result<Option<Settings>, DbError> {
        let _known = version;
        self.published(workspace, assistant).await
    }
}

/// The turn worker of one process.
#[derive(Clone)]
pub struct TurnWorker {
    conversations: Conversations,
    producer: Producer,
    settings: Arc<dyn SettingsSource>,
    running: Arc<Running>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// What runs now, so that no turn is taken twice here and no workspace takes every place.
struct Running {
    places: Arc<Semaphore>,
    /// Due turns wait for a place.
    crowded: Arc<AtomicBool>,
    turns: Mutex<HashMap<TurnId, WorkspaceId>>,
}

impl Running {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<TurnId, WorkspaceId>) -> T) -> T {
        f(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place, if one is free. Otherwise whoever frees the next one says so.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = || Arc::clone(&self.places).try_acquire_owned().ok();
        place().or_else(|| {
            self.crowded.store(true, Ordering::SeqCst);
            // One may have become free before that was known.
            place()
        })
    }
}

impl TurnWorker {
    /// A worker that runs at most `places` turns at a time.
    #[must_use]
    pub fn new(
        conversations: Conversations,
        producer: Producer,
        settings: Arc<dyn SettingsSource>,
        places: usize,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let running = Arc::new(Running {
            places: Arc::new(Semaphore::new(places)),
            crowded: Arc::default(),
            turns: Mutex::default(),
        });
        Self { conversations, producer, settings, running, tasks, shutdown }
    }

    /// Takes turns until shutdown. Running ones are then parked: their lease ends at once and another node takes them.
    pub async fn run(self, pulse: Pulse) {
        let wire = Arc::clone(self.conversations.wire());
        let running = &self.running;
        let mut taken = wire.desk.open(Arc::clone(&running.places), Arc::clone(&running.crowded));
        'look: while !self.shutdown.is_cancelled() {
            pulse.beat();
            let wait = match self.take_due().await {
                Ok(next) => next
                    .map(|at| at.since(self.conversations.clock().now()))
                    .map_or(POLL, |wait| wait.min(POLL)),
                Err(error) => {
                    tracing::warn!(error = %error, "turns cannot be read; trying again");
                    POLL
                }
            };
            let again = tokio::time::sleep(wait);
            tokio::pin!(again);
            loop {
                tokio::select! {
                    biased;
                    () = self.shutdown.cancelled() => break 'look,
                    // No more of them than there are places.
                    Some(turn) = taken.next() => self.begin(turn),
                    () = wire.turn_due.notified() => break,
                    () = &mut again => break,
                }
                pulse.beat();
            }
        }
        for turn in taken.close() {
            self.park(turn.due(), turn.fence).await;
        }
    }

    /// Runs a turn that the commit that made it due has leased.
    fn begin(&self, turn: TakenTurn) {
        let due = turn.due();
        let TakenTurn { fence, conversation, facts, place } = turn;
        self.running.with(|turns| turns.insert(due.turn, due.workspace));
        let (worker, gate) = (self.clone(), place.gate().clone());
        self.spawn(due, place, async move {
            worker.attempt(due, fence, conversation, Some(facts), &gate).await?;
            Ok(true)
        });
    }

    /// Runs one try in its place; `run` says whether it has ended what it was for.
    fn spawn(
        &self,
        due: DueTurn,
        place: Place,
        run: impl Future<Output = Result<bool, CommitError>> + Send + 'static,
    ) {
        let worker = self.clone();
        let mut taken =
            Taken { worker: self.clone(), turn: due.turn, place: Some(place), has_ended: false };
        self.tasks.spawn(async move {
            match run.await {
                Ok(ended) => taken.has_ended = ended,
                Err(error) => {
                    tracing::warn!(turn.id = %due.turn, error = %error, "a turn could not be run");
                    // It is still due: without a pause it would be taken again at once, and again.
                    worker.pause().await;
                }
            }
            drop(taken);
        });
    }

    /// Starts every due turn there is a place for; returns when the next will be due.
    async fn take_due(&self) -> Result<Option<Timestamp>, DbError> {
        let now = self.conversations.clock().now();
        let mut conn = self.conversations.db().read().await?;
        let due = store::due_turns(&mut conn, now, BATCH).await?;
        let next = store::next_turn_at(&mut conn).await?;
        drop(conn);
        let mut waiting = false;
        for turn in self.fairly(due) {
            let Some(place) = self.running.place() else {
                waiting = true;
                // Another node may have a place.
                self.conversations.wire().others.tell(|| Item::Turns);
                break;
            };
            let fresh =
                self.running.with(|turns| turns.insert(turn.turn, turn.workspace).is_none());
            if !fresh {
                continue;
            }
            let gates = &self.conversations.wire().gates;
            let Some(place) = Place::of(gates, turn.turn, turn.attempt + 1, place) else {
                // A commit of this node is about to lease it.
                self.running.with(|turns| turns.remove(&turn.turn));
                continue;
            };
            let (worker, gate) = (self.clone(), place.gate().clone());
            self.spawn(turn, place, async move { worker.one(turn, &gate).await });
        }
        self.running.crowded.store(waiting, Ordering::SeqCst);
        // Turns that run here are not news; those that wait for a place wake us when one is free.
        Ok(next.filter(|at| !waiting && *at > now))
    }

    /// Workspaces with fewer running turns first.
    fn fairly(&self, mut due: Vec<DueTurn>) -> Vec<DueTurn> {
        let mut load: HashMap<WorkspaceId, u32> = HashMap::new();
        let busy: HashSet<TurnId> = self.running.with(|turns| {
            for workspace in turns.values() {
                *load.entry(*workspace).or_default() += 1;
            }
            turns.keys().copied().collect()
        });
        due.retain(|turn| !busy.contains(&turn.turn));
        let mut ranked: Vec<(u32, DueTurn)> = due
            .into_iter()
            .map(|turn| {
                let place = load.entry(turn.workspace).or_default();
                *place += 1;
                (*place, turn)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, turn)| turn).collect()
    }

    /// Leases and runs one turn. Returns whether it could be leased.
    async fn one(&self, due: DueTurn, gate: &Gate) -> Result<bool, CommitError> {
        let Some((fence, conversation)) = self.lease(due).await? else { return Ok(false) };
        gate.leased();
        self.attempt(due, fence, conversation, None, gate).await?;
        Ok(true)
    }

    async fn lease(&self, due: DueTurn) -> Result<Option<(Fence, Conversation)>, CommitError> {
        let event = Event::TurnLeased { turn: due.turn, seen_attempt: due.attempt };
        let committed =
            self.conversations.commit(Command::new(due.workspace, due.conversation, event)).await?;
        let c = committed.conversation;
        let started = committed.events.iter().any(
            |e| matches!(e.record, crate::conversation::Record::TurnStarted { turn, .. } if turn == due.turn),
        );
        let fence = Fence { epoch: c.epoch, turn: due.turn, attempt: due.attempt + 1 };
        Ok(started.then_some((fence, c)))
    }

    async fn attempt(
        &self,
        due: DueTurn,
        fence: Fence,
        c: Conversation,
        facts: Option<TurnFacts>,
        gate: &Gate,
    ) -> Result<(), CommitError> {
        let begun = Begun::now(&c, self.conversations.clock().now());
        let plan = match self.plan(&c, facts).await {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                let event =
                    Event::TurnFailed { fence, reason: HandoffCode::AiUnavailable, released: None };
                return self.commit(Command::new(due.workspace, due.conversation, event)).await;
            }
            Err(error) => return Err(error.into()),
        };
        let out = Releasing {
            wire: Arc::clone(self.conversations.wire()),
            gate: gate.clone(),
            workspace: c.workspace,
            key: (c.inbox, c.contact),
            conversation: c.id,
            fence,
        };
        // What breaks in the making of a reply breaks at every try: a person is asked instead.
        let producing = AssertUnwindSafe(self.producer.produce(&plan, &out)).catch_unwind();
        tokio::pin!(producing);
        let every = self.conversations.turn_lease() / RENEWALS;
        let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let (produced, explained) = loop {
            tokio::select! {
                biased;
                done = &mut producing => break done.unwrap_or_else(|_| self.panicked(due)),
                () = self.shutdown.cancelled() => {
                    self.park(due, fence).await;
                    return Ok(());
                }
                _ = renew.tick() => {
                    let held =
                        self.conversations.renew_lease(due.workspace, due.turn, fence.attempt).await;
                    // A lost lease means another try runs; this one has nothing more to say.
                    if matches!(held, Ok(false)) {
                        gates_shut(&out.wire, due.turn);
                    }
                }
            }
        };
        tracing::info!(
            conversation.id = %c.id,
            turn.id = %due.turn,
            turn.attempt = fence.attempt,
            turn.outcome = %explained.outcome,
            turn.error = explained.error.as_deref().unwrap_or_default(),
            duration_ms = explained.stages_ms.get("total").copied().unwrap_or_default(),
            tokens.prompt = explained.tokens.prompt,
            tokens.completion = explained.tokens.completion,
            "turn ended",
        );
        let made = begun.made(&explained);
        made.ended(self.conclude(due, fence, produced, explained).await?);
        Ok(())
    }

    /// The end of a try that panicked; what the visitor may have read is kept.
    fn panicked(&self, due: DueTurn) -> (Produced, Explained) {
        tracing::error!(turn.id = %due.turn, error.code = "panicked", "a turn is handed to a person");
        let draft = self.conversations.wire().drafts.of(due.conversation);
        let released = draft.filter(|draft| draft.turn == due.turn);
        let released = released.map(|draft| (draft.text.trim_end().to_owned(), Vec::new()));
        let explained = Explained {
            outcome: "failed".to_owned(),
            error: Some("panicked".to_owned()),
            released: released.as_ref().map(|(text, _)| text.clone()),
            ..Explained::default()
        };
        let failed = Produced::Failed {
            reason: HandoffCode::ModelFailed,
            evidence: Evidence::default(),
            released,
        };
        (failed, explained)
    }

    async fn plan(
        &self,
        c: &Conversation,
        facts: Option<TurnFacts>,
    ) -> Result<Option<Plan>, DbError> {
        let mut conn = self.conversations.db().read().await?;
        let facts = match facts {
            Some(facts) => facts,
            None => match store::turn_facts(&mut conn, c.workspace, c.id).await? {
                Some(facts) => facts,
                None => return Ok(None),
            },
        };
        let part = Part::LastUpTo(c.seq);
        let mut thread =
            store::messages(&mut conn, c.workspace, c.id, part, HISTORY_MESSAGES).await?;
        // The return note may be older than the stretch that was read.
        if let Some(note) = c.returned.and_then(|r| r.note)
            && !thread.iter().any(|m| m.id == note)
        {
            thread.extend(store::message(&mut conn, c.workspace, c.id, note).await?);
        }
        drop(conn);
        let published = self.settings.version(c.workspace, facts.assistant, facts.version);
        let Some(settings) = published.await? else { return Ok(None) };
        let through = match c.holder.turn().map(|t| t.phase) {
            Some(Phase::Running { through, .. }) => through,
            Some(Phase::Due { .. }) | None => c.seq,
        };
        Ok(Some(Plan::new(settings, &facts.locale, c, through, &thread)))
    }

    /// Returns whether it came too late.
    async fn conclude(
        &self,
        due: DueTurn,
        fence: Fence,
        produced: Produced,
        mut explained: Explained,
    ) -> Result<bool, CommitError> {
        let message: MessageId = self.conversations.ids().fresh();
        let (event, words, evidence) = match produced {
            Produced::Answered { text, citations, still_unanswered } => {
                let flags =
                    if still_unanswered { vec!["still_unanswered".to_owned()] } else { vec![] };
                (
                    Event::TurnAnswered { fence, reply: Reply { message, still_unanswered } },
                    Some(Words { text, citations, client_id: None, flags }),
                    None,
                )
            }
            Produced::HandOff { reason, evidence } => {
                (Event::TurnHandsOff { fence, reason }, None, Some(evidence))
            }
            Produced::Failed { reason, evidence, released } => {
                let kept = released.as_ref().map(|_| message);
                let words =
                    released.map(|(text, citations)| Words { text, citations, ..Words::default() });
                (Event::TurnFailed { fence, reason, released: kept }, words, Some(evidence))
            }
            Produced::Stopped => {
                self.close_record(due, fence, explained).await?;
                return Ok(false);
            }
        };
        let mut command = Command::new(due.workspace, due.conversation, event);
        command.words = words;
        command.evidence = evidence;
        command.turn_record = Some(TurnRecord { fence, json: explained.to_json() });
        let committed = self.commit_patiently(command).await?;
        if committed.too_late {
            "discarded".clone_into(&mut explained.outcome);
            self.close_record(due, fence, explained).await?;
        }
        Ok(committed.too_late)
    }

    /// What was made under a fence that no longer holds is only explained.
    async fn close_record(
        &self,
        due: DueTurn,
        fence: Fence,
        explained: Explained,
    ) -> Result<(), CommitError> {
        let record = TurnRecord { fence, json: explained.to_json() };
        self.conversations.record_turn(due.workspace, due.conversation, record).await?;
        Ok(())
    }

    async fn commit(&self, command: Command) -> Result<(), CommitError> {
        self.commit_patiently(command).await.map(|_| ())
    }

    /// A database that is away for a moment must not cost the visitor the answer.
    async fn commit_patiently(
        &self,
        command: Command,
    ) -> Result<crate::conversation::Committed, CommitError> {
        let mut tries = 0;
        loop {
            match self.conversations.commit(command.clone()).await {
                Err(CommitError::Db(error)) if error.is_unavailable() && tries < COMMIT_TRIES => {
                    tries += 1;
                    self.pause().await;
                    if self.shutdown.is_cancelled() {
                        return Err(CommitError::Db(error));
                    }
                }
                other => return other,
            }
        }
    }

    /// Waits a little, unless the process stops.
    async fn pause(&self) {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(COMMIT_WAIT) => {}
        }
    }

    /// Gives the lease back, so that the next process takes the turn at once.
    async fn park(&self, due: DueTurn, fence: Fence) {
        let parked = self.conversations.end_lease(due.workspace, due.turn, fence.attempt).await;
        if let Err(error) = parked {
            tracing::warn!(turn.id = %due.turn, error = %error, lease_ms = self.conversations.turn_lease().as_millis(), "a turn could not be parked; its lease ends by itself");
        }
    }
}

/// A turn that runs here, and the place it takes; dropping it makes room for the next.
struct Taken {
    worker: TurnWorker,
    turn: TurnId,
    place: Option<Place>,
    has_ended: bool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Its gate goes with its place: the next try has a gate of its own.
        drop(self.place.take());
        let running = &self.worker.running;
        running.with(|turns| turns.remove(&self.turn));
        // After all that: who wakes looks for a free place.
        if !self.has_ended || running.crowded.load(Ordering::SeqCst) {
            self.worker.conversations.wire().turn_due.notify_one();
        }
    }
}

fn gates_shut(wire: &Wire, turn: TurnId) {
    // Nothing is decided here: the turn is another's already.
    let _shut = wire.gates.shut(turn, true);
}

/// Publishes released sentences as drafts, through the gate.
struct Releasing {
    wire: Arc<Wire>,
    gate: Gate,
    workspace: WorkspaceId,
    key: VisitorKey,
    conversation: ConversationId,
    fence: Fence,
}

impl Release for Releasing {
    fn release(&self, index: u32, sentence: &str) -> bool {
        let released = self.gate.release(|| {
            let draft = Draft {
                conversation: self.conversation,
                turn: self.fence.turn,
                attempt: self.fence.attempt,
                epoch: self.fence.epoch,
                index,
                text: sentence.to_owned(),
            };
            self.wire.publish_draft(self.workspace, self.key, draft);
        });
        if !released {
            metrics::get().turns.dropped.add(&["gate"]);
        }
        released
    }

    fn stopped(&self) -> &CancellationToken {
        self.gate.stopped()
    }
}
