//! Who answers a conversation next: the machine's table. Pure: no I/O, no clock, no fresh ids.
//!
//! [`step`] decides which records an event adds; the state is their fold. Every cell of the table (event × column) is
//! written out, refused ones too, so that a new event does not compile until someone has decided all its cells.

use std::time::Duration;

use super::derive;
use super::message::Actor;
use super::record::{
    AlarmFor, CancelReason, EndedBy, Entry, Exemption, HandoffCode, NoticeCode, Outcome, Record,
    RequestVia,
};
use super::state::{
    AiMode, AssigneeMissed, Column, Conversation, Fence, Holder, Phase, Policy, TimerKind,
};
use crate::assistant::inbox::ReopenTo;
use crate::clock::Timestamp;
use crate::guard::Guard;
use crate::ids::{AgentId, AlarmId, AssistantId, MessageId, TeamId, TurnId};

/// After a close, a bare "thanks" within this time does not reopen (architecture: ten minutes).
const THANKS_WINDOW: Duration = Duration::from_secs(600);
/// The visitor is told again that they wait at most this often.
const NOTICE_AGAIN: Duration = Duration::from_secs(300);

/// An agent's command and the epoch they saw. `None` skips the check (the system acting for them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub agent: AgentId,
    /// The epoch on their screen.
    pub expected_epoch: Option<u64>,
}

/// A finished reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The message that will hold it.
    pub message: MessageId,
    /// It is the fixed text for a question that could not be answered after a return.
    pub still_unanswered: bool,
}

/// Everything that can happen to a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are named like what they are; each variant says what happened"
)]
pub enum Event {
    /// The visitor opens the conversation (no row yet).
    VisitorStarted,
    /// The visitor wrote; `bare_thanks` if it is nothing but thanks.
    VisitorWrote { message: MessageId, bare_thanks: bool },
    /// The visitor asked for a person by button, menu or API.
    VisitorAskedForPerson { via: RequestVia },
    /// A worker wants the due turn, or one whose lease is lost.
    TurnLeased { turn: TurnId, seen_attempt: u32 },
    /// The turn has its answer.
    TurnAnswered { fence: Fence, reply: Reply },
    /// The turn wants a human.
    TurnHandsOff { fence: Fence, reason: HandoffCode },
    /// The turn failed; what was released before is kept, marked incomplete.
    TurnFailed { fence: Fence, reason: HandoffCode, released: Option<MessageId> },
    /// An agent takes over; from a colleague only as a fresh, confirmed command.
    AgentTakesOver { by: By, from_colleague: bool },
    /// An agent writes publicly.
    AgentWrites { by: By, message: MessageId },
    /// An agent leaves a note.
    AgentNotes { agent: AgentId, message: MessageId },
    /// To an agent, a team, or both.
    Assign { by: By, agent: Option<AgentId>, team: Option<TeamId> },
    /// Back to the end of the queue.
    ReturnToQueue { by: By },
    /// Back to the AI, with a note.
    AssignToAi { by: By, note: Option<MessageId> },
    /// Set aside.
    Snooze { by: By, until: Timestamp },
    /// Close, by an agent or the visitor.
    Close { by: Closer, outcome: Outcome },
    /// Open again, to that agent.
    Reopen { by: By },
    /// The owner wrote from elsewhere, at the provider's time.
    ChannelEcho { owner: AgentId, message: MessageId, sent_at: Timestamp },
    /// The AI switch.
    SetAiMode { by: By, mode: AiMode },
    /// The contact was blocked or unblocked.
    BlockContact { blocked: bool },
    /// The assignee left the business.
    AssigneeRemoved { agent: AgentId },
    /// The assignee's last socket went, or came back.
    AssigneePresence { agent: AgentId, online: bool },
    /// The contact was erased.
    EraseContact,
    /// A timer is due.
    TimerFired { kind: TimerKind, anchor: u64 },
    /// An agent has seen an alarm.
    AcknowledgeAlarm { alarm: AlarmId, agent: AgentId },
}

/// Who closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closer {
    /// An agent, with the epoch they saw.
    Agent(By),
    /// The visitor.
    Visitor(crate::ids::ContactId),
}

/// What the world looks like at the moment of the step.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Now.
    pub now: Timestamp,
    /// The assistant that may hold: published for the inbox and nothing stopped.
    pub assistant: Option<AssistantId>,
    /// The last human has a socket open.
    pub last_human_available: bool,
    /// Any agent of the inbox has a socket open.
    pub anyone_online: bool,
    /// The running turn has released a sentence, or might have (it runs on another node).
    pub turn_released: bool,
    /// The running turn's lease is over.
    pub lease_expired: bool,
    /// The inbox's policy.
    pub policy: Policy,
    /// Fresh ids, in case the step needs them.
    pub fresh: Fresh,
}

/// Fresh ids for what a step may create: at most one turn, two notices and one alarm.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// For a new turn.
    pub turn: TurnId,
    /// For notices, in order.
    pub notices: [MessageId; 2],
    /// For an alarm.
    pub alarm: AlarmId,
}

/// What the caller must do beside storing the records; done after the commit, except what is due work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Stop the worker of this turn at once.
    StopTurn(TurnId),
    /// Make a handover brief.
    OrderBrief,
    /// Make a summary.
    OrderSummary,
    /// Make suggested replies.
    OrderSuggestions,
    /// The turn's result came too late: only its record is closed.
    CloseTurn(Fence),
}

/// What an event leads to: the new state, the records that lead there, and what must be done.
#[derive(Debug, Clone)]
pub struct Step {
    /// The state afterwards.
    pub next: Conversation,
    /// What happened, in order, with who did it.
    pub records: Vec<(Actor, Record)>,
    /// What must be done.
    pub effects: Vec<Effect>,
}

/// Why a move is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not allowed while the conversation is {column:?}: {code}")]
pub struct Refused {
    /// Stable code for the API.
    pub code: &'static str,
    /// Where the conversation stood.
    pub column: Column,
    /// What was asked.
    pub event: &'static str,
}

/// Starts a conversation: with the AI if one may hold it, else in the queue.
#[must_use]
pub fn start(unborn: Conversation, actor: Actor, blocked: bool, facts: &Facts) -> Step {
    let mut s = Stepping::new(unborn, facts);
    let to = if s.ai_may_hold() && !blocked {
        Entry::Assistant
    } else {
        Entry::Queue { reason: HandoffCode::AiUnavailable }
    };
    s.log(actor, Record::Started { to });
    if blocked {
        s.log(Actor::System, Record::ContactBlocked);
    } else if s.c.holder.is_human() {
        s.entered_queue();
    }
    s.done()
}

/// Moves a conversation on by one event.
///
/// # Errors
/// [`Refused`] with state and event when the move is not allowed; the API answers 409 with its code.
pub fn step(c: &Conversation, event: &Event, facts: &Facts) -> Result<Step, Refused> {
    let mut s = Stepping::new(c.clone(), facts);
    s.take(event)?;
    Ok(s.done())
}

struct Stepping<'f> {
    c: Conversation,
    facts: &'f Facts,
    records: Vec<(Actor, Record)>,
    effects: Vec<Effect>,
    notices: usize,
    snoozed_until: Option<Timestamp>,
}

impl<'f> Stepping<'f> {
    fn new(c: Conversation, facts: &'f Facts) -> Self {
        let snoozed_until = c.holder.snooze().map(|snooze| snooze.until);
        Self { c, facts, records: Vec::new(), effects: Vec::new(), notices: 0, snoozed_until }
    }

    fn log(&mut self, actor: Actor, record: Record) {
        self.c.apply(&record, self.facts.now);
        self.records.push((actor, record));
    }

    fn done(mut self) -> Step {
        if !self.records.is_empty() {
            self.settle();
        }
        Step { next: self.c, records: self.records, effects: self.effects }
    }

    /// Brings the obligation in line with what the step did.
    fn settle(&mut self) {
        let woken_early = self.c.holder.snooze().is_none()
            && self.snoozed_until.is_some_and(|until| until > self.facts.now);
        for record in derive::obligation(&self.c, self.last_ender(), woken_early, self.facts) {
            self.log(Actor::System, record);
        }
    }

    /// What ended the obligation, if it ended in this step.
    fn last_ender(&self) -> EndedBy {
        self.records
            .iter()
            .rev()
            .find_map(|(_, record)| match record {
                Record::Closed { .. } => Some(EndedBy::Close),
                Record::ReturnedToAi { .. } => Some(EndedBy::Return),
                _ => None,
            })
            .unwrap_or(EndedBy::Reply)
    }

    fn ai_may_hold(&self) -> bool {
        self.available().is_some()
    }

    fn refuse(&self, event: &'static str, code: &'static str) -> Refused {
        Refused { code, column: self.c.holder.column(), event }
    }

    /// An agent's command must name the epoch that is.
    fn fresh_enough(&self, by: By, event: &'static str) -> Result<(), Refused> {
        match by.expected_epoch {
            Some(epoch) if epoch != self.c.epoch => Err(self.refuse(event, "stale_epoch")),
            Some(_) | None => Ok(()),
        }
    }

    fn visitor(&self) -> Actor {
        Actor::Visitor(self.c.contact)
    }

    fn notice(&mut self, code: NoticeCode) {
        let message = self.facts.fresh.notices[self.notices.min(1)];
        self.notices += 1;
        self.log(Actor::System, Record::Noticed { code, message });
    }

    /// Every entry into the queue sends the notice and orders the brief.
    fn entered_queue(&mut self) {
        self.tell_of_waiting(NoticeCode::HandoffWaiting);
        self.effects.push(Effect::OrderBrief);
    }

    /// With nobody here the visitor hears that instead, and is asked for an address.
    fn tell_of_waiting(&mut self, code: NoticeCode) {
        let nobody = NoticeCode::HandoffNobodyOnline;
        self.notice(if self.facts.anyone_online { code } else { nobody });
    }

    fn cancel_turn(&mut self, actor: Actor, reason: CancelReason) {
        if let Some(turn) = self.c.holder.turn().map(|t| t.id) {
            self.log(actor, Record::TurnCancelled { turn, reason });
            self.effects.push(Effect::StopTurn(turn));
        }
    }

    fn hand_off(&mut self, actor: Actor, reason: HandoffCode, turn: Option<TurnId>) {
        self.log(actor, Record::HandedOff { reason, turn });
        self.entered_queue();
    }

    fn queue(&mut self, actor: Actor, reason: HandoffCode, team: Option<TeamId>) {
        self.log(actor, Record::Queued { reason, team });
        self.entered_queue();
    }

    fn due_turn(&mut self, actor: Actor) {
        let run_at = self.facts.now + Duration::from_millis(self.facts.policy.debounce_ms);
        self.log(actor, Record::TurnDue { turn: self.facts.fresh.turn, run_at });
    }

    fn take_over(&mut self, agent: AgentId) {
        let from = self.c.holder.assignee();
        self.cancel_turn(Actor::Agent(agent), CancelReason::Takeover);
        self.log(Actor::Agent(agent), Record::TookOver { agent, from });
        self.notice(NoticeCode::AgentJoined);
        self.effects.push(Effect::OrderBrief);
    }

    fn wake(&mut self, actor: Actor) {
        if self.c.holder.snooze().is_some() {
            self.log(actor, Record::Unsnoozed);
        }
    }

    fn close(&mut self, by: Actor, outcome: Outcome) {
        self.cancel_turn(by, CancelReason::Closed);
        if self.c.unanswered.is_some() {
            self.log(by, Record::Exempted { reason: Exemption::Closed });
        }
        self.log(by, Record::Closed { by, outcome });
        self.notice(NoticeCode::Closed);
        self.effects.push(Effect::OrderSummary);
    }

    /// To the holder that the inbox's policy names, if that one may hold; else the queue.
    fn reopen_by_policy(&mut self, actor: Actor) {
        let queue = Entry::Queue { reason: HandoffCode::Reopened };
        let to = match (self.facts.policy.reopen_to, self.c.last_human) {
            (ReopenTo::Assistant, _) if self.ai_may_hold() => Entry::Assistant,
            (ReopenTo::LastHuman, Some(agent)) if self.facts.last_human_available => {
                Entry::Agent { agent }
            }
            (ReopenTo::Assistant | ReopenTo::LastHuman | ReopenTo::Queue, _) => queue,
        };
        self.log(actor, Record::Reopened { by: actor, to });
    }

    #[expect(clippy::too_many_lines, reason = "one arm per event: the table stands in one place")]
    fn take(&mut self, event: &Event) -> Result<(), Refused> {
        let column = self.c.holder.column();
        match event {
            Event::VisitorStarted => match column {
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    return Err(self.refuse("visitor_started", "already_started"));
                }
            },
            Event::VisitorWrote { message, bare_thanks } => {
                self.visitor_wrote(*message, *bare_thanks, column);
            }
            Event::VisitorAskedForPerson { via } => self.asked_for_person(*via, column),
            Event::TurnLeased { turn, seen_attempt } => match column {
                Column::Assistant => self.lease(*turn, *seen_attempt),
                Column::Queue | Column::Assigned | Column::Closed => {}
            },
            Event::TurnAnswered { fence, reply } => match column {
                Column::Assistant => self.answered(*fence, *reply),
                Column::Queue | Column::Assigned if Guard::Fence.is_broken() => {
                    self.answered(*fence, *reply);
                }
                Column::Queue | Column::Assigned | Column::Closed => self.too_late(*fence),
            },
            Event::TurnHandsOff { fence, reason } => match column {
                Column::Assistant if self.c.admits(*fence) => {
                    self.hand_off(self.writer(), *reason, Some(fence.turn));
                }
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    self.too_late(*fence);
                }
            },
            Event::TurnFailed { fence, reason, released } => match column {
                Column::Assistant if self.c.admits(*fence) => {
                    let writer = self.writer();
                    if let Some(message) = *released {
                        // Kept, but it answers nothing: the visitor still waits.
                        let record = Record::AssistantAnswered {
                            message,
                            turn: fence.turn,
                            answers: None,
                            still_unanswered: false,
                        };
                        self.log(writer, record);
                    }
                    self.hand_off(writer, *reason, Some(fence.turn));
                }
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    self.too_late(*fence);
                }
            },
            Event::AgentTakesOver { by, from_colleague } => match column {
                // No epoch needed: the AI handing off in the same second must not make the click fail.
                Column::Assistant | Column::Queue => self.take_over(by.agent),
                Column::Assigned if self.c.holder.assignee() == Some(by.agent) => {}
                Column::Assigned if *from_colleague => {
                    self.fresh_enough(*by, "take_over")?;
                    self.take_over(by.agent);
                }
                Column::Assigned => return Err(self.refuse("take_over", "held_by_colleague")),
                Column::Closed => return Err(self.refuse("take_over", "closed")),
            },
            Event::AgentWrites { by, message } => {
                let write = Record::AgentWrote { agent: by.agent, message: *message };
                match column {
                    Column::Assistant | Column::Queue => {
                        self.fresh_enough(*by, "write")?;
                        self.take_over(by.agent);
                        self.log(Actor::Agent(by.agent), write);
                    }
                    Column::Assigned => {
                        self.fresh_enough(*by, "write")?;
                        self.log(Actor::Agent(by.agent), write);
                    }
                    Column::Closed => return Err(self.refuse("write", "closed")),
                }
            }
            Event::AgentNotes { agent, message } => match column {
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    let note = Record::Noted { agent: *agent, message: *message };
                    self.log(Actor::Agent(*agent), note);
                }
            },
            Event::Assign { by, agent, team } => match column {
                Column::Assistant | Column::Queue | Column::Assigned => {
                    self.assign(*by, *agent, *team)?;
                }
                Column::Closed => return Err(self.refuse("assign", "closed")),
            },
            Event::ReturnToQueue { by } => match column {
                Column::Assistant => return Err(self.refuse("return_to_queue", "held_by_ai")),
                Column::Queue => {}
                Column::Assigned => {
                    self.fresh_enough(*by, "return_to_queue")?;
                    self.queue(Actor::Agent(by.agent), HandoffCode::Returned, None);
                }
                Column::Closed => return Err(self.refuse("return_to_queue", "closed")),
            },
            Event::AssignToAi { by, note } => match column {
                Column::Assistant => {}
                Column::Queue | Column::Assigned | Column::Closed => {
                    self.assign_to_ai(*by, *note, column)?;
                }
            },
            Event::Snooze { by, until } => match column {
                Column::Assistant | Column::Queue | Column::Assigned => {
                    self.fresh_enough(*by, "snooze")?;
                    if *until <= self.facts.now {
                        return Err(self.refuse("snooze", "in_the_past"));
                    }
                    if column == Column::Assistant {
                        self.take_over(by.agent);
                        self.settle();
                    }
                    self.log(
                        Actor::Agent(by.agent),
                        Record::Snoozed { by: by.agent, until: *until },
                    );
                    self.move_deadline(*until);
                }
                Column::Closed => return Err(self.refuse("snooze", "closed")),
            },
            Event::Close { by, outcome } => match column {
                Column::Assistant | Column::Queue | Column::Assigned => {
                    let actor = match by {
                        Closer::Agent(by) => {
                            self.fresh_enough(*by, "close")?;
                            Actor::Agent(by.agent)
                        }
                        Closer::Visitor(contact) => Actor::Visitor(*contact),
                    };
                    self.close(actor, *outcome);
                }
                Column::Closed => {}
            },
            Event::Reopen { by } => match column {
                Column::Assistant | Column::Queue | Column::Assigned => {
                    return Err(self.refuse("reopen", "not_closed"));
                }
                Column::Closed => {
                    self.fresh_enough(*by, "reopen")?;
                    let to = Entry::Agent { agent: by.agent };
                    self.log(
                        Actor::Agent(by.agent),
                        Record::Reopened { by: Actor::Agent(by.agent), to },
                    );
                }
            },
            Event::ChannelEcho { owner, message, sent_at } => {
                self.echo(*owner, *message, *sent_at, column);
            }
            Event::SetAiMode { by, mode } => {
                self.fresh_enough(*by, "set_ai_mode")?;
                if self.c.ai_mode != *mode {
                    self.set_ai_mode(by.agent, *mode, column);
                }
            }
            Event::BlockContact { blocked: true } => match column {
                Column::Assistant | Column::Queue | Column::Assigned => {
                    self.close(Actor::System, Outcome::Spam);
                    self.log(Actor::System, Record::ContactBlocked);
                }
                Column::Closed if self.c.blocked => {}
                Column::Closed => self.log(Actor::System, Record::ContactBlocked),
            },
            Event::BlockContact { blocked: false } => match column {
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    if self.c.blocked {
                        self.log(Actor::System, Record::ContactUnblocked);
                    }
                }
            },
            Event::AssigneeRemoved { agent } => match column {
                Column::Assigned if self.c.holder.assignee() == Some(*agent) => {
                    self.queue(Actor::System, HandoffCode::AgentRemoved, None);
                }
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {}
            },
            Event::AssigneePresence { agent, online } => match &self.c.holder {
                Holder::Assigned { agent: assignee, offline, .. } if assignee == agent => {
                    match (*online, offline.is_some()) {
                        (false, false) => {
                            self.log(Actor::System, Record::WentOffline { agent: *agent });
                        }
                        (true, true) => self.log(Actor::System, Record::CameBack { agent: *agent }),
                        (false, true) | (true, false) => {}
                    }
                }
                Holder::Assistant { .. }
                | Holder::Queue { .. }
                | Holder::Assigned { .. }
                | Holder::Closed { .. } => {}
            },
            Event::EraseContact => match column {
                Column::Assistant | Column::Queue | Column::Assigned => {
                    self.close(Actor::System, Outcome::Unsolved);
                    self.log(Actor::System, Record::Erased);
                }
                Column::Closed if self.c.erased => {}
                Column::Closed => self.log(Actor::System, Record::Erased),
            },
            Event::TimerFired { kind, anchor } => match column {
                Column::Assistant | Column::Queue | Column::Assigned => {
                    self.timer(*kind, *anchor);
                }
                Column::Closed => {}
            },
            Event::AcknowledgeAlarm { alarm, agent } => match column {
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    self.log(
                        Actor::Agent(*agent),
                        Record::AlarmAcknowledged { alarm: *alarm, by: *agent },
                    );
                }
            },
        }
        Ok(())
    }

    /// The assistant whose turn runs, whoever may hold the conversation by now.
    fn writer(&self) -> Actor {
        match self.c.holder.turn().map(|turn| turn.phase) {
            Some(Phase::Running { assistant, .. }) => Actor::Assistant(assistant),
            Some(Phase::Due { .. }) | None => Actor::System,
        }
    }

    /// The assistant that may hold the conversation now.
    fn available(&self) -> Option<AssistantId> {
        self.facts.assistant.filter(|_| self.c.ai_mode == AiMode::On && !self.c.blocked)
    }

    /// The assistant holds the conversation but may not any more.
    fn assistant_gone(&mut self) {
        self.cancel_turn(Actor::System, CancelReason::AiOff);
        self.hand_off(Actor::System, HandoffCode::AiUnavailable, None);
    }

    fn visitor_wrote(&mut self, message: MessageId, bare_thanks: bool, column: Column) {
        let visitor = self.visitor();
        let wrote = Record::VisitorWrote { message };
        if self.c.blocked {
            self.log(visitor, wrote);
            self.log(Actor::System, Record::Exempted { reason: Exemption::Blocked });
            return;
        }
        match column {
            Column::Assistant => {
                self.log(visitor, wrote);
                self.answer_due(visitor);
            }
            Column::Queue | Column::Assigned => {
                self.log(visitor, wrote);
                self.wake(visitor);
                self.suggest();
            }
            Column::Closed => {
                let just_closed = matches!(&self.c.holder, Holder::Closed { at, .. }
                    if self.facts.now.since(*at) <= THANKS_WINDOW);
                if bare_thanks && just_closed {
                    self.log(visitor, wrote);
                    self.log(Actor::System, Record::Exempted { reason: Exemption::Thanks });
                    return;
                }
                self.reopen_by_policy(visitor);
                self.log(visitor, wrote);
                match self.c.holder.column() {
                    Column::Assistant => self.answer_due(visitor),
                    Column::Queue => self.entered_queue(),
                    Column::Assigned | Column::Closed => {}
                }
                self.suggest();
            }
        }
    }

    /// In draft mode every visitor message gets suggested replies.
    fn suggest(&mut self) {
        if self.c.ai_mode == AiMode::Draft {
            self.effects.push(Effect::OrderSuggestions);
        }
    }

    /// The assistant holds and the visitor has just written.
    fn answer_due(&mut self, visitor: Actor) {
        if !self.ai_may_hold() {
            return self.assistant_gone();
        }
        let Some(turn) = self.c.holder.turn().copied() else {
            self.due_turn(visitor);
            return;
        };
        let policy = &self.facts.policy;
        let age = self.c.unanswered.map_or(Duration::ZERO, |m| self.facts.now.since(m.at));
        let limit_free = self.c.superseded < policy.max_supersedes
            && age < Duration::from_millis(policy.supersede_within_ms);
        match turn.phase {
            // Wait a little more, but not for ever: a flood of words must not starve the answer.
            Phase::Due { .. } if limit_free => {
                let run_at = self.facts.now + Duration::from_millis(policy.debounce_ms);
                self.log(visitor, Record::TurnDue { turn: turn.id, run_at });
            }
            Phase::Running { .. } if !self.facts.turn_released && limit_free => {
                self.log(visitor, Record::TurnSuperseded { turn: turn.id });
                self.effects.push(Effect::StopTurn(turn.id));
                self.due_turn(visitor);
            }
            Phase::Due { .. } | Phase::Running { .. } => {}
        }
    }

    fn asked_for_person(&mut self, via: RequestVia, column: Column) {
        let visitor = self.visitor();
        let asked = Record::PersonRequested { via };
        if self.c.blocked {
            self.log(visitor, asked);
            self.log(Actor::System, Record::Exempted { reason: Exemption::Blocked });
            return;
        }
        match column {
            Column::Assistant => {
                self.log(visitor, asked);
                self.cancel_turn(visitor, CancelReason::PersonRequested);
                self.hand_off(visitor, HandoffCode::AskedForPerson, None);
            }
            Column::Queue => {
                self.log(visitor, asked);
                self.wake(visitor);
                let quiet =
                    self.c.notice_at.is_none_or(|at| self.facts.now.since(at) >= NOTICE_AGAIN);
                if quiet {
                    self.tell_of_waiting(NoticeCode::StillWaiting);
                }
            }
            Column::Assigned => {
                self.log(visitor, asked);
                self.wake(visitor);
            }
            Column::Closed => {
                let to = Entry::Queue { reason: HandoffCode::AskedForPerson };
                self.log(visitor, Record::Reopened { by: visitor, to });
                self.log(visitor, asked);
                self.entered_queue();
            }
        }
    }

    fn lease(&mut self, turn: TurnId, seen_attempt: u32) {
        let Some(current) = self.c.holder.turn().copied() else { return };
        if current.id != turn || current.attempt != seen_attempt {
            return;
        }
        let free = match current.phase {
            Phase::Due { run_at } => run_at <= self.facts.now,
            Phase::Running { .. } => self.facts.lease_expired,
        };
        if !free {
            return;
        }
        let Some(assistant) = self.available() else {
            return self.assistant_gone();
        };
        let through = self.c.last_visitor.map_or(0, |m| m.seq);
        let started = Record::TurnStarted { turn, assistant, attempt: seen_attempt + 1, through };
        self.log(Actor::Assistant(assistant), started);
    }

    fn answered(&mut self, fence: Fence, reply: Reply) {
        if !self.c.admits(fence) {
            return self.too_late(fence);
        }
        if !self.ai_may_hold() {
            // Stopped or unpublished while it wrote: what it has to say is not sent.
            self.too_late(fence);
            return self.assistant_gone();
        }
        let through = self.c.holder.turn().and_then(|t| match t.phase {
            Phase::Running { through, .. } => Some(through),
            Phase::Due { .. } => None,
        });
        let answers = self.c.unanswered.zip(through).map(|(from, through)| (from.seq, through));
        let record = Record::AssistantAnswered {
            message: reply.message,
            turn: fence.turn,
            answers,
            still_unanswered: reply.still_unanswered,
        };
        self.log(self.writer(), record);
        if self.c.unanswered.is_some() {
            self.due_turn(Actor::System);
        }
    }

    fn too_late(&mut self, fence: Fence) {
        self.effects.push(Effect::CloseTurn(fence));
    }

    fn assign(
        &mut self,
        by: By,
        agent: Option<AgentId>,
        team: Option<TeamId>,
    ) -> Result<(), Refused> {
        if agent.is_none() && team.is_none() {
            return Err(self.refuse("assign", "nobody_named"));
        }
        let holder = self.c.holder.assignee();
        let same_team = team.is_none() || team == self.c.team();
        if self.c.holder.is_human() && agent == holder && same_team {
            return Ok(());
        }
        if agent == Some(by.agent) && holder.is_some_and(|holder| holder != by.agent) {
            return Err(self.refuse("assign", "held_by_colleague"));
        }
        self.fresh_enough(by, "assign")?;
        let actor = Actor::Agent(by.agent);
        self.cancel_turn(actor, CancelReason::Takeover);
        let Some(agent) = agent else {
            self.queue(actor, HandoffCode::Assigned, team);
            return Ok(());
        };
        self.log(actor, Record::Assigned { agent, team });
        if Some(agent) != holder {
            self.notice(NoticeCode::AgentJoined);
            self.effects.push(Effect::OrderBrief);
        }
        Ok(())
    }

    fn assign_to_ai(
        &mut self,
        by: By,
        note: Option<MessageId>,
        column: Column,
    ) -> Result<(), Refused> {
        self.fresh_enough(by, "assign_to_ai")?;
        if !self.ai_may_hold() {
            // Nothing changes and the agent is told, instead of the conversation silently landing in the queue.
            return Err(self.refuse("assign_to_ai", "ai_unavailable"));
        }
        let actor = Actor::Agent(by.agent);
        if column == Column::Closed {
            self.log(actor, Record::Reopened { by: actor, to: Entry::Assistant });
        }
        self.return_to_ai(actor, by.agent, note);
        Ok(())
    }

    fn return_to_ai(&mut self, actor: Actor, by: AgentId, note: Option<MessageId>) {
        self.log(actor, Record::ReturnedToAi { by, note });
        self.notice(NoticeCode::ReturnedToAi);
        if self.c.unanswered.is_some() {
            self.due_turn(actor);
        }
    }

    fn echo(&mut self, owner: AgentId, message: MessageId, sent_at: Timestamp, column: Column) {
        let actor = Actor::Agent(owner);
        if self.c.returned.is_some_and(|r| sent_at < r.at) {
            // Older than the last return: a public reply to what came before it, but no reach for the baton.
            self.cancel_turn(actor, CancelReason::LateEcho);
            self.log(actor, Record::LateEcho { message, sent_at });
            if column == Column::Assistant && self.c.unanswered.is_some() {
                self.due_turn(Actor::System);
            }
            return;
        }
        match column {
            Column::Assistant => self.take_over(owner),
            Column::Queue => {
                self.log(actor, Record::Assigned { agent: owner, team: None });
            }
            Column::Assigned => {}
            Column::Closed => {
                self.log(actor, Record::Reopened { by: actor, to: Entry::Agent { agent: owner } });
            }
        }
        self.log(actor, Record::AgentWrote { agent: owner, message });
    }

    fn set_ai_mode(&mut self, agent: AgentId, mode: AiMode, column: Column) {
        let actor = Actor::Agent(agent);
        match (column, mode) {
            (Column::Assistant, AiMode::Off | AiMode::Draft) => {
                self.cancel_turn(actor, CancelReason::AiOff);
                self.log(actor, Record::AiModeSet { mode });
                self.log(actor, Record::Assigned { agent, team: None });
                self.notice(NoticeCode::AgentJoined);
                self.effects.push(Effect::OrderBrief);
            }
            (Column::Assistant, AiMode::On)
            | (Column::Queue | Column::Assigned | Column::Closed, _) => {
                self.log(actor, Record::AiModeSet { mode });
            }
        }
    }

    /// A snooze moves the obligation's deadline on; it does not end it.
    fn move_deadline(&mut self, until: Timestamp) {
        if let Some(open) = self.c.obligation
            && open.due_at.is_none_or(|due_at| due_at < until)
        {
            let moved = Record::ObligationMoved { due_at: Some(until), step: open.step };
            self.log(Actor::System, moved);
        }
    }

    fn timer(&mut self, kind: TimerKind, anchor: u64) {
        let now = self.facts.now;
        let due = self
            .c
            .timers(&self.facts.policy)
            .into_iter()
            .any(|t| t.kind == kind && t.anchor == anchor && t.due_at <= now);
        if !due {
            return;
        }
        match kind {
            TimerKind::AnswerDeadline => {
                self.cancel_turn(Actor::System, CancelReason::Deadline);
                self.hand_off(Actor::System, HandoffCode::Deadline, None);
            }
            TimerKind::Obligation => self.obligation_missed(),
            TimerKind::Snooze => self.wake(Actor::System),
            TimerKind::Offline => self.queue(Actor::System, HandoffCode::AgentOffline, None),
            TimerKind::IdleNudge => self.notice(NoticeCode::IdleNudge),
            TimerKind::IdleClose => self.close(Actor::System, Outcome::Timeout),
        }
    }

    /// The next step of the ladder: assignee or inbox first, the owners later.
    fn obligation_missed(&mut self) {
        let Some(open) = self.c.obligation else { return };
        let assigned = self.c.holder.assignee().is_some();
        let policy = &self.facts.policy;
        let recipient = match (open.step, assigned, policy.assignee_missed) {
            (0, true, AssigneeMissed::Alarm) => AlarmFor::Assignee,
            (0, true, AssigneeMissed::ReturnToQueue | AssigneeMissed::ReturnToAi)
            | (0, false, _) => AlarmFor::Inbox,
            (_, _, _) => AlarmFor::Owners,
        };
        self.log(
            Actor::System,
            Record::AlarmRaised {
                alarm: self.facts.fresh.alarm,
                anchor: open.anchor,
                step: open.step + 1,
                recipient,
            },
        );
        let due_at =
            (open.step == 0).then(|| self.facts.now + Duration::from_millis(policy.escalate_ms));
        self.log(Actor::System, Record::ObligationMoved { due_at, step: open.step + 1 });
        if open.step == 0 && assigned {
            match policy.assignee_missed {
                AssigneeMissed::Alarm => {}
                AssigneeMissed::ReturnToAi if self.ai_may_hold() => {
                    // The timer acts for the person whose turn it was.
                    if let Some(agent) = self.c.holder.assignee() {
                        self.return_to_ai(Actor::System, agent, None);
                    }
                }
                AssigneeMissed::ReturnToQueue | AssigneeMissed::ReturnToAi => {
                    self.queue(Actor::System, HandoffCode::Missed, None);
                }
            }
        }
    }
}
