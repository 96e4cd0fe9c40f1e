//! The turn worker: leases due turns, makes each reply, commits it under its fence.
//!
//! Invariants: at most one try of a turn runs on this node; what a try releases passes its gate; a result is committed only
//! under the fence it was made under; a try that cannot commit leaves its lease to end, so that another takes the turn.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plan::{HISTORY_MESSAGES, Plan, Settings};
use super::produce::{Produced, Producer, Release};
use super::record::Explained;
use crate::clock::Timestamp;
use crate::conversation::store::{self, DueTurn, Part, TurnFacts};
use crate::conversation::{
    Command, CommitError, Conversation, Conversations, Draft, Event, Fence, HandoffCode, Phase,
    Reply, TakenTurn, TakenTurns, TurnRecord, VisitorKey, Wire, Words,
};
use crate::db::DbError;
use crate::hub::Gate;
use crate::ids::{AssistantId, ConversationId, MessageId, TurnId, WorkspaceId};

/// The safety net under the wake-ups.
const POLL: Duration = Duration::from_secs(2);
/// How many due turns are looked at at once.
const BATCH: u32 = 128;
/// How many times a running turn renews its lease before it would end.
const RENEWALS: u32 = 3;
/// How often the commit of a result is tried while the database is away; the lease ends meanwhile.
const COMMIT_TRIES: u32 = 20;
/// Wait between those tries.
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
    crowded: AtomicBool,
    turns: Mutex<HashMap<TurnId, WorkspaceId>>,
}

impl Running {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<TurnId, WorkspaceId>) -> T) -> T {
        f(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner))
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
            crowded: AtomicBool::default(),
            turns: Mutex::default(),
        });
        Self { conversations, producer, settings, running, tasks, shutdown }
    }

    /// Takes turns until shutdown. Running ones are then parked: their lease ends at once and another node takes them.
    pub async fn run(self) {
        let wire = Arc::clone(self.conversations.wire());
        let mut taken = wire.desk.open(Arc::clone(&self.running.places));
        'look: while !self.shutdown.is_cancelled() {
            let wait = match self.take_due(&taken).await {
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
                    () = self.shutdown.cancelled() => break 'look,
                    () = wire.turn_due.notified() => break,
                    () = &mut again => break,
                    Some(turn) = taken.next() => self.begin(turn),
                }
            }
        }
        for turn in taken.close() {
            let (due, fence) = due_and_fence(&turn);
            self.park(due, fence).await;
        }
    }

    /// Runs a turn that the commit that made it due has leased.
    fn begin(&self, turn: TakenTurn) {
        let (due, fence) = due_and_fence(&turn);
        self.running.with(|turns| turns.insert(due.turn, due.workspace));
        let worker = self.clone();
        self.tasks.spawn(async move {
            let TakenTurn { conversation, facts, place, .. } = turn;
            let run = worker.attempt(due, fence, conversation, Some(facts), place.gate());
            if let Err(error) = run.await {
                tracing::warn!(turn.id = %due.turn, error = %error, "a turn could not be run");
            }
            worker.running.with(|turns| turns.remove(&due.turn));
            drop(place);
            worker.place_is_free();
        });
    }

    /// Due turns that wait for a place are looked at again.
    fn place_is_free(&self) {
        if self.running.crowded.load(Ordering::Relaxed) {
            self.conversations.wire().turn_due.notify_one();
        }
    }

    /// Starts every due turn there is a place for; returns when the next will be due.
    async fn take_due(&self, taken: &TakenTurns) -> Result<Option<Timestamp>, DbError> {
        let now = self.conversations.clock().now();
        let mut conn = self.conversations.db().read().await?;
        let due = store::due_turns(&mut conn, now, BATCH).await?;
        let next = store::next_turn_at(&mut conn).await?;
        drop(conn);
        let mut waiting = false;
        for turn in self.fairly(due) {
            let Ok(place) = Arc::clone(&self.running.places).try_acquire_owned() else {
                waiting = true;
                break;
            };
            let fresh =
                self.running.with(|turns| turns.insert(turn.turn, turn.workspace).is_none());
            if !fresh {
                continue;
            }
            let worker = self.clone();
            self.tasks.spawn(async move {
                let ran = worker.one(turn).await;
                worker.running.with(|turns| turns.remove(&turn.turn));
                drop(place);
                if let Err(error) = ran {
                    tracing::warn!(turn.id = %turn.turn, error = %error, "a turn could not be run");
                    worker.conversations.wire().turn_due.notify_one();
                }
                worker.place_is_free();
            });
        }
        self.running.crowded.store(waiting, Ordering::Relaxed);
        taken.crowded(waiting);
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

    /// Leases and runs one turn.
    async fn one(&self, due: DueTurn) -> Result<(), CommitError> {
        let gates = &self.conversations.wire().gates;
        let gate = gates.open(due.turn);
        let leased = self.lease(due).await;
        let result = match leased {
            Ok(Some((fence, conversation))) => {
                self.attempt(due, fence, conversation, None, &gate).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        gates.forget(due.turn);
        result
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
            key: (c.inbox, c.contact),
            conversation: c.id,
            fence,
        };
        let producing = self.producer.produce(&plan, &out);
        tokio::pin!(producing);
        let every = self.conversations.turn_lease() / RENEWALS;
        let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let (produced, explained) = loop {
            tokio::select! {
                biased;
                done = &mut producing => break done,
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
        self.conclude(due, fence, produced, explained).await
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

    async fn conclude(
        &self,
        due: DueTurn,
        fence: Fence,
        produced: Produced,
        mut explained: Explained,
    ) -> Result<(), CommitError> {
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
            Produced::Stopped => return self.close_record(due, fence, explained).await,
        };
        let mut command = Command::new(due.workspace, due.conversation, event);
        command.words = words;
        command.evidence = evidence;
        command.turn_record = Some(TurnRecord { fence, json: explained.to_json() });
        let committed = self.commit_patiently(command).await?;
        if committed.too_late {
            "discarded".clone_into(&mut explained.outcome);
            return self.close_record(due, fence, explained).await;
        }
        Ok(())
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
                    tokio::select! {
                        () = self.shutdown.cancelled() => return Err(CommitError::Db(error)),
                        () = tokio::time::sleep(COMMIT_WAIT) => {}
                    }
                }
                other => return other,
            }
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

fn due_and_fence(turn: &TakenTurn) -> (DueTurn, Fence) {
    let (c, fence) = (&turn.conversation, turn.fence);
    let due = DueTurn {
        turn: fence.turn,
        workspace: c.workspace,
        conversation: c.id,
        attempt: fence.attempt - 1,
    };
    (due, fence)
}

fn gates_shut(wire: &Wire, turn: TurnId) {
    wire.gates.shut(turn);
}

/// Publishes released sentences as drafts, through the gate.
struct Releasing {
    wire: Arc<Wire>,
    gate: Gate,
    key: VisitorKey,
    conversation: ConversationId,
    fence: Fence,
}

impl Release for Releasing {
    fn release(&self, index: u32, sentence: &str) -> bool {
        self.gate.release(|| {
            let draft = Draft {
                conversation: self.conversation,
                turn: self.fence.turn,
                attempt: self.fence.attempt,
                epoch: self.fence.epoch,
                index,
                text: sentence.to_owned(),
            };
            self.wire.publish_draft(self.key, draft);
        })
    }

    fn stopped(&self) -> &CancellationToken {
        self.gate.stopped()
    }
}
