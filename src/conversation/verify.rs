//! The laws, read off a stored log: what must hold of every conversation of a real installation. Pure.
//!
//! The log is replayed through [`Conversation::apply`] and everything that was said is held against who held the conversation
//! at that moment. It reports all it finds instead of stopping at the first, and judges nothing that the log does not say:
//! words are looked at only as far as their numbers and authors go, so an erased conversation can be checked too. What it says
//! holds ids and numbers, never words. `audit` reads the logs, and the tables beside them, of a whole database.

mod beside;
mod kind;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use super::events::Logged;
use super::message::Actor;
use super::record::{EndedBy, HandoffCode, Record};
use super::state::{Column, Conversation};
use crate::clock::Timestamp;
use crate::ids::{MessageId, TurnId};
use crate::knowledge::{Audience, Citation};

pub(super) use beside::{AlarmRow, Beside, Columns, PromiseRow, TurnRow, columns, timer};
pub use kind::{Kind, Law};

/// One place where a law is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What kind of thing, and by that which law.
    pub kind: Kind,
    /// At which event; none if it is about the whole.
    pub seq: Option<u64>,
    /// What is wrong, in ids and numbers.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {} ({})", self.kind.law().number(), self.kind.name())?;
        if let Some(seq) = self.seq {
            write!(f, " at seq {seq}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Everything that is wrong with a conversation: its state row and its whole log, oldest event first.
#[must_use]
pub fn verify(row: &Conversation, log: &[Logged]) -> Vec<Violation> {
    let mut reading = Reading::of(row);
    for logged in log {
        reading.read(logged);
    }
    reading.end(row).0
}

/// The turn that runs, as the log tells.
#[derive(Debug, Clone, Copy)]
struct Running {
    turn: TurnId,
    epoch: u64,
    by: Actor,
}

/// A log being read, event by event.
pub(super) struct Reading {
    c: Conversation,
    beside: Beside,
    /// Words may be missing.
    erased: bool,
    found: Vec<Violation>,
    /// The numbers of the visitor's messages, by their ids.
    said: BTreeMap<MessageId, u64>,
    visitor_seqs: BTreeSet<u64>,
    ids: HashSet<MessageId>,
    client_ids: HashSet<(&'static str, String)>,
    answered_through: u64,
    running: Option<Running>,
    /// A reply that broke off hands off in the same step.
    broke_off: Option<TurnId>,
    fired: HashSet<(HandoffCode, Option<String>, MessageId)>,
    alarms: HashSet<(u64, u32)>,
    promised: bool,
    enders: BTreeSet<&'static str>,
    at_step: Option<Timestamp>,
}

impl Reading {
    /// Before the first event of the log behind a state row.
    pub(super) fn of(row: &Conversation) -> Self {
        let (id, workspace, inbox, contact) = (row.id, row.workspace, row.inbox, row.contact);
        let never = Timestamp::default();
        Self {
            c: Conversation::unborn(id, workspace, inbox, contact, never),
            beside: Beside::default(),
            erased: row.erased,
            found: Vec::new(),
            said: BTreeMap::new(),
            visitor_seqs: BTreeSet::new(),
            ids: HashSet::new(),
            client_ids: HashSet::new(),
            answered_through: 0,
            running: None,
            broke_off: None,
            fired: HashSet::new(),
            alarms: HashSet::new(),
            promised: false,
            enders: BTreeSet::new(),
            at_step: None,
        }
    }

    fn broken(&mut self, kind: Kind, seq: u64, what: impl Into<String>) {
        self.found.push(Violation { kind, seq: Some(seq), what: what.into() });
    }

    /// The next event.
    pub(super) fn read(&mut self, logged: &Logged) {
        let held = self.c.holder.column();
        if logged.seq != self.c.seq + 1 {
            let what = format!("follows seq {}", self.c.seq);
            self.broken(Kind::Gap, logged.seq, what);
        }
        self.voice(logged, held);
        self.fence(logged);
        self.once(logged);
        self.trigger(logged);
        self.promise(logged);
        // A gap is told once, not again at every later event.
        self.c.seq = logged.seq.saturating_sub(1);
        self.c.apply(&logged.record, logged.at);
        self.beside.read(&self.c, logged);
        if self.c.epoch != logged.epoch {
            let what = format!("has epoch {}, replaying gives {}", logged.epoch, self.c.epoch);
            self.broken(Kind::Epoch, logged.seq, what);
            self.c.epoch = logged.epoch;
        }
        self.message(logged);
    }

    /// Law 1: who speaks holds.
    fn voice(&mut self, logged: &Logged, held: Column) {
        let seq = logged.seq;
        let (right, what) = match &logged.record {
            Record::VisitorWrote { .. } => {
                (logged.actor == Actor::Visitor(self.c.contact), "not by the visitor")
            }
            Record::AssistantAnswered { .. } => (
                matches!(logged.actor, Actor::Assistant(_)) && held == Column::Assistant,
                "the assistant spoke without holding the conversation",
            ),
            Record::AgentWrote { agent, .. } => (
                logged.actor == Actor::Agent(*agent) && held == Column::Assigned,
                "a person spoke while no person held the conversation",
            ),
            Record::LateEcho { .. } => (matches!(logged.actor, Actor::Agent(_)), "not by a person"),
            Record::Noticed { .. } => (logged.actor == Actor::System, "a notice not by the system"),
            _ => (true, ""),
        };
        if !right {
            self.broken(Kind::Voice, seq, format!("{what} ({:?}, {held:?})", logged.actor));
        }
    }

    /// Law 2: what the assistant does, it does under the fence it began with.
    fn fence(&mut self, logged: &Logged) {
        let (seq, epoch) = (logged.seq, self.c.epoch);
        let admitted = |running: Option<Running>, turn: TurnId| {
            running.is_some_and(|r| r.turn == turn && r.epoch == epoch)
        };
        match &logged.record {
            Record::TurnStarted { turn, .. } => {
                if let Some(other) = self.running.filter(|running| running.turn != *turn) {
                    let what = format!("{turn} started while {} ran", other.turn);
                    self.broken(Kind::Fence, seq, what);
                }
                self.running = Some(Running { turn: *turn, epoch, by: logged.actor });
            }
            Record::AssistantAnswered { turn, answers, .. } => {
                if !admitted(self.running, *turn) {
                    let what = format!("{turn} answered, but {:?} ran", self.running);
                    self.broken(Kind::Fence, seq, what);
                } else if self.running.is_some_and(|running| running.by != logged.actor) {
                    self.broken(Kind::Voice, seq, "another assistant answered than began");
                }
                self.broke_off = answers.is_none().then_some(*turn);
                self.running = None;
            }
            Record::HandedOff { turn: Some(turn), .. } => {
                let just_broke_off = self.broke_off == Some(*turn);
                if !just_broke_off && !admitted(self.running, *turn) {
                    let what = format!("{turn} handed off, but {:?} ran", self.running);
                    self.broken(Kind::Fence, seq, what);
                }
                self.running = None;
            }
            record if matches!(logged.actor, Actor::Assistant(_)) => {
                self.broken(Kind::Fence, seq, format!("the assistant did {record:?}"));
            }
            Record::TurnSuperseded { .. } | Record::TurnCancelled { .. } => self.running = None,
            record if record.raises_epoch() => self.running = None,
            _ => {}
        }
        if !matches!(logged.record, Record::AssistantAnswered { .. }) {
            self.broke_off = None;
        }
    }

    /// Law 4: ranges are of visitor messages, and apart.
    fn once(&mut self, logged: &Logged) {
        let seq = logged.seq;
        if let Record::VisitorWrote { message } = &logged.record {
            self.said.insert(*message, seq);
            self.visitor_seqs.insert(seq);
        }
        if let Record::AssistantAnswered { answers: Some((from, through)), .. } = &logged.record {
            let (from, through) = (*from, *through);
            if from <= self.answered_through || through < from {
                let what =
                    format!("answers {from} to {through}, but {} had been", self.answered_through);
                self.broken(Kind::Range, seq, what);
            }
            if ![from, through].iter().all(|end| self.visitor_seqs.contains(end)) {
                let what = format!("answers {from} to {through}, which are no visitor messages");
                self.broken(Kind::Range, seq, what);
            }
            self.answered_through = through;
        }
        if let Some(id) = logged.record.message()
            && !self.ids.insert(id)
        {
            self.broken(Kind::MessageTwice, seq, format!("{id} stands here a second time"));
        }
        let client_id = logged.message.as_ref().and_then(|message| message.client_id.clone());
        if let Some(client_id) = client_id {
            let kind = logged.actor.kind();
            if !self.client_ids.insert((kind, client_id)) {
                self.broken(Kind::ClientIdTwice, seq, "its writer's id for it is stored twice");
            }
        }
    }

    /// Law 6: the same words do not hand off twice, nor words from before a return.
    fn trigger(&mut self, logged: &Logged) {
        let Record::HandedOff { reason, .. } = &logged.record else { return };
        let Some(evidence) = &logged.evidence else { return };
        let Some(message) = evidence.message else { return };
        if !self.fired.insert((*reason, evidence.condition.clone(), message)) {
            let what = format!("{reason:?} a second time on {message}");
            self.broken(Kind::EvidenceTwice, logged.seq, what);
        }
        match self.said.get(&message) {
            None => {
                let what = format!("evidence {message} was not said before");
                self.broken(Kind::EvidenceUnsaid, logged.seq, what);
            }
            Some(said) if self.c.returned.is_some_and(|returned| *said <= returned.seq) => {
                let what = format!("evidence {message} is from before the return");
                self.broken(Kind::EvidenceOld, logged.seq, what);
            }
            Some(_) => {}
        }
    }

    /// Law 8: one promise at a time, ended by what its end names.
    fn promise(&mut self, logged: &Logged) {
        let seq = logged.seq;
        // The events of one step have one time, and what ends a promise stands in the same step.
        if self.at_step != Some(logged.at) {
            self.at_step = Some(logged.at);
            self.enders.clear();
        }
        match &logged.record {
            Record::AgentWrote { .. } | Record::LateEcho { .. } => {
                self.enders.insert("reply");
            }
            Record::Closed { .. } => {
                self.enders.insert("close");
            }
            Record::ReturnedToAi { .. } => {
                self.enders.insert("return");
            }
            Record::ObligationOpened { .. } => {
                let before = std::mem::replace(&mut self.promised, true);
                if before {
                    self.broken(Kind::Promise, seq, "a second promise beside an open one");
                }
            }
            Record::ObligationMoved { .. } if !self.promised => {
                self.broken(Kind::Promise, seq, "no promise to move");
            }
            Record::ObligationEnded { by } => {
                if !std::mem::replace(&mut self.promised, false) {
                    self.broken(Kind::Promise, seq, "no promise to end");
                }
                if *by != EndedBy::Ticket && !self.enders.contains(by.as_str()) {
                    let what = format!("a promise ended by {by:?}, of which there is none");
                    self.broken(Kind::Promise, seq, what);
                }
            }
            Record::AlarmRaised { anchor, step, .. } => {
                let fresh = self.alarms.insert((*anchor, *step));
                if !fresh {
                    let what = format!("alarm {step} over {anchor} a second time");
                    self.broken(Kind::AlarmTwice, seq, what);
                }
            }
            _ => {}
        }
    }

    /// Law 5, and the rest of 1 and 4: the message beside an event fits it.
    fn message(&mut self, logged: &Logged) {
        let seq = logged.seq;
        let public_seq = logged.record.is_public().then_some(self.c.public_seq);
        match (logged.record.message(), &logged.message) {
            (None, None) => {}
            (Some(id), None) if !self.erased => {
                self.broken(Kind::MessageMissing, seq, format!("{id} is not stored"));
            }
            (Some(_), None) => {}
            (None, Some(message)) => {
                let what = format!("{} stands beside an event without words", message.id);
                self.broken(Kind::MessageUnknown, seq, what);
            }
            (Some(id), Some(message)) => {
                if message.id != id || message.public_seq != public_seq {
                    let what = format!(
                        "{id} should have public number {public_seq:?}; {} has {:?}",
                        message.id, message.public_seq
                    );
                    self.broken(Kind::MessageNumber, seq, what);
                }
                if message.author != logged.actor {
                    let what =
                        format!("signed by {:?}, written by {:?}", message.author, logged.actor);
                    self.broken(Kind::Signature, seq, what);
                }
                for what in beside::differs(message, logged) {
                    self.broken(Kind::MessageDiffers, seq, what);
                }
                let shown = public_seq.is_some() && !matches!(message.author, Actor::Agent(_));
                let internal = |c: &Citation| c.audience == Audience::Internal;
                if shown && message.citations.iter().any(internal) {
                    self.broken(Kind::Citation, seq, "shows the visitor an internal source");
                }
            }
        }
    }

    /// What holds when nothing more has happened.
    /// What was found, and what the tables beside the log should hold.
    pub(super) fn end(mut self, row: &Conversation) -> (Vec<Violation>, Beside) {
        let mut found = std::mem::take(&mut self.found);
        let mut whole = |kind, what: String| found.push(Violation { kind, seq: None, what });
        if self.c.seq == 0 {
            whole(Kind::NoLog, "a conversation without a log".to_owned());
            return (found, self.beside);
        }
        for what in differences(&self.c, row) {
            whole(Kind::State, what);
        }
        // What the log leads to: where the row says something else, that has been said already.
        let c = &self.c;
        match c.holder.column() {
            Column::Assistant => {
                let turn = c.holder.turn().is_some();
                if turn != c.unanswered.is_some() {
                    let what = format!("turn: {turn}, unanswered: {:?}, with the AI", c.unanswered);
                    whole(Kind::NoTurn, what);
                }
            }
            Column::Queue | Column::Assigned => {
                let promised = c.obligation.map(|open| open.anchor);
                let waiting = c.waiting.filter(|_| !c.blocked).map(|mark| mark.seq);
                if promised != waiting {
                    let what = format!("promise over {promised:?}, waiting since {waiting:?}");
                    whole(Kind::NoPromise, what);
                }
            }
            Column::Closed => {
                if let Some(mark) = c.waiting.filter(|_| !c.blocked) {
                    whole(Kind::ClosedOver, format!("closed over {}", mark.seq));
                }
            }
        }
        (found, self.beside)
    }
}

/// In which fields the state that the log leads to and the state row differ. Both hold ids and numbers only.
fn differences(log: &Conversation, row: &Conversation) -> Vec<String> {
    let fields = |c: &Conversation| match serde_json::to_value(c) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (log, row) = (fields(log), fields(row));
    let names: BTreeSet<&String> = log.keys().chain(row.keys()).collect();
    let show = |value: Option<&serde_json::Value>| {
        value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
    };
    names
        .into_iter()
        .filter(|name| log.get(*name) != row.get(*name))
        .map(|name| {
            let (log, row) = (show(log.get(name)), show(row.get(name)));
            format!("{name}: the log leads to {log}, the row says {row}")
        })
        .collect()
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
