//! The shell around the machine, as `commit` and the turn worker are: a unit loads and steps, later commits or conflicts.
//!
//! Between a unit's load and its COMMIT everything else may happen. The gates of stopped turns are shut when the unit has
//! stepped, before its COMMIT; whoever else has committed meanwhile makes it load again; what was acknowledged came after.

use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::model::Bounds;
use super::seen::{Seen, Sights};
use super::witness::Law;
use super::world::{Ask, Lease, NOW, Plan, Slot, State, Unit, Worker};
use crate::guard::Guard;

/// A state being moved on.
pub struct Moving<'m> {
    pub s: State,
    pub bounds: &'m Bounds,
    pub seen: &'m Sights,
}

impl Moving<'_> {
    /// Opens a unit: deduplicates, loads, steps, shuts the gates of what it stops. Without records there is nothing to commit.
    pub fn begin(&mut self, ask: Ask) {
        let slot = ask.slot.place();
        self.s.units[slot] = None;
        if let Some(client_id) = ask.client_id {
            if self.s.db.client_ids.contains(&client_id) && !Guard::ClientId.is_broken() {
                self.seen.note(Seen::Deduplicated);
                return self.heard(client_id);
            }
            if Guard::AckAfterCommit.is_broken() {
                self.heard(client_id);
            }
        }
        let facts = self.s.facts(&self.bounds.policy, ask.node, ask.now);
        let read = Arc::clone(&self.s.db.c);
        match step(&read, &ask.event, &facts) {
            Err(refused) => self.refused(&ask, refused),
            Ok(step) => {
                self.shut_gates(ask.node, &step);
                if step.records.is_empty() {
                    self.nothing_to_commit(&ask, &step);
                } else {
                    self.s.units[slot] = Some(Arc::new(Unit { ask, read, facts, step }));
                }
            }
        }
    }

    fn refused(&mut self, ask: &Ask, refused: Refused) {
        if refused.code == "stale_epoch" {
            self.seen.note(Seen::StaleScreen);
        }
        if matches!(ask.slot, Slot::Visitor | Slot::Again) {
            self.s.witness.breaks(Law::Refused);
        }
    }

    fn shut_gates(&mut self, node: usize, step: &Step) {
        for effect in &step.effects {
            if let Effect::StopTurn(turn) = effect
                && let Some(worker) = self.s.workers[node].as_mut().filter(|w| w.turn == *turn)
            {
                worker.shut = true;
            }
        }
    }

    fn nothing_to_commit(&mut self, ask: &Ask, step: &Step) {
        if step.effects.iter().any(|e| matches!(e, Effect::CloseTurn(_))) {
            self.seen.note(Seen::LateResult);
        }
        if let Event::TimerFired { .. } = ask.event {
            self.seen.note(Seen::StaleTimer);
        }
        if let Slot::Worker(node) = ask.slot {
            self.s.workers[node] = None;
        }
    }

    /// COMMIT, if the row is still the one that was read; else the unit runs again from its load.
    pub fn commit(&mut self, slot: Slot, heard: bool) {
        let Some(unit) = self.s.units[slot.place()].take() else { return };
        let now = Arc::clone(&self.s.db.c);
        let changed = (unit.read.seq, unit.read.epoch) != (now.seq, now.epoch);
        if changed && !Guard::CompareAndSet.is_broken() {
            self.seen.note(Seen::Conflict);
            return self.begin(unit.ask.clone());
        }
        let lease_over = self.s.db.lease.is_none_or(|lease| lease.over);
        self.sights(&unit, &now);
        self.superseded(&unit, &now);
        self.s.witness.commits(&unit, &now, lease_over);
        self.s.db.c = Arc::new(unit.step.next.clone());
        self.s.db.client_ids.extend(unit.ask.client_id);
        self.leases(&unit);
        let ended = now.holder.turn().map(|turn| turn.id);
        let ended = ended.filter(|id| self.s.db.c.holder.turn().is_none_or(|turn| turn.id != *id));
        if let Some(worker) = self.s.workers[unit.ask.node].as_mut()
            && ended == Some(worker.turn)
        {
            worker.silenced = true;
        }
        if let Slot::Worker(node) = slot {
            self.worker_committed(node, &unit);
        }
        if let Some(client_id) = unit.ask.client_id {
            if heard {
                self.heard(client_id);
            } else {
                self.seen.note(Seen::AckLost);
            }
        }
    }

    /// A turn whose present try has released a sentence is not superseded.
    fn superseded(&mut self, unit: &Unit, before: &Conversation) {
        let gone = |r: &Record| matches!(r, Record::TurnSuperseded { .. });
        if !unit.step.records.iter().any(|(_, r)| gone(r)) {
            return;
        }
        let turn = before.holder.turn().map(|turn| (turn.id, turn.attempt));
        let present = |w: &Worker| w.released && Some((w.turn, w.attempt)) == turn;
        if self.s.workers.iter().flatten().any(present) {
            self.s.witness.breaks(Law::Released);
        }
    }

    fn heard(&mut self, client_id: u8) {
        if !self.s.visitor.heard.contains(&client_id) {
            self.s.visitor.heard.push(client_id);
            self.s.witness.acknowledges(client_id);
        }
        if self.s.visitor.unheard.is_some_and(|(unheard, _)| unheard == client_id) {
            self.s.visitor.unheard = None;
        }
    }

    fn leases(&mut self, unit: &Unit) {
        let started = |r: &Record| matches!(r, Record::TurnStarted { .. });
        let running = |turn: &Turn| matches!(turn.phase, Phase::Running { .. });
        if unit.step.records.iter().any(|(_, r)| started(r)) {
            self.s.db.lease = Some(Lease { node: unit.ask.node, over: false });
        } else if !self.s.db.c.holder.turn().is_some_and(running) {
            self.s.db.lease = None;
        }
    }

    /// A worker goes on with what it leased, or is done.
    fn worker_committed(&mut self, node: usize, unit: &Unit) {
        let c = &self.s.db.c;
        let plan = match (&unit.ask.event, c.holder.turn()) {
            (Event::TurnLeased { turn, seen_attempt }, Some(now)) if now.id == *turn => {
                let fence = Fence { epoch: c.epoch, turn: *turn, attempt: seen_attempt + 1 };
                let from = c.unanswered.map_or(u64::MAX, |mark| mark.seq);
                let through = match now.phase {
                    Phase::Running { through, .. } => through,
                    Phase::Due { .. } => c.seq,
                };
                let messages = self.s.witness.open.iter().filter(|(_, request)| !request);
                let mut read =
                    messages.map(|(seq, _)| *seq).filter(|s| (from..=through).contains(s));
                let evidence = read.find(|seq| *seq > c.evidence_after());
                Some(Plan { fence, evidence })
            }
            _ => None,
        };
        match (plan, self.s.workers[node].as_mut()) {
            (Some(plan), Some(worker)) => worker.plan = Some(plan),
            _ => self.s.workers[node] = None,
        }
    }

    /// The unit is rolled back; the shut gates stay shut. A worker tries to commit its result again.
    pub fn fail(&mut self, slot: Slot) {
        let Some(unit) = self.s.units[slot.place()].take() else { return };
        if unit.step.effects.iter().any(|e| matches!(e, Effect::StopTurn(_))) {
            self.seen.note(Seen::RolledBackStop);
        }
        match unit.ask.event {
            Event::TurnLeased { .. } => {
                if let Slot::Worker(node) = slot {
                    self.s.workers[node] = None;
                }
            }
            Event::TurnAnswered { .. } | Event::TurnHandsOff { .. } | Event::TurnFailed { .. } => {
                self.begin(unit.ask.clone());
            }
            _ => {}
        }
    }

    /// Everything in the node's memory is gone; its database transactions are rolled back.
    pub fn crash(&mut self, node: usize) {
        if self.s.units.iter().flatten().any(|unit| unit.ask.node == node) {
            self.seen.note(Seen::CrashedUnit);
        }
        if self.s.workers[node].as_ref().is_some_and(|w| w.released) {
            self.seen.note(Seen::CrashedTurn);
        }
        self.s.workers[node] = None;
        for unit in &mut self.s.units {
            if unit.as_ref().is_some_and(|unit| unit.ask.node == node) {
                *unit = None;
            }
        }
    }

    /// Opens the gate, then wants the lease.
    pub fn take(&mut self, node: usize) {
        let Some(turn) = self.s.db.c.holder.turn().copied() else { return };
        self.s.workers[node] = Some(Worker {
            turn: turn.id,
            attempt: turn.attempt + 1,
            plan: None,
            shut: false,
            released: false,
            silenced: false,
        });
        let event = Event::TurnLeased { turn: turn.id, seen_attempt: turn.attempt };
        self.ask(Slot::Worker(node), node, event);
    }

    /// A sentence at the gate.
    pub fn release(&mut self, node: usize) {
        let Some(worker) = self.s.workers[node].as_mut() else { return };
        if worker.shut && !Guard::Gate.is_broken() {
            self.seen.note(Seen::GateShut);
            self.s.workers[node] = None;
            return;
        }
        worker.released = true;
        self.s.witness.releases(worker);
    }

    pub fn ask(&mut self, slot: Slot, node: usize, event: Event) {
        let now = NOW;
        self.begin(Ask { slot, node, event, now, client_id: None, evidence: None });
    }

    /// A timer fires at its time, or now if that has passed.
    pub fn fire(&mut self, timer: Timer, node: usize) {
        let event = Event::TimerFired { kind: timer.kind, anchor: timer.anchor };
        let now = timer.due_at.max(NOW);
        self.begin(Ask { slot: Slot::Clock, node, event, now, client_id: None, evidence: None });
    }

    /// What was worth seeing in this commit.
    fn sights(&self, unit: &Unit, before: &Conversation) {
        let has = |is: fn(&Record) -> bool| unit.step.records.iter().any(|(_, r)| is(r));
        let runs = before.holder.turn().is_some_and(|t| matches!(t.phase, Phase::Running { .. }));
        let workers = || self.s.workers.iter().flatten();
        let released = workers().any(|w| w.released && w.plan.is_some());
        for (_, record) in &unit.step.records {
            let sight = match record {
                Record::TookOver { .. } if runs && released => Seen::TakeoverAfterRelease,
                Record::TookOver { .. } if runs => Seen::TakeoverOfTurn,
                Record::TookOver { from: Some(_), .. } => Seen::FromColleague,
                Record::TurnStarted { attempt: 2.., .. } => Seen::Retaken,
                Record::TurnSuperseded { .. } => Seen::Superseded,
                Record::AssistantAnswered { answers: None, .. } => Seen::BrokeOff,
                Record::AssistantAnswered { .. }
                    if has(|r| matches!(r, Record::TurnDue { .. })) =>
                {
                    Seen::Overtaken
                }
                Record::AssistantAnswered { .. } if before.returned.is_some() => {
                    Seen::AnsweredAfterReturn
                }
                Record::AssistantAnswered { .. } => Seen::Answered,
                Record::HandedOff { .. } if unit.ask.evidence.is_some() => {
                    Seen::HandedOffOnEvidence
                }
                Record::HandedOff { reason: HandoffCode::Deadline, .. } => Seen::Deadline,
                Record::AlarmRaised { recipient: AlarmFor::Owners, .. } => Seen::OwnersAlarmed,
                Record::Exempted { reason: Exemption::Thanks } => Seen::Thanks,
                Record::Exempted { reason: Exemption::Closed } => Seen::ClosedOver,
                Record::Reopened { .. } => Seen::Reopened,
                Record::Unsnoozed => Seen::Woken,
                Record::LateEcho { .. } => Seen::LateEcho,
                _ => continue,
            };
            self.seen.note(sight);
        }
    }
}

/// Just after the only moment there is.
pub fn later() -> crate::clock::Timestamp {
    NOW + Duration::from_millis(1)
}
