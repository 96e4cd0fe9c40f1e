//! Who answers a conversation next: the machine's table. Pure: no I/O, no clock, no fresh ids.
//!
//! [`step`] decides which records an event adds; the state is their fold. Every cell of the table (event × column) is
//! written out, refused ones too, so that a new event does not compile until someone has decided all its cells. The
//! table and the moves that several of its rows share stand here; longer rows stand with whoever acts.

use std::time::Duration;

use super::derive;
use super::message::Actor;
use super::record::{
    CancelReason, EndedBy, Entry, Exemption, HandoffCode, NoticeCode, Outcome, Record,
};
use super::state::{Column, Conversation, Holder};
use crate::clock::Timestamp;
use crate::ids::{TeamId, TurnId};

mod agent;
mod assistant;
mod event;
mod timers;
mod visitor;

pub use event::{By, Closer, Effect, Event, Facts, Fresh, Refused, Reply, Step};

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

    fn refuse(&self, event: &'static str, code: &'static str) -> Refused {
        Refused { code, column: self.c.holder.column(), event }
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
                // The fence decides: it admits nothing where no turn runs.
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    self.answered(*fence, *reply);
                }
            },
            Event::TurnHandsOff { fence, reason } => match column {
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed
                    if self.c.admits(*fence) =>
                {
                    self.hand_off(self.writer(), *reason, Some(fence.turn));
                }
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed => {
                    self.too_late(*fence);
                }
            },
            Event::TurnFailed { fence, reason, released } => match column {
                Column::Assistant | Column::Queue | Column::Assigned | Column::Closed
                    if self.c.admits(*fence) =>
                {
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
}
