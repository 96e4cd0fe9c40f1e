//! The laws, read off a stored log: what must hold of every conversation of a real installation. Pure.
//!
//! The log is replayed through [`Conversation::apply`] and everything that was said is held against who held the conversation
//! at that moment. It reports all it finds instead of stopping at the first, and judges nothing that the log does not say:
//! words are looked at only as far as their numbers and authors go, so an erased conversation can be checked too.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use super::events::Logged;
use super::message::{Actor, MessageKind};
use super::record::{EndedBy, HandoffCode, Record};
use super::state::{Column, Conversation, Phase};
use crate::ids::{MessageId, TurnId};

/// Which law is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// The author of every public message is the holder.
    OneVoice,
    /// Nothing of the assistant's is committed under a stale fence.
    Silence,
    /// Whatever the visitor said is answered, exempted, or with somebody who will be reminded.
    NothingLost,
    /// Ranges of answered messages never overlap; one client id, one message.
    Once,
    /// Both numbers are gap-free, and the state is the fold of its log.
    OneOrder,
    /// A trigger fires once on the same evidence, and never on what was said before a return.
    Triggers,
    /// Every promise ends in what may end it; every step of its ladder is climbed once.
    Promises,
}

impl Law {
    /// Its number in the architecture; the seventh (walls) cannot be read off a log.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::OneVoice => 1,
            Self::Silence => 2,
            Self::NothingLost => 3,
            Self::Once => 4,
            Self::OneOrder => 5,
            Self::Triggers => 6,
            Self::Promises => 8,
        }
    }
}

/// One place where a log breaks a law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: Law,
    /// At which event; none if it is about the whole.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {}", self.law.number())?;
        if let Some(seq) = self.seq {
            write!(f, " at seq {seq}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Everything that is wrong with a conversation: its state row and its whole log, oldest event first.
#[must_use]
pub fn verify(row: &Conversation, log: &[Logged]) -> Vec<Violation> {
    let Some(first) = log.first() else {
        let what = "a conversation without a log".to_owned();
        return vec![Violation { law: Law::OneOrder, seq: None, what }];
    };
    let unborn = Conversation::unborn(row.id, row.workspace, row.inbox, row.contact, first.at);
    let mut reading = Reading { erased: row.erased, ..Reading::of(unborn) };
    for logged in log {
        reading.read(logged);
    }
    reading.end(row);
    reading.found
}

/// The turn that runs, as the log tells.
#[derive(Debug, Clone, Copy)]
struct Running {
    turn: TurnId,
    epoch: u64,
    by: Actor,
}

/// A log being read.
struct Reading {
    c: Conversation,
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
    at_step: Option<crate::clock::Timestamp>,
}

impl Reading {
    fn of(unborn: Conversation) -> Self {
        Self {
            c: unborn,
            erased: false,
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

    fn broken(&mut self, law: Law, seq: u64, what: impl Into<String>) {
        self.found.push(Violation { law, seq: Some(seq), what: what.into() });
    }

    fn read(&mut self, logged: &Logged) {
        let held = self.c.holder.column();
        if logged.seq != self.c.seq + 1 {
            let what = format!("follows seq {}", self.c.seq);
            self.broken(Law::OneOrder, logged.seq, what);
        }
        self.voice(logged, held);
        self.fence(logged);
        self.once(logged);
        self.trigger(logged);
        self.promise(logged);
        // A gap is told once, not again at every later event.
        self.c.seq = logged.seq.saturating_sub(1);
        self.c.apply(&logged.record, logged.at);
        if self.c.epoch != logged.epoch {
            let what = format!("has epoch {}, replaying gives {}", logged.epoch, self.c.epoch);
            self.broken(Law::OneOrder, logged.seq, what);
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
            self.broken(Law::OneVoice, seq, format!("{what} ({:?}, {held:?})", logged.actor));
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
                    self.broken(Law::Silence, seq, what);
                }
                self.running = Some(Running { turn: *turn, epoch, by: logged.actor });
            }
            Record::AssistantAnswered { turn, answers, .. } => {
                if !admitted(self.running, *turn) {
                    let what = format!("{turn} answered, but {:?} ran", self.running);
                    self.broken(Law::Silence, seq, what);
                } else if self.running.is_some_and(|running| running.by != logged.actor) {
                    self.broken(Law::OneVoice, seq, "another assistant answered than began");
                }
                self.broke_off = answers.is_none().then_some(*turn);
                self.running = None;
            }
            Record::HandedOff { turn: Some(turn), .. } => {
                let just_broke_off = self.broke_off == Some(*turn);
                if !just_broke_off && !admitted(self.running, *turn) {
                    let what = format!("{turn} handed off, but {:?} ran", self.running);
                    self.broken(Law::Silence, seq, what);
                }
                self.running = None;
            }
            record if matches!(logged.actor, Actor::Assistant(_)) => {
                self.broken(Law::Silence, seq, format!("the assistant did {record:?}"));
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
                self.broken(Law::Once, seq, what);
            }
            if ![from, through].iter().all(|end| self.visitor_seqs.contains(end)) {
                let what = format!("answers {from} to {through}, which are no visitor messages");
                self.broken(Law::Once, seq, what);
            }
            self.answered_through = through;
        }
        if let Some(id) = logged.record.message()
            && !self.ids.insert(id)
        {
            self.broken(Law::Once, seq, format!("{id} stands here a second time"));
        }
        let client_id = logged.message.as_ref().and_then(|message| message.client_id.clone());
        if let Some(client_id) = client_id {
            let kind = logged.actor.kind();
            if !self.client_ids.insert((kind, client_id.clone())) {
                self.broken(Law::Once, seq, format!("client id {client_id} stored twice"));
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
            self.broken(Law::Triggers, logged.seq, what);
        }
        match self.said.get(&message) {
            None => {
                let what = format!("evidence {message} was not said before");
                self.broken(Law::Triggers, logged.seq, what);
            }
            Some(said) if self.c.returned.is_some_and(|returned| *said <= returned.seq) => {
                let what = format!("evidence {message} is from before the return");
                self.broken(Law::Triggers, logged.seq, what);
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
                    self.broken(Law::Promises, seq, "a second promise beside an open one");
                }
            }
            Record::ObligationMoved { .. } if !self.promised => {
                self.broken(Law::Promises, seq, "no promise to move");
            }
            Record::ObligationEnded { by } => {
                if !std::mem::replace(&mut self.promised, false) {
                    self.broken(Law::Promises, seq, "no promise to end");
                }
                if *by != EndedBy::Ticket && !self.enders.contains(by.as_str()) {
                    let what = format!("a promise ended by {by:?}, of which there is none");
                    self.broken(Law::Promises, seq, what);
                }
            }
            Record::AlarmRaised { anchor, step, .. } => {
                let fresh = self.alarms.insert((*anchor, *step));
                if !fresh {
                    let what = format!("alarm {step} over {anchor} a second time");
                    self.broken(Law::Promises, seq, what);
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
                self.broken(Law::NothingLost, seq, format!("{id} is not stored"));
            }
            (Some(_), None) => {}
            (None, Some(message)) => {
                let what = format!("{} stands beside an event without words", message.id);
                self.broken(Law::OneOrder, seq, what);
            }
            (Some(id), Some(message)) => {
                if message.id != id || message.seq != seq || message.public_seq != public_seq {
                    let what = format!(
                        "{id} should have public number {public_seq:?}; {} has {:?} at seq {}",
                        message.id, message.public_seq, message.seq
                    );
                    self.broken(Law::OneOrder, seq, what);
                }
                if message.author != logged.actor {
                    let what =
                        format!("signed by {:?}, written by {:?}", message.author, logged.actor);
                    self.broken(Law::OneVoice, seq, what);
                }
                let private = matches!(message.kind, MessageKind::Note | MessageKind::ReturnNote);
                if private && message.public_seq.is_some() {
                    self.broken(Law::OneOrder, seq, "a note has a public number");
                }
                if let Record::AssistantAnswered { answers, .. } = &logged.record
                    && message.answers != *answers
                {
                    let what = format!("answers {answers:?}, its message {:?}", message.answers);
                    self.broken(Law::Once, seq, what);
                }
            }
        }
    }

    /// What holds when nothing more has happened.
    fn end(&mut self, row: &Conversation) {
        let mut whole = |law, what: String| self.found.push(Violation { law, seq: None, what });
        if self.c != *row {
            let what = format!("replaying gives {:?}, the row says {row:?}", self.c);
            whole(Law::OneOrder, what);
        }
        match row.holder.column() {
            Column::Assistant => {
                let turn = row.holder.turn().is_some();
                if turn != row.unanswered.is_some() {
                    let what =
                        format!("turn: {turn}, unanswered: {:?}, with the AI", row.unanswered);
                    whole(Law::NothingLost, what);
                }
            }
            Column::Queue | Column::Assigned => {
                let promised = row.obligation.map(|open| open.anchor);
                let waiting = row.waiting.filter(|_| !row.blocked).map(|mark| mark.seq);
                if promised != waiting {
                    let what = format!("promise over {promised:?}, waiting since {waiting:?}");
                    whole(Law::NothingLost, what);
                }
            }
            Column::Closed => {
                if let Some(mark) = row.waiting.filter(|_| !row.blocked) {
                    whole(Law::NothingLost, format!("closed over {}", mark.seq));
                }
            }
        }
        let running = row.holder.turn().filter(|t| matches!(t.phase, Phase::Running { .. }));
        if running.map(|turn| turn.id) != self.running.map(|running| running.turn) {
            let what = format!("{:?} runs by the row, {:?} by the log", running, self.running);
            whole(Law::Silence, what);
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
