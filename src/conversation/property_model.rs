//! What a log means, found by reading it as a whole: the reference that the machine is held against.
//!
//! Nothing here folds a state. Each question searches the log, so that a mistake in `Conversation::apply` is not made twice.

use super::*;
use crate::clock::Timestamp;
use crate::ids::{AgentId, TurnId};

pub type Entries = [(Actor, Record, Timestamp)];

/// A log up to some seq.
#[derive(Debug, Clone, Copy)]
pub struct Log<'l>(pub &'l Entries);

/// Who holds a conversation, by its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub by: Column,
    pub assignee: Option<AgentId>,
}

/// A visitor's message, or their request for a person, that nothing in the log has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub seq: u64,
    pub request: bool,
}

impl<'l> Log<'l> {
    fn numbered(self) -> impl Iterator<Item = (u64, &'l (Actor, Record, Timestamp))> {
        (1..).zip(self.0)
    }

    /// The log before this seq.
    pub fn before(self, seq: u64) -> Self {
        Self(&self.0[..usize::try_from(seq).expect("fits") - 1])
    }

    pub fn held(self) -> Held {
        let held = |by, assignee| Some(Held { by, assignee });
        let entry = |to: &Entry| match to {
            Entry::Assistant => held(Column::Assistant, None),
            Entry::Queue { .. } => held(Column::Queue, None),
            Entry::Agent { agent } => held(Column::Assigned, Some(*agent)),
        };
        let last = self.0.iter().rev().find_map(|(_, record, _)| match record {
            Record::Started { to } | Record::Reopened { to, .. } => entry(to),
            Record::HandedOff { .. } | Record::Queued { .. } => held(Column::Queue, None),
            Record::TookOver { agent, .. } | Record::Assigned { agent, .. } => {
                held(Column::Assigned, Some(*agent))
            }
            Record::ReturnedToAi { .. } => held(Column::Assistant, None),
            Record::Closed { .. } => held(Column::Closed, None),
            _ => None,
        });
        last.unwrap_or(Held { by: Column::Closed, assignee: None })
    }

    /// The turn and try that are running: started, and nothing has ended it or passed the baton since.
    pub fn running(self) -> Option<(TurnId, u32)> {
        let started =
            self.0.iter().rposition(|(_, r, _)| matches!(r, Record::TurnStarted { .. }))?;
        let Record::TurnStarted { turn, attempt, .. } = self.0[started].1 else { return None };
        let ended = self.0[started + 1..].iter().any(|(_, record, _)| {
            record.raises_epoch()
                || matches!(
                    record,
                    Record::TurnDue { .. }
                        | Record::TurnSuperseded { .. }
                        | Record::TurnCancelled { .. }
                        | Record::AssistantAnswered { .. }
                )
        });
        (!ended).then_some((turn, attempt))
    }

    /// Who took the last turn that was started.
    pub fn leased_by(self) -> Option<Actor> {
        let started = |r: &Record| matches!(r, Record::TurnStarted { .. });
        self.0.iter().rev().find_map(|(actor, record, _)| started(record).then_some(*actor))
    }

    /// When the conversation was last handed back to the AI.
    pub fn returned_at(self) -> Option<Timestamp> {
        let returned = |r: &Record| matches!(r, Record::ReturnedToAi { .. });
        self.0.iter().rev().find_map(|(_, record, at)| returned(record).then_some(*at))
    }

    /// What the visitor still waits for, oldest first.
    pub fn open(self) -> Vec<Open> {
        let said = self.numbered().filter_map(|(seq, (_, record, at))| match record {
            Record::VisitorWrote { .. } => Some((Open { seq, request: false }, *at)),
            Record::PersonRequested { .. } => Some((Open { seq, request: true }, *at)),
            _ => None,
        });
        said.filter(|(open, at)| !self.settled(*open, *at)).map(|(open, _)| open).collect()
    }

    fn settled(self, open: Open, at: Timestamp) -> bool {
        self.numbered().filter(|(seq, _)| *seq > open.seq).any(|(seq, (_, record, _))| match record
        {
            Record::AgentWrote { .. } | Record::Closed { .. } => true,
            Record::AssistantAnswered { answers: Some((_, through)), .. } => open.seq <= *through,
            Record::LateEcho { sent_at, .. } => at <= *sent_at,
            Record::Exempted { .. } => seq == open.seq + 1,
            Record::ReturnedToAi { .. } => open.request,
            _ => false,
        })
    }

    /// The ranges that the assistant's replies answer, oldest first.
    pub fn ranges(self) -> Vec<(u64, u64)> {
        let answers = |record: &Record| match record {
            Record::AssistantAnswered { answers, .. } => *answers,
            _ => None,
        };
        self.0.iter().filter_map(|(_, record, _)| answers(record)).collect()
    }

    pub fn is_visitor_message(self, seq: u64) -> bool {
        let place = usize::try_from(seq).expect("fits") - 1;
        matches!(self.0.get(place), Some((Actor::Visitor(_), Record::VisitorWrote { .. }, _)))
    }

    /// The anchor of the obligation that is open.
    pub fn promised(self) -> Option<u64> {
        self.0.iter().rev().find_map(|(_, record, _)| match record {
            Record::ObligationOpened { anchor, .. } => Some(Some(*anchor)),
            Record::ObligationEnded { .. } => Some(None),
            _ => None,
        })?
    }

    /// Every alarm: its anchor and step.
    pub fn alarms(self) -> Vec<(u64, u32)> {
        let alarm = |record: &Record| match record {
            Record::AlarmRaised { anchor, step, .. } => Some((*anchor, *step)),
            _ => None,
        };
        self.0.iter().filter_map(|(_, record, _)| alarm(record)).collect()
    }

    pub fn any(self, is: impl Fn(&Record) -> bool) -> bool {
        self.0.iter().any(|(_, record, _)| is(record))
    }
}
