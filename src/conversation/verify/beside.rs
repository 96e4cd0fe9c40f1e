//! What the tables beside a log should hold, as the log tells: columns, turn headers, promises, alarms. Pure.

use std::collections::BTreeMap;

use super::super::events::Logged;
use super::super::message::{Message, MessageKind};
use super::super::record::{AlarmFor, EndedBy, Record};
use super::super::state::{Column, Conversation, Holder, Policy};
use super::{Kind, Violation};
use crate::clock::Timestamp;
use crate::ids::{AgentId, AlarmId, TurnId};

/// A turn's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::conversation) struct TurnRow {
    pub(in crate::conversation) status: String,
    pub(in crate::conversation) attempt: u64,
    /// Only of one that is due.
    pub(in crate::conversation) run_at: Option<Timestamp>,
    pub(in crate::conversation) ended: bool,
}

/// The row of a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::conversation) struct PromiseRow {
    pub(in crate::conversation) anchor: u64,
    pub(in crate::conversation) due_at: Timestamp,
    pub(in crate::conversation) step: u64,
    pub(in crate::conversation) ended_by: Option<String>,
}

/// The row of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::conversation) struct AlarmRow {
    pub(in crate::conversation) anchor: u64,
    pub(in crate::conversation) step: u64,
    pub(in crate::conversation) recipient: String,
    pub(in crate::conversation) acknowledged_by: Option<String>,
    pub(in crate::conversation) ended: bool,
}

/// The columns that stand beside the state as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::conversation) struct Columns {
    pub(in crate::conversation) holder: String,
    pub(in crate::conversation) assignee: Option<String>,
    pub(in crate::conversation) queued_at: Option<Timestamp>,
    pub(in crate::conversation) epoch: u64,
    pub(in crate::conversation) seq: u64,
    pub(in crate::conversation) public_seq: u64,
    pub(in crate::conversation) waiting_since: Option<Timestamp>,
}

impl Columns {
    fn of(c: &Conversation) -> Self {
        let holder = match c.holder.column() {
            Column::Assistant => "assistant",
            Column::Queue => "queue",
            Column::Assigned => "assigned",
            Column::Closed => "closed",
        };
        let queued_at = match &c.holder {
            Holder::Queue { since, .. } => Some(*since),
            Holder::Assistant { .. } | Holder::Assigned { .. } | Holder::Closed { .. } => None,
        };
        Self {
            holder: holder.to_owned(),
            assignee: c.holder.assignee().map(|agent| agent.to_string()),
            queued_at,
            epoch: c.epoch,
            seq: c.seq,
            public_seq: c.public_seq,
            waiting_since: c.waiting.map(|mark| mark.at),
        }
    }
}

/// What the tables beside a log should hold.
#[derive(Debug, Default)]
pub(in crate::conversation) struct Beside {
    turns: BTreeMap<TurnId, TurnRow>,
    /// By the event that opened it.
    promises: BTreeMap<u64, PromiseRow>,
    open: Option<u64>,
    alarms: BTreeMap<AlarmId, AlarmRow>,
}

impl Beside {
    /// One event, with the state after it.
    pub(super) fn read(&mut self, after: &Conversation, logged: &Logged) {
        match &logged.record {
            Record::TurnDue { turn, run_at } => {
                let attempt = self.turns.get(turn).map_or(0, |before| before.attempt);
                let status = "due".to_owned();
                let due = TurnRow { status, attempt, run_at: Some(*run_at), ended: false };
                self.turns.insert(*turn, due);
            }
            Record::TurnStarted { turn, attempt, .. } => {
                let (status, attempt) = ("running".to_owned(), u64::from(*attempt));
                let running = TurnRow { status, attempt, run_at: None, ended: false };
                self.turns.insert(*turn, running);
            }
            Record::TurnSuperseded { turn } => self.end_turn(*turn, "superseded"),
            Record::TurnCancelled { turn, .. } => self.end_turn(*turn, "cancelled"),
            Record::AssistantAnswered { turn, .. } => self.end_turn(*turn, "answered"),
            Record::HandedOff { turn: Some(turn), .. } => self.end_turn(*turn, "handed_off"),
            Record::ObligationOpened { anchor, due_at } => {
                let step = u64::from(after.obligation.map_or(0, |open| open.step));
                let promise = PromiseRow { anchor: *anchor, due_at: *due_at, step, ended_by: None };
                self.promises.insert(logged.seq, promise);
                self.open = Some(logged.seq);
            }
            Record::ObligationMoved { due_at, step } => {
                if let Some(promise) = self.open.and_then(|open| self.promises.get_mut(&open)) {
                    promise.due_at = due_at.unwrap_or(promise.due_at);
                    promise.step = u64::from(*step);
                }
            }
            Record::ObligationEnded { by } => self.end_promise(*by),
            Record::AlarmRaised { alarm, anchor, step, recipient } => {
                let row = AlarmRow {
                    anchor: *anchor,
                    step: u64::from(*step),
                    recipient: recipient.as_str().to_owned(),
                    acknowledged_by: None,
                    ended: false,
                };
                self.alarms.insert(*alarm, row);
            }
            Record::AlarmAcknowledged { alarm, by } => {
                if let Some(alarm) = self.alarms.get_mut(alarm) {
                    alarm.acknowledged_by.get_or_insert(by.to_string());
                }
            }
            _ => {}
        }
    }

    fn end_turn(&mut self, turn: TurnId, status: &str) {
        // A reply that broke off has ended the turn already when the same step hands off.
        if let Some(open) = self.turns.get_mut(&turn).filter(|turn| !turn.ended) {
            *open = TurnRow {
                status: status.to_owned(),
                attempt: open.attempt,
                run_at: None,
                ended: true,
            };
        }
    }

    fn end_promise(&mut self, by: EndedBy) {
        if let Some(promise) = self.open.take().and_then(|open| self.promises.get_mut(&open)) {
            promise.ended_by = Some(by.as_str().to_owned());
        }
        for alarm in self.alarms.values_mut() {
            alarm.ended = true;
        }
    }

    /// Where the stored headers of turns are not what they should be.
    pub(in crate::conversation) fn turns(
        &self,
        stored: &BTreeMap<TurnId, TurnRow>,
    ) -> Vec<Violation> {
        compare(Kind::TurnHeader, &self.turns, stored, |wanted, stored| wanted == stored)
    }

    /// Where the stored promises are not what they should be.
    pub(in crate::conversation) fn promises(
        &self,
        stored: &BTreeMap<u64, PromiseRow>,
    ) -> Vec<Violation> {
        compare(Kind::PromiseRow, &self.promises, stored, |wanted, stored| wanted == stored)
    }

    /// Where the stored alarms are not what they should be.
    pub(in crate::conversation) fn alarms(
        &self,
        stored: &BTreeMap<AlarmId, AlarmRow>,
    ) -> Vec<Violation> {
        compare(Kind::AlarmRow, &self.alarms, stored, |wanted, stored| {
            // One to the assignee is stored under their id.
            let named = wanted.recipient == AlarmFor::Assignee.as_str()
                && stored.recipient.parse::<AgentId>().is_ok();
            let recipient = if named { stored.recipient.clone() } else { wanted.recipient.clone() };
            AlarmRow { recipient, ..wanted.clone() } == *stored
        })
    }
}

fn compare<K: Ord + std::fmt::Debug, V: std::fmt::Debug>(
    kind: Kind,
    wanted: &BTreeMap<K, V>,
    stored: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |what| found.push(Violation { kind, seq: None, what });
    for (key, wanted) in wanted {
        match stored.get(key) {
            None => add(format!("{key:?} is not stored; the log leads to {wanted:?}")),
            Some(stored) if !same(wanted, stored) => {
                add(format!("{key:?}: the log leads to {wanted:?}, stored is {stored:?}"));
            }
            Some(_) => {}
        }
    }
    for key in stored.keys().filter(|key| !wanted.contains_key(key)) {
        add(format!("{key:?} is stored, and the log does not know it"));
    }
    found
}

/// Where the columns beside a state are not what it says.
pub(in crate::conversation) fn columns(c: &Conversation, stored: &Columns) -> Option<Violation> {
    let wanted = Columns::of(c);
    (wanted != *stored).then(|| Violation {
        kind: Kind::Columns,
        seq: None,
        what: format!("the state says {wanted:?}, the columns {stored:?}"),
    })
}

/// Whether the stored time of the next timer can be right. While the AI holds, times follow the inbox's settings as they were
/// at the last step, so only what no settings could lead to is wrong.
pub(in crate::conversation) fn timer(
    c: &Conversation,
    policy: &Policy,
    stored: Option<Timestamp>,
) -> Option<Violation> {
    let wanted = c.next_timer_at(policy);
    let right = match (c.holder.column(), c.unanswered, stored) {
        (Column::Assistant, Some(mark), Some(at)) => at >= mark.at,
        (Column::Assistant, Some(_), None) => false,
        (Column::Assistant, None, Some(at)) => c.last_public.is_some_and(|mark| at >= mark.at),
        (Column::Assistant, None, None) => true,
        (Column::Queue | Column::Assigned | Column::Closed, _, stored) => stored == wanted,
    };
    (!right).then(|| Violation {
        kind: Kind::Timer,
        seq: None,
        what: format!("the next timer is stored as {stored:?}, and should be {wanted:?}"),
    })
}

/// Where a message is not what its event says, beside its numbers and its author.
pub(super) fn differs(message: &Message, logged: &Logged) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: &str, right: bool| {
        if !right {
            found.push(format!("the {what} of its message is not its event's"));
        }
    };
    let kind = match &logged.record {
        Record::Noticed { .. } => MessageKind::Notice,
        Record::Noted { .. } => MessageKind::Note,
        Record::ReturnedToAi { .. } => MessageKind::ReturnNote,
        _ => MessageKind::Text,
    };
    same("kind", message.kind == kind);
    same("time", message.at == logged.at);
    let notice = match &logged.record {
        Record::Noticed { code, .. } => Some(code.as_str()),
        _ => None,
    };
    same("notice", message.notice.as_deref() == notice);
    let (turn, answers) = match &logged.record {
        Record::AssistantAnswered { turn, answers, .. } => (Some(*turn), *answers),
        _ => (None, None),
    };
    same("turn", message.turn == turn);
    same("range", message.answers == answers);
    found
}
