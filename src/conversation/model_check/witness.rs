//! What the log says, kept beside the run by someone who does not know the machine: each commit is held against it.
//!
//! The witness reads records only. It never calls `apply`, so that a mistake there is not made twice.

use super::super::*;
use super::world::{Unit, Worker};
use crate::ids::{AgentId, TurnId};

macro_rules! laws {
    ($($law:ident = $bit:literal, $says:literal;)*) => {
        /// What may never be broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Law { $($law,)* }
        impl Law {
            pub const fn says(self) -> &'static str {
                match self { $(Self::$law => $says,)* }
            }
            const fn bit(self) -> u32 {
                match self { $(Self::$law => 1 << $bit,)* }
            }
        }
    };
}

laws! {
    OneVoice = 0, "law 1: who speaks holds the conversation";
    Silence = 1, "law 2: nothing of the assistant's is committed under a stale fence";
    Drafts = 2, "law 2: no draft on a node that has committed the end of its turn";
    StaleScreen = 3, "law 2: a command from a stale screen changes nothing";
    Acknowledged = 4, "law 3: what was acknowledged is in the log";
    Somebody = 5, "law 3: whatever the visitor said is answered, exempt, or with somebody";
    Ranges = 6, "law 4: answered ranges are of waiting messages and never overlap";
    ClientId = 7, "law 4: one client id, one message";
    OneTry = 8, "law 4: a turn is taken again only when its lease is over";
    Numbers = 9, "law 5: the log's numbers have no gap and no double";
    Epoch = 10, "law 5: the epoch never falls, and rises with every change of hands";
    Row = 11, "law 5: the row is what the log says";
    Trigger = 12, "law 6: a trigger fires once, on what was said after the return";
    OneObligation = 13, "law 8: exactly one obligation while somebody waits for a person";
    Ended = 14, "law 8: an obligation ends by what its end names";
    Timers = 15, "law 8: a timer acts on its own anchor, and an alarm is raised once";
    Released = 16, "released sentences are kept: their turn is not superseded";
    Refused = 17, "what a visitor says is never refused";
}

/// The laws that were broken on the way here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Broken(u32);

impl Broken {
    pub fn has(self, law: Law) -> bool {
        self.0 & law.bit() != 0
    }

    pub fn any(self) -> bool {
        self.0 != 0
    }

    pub fn bits(self) -> u32 {
        self.0
    }
}

/// The turn that runs, by the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    pub turn: TurnId,
    pub attempt: u32,
    pub epoch: u64,
}

/// The log, as far as later commits are held against it.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    /// How long the log is.
    pub log: u64,
    /// How many public messages it has.
    pub public: u64,
    pub held: Option<Column>,
    pub assignee: Option<AgentId>,
    pub running: Option<Running>,
    /// What the visitor said or asked for and nothing has settled, oldest first; true for requests.
    pub open: Vec<(u64, bool)>,
    /// The end of the last answered range.
    pub answered_through: u64,
    /// The anchor of the open obligation.
    pub promised: Option<u64>,
    /// Alarms over what still waits: anchor and step.
    pub alarms: Vec<(u64, u32)>,
    /// Waiting messages that have handed off once.
    pub fired: Vec<u64>,
    /// The last return.
    pub returned: u64,
    /// Client ids in the log.
    pub said: Vec<u8>,
    /// The event of the snooze that lasts.
    pub snoozed: Option<u64>,
    /// The event since which the assignee is offline.
    pub offline: Option<u64>,
    /// The last public message, notices apart.
    pub last_public: u64,
    pub broken: Broken,
}

impl Witness {
    pub fn breaks(&mut self, law: Law) {
        self.broken.0 |= law.bit();
    }

    fn holds(&mut self, law: Law, holds: bool) {
        if !holds {
            self.breaks(law);
        }
    }

    /// The first records of a conversation.
    pub fn started(&mut self, step: &Step) {
        for (_, record) in &step.records {
            self.log += 1;
            self.public += u64::from(record.is_public());
            self.hands(record);
        }
    }

    /// A unit commits; `lease_over` says whether the running turn's lease was.
    pub fn commits(&mut self, unit: &Unit, before: &Conversation, lease_over: bool) {
        let (ask, step) = (&unit.ask, &unit.step);
        self.holds(Law::Numbers, unit.read.seq == self.log && unit.read.public_seq == self.public);
        self.holds(Law::StaleScreen, !self.stale(&ask.event, before.epoch));
        let records: Vec<&Record> = step.records.iter().map(|(_, record)| record).collect();
        let held = (self.held, self.assignee);
        for (actor, record) in &step.records {
            let seq = self.log + 1;
            self.voice(*actor, record);
            self.fence(unit, record, lease_over);
            self.range(record);
            self.trigger(record, ask.evidence);
            self.timer(&ask.event, record);
            self.promise(&records, record);
            self.waits(seq, record);
            self.hands(record);
            self.log = seq;
            self.public += u64::from(record.is_public());
        }
        self.said.extend(ask.client_id);
        let doubled =
            ask.client_id.is_some_and(|c| self.said.iter().filter(|s| **s == c).count() > 1);
        self.holds(Law::ClientId, !doubled);
        let next = &step.next;
        let passed = held != (self.held, self.assignee) || before.ai_mode != next.ai_mode;
        self.holds(Law::Epoch, next.epoch >= before.epoch + u64::from(passed));
        self.holds(Law::Numbers, (next.seq, next.public_seq) == (self.log, self.public));
        self.row(next);
    }

    /// Whether it is an agent's command under another epoch, where that has to match.
    fn stale(&self, event: &Event, epoch: u64) -> bool {
        let by = match event {
            Event::AgentTakesOver { by, .. } if self.held == Some(Column::Assigned) => by,
            Event::AgentWrites { by, .. }
            | Event::Assign { by, .. }
            | Event::ReturnToQueue { by }
            | Event::AssignToAi { by, .. }
            | Event::Snooze { by, .. }
            | Event::Close { by: Closer::Agent(by), .. }
            | Event::Reopen { by }
            | Event::SetAiMode { by, .. } => by,
            _ => return false,
        };
        by.expected_epoch != Some(epoch)
    }

    /// Law 1.
    fn voice(&mut self, actor: Actor, record: &Record) {
        let right = match record {
            Record::VisitorWrote { .. } => matches!(actor, Actor::Visitor(_)),
            Record::AssistantAnswered { .. } => {
                matches!(actor, Actor::Assistant(_)) && self.held == Some(Column::Assistant)
            }
            Record::AgentWrote { agent, .. } => {
                actor == Actor::Agent(*agent) && self.held == Some(Column::Assigned)
            }
            Record::LateEcho { .. } => matches!(actor, Actor::Agent(_)),
            Record::Noticed { .. } => actor == Actor::System,
            _ => true,
        };
        self.holds(Law::OneVoice, right);
    }

    /// Law 2, and one try at a time.
    fn fence(&mut self, unit: &Unit, record: &Record, lease_over: bool) {
        let fence = match unit.ask.event {
            Event::TurnAnswered { fence, .. }
            | Event::TurnHandsOff { fence, .. }
            | Event::TurnFailed { fence, .. } => Some(fence),
            _ => None,
        };
        match record {
            Record::TurnStarted { turn, attempt, .. } => {
                let alone = self.running.is_none_or(|r| lease_over && r.attempt < *attempt);
                self.holds(Law::OneTry, alone);
                let epoch = unit.read.epoch;
                self.running = Some(Running { turn: *turn, attempt: *attempt, epoch });
            }
            // A reply that broke off ends its turn and hands off in one step.
            Record::AssistantAnswered { .. } | Record::HandedOff { turn: Some(_), .. } => {
                let broke_off = self.running.is_none()
                    && matches!(unit.ask.event, Event::TurnFailed { released: Some(_), .. })
                    && matches!(record, Record::HandedOff { .. });
                let admitted = self.running.zip(fence).is_some_and(|(running, fence)| {
                    running
                        == Running { turn: fence.turn, attempt: fence.attempt, epoch: fence.epoch }
                });
                self.holds(Law::Silence, admitted || broke_off);
                self.running = None;
            }
            Record::TurnDue { .. }
            | Record::TurnSuperseded { .. }
            | Record::TurnCancelled { .. } => self.running = None,
            record if record.raises_epoch() => self.running = None,
            _ => {}
        }
    }

    /// Law 4.
    fn range(&mut self, record: &Record) {
        let Record::AssistantAnswered { answers: Some((from, through)), .. } = record else {
            return;
        };
        let waits = |seq: u64| self.open.contains(&(seq, false));
        let right =
            self.answered_through < *from && from <= through && waits(*from) && waits(*through);
        let oldest = self.open.iter().find(|(_, request)| !request);
        let right = right && oldest.is_some_and(|(seq, _)| seq == from);
        self.holds(Law::Ranges, right);
        self.answered_through = *through;
    }

    /// Law 6.
    fn trigger(&mut self, record: &Record, evidence: Option<u64>) {
        let (Record::HandedOff { .. }, Some(seq)) = (record, evidence) else { return };
        let fresh =
            seq > self.returned && !self.fired.contains(&seq) && self.open.contains(&(seq, false));
        self.holds(Law::Trigger, fresh);
        self.fired.push(seq);
    }

    /// What a timer does, it does for the event it was set on.
    fn timer(&mut self, event: &Event, record: &Record) {
        if let Record::AlarmRaised { anchor, step, .. } = record {
            let fresh = !self.alarms.contains(&(*anchor, *step)) && self.promised == Some(*anchor);
            self.holds(Law::Timers, fresh);
            self.alarms.push((*anchor, *step));
        }
        let Event::TimerFired { kind, anchor } = event else { return };
        let human = matches!(self.held, Some(Column::Queue | Column::Assigned));
        let assistant = self.held == Some(Column::Assistant);
        let oldest = self.open.first().map(|(seq, _)| *seq);
        let pending = match (kind, record) {
            (TimerKind::AnswerDeadline, Record::HandedOff { .. }) => {
                assistant && oldest == Some(*anchor)
            }
            (TimerKind::Obligation, Record::AlarmRaised { .. }) => {
                human && self.promised == Some(*anchor)
            }
            (TimerKind::Snooze, Record::Unsnoozed) => human && self.snoozed == Some(*anchor),
            (TimerKind::Offline, Record::Queued { .. }) => {
                self.offline == Some(*anchor) && self.promised.is_some()
            }
            (TimerKind::IdleNudge, Record::Noticed { .. })
            | (TimerKind::IdleClose, Record::Closed { .. }) => {
                assistant && self.open.is_empty() && self.last_public == *anchor
            }
            _ => true,
        };
        self.holds(Law::Timers, pending);
    }

    /// Law 8: one at a time, ended by what the step did.
    fn promise(&mut self, step: &[&Record], record: &Record) {
        match record {
            Record::ObligationOpened { anchor, .. } => {
                self.holds(Law::OneObligation, self.promised.is_none());
                self.promised = Some(*anchor);
            }
            Record::ObligationMoved { .. } => {
                self.holds(Law::OneObligation, self.promised.is_some());
            }
            Record::ObligationEnded { by } => {
                let ended = step.iter().any(|r| match by {
                    EndedBy::Reply => {
                        matches!(r, Record::AgentWrote { .. } | Record::LateEcho { .. })
                    }
                    EndedBy::Close => matches!(r, Record::Closed { .. }),
                    EndedBy::Return => matches!(r, Record::ReturnedToAi { .. }),
                    EndedBy::Ticket => false,
                });
                self.holds(Law::Ended, ended && self.promised.is_some());
                self.promised = None;
            }
            _ => {}
        }
    }

    /// What the visitor still waits for.
    fn waits(&mut self, seq: u64, record: &Record) {
        match record {
            Record::VisitorWrote { .. } => self.open.push((seq, false)),
            Record::PersonRequested { .. } => self.open.push((seq, true)),
            Record::AssistantAnswered { answers: Some((_, through)), .. } => {
                self.open.retain(|(open, _)| open > through);
            }
            Record::AgentWrote { .. } | Record::Closed { .. } => self.open.clear(),
            Record::Exempted { reason: Exemption::Closed } => self.open.clear(),
            Record::Exempted { .. } => self.open.retain(|(open, _)| open + 1 != seq),
            Record::ReturnedToAi { .. } => {
                self.open.retain(|(_, request)| !request);
                self.returned = seq;
            }
            Record::Snoozed { .. } => self.snoozed = Some(seq),
            Record::Unsnoozed => self.snoozed = None,
            Record::WentOffline { .. } => self.offline = Some(seq),
            Record::CameBack { .. } => self.offline = None,
            _ => {}
        }
        let speaks = record.is_public() && !matches!(record, Record::Noticed { .. });
        if speaks {
            self.last_public = seq;
        }
        if let Record::AgentWrote { agent, .. } = record
            && self.assignee == Some(*agent)
        {
            self.offline = None;
        }
        let open = &self.open;
        self.fired.retain(|seq| open.contains(&(*seq, false)));
        self.alarms.retain(|(anchor, _)| open.iter().any(|(seq, _)| seq == anchor));
    }

    /// Who holds it.
    fn hands(&mut self, record: &Record) {
        let entry = |to: &Entry| match to {
            Entry::Assistant => (Column::Assistant, None),
            Entry::Queue { .. } => (Column::Queue, None),
            Entry::Agent { agent } => (Column::Assigned, Some(*agent)),
        };
        let (column, assignee) = match record {
            Record::Started { to } | Record::Reopened { to, .. } => entry(to),
            Record::HandedOff { .. } | Record::Queued { .. } => (Column::Queue, None),
            Record::TookOver { agent, .. } | Record::Assigned { agent, .. } => {
                (Column::Assigned, Some(*agent))
            }
            Record::ReturnedToAi { .. } => (Column::Assistant, None),
            Record::Closed { .. } => (Column::Closed, None),
            _ => return,
        };
        (self.held, self.assignee) = (Some(column), assignee);
        (self.snoozed, self.offline) = (None, None);
    }

    /// The row says what the log says, and whoever waits is with somebody.
    fn row(&mut self, c: &Conversation) {
        let column = c.holder.column();
        self.holds(Law::Row, (self.held, self.assignee) == (Some(column), c.holder.assignee()));
        let runs = c.holder.turn().filter(|turn| matches!(turn.phase, Phase::Running { .. }));
        let running = runs.map(|turn| (turn.id, turn.attempt));
        self.holds(Law::Row, running == self.running.map(|r| (r.turn, r.attempt)));
        let message = self.open.iter().any(|(_, request)| !request);
        let request = self.open.iter().any(|(_, request)| *request);
        let oldest = self.open.first().map(|(seq, _)| *seq);
        match column {
            Column::Assistant => {
                self.holds(Law::Somebody, c.holder.turn().is_some() == message && !request);
                self.holds(Law::OneObligation, self.promised.is_none());
            }
            Column::Queue | Column::Assigned => {
                self.holds(Law::OneObligation, self.promised == oldest);
                self.holds(Law::Row, c.obligation.map(|open| open.anchor) == oldest);
            }
            Column::Closed => {
                self.holds(Law::Somebody, self.open.is_empty());
                self.holds(Law::OneObligation, self.promised.is_none());
            }
        }
    }

    /// A sentence leaves a node.
    pub fn releases(&mut self, worker: &Worker) {
        self.holds(Law::Drafts, !worker.silenced);
    }

    /// The visitor is told that their message is stored.
    pub fn acknowledges(&mut self, client_id: u8) {
        let stored = self.said.contains(&client_id);
        self.holds(Law::Acknowledged, stored);
    }
}
