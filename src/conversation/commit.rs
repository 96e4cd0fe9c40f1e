//! The only door through which a conversation changes.
//!
//! Every change, whoever asks (visitor, agent, turn, timer, echo, API, another node), is one [`Event`] handed to
//! [`Conversations::commit`], which loads, steps the pure machine, checks the fence, and stores state, messages, events and
//! due work in one transaction. Fan-out comes after COMMIT; only the gate of a stopped turn is shut before it.

use std::sync::Arc;
use std::time::Duration;

use super::desk::Seat;
use super::events::{Change, Evidence, Heard, Logged, Wire};
use super::figures;
use super::message::{Actor, Message, MessageKind};
use super::others::Item;
use super::record::{Entry, NoticeCode, Record};
use super::state::{Conversation, Fence, Holder, Pace};
use super::step::{Effect, Event, Facts, Fresh, Refused, Step, start, step};
use super::store::{self, Lease, Loaded, Origin, TurnFacts};
use crate::clock::Clock;
use crate::db::{Conn, Db, DbError, sql};
use crate::guard::Guard;
use crate::ids::{
    AgentId, ContactId, ConversationId, Ids, InboxId, MessageId, NodeId, TurnId, WorkspaceId,
};
use crate::knowledge::Citation;
use crate::metrics;
use crate::text::catalogue;

/// How long a turn may run without a sign of life before another worker may take it, unless the installation says otherwise.
pub const TURN_LEASE: Duration = Duration::from_secs(15);

/// Which conversation an event is for.
#[derive(Debug, Clone)]
pub enum Target {
    /// This one.
    Conversation(ConversationId),
    /// The one of this contact in this inbox; it starts if there is none.
    Contact {
        /// Where.
        inbox: InboxId,
        /// Who.
        contact: ContactId,
        /// From where, if it starts now.
        origin: Origin,
    },
}

/// The words of the message that an event carries.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// The text.
    pub text: String,
    /// Its sources.
    pub citations: Vec<Citation>,
    /// The writer's own id for it.
    pub client_id: Option<String>,
    /// `late_echo`, `imported`, `still_unanswered`, ….
    pub flags: Vec<String>,
}

/// What explains one try of a turn, as JSON.
#[derive(Debug, Clone)]
pub struct TurnRecord {
    /// The try it explains.
    pub fence: Fence,
    /// The record.
    pub json: String,
}

/// One change that somebody asks for.
#[derive(Debug, Clone)]
pub struct Command {
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// Of which conversation.
    pub target: Target,
    /// What happened.
    pub event: Event,
    /// The words, if the event carries a message.
    pub words: Option<Words>,
    /// Why a turn hands off, in words.
    pub evidence: Option<Evidence>,
    /// Stored in the same transaction if the step is accepted.
    pub turn_record: Option<TurnRecord>,
}

impl Command {
    /// A change without words.
    #[must_use]
    pub fn new(workspace: WorkspaceId, conversation: ConversationId, event: Event) -> Self {
        Self {
            workspace,
            target: Target::Conversation(conversation),
            event,
            words: None,
            evidence: None,
            turn_record: None,
        }
    }

    /// The writer's own id of the message it carries, by which it may be stored already.
    fn sent(&self) -> Option<store::Sent<'_>> {
        let client_id = self.words.as_ref()?.client_id.as_deref()?;
        Some(store::Sent { author_kind: author_kind(&self.event), client_id })
    }

    /// With the words of its message.
    #[must_use]
    pub fn with_words(mut self, words: Words) -> Self {
        self.words = Some(words);
        self
    }
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The state now.
    pub conversation: Conversation,
    /// The new events; empty if nothing changed.
    pub events: Vec<Logged>,
    /// The message that the command carried, or the one stored earlier under its client id.
    pub message: Option<Message>,
    /// It had been stored before: nothing changed now.
    pub duplicate: bool,
    /// A turn's result that came too late: nothing changed.
    pub too_late: bool,
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No such conversation, inbox or contact in the workspace.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The machine does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The agent's screen was out of date: who holds the conversation now.
    #[error("the conversation has changed hands meanwhile")]
    Stale {
        /// The state that is.
        now: Box<Conversation>,
    },
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Conversations of one process. Cheap to clone.
#[derive(Clone)]
pub struct Conversations {
    db: Db,
    clock: Clock,
    ids: Ids,
    wire: Arc<Wire>,
    node: NodeId,
    pace: Option<Pace>,
    turn_lease: Duration,
}

type Outcome = Result<Committed, CommitError>;

impl Conversations {
    /// The door to the conversations in `db`, for this process.
    #[must_use]
    pub fn new(db: Db, clock: Clock, ids: Ids, wire: Arc<Wire>) -> Self {
        let node = ids.fresh();
        Self { db, clock, ids, wire, node, pace: None, turn_lease: TURN_LEASE }
    }

    /// With the installation's pace of turns instead of the standard one.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// With the installation's lease of a turn instead of the standard one.
    #[must_use]
    pub fn with_turn_lease(mut self, lease: Duration) -> Self {
        self.turn_lease = lease;
        self
    }

    /// How long a turn may run without a sign of life before another worker may take it.
    #[must_use]
    pub fn turn_lease(&self) -> Duration {
        self.turn_lease
    }

    /// Everything live.
    #[must_use]
    pub fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// The database, for reading.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where ids come from.
    #[must_use]
    pub fn ids(&self) -> Ids {
        self.ids
    }

    /// This process.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Commits one change; durable when it returns.
    ///
    /// # Errors
    /// [`CommitError`]; nothing has changed then.
    pub async fn commit(&self, command: Command) -> Outcome {
        let door = self.clone();
        let stale = matches!(&command.event, Event::TurnAnswered { .. });
        let committed = self
            .db
            .write(move |conn| {
                let door = door.clone();
                let command = command.clone();
                Box::pin(async move {
                    match door.unit(conn, command).await {
                        Err(CommitError::Db(error)) => Err(raced(error)),
                        decided => Ok(decided),
                    }
                })
            })
            .await?;
        if stale && committed.as_ref().is_ok_and(|c| c.too_late) {
            tracing::debug!("a turn's result came too late and was dropped");
        }
        committed
    }

    /// Moves the end of a turn's lease on. Returns whether the lease is still held.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn renew_lease(
        &self,
        workspace: WorkspaceId,
        turn: TurnId,
        attempt: u32,
    ) -> Result<bool, DbError> {
        let until = self.clock.now() + self.turn_lease;
        self.db
            .write(move |conn| {
                Box::pin(async move { store::renew(conn, workspace, turn, attempt, until).await })
            })
            .await
    }

    /// Gives a turn's lease back: whoever looks next may take it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn end_lease(
        &self,
        workspace: WorkspaceId,
        turn: TurnId,
        attempt: u32,
    ) -> Result<bool, DbError> {
        let until = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move { store::renew(conn, workspace, turn, attempt, until).await })
            })
            .await
    }

    /// Takes over what earlier processes left running: right only when this process owns the database alone.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recover(&self) -> Result<u64, DbError> {
        let (node, now) = (self.node, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move { store::end_leases_of_others(conn, node, now).await })
            })
            .await
    }

    /// Takes over what a node that is dead left running.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn end_leases_of(&self, node: NodeId) -> Result<u64, DbError> {
        let now = self.clock.now();
        self.db
            .write(move |conn| Box::pin(async move { store::end_leases_of(conn, node, now).await }))
            .await
    }

    /// Stores what explains a turn outside a step: results that came too late, cancelled tries.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn record_turn(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
        record: TurnRecord,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let explained = Heard::Explained { conversation, turn: record.fence.turn };
        self.db
            .write(move |conn| {
                let TurnRecord { fence, json } = record.clone();
                Box::pin(async move {
                    store::put_turn_record(
                        conn,
                        workspace,
                        conversation,
                        fence.turn,
                        fence.attempt,
                        json,
                        now,
                    )
                    .await
                })
            })
            .await?;
        self.wire.tell_agents(workspace, explained);
        Ok(())
    }

    /// Fires every timer of a conversation that is due.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn fire_timers(
        &self,
        workspace: WorkspaceId,
        id: ConversationId,
    ) -> Result<(), CommitError> {
        let mut conn = self.db.read().await?;
        let Some(loaded) = store::load(&mut conn, workspace, id, None).await? else {
            return Ok(());
        };
        drop(conn);
        let now = self.clock.now();
        let mut due = loaded.conversation.timers(&loaded.policy);
        due.retain(|timer| timer.due_at <= now);
        due.sort_by_key(|timer| timer.due_at);
        for timer in due {
            metrics::get().work.timer_late.record(now.since(timer.due_at));
            let event = Event::TimerFired { kind: timer.kind, anchor: timer.anchor };
            self.commit(Command::new(workspace, id, event)).await?;
        }
        // A policy that changed since leaves an old time behind.
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let Some(l) = store::load(conn, workspace, id, None).await? else { return Ok(()) };
                    sql("UPDATE conversation SET next_timer_at = $3 WHERE workspace = $1 AND id = $2 AND seq = $4")
                        .bind(workspace)
                        .bind(id)
                        .bind(l.conversation.next_timer_at(&l.policy))
                        .bind(l.conversation.seq)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    async fn unit(&self, conn: &mut Conn, command: Command) -> Outcome {
        let workspace = command.workspace;
        let (loaded, is_new) = self.find(conn, &command).await?;
        let before = loaded.conversation.clone();
        if let Some(store::Sent { author_kind, client_id }) = command.sent()
            && loaded.sent_before
            && !Guard::ClientId.is_broken()
        {
            let id = before.id;
            let stored =
                store::message_by_client_id(conn, workspace, id, author_kind, client_id).await?;
            if let Some(message) = stored {
                return Ok(Committed {
                    conversation: before,
                    events: Vec::new(),
                    message: Some(message),
                    duplicate: true,
                    too_late: false,
                });
            }
        }
        let blocked = match &command.target {
            Target::Contact { contact, .. } if is_new => {
                store::contact_blocked(conn, workspace, *contact)
                    .await?
                    .ok_or(CommitError::NotFound("contact"))?
            }
            Target::Contact { .. } | Target::Conversation(_) => before.blocked,
        };
        let (facts, stepped) = loop {
            let facts = self.facts(&loaded);
            let stepped = if is_new {
                first(before.clone(), blocked, &command.event, &facts)?
            } else {
                step(&before, &command.event, &facts).map_err(|refused| stale(refused, &before))?
            };
            // A sentence that slips out between the look and the stop makes the step another one; it happens once a turn.
            if self.stop_turns(&stepped, &facts) {
                break (facts, stepped);
            }
        };
        let too_late = stepped.effects.iter().any(|e| matches!(e, Effect::CloseTurn(_)));
        let (stepped, taken) = self.taken_at_once(stepped, &loaded, &facts);
        if stepped.records.is_empty() {
            return Ok(Committed {
                conversation: before,
                events: Vec::new(),
                message: None,
                duplicate: false,
                too_late,
            });
        }
        self.write(conn, command, loaded, is_new, stepped, &facts, taken).await
    }

    /// Leases a turn that this step has made due and that need not wait, if a worker of this node has a place for it.
    fn taken_at_once(
        &self,
        stepped: Step,
        loaded: &Loaded,
        facts: &Facts,
    ) -> (Step, Option<(TurnFacts, Seat)>) {
        let made_due = stepped.records.iter().rev().find_map(|(_, record)| match record {
            Record::TurnDue { turn, run_at } if *run_at <= facts.now => Some(*turn),
            _ => None,
        });
        let current = stepped.next.holder.turn().filter(|turn| Some(turn.id) == made_due);
        let (Some(turn), Some(asked)) = (current.copied(), TurnFacts::of(loaded)) else {
            return (stepped, None);
        };
        let Some(seat) = self.wire.desk.seat(&self.wire.gates, turn.id, turn.attempt + 1) else {
            return (stepped, None);
        };
        let event = Event::TurnLeased { turn: turn.id, seen_attempt: turn.attempt };
        match step(&stepped.next, &event, facts) {
            Ok(leased) if leased.next.holder.turn().is_some_and(|t| t.id == turn.id) => {
                let mut both = stepped;
                both.records.extend(leased.records);
                both.effects.extend(leased.effects);
                (Step { next: leased.next, ..both }, Some((asked, seat)))
            }
            // Whoever leases it later hears why not.
            Ok(_) | Err(_) => (stepped, None),
        }
    }

    async fn find(
        &self,
        conn: &mut Conn,
        command: &Command,
    ) -> Result<(Loaded, bool), CommitError> {
        let workspace = command.workspace;
        let (inbox, contact, origin) = match &command.target {
            Target::Conversation(id) => {
                store::wait_for_turn(conn, workspace, *id).await?;
                let loaded = store::load(conn, workspace, *id, command.sent()).await?;
                return Ok((loaded.ok_or(CommitError::NotFound("conversation"))?, false));
            }
            Target::Contact { inbox, contact, origin } => (inbox, contact, origin),
        };
        store::wait_for_turn_of_contact(conn, workspace, *inbox, *contact).await?;
        let loaded =
            store::load_of_contact(conn, workspace, *inbox, *contact, command.sent()).await?;
        if let Some(loaded) = loaded {
            return Ok((loaded, false));
        }
        let opening = store::load_inbox(conn, workspace, *inbox)
            .await?
            .ok_or(CommitError::NotFound("inbox"))?;
        let conversation =
            Conversation::unborn(self.ids.fresh(), workspace, *inbox, *contact, self.clock.now());
        let locale = origin.locale.clone();
        let store::Opening { policy, assistant, published } = opening;
        let loaded = Loaded {
            conversation,
            policy,
            assistant,
            published,
            locale,
            lease_until: None,
            sent_before: false,
        };
        Ok((loaded, true))
    }

    fn facts(&self, loaded: &Loaded) -> Facts {
        let c = &loaded.conversation;
        let now = self.clock.now();
        let presence = &self.wire.presence;
        Facts {
            now,
            assistant: loaded.assistant.as_ref().map(|(id, _)| *id),
            last_human_available: c
                .last_human
                .is_some_and(|agent| presence.is_available(c.workspace, agent)),
            anyone_online: presence.anyone_available(c.workspace),
            turn_released: c
                .holder
                .turn()
                .is_some_and(|turn| self.wire.gates.may_have_released(turn.id, turn.attempt)),
            lease_expired: loaded.lease_until.is_none_or(|until| until <= now),
            policy: match self.pace {
                Some(pace) => loaded.policy.clone().at(pace),
                None => loaded.policy.clone(),
            },
            fresh: Fresh {
                turn: self.ids.fresh(),
                notices: [self.ids.fresh(), self.ids.fresh()],
                alarm: self.ids.fresh(),
            },
        }
    }

    /// Shuts the gates of the turns that a step stops, before its COMMIT. `false` if one has just released a sentence of
    /// which the step did not know.
    fn stop_turns(&self, stepped: &Step, facts: &Facts) -> bool {
        stepped.effects.iter().all(|effect| match effect {
            Effect::StopTurn(turn) => {
                self.wire.others.tell(|| Item::Stops(*turn));
                self.wire.gates.shut(*turn, facts.turn_released)
            }
            _ => true,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "all that one transaction writes")]
    async fn write(
        &self,
        conn: &mut Conn,
        command: Command,
        loaded: Loaded,
        is_new: bool,
        stepped: Step,
        facts: &Facts,
        taken: Option<(TurnFacts, Seat)>,
    ) -> Outcome {
        let before = loaded.conversation.clone();
        let held_by = figures::holder(&before.holder);
        let events = self.logged(conn, &command, &loaded, &stepped, facts).await?;
        let after = stepped.next;
        let newest = events.iter().rev().find_map(|e| {
            e.message.as_ref().filter(|m| m.public_seq.is_some() && m.kind == MessageKind::Text)
        });
        let snippet = newest.map(store::snippet).transpose()?;
        if is_new {
            let Target::Contact { origin, .. } = &command.target else {
                return Err(CommitError::NotFound("conversation"));
            };
            store::insert(conn, &after, origin, &loaded.policy, snippet, facts.now).await?;
        } else {
            store::update(conn, &before, &after, &loaded.policy, snippet, facts.now).await?;
        }
        let lease = Lease { node: self.node, until: facts.now + self.turn_lease };
        let cursor = store::insert_events(conn, &after, &events).await?;
        // As it stood just before each event: what one of them has ended, the next does not end again.
        let mut at = before;
        for logged in &events {
            if let Some(message) = &logged.message {
                store::insert_message(conn, &after, message).await?;
            }
            if let Some(evidence) = &logged.evidence {
                store::insert_evidence(conn, &after, logged.seq, evidence).await?;
            }
            store::project(conn, &at, &after, logged, lease, facts.now).await?;
            at.apply(&logged.record, facts.now);
        }
        for effect in &stepped.effects {
            let kind = match effect {
                Effect::OrderBrief => "brief",
                Effect::OrderSummary => "summary",
                Effect::OrderSuggestions => "suggestions",
                Effect::StopTurn(_) | Effect::CloseTurn(_) => continue,
            };
            let payload = format!(r#"{{"at_seq":{}}}"#, after.seq);
            store::insert_job(conn, &after, self.ids.fresh(), kind, payload, facts.now).await?;
        }
        if let Some(TurnRecord { fence, json }) = command.turn_record {
            let (ws, id) = (after.workspace, after.id);
            let (turn, attempt) = (fence.turn, fence.attempt);
            store::put_turn_record(conn, ws, id, turn, attempt, json, facts.now).await?;
        }
        let wanted = message_of(&command.event);
        let message = wanted
            .and_then(|id| events.iter().find_map(|e| e.message.as_ref().filter(|m| m.id == id)))
            .cloned();
        let change =
            Arc::new(Change { conversation: after.clone(), events: events.clone(), cursor });
        let wire = Arc::clone(&self.wire);
        let orders_work = !stepped.effects.is_empty();
        let next_timer = after.next_timer_at(&loaded.policy);
        let taken = taken.and_then(|(facts, seat)| seat.taken_by(&after, facts));
        conn.after_commit(move || {
            if orders_work {
                wire.job_due.notify_one();
            }
            if let Some(taken) = &taken {
                taken.leased();
            }
            wire.timer_at(next_timer);
            figures::count(held_by, &change.events);
            wire.publish(change);
            if let Some(taken) = taken {
                taken.begin();
            }
        });
        Ok(Committed { conversation: after, events, message, duplicate: false, too_late: false })
    }

    /// Numbers the records and gives each its words.
    async fn logged(
        &self,
        conn: &mut Conn,
        command: &Command,
        loaded: &Loaded,
        stepped: &Step,
        facts: &Facts,
    ) -> Result<Vec<Logged>, CommitError> {
        let mut at = loaded.conversation.clone();
        let mut names = Names { workspace: at.workspace, known: Vec::new() };
        let mut events = Vec::with_capacity(stepped.records.len());
        for (actor, record) in &stepped.records {
            let held_by = at.holder.clone();
            at.apply(record, facts.now);
            let message = match record.message() {
                None => None,
                Some(id) => {
                    let words = match record {
                        Record::Noticed { code, .. } => {
                            let name = match (code, at.holder.assignee()) {
                                (NoticeCode::AgentJoined, Some(agent)) => {
                                    names.of(conn, agent).await?
                                }
                                _ => loaded.assistant.as_ref().map(|a| a.1.clone()),
                            };
                            let text = catalogue::text(
                                &loaded.locale,
                                code.as_str(),
                                name.as_deref().unwrap_or_default(),
                            );
                            Words { text, ..Words::default() }
                        }
                        _ => command.words.clone().unwrap_or_default(),
                    };
                    let author_name = match actor {
                        Actor::Agent(agent) => names.of(conn, *agent).await?,
                        Actor::Assistant(_) => loaded.assistant.as_ref().map(|a| a.1.clone()),
                        Actor::Visitor(_) | Actor::System => None,
                    };
                    Some(message(id, &at, &held_by, *actor, author_name, record, words, facts))
                }
            };
            if let Record::TookOver { agent, .. }
            | Record::Assigned { agent, .. }
            | Record::Reopened { to: Entry::Agent { agent }, .. } = record
                && names.of(conn, *agent).await?.is_none()
            {
                return Err(CommitError::NotFound("agent"));
            }
            let evidence = match record {
                Record::HandedOff { .. } => command.evidence.clone(),
                _ => None,
            };
            events.push(Logged {
                seq: at.seq,
                epoch: at.epoch,
                at: facts.now,
                actor: *actor,
                record: record.clone(),
                message,
                evidence,
            });
        }
        Ok(events)
    }
}

/// Names of agents met in one step.
struct Names {
    workspace: WorkspaceId,
    known: Vec<(AgentId, Option<String>)>,
}

impl Names {
    async fn of(&mut self, conn: &mut Conn, agent: AgentId) -> Result<Option<String>, DbError> {
        if let Some((_, name)) = self.known.iter().find(|(id, _)| *id == agent) {
            return Ok(name.clone());
        }
        let name = store::agent_name(conn, self.workspace, agent).await?;
        self.known.push((agent, name.clone()));
        Ok(name)
    }
}

#[expect(clippy::too_many_arguments, reason = "one row with all its columns, built in one place")]
fn message(
    id: MessageId,
    at: &Conversation,
    held_by: &Holder,
    author: Actor,
    author_name: Option<String>,
    record: &Record,
    words: Words,
    facts: &Facts,
) -> Message {
    let kind = match record {
        Record::Noticed { .. } => MessageKind::Notice,
        Record::Noted { .. } => MessageKind::Note,
        Record::ReturnedToAi { .. } => MessageKind::ReturnNote,
        _ => MessageKind::Text,
    };
    let notice = match record {
        Record::Noticed { code, .. } => Some(code.as_str().to_owned()),
        _ => None,
    };
    let (turn, answers, incomplete) = match record {
        Record::AssistantAnswered { turn, answers, .. } => {
            (Some(*turn), *answers, answers.is_none() && held_by.turn().is_some())
        }
        _ => (None, None, false),
    };
    Message {
        id,
        seq: at.seq,
        public_seq: record.is_public().then_some(at.public_seq),
        kind,
        notice,
        author,
        author_name,
        text: words.text,
        citations: words.citations,
        client_id: words.client_id,
        turn,
        answers,
        incomplete,
        flags: words.flags,
        at: facts.now,
    }
}

/// Starts a conversation and takes its first event.
fn first(
    unborn: Conversation,
    blocked: bool,
    event: &Event,
    facts: &Facts,
) -> Result<Step, CommitError> {
    let visitor = Actor::Visitor(unborn.contact);
    let mut started = start(unborn, visitor, blocked, facts);
    if matches!(event, Event::VisitorStarted) {
        return Ok(started);
    }
    let then = step(&started.next, event, facts)?;
    started.records.extend(then.records);
    started.effects.extend(then.effects);
    Ok(Step { next: then.next, ..started })
}

/// A mismatch of epochs is told with who holds the conversation now.
fn stale(refused: Refused, now: &Conversation) -> CommitError {
    if refused.code == "stale_epoch" {
        CommitError::Stale { now: Box::new(now.clone()) }
    } else {
        CommitError::Refused(refused)
    }
}

/// Two that meet at a unique index have raced: the unit runs again and finds the other's row.
fn raced(error: DbError) -> DbError {
    let indexes = [
        "conversation_contact_unique",
        "message_client_unique",
        "event_seq_unique",
        "message_seq_unique",
    ];
    if indexes.iter().any(|index| error.is_unique(index)) { DbError::Conflict } else { error }
}

fn author_kind(event: &Event) -> &'static str {
    match event {
        Event::VisitorWrote { .. } => "visitor",
        Event::TurnAnswered { .. } | Event::TurnFailed { .. } => "assistant",
        _ => "agent",
    }
}

fn message_of(event: &Event) -> Option<MessageId> {
    match event {
        Event::VisitorWrote { message, .. }
        | Event::AgentWrites { message, .. }
        | Event::AgentNotes { message, .. }
        | Event::ChannelEcho { message, .. } => Some(*message),
        Event::TurnAnswered { reply, .. } => Some(reply.message),
        Event::TurnFailed { released, .. } => *released,
        Event::AssignToAi { note, .. } => *note,
        _ => None,
    }
}
