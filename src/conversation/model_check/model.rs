//! The model: what may happen next in a state, and what must hold in every state.

use std::sync::Arc;

use stateright::{Model, Property};

use super::super::test_world::support;
use super::super::*;
use super::seen::{Seen, Sights};
use super::shell::{Moving, later};
use super::witness::Law;
use super::world::{Ask, Left, NOW, Slot, State, Worker, agent};
use crate::ids::MessageId;

/// What a run covers: all that its actors can do within these bounds, in every order.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub name: &'static str,
    pub left: Left,
    /// What each agent may do.
    pub moves: [&'static [Move]; 2],
    /// How a reply may end.
    pub endings: &'static [Ending],
    /// How many units may be between load and COMMIT at once.
    pub units: usize,
    pub policy: Policy,
    /// What must come up.
    pub sights: &'static [Seen],
}

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    TakeOver,
    TakeFromColleague,
    Write,
    AssignColleague,
    AssignTeam,
    Requeue,
    ReturnToAi,
    Snooze,
    Close,
    Reopen,
    AiOff,
    AiOn,
    Echo,
    LateEcho,
}

/// How a reply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Answer,
    HandOff,
    Fail,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    VisitorWrites { thanks: bool, node: usize },
    VisitorSendsAgain { node: usize },
    VisitorAsks { node: usize },
    Looks { who: usize },
    Does { who: usize, what: Move },
    Takes { node: usize },
    Releases { node: usize },
    Ends { node: usize, ending: Ending },
    Fires { timer: usize, node: usize },
    Commits { slot: Slot },
    CommitsUnheard { slot: Slot },
    Fails { slot: Slot },
    Crashes { node: usize },
    LeaseRunsOut,
    AssistantSwitched,
    AssigneePresence { online: bool },
}

/// The model of one set of bounds.
pub struct Baton {
    pub bounds: Bounds,
    pub seen: Arc<Sights>,
}

impl Baton {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, seen: Arc::default() }
    }

    /// The nodes that a request may come in at: where no turn runs they are alike.
    fn doors(s: &State) -> &'static [usize] {
        if s.workers.iter().all(Option::is_none) { &[0] } else { &[0, 1] }
    }

    fn requests(s: &State, actions: &mut Vec<Action>) {
        let left = &s.left;
        let free = |slot: Slot| s.units[slot.place()].is_none();
        for node in Self::doors(s).iter().copied() {
            match s.visitor.unheard {
                None if free(Slot::Visitor) => {
                    if left.words > 0 {
                        actions.push(Action::VisitorWrites { thanks: false, node });
                    }
                    if left.thanks > 0 {
                        actions.push(Action::VisitorWrites { thanks: true, node });
                    }
                    if left.asks > 0 {
                        actions.push(Action::VisitorAsks { node });
                    }
                }
                Some(_) if free(Slot::Again) => actions.push(Action::VisitorSendsAgain { node }),
                _ => {}
            }
        }
    }

    fn people(&self, s: &State, actions: &mut Vec<Action>) {
        for who in 0..2 {
            if s.left.commands[who] == 0 || s.units[Slot::Agent(who).place()].is_some() {
                continue;
            }
            if s.screens[who] != s.db.c.epoch {
                actions.push(Action::Looks { who });
            }
            if s.open_units() < self.bounds.units {
                let moves = self.bounds.moves[who].iter();
                actions.extend(moves.map(|what| Action::Does { who, what: *what }));
            }
        }
    }

    /// What the system does by itself.
    fn work(&self, s: &State, actions: &mut Vec<Action>) {
        let room = s.open_units() < self.bounds.units;
        let due = s.db.c.holder.turn().is_some_and(|turn| match turn.phase {
            Phase::Due { .. } => true,
            Phase::Running { .. } => s.db.lease.is_none_or(|lease| lease.over),
        });
        for node in 0..2 {
            match &s.workers[node] {
                None if due && room => actions.push(Action::Takes { node }),
                Some(worker @ Worker { plan: Some(plan), .. })
                    if s.units[Slot::Worker(node).place()].is_none() =>
                {
                    if !worker.released || worker.shut {
                        actions.push(Action::Releases { node });
                    }
                    if !worker.shut && room {
                        let may =
                            |ending: &Ending| *ending != Ending::HandOff || plan.evidence.is_some();
                        let endings = self.bounds.endings.iter().copied().filter(may);
                        actions.extend(endings.map(|ending| Action::Ends { node, ending }));
                    }
                }
                _ => {}
            }
        }
        if room && s.units[Slot::Clock.place()].is_none() && s.left.timers > 0 {
            let timers = s.db.c.timers(&self.bounds.policy).len();
            let doors = Self::doors(s).iter();
            actions
                .extend(doors.flat_map(|node| {
                    (0..timers).map(|timer| Action::Fires { timer, node: *node })
                }));
        }
        for slot in Slot::ALL {
            if s.units[slot.place()].is_some() {
                actions.push(Action::Commits { slot });
            }
        }
    }

    fn accidents(s: &State, actions: &mut Vec<Action>) {
        for slot in Slot::ALL {
            let Some(unit) = &s.units[slot.place()] else { continue };
            let now = &s.db.c;
            let commits = (unit.read.seq, unit.read.epoch) == (now.seq, now.epoch);
            if s.left.unheard > 0 && unit.ask.client_id.is_some() && commits {
                actions.push(Action::CommitsUnheard { slot });
            }
            if s.left.fails > 0 {
                actions.push(Action::Fails { slot });
            }
        }
        if s.left.crashes > 0 {
            let alive = |node: &usize| {
                s.workers[*node].is_some() || s.units.iter().flatten().any(|u| u.ask.node == *node)
            };
            actions.extend((0..2).filter(alive).map(|node| Action::Crashes { node }));
        }
        if s.left.leases > 0 && s.db.lease.is_some_and(|lease| !lease.over) {
            actions.push(Action::LeaseRunsOut);
        }
        if s.left.switches > 0 {
            actions.push(Action::AssistantSwitched);
        }
        if s.left.presence > 0
            && let Holder::Assigned { offline, .. } = &s.db.c.holder
        {
            actions.push(Action::AssigneePresence { online: offline.is_some() });
        }
    }

    /// Whether the system has nothing left to do by itself, timers that ran out of the bound apart.
    fn quiet(&self, s: &State) -> bool {
        let mut work = Vec::new();
        self.work(s, &mut work);
        work.is_empty()
            && s.workers.iter().all(Option::is_none)
            && s.db.c.timers(&self.bounds.policy).is_empty()
    }

    /// The machine's word for what an agent does.
    fn event(s: &mut State, who: usize, what: Move) -> Event {
        let agent_id = agent(who);
        let by = By { agent: agent_id, expected_epoch: Some(s.screens[who]) };
        let message: MessageId = s.fresh();
        match what {
            Move::TakeOver => Event::AgentTakesOver { by, from_colleague: false },
            Move::TakeFromColleague => Event::AgentTakesOver { by, from_colleague: true },
            Move::Write => Event::AgentWrites { by, message },
            Move::AssignColleague => Event::Assign { by, agent: Some(agent(1 - who)), team: None },
            Move::AssignTeam => Event::Assign { by, agent: None, team: Some(support()) },
            Move::Requeue => Event::ReturnToQueue { by },
            Move::ReturnToAi => Event::AssignToAi { by, note: Some(message) },
            Move::Snooze => Event::Snooze { by, until: later() },
            Move::Close => Event::Close { by: Closer::Agent(by), outcome: Outcome::Solved },
            Move::Reopen => Event::Reopen { by },
            Move::AiOff => Event::SetAiMode { by, mode: AiMode::Off },
            Move::AiOn => Event::SetAiMode { by, mode: AiMode::On },
            // After any return, or before it.
            Move::Echo => {
                let sent_at = later() + std::time::Duration::from_millis(1);
                Event::ChannelEcho { owner: agent_id, message, sent_at }
            }
            Move::LateEcho => {
                let sent_at = NOW - std::time::Duration::from_millis(1);
                Event::ChannelEcho { owner: agent_id, message, sent_at }
            }
        }
    }

    fn writes(&self, moving: &mut Moving<'_>, node: usize, slot: Slot) {
        let Some((client_id, bare_thanks)) = moving.s.visitor.unheard else { return };
        let event = Event::VisitorWrote { message: moving.s.fresh(), bare_thanks };
        let client_id = Some(client_id);
        moving.begin(Ask { slot, node, event, now: NOW, client_id, evidence: None });
    }

    fn ends(moving: &mut Moving<'_>, node: usize, ending: Ending) {
        let Some(worker) = moving.s.workers[node].clone() else { return };
        let Some(plan) = worker.plan else { return };
        let fence = plan.fence;
        let message: MessageId = moving.s.fresh();
        let event = match ending {
            Ending::Answer => {
                Event::TurnAnswered { fence, reply: Reply { message, still_unanswered: false } }
            }
            Ending::HandOff => Event::TurnHandsOff { fence, reason: HandoffCode::Worded },
            Ending::Fail => {
                let released = worker.released.then_some(message);
                Event::TurnFailed { fence, reason: HandoffCode::ModelFailed, released }
            }
        };
        let evidence = plan.evidence.filter(|_| ending == Ending::HandOff);
        let slot = Slot::Worker(node);
        moving.begin(Ask { slot, node, event, now: NOW, client_id: None, evidence });
    }
}

impl Model for Baton {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::start(self.bounds.left, &self.bounds.policy)]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        // Past a broken law nothing is of interest.
        if s.witness.broken.any() {
            return;
        }
        if s.open_units() < self.bounds.units {
            Self::requests(s, actions);
        }
        self.people(s, actions);
        self.work(s, actions);
        Self::accidents(s, actions);
    }

    fn next_state(&self, s: &State, action: Action) -> Option<State> {
        let mut moving = Moving { s: s.clone(), bounds: &self.bounds, seen: &self.seen };
        let left = &mut moving.s.left;
        match action {
            Action::VisitorWrites { thanks, node } => {
                *(if thanks { &mut left.thanks } else { &mut left.words }) -= 1;
                moving.s.visitor.ids += 1;
                moving.s.visitor.unheard = Some((moving.s.visitor.ids, thanks));
                self.writes(&mut moving, node, Slot::Visitor);
            }
            Action::VisitorSendsAgain { node } => self.writes(&mut moving, node, Slot::Again),
            Action::VisitorAsks { node } => {
                left.asks -= 1;
                moving.ask(
                    Slot::Visitor,
                    node,
                    Event::VisitorAskedForPerson { via: RequestVia::Button },
                );
            }
            Action::Looks { who } => moving.s.screens[who] = moving.s.db.c.epoch,
            Action::Does { who, what } => {
                left.commands[who] -= 1;
                let event = Self::event(&mut moving.s, who, what);
                moving.ask(Slot::Agent(who), who, event);
            }
            Action::Takes { node } => moving.take(node),
            Action::Releases { node } => moving.release(node),
            Action::Ends { node, ending } => Self::ends(&mut moving, node, ending),
            Action::Fires { timer, node } => {
                left.timers -= 1;
                let timer = *s.db.c.timers(&self.bounds.policy).get(timer)?;
                moving.fire(timer, node);
            }
            Action::Commits { slot } => moving.commit(slot, true),
            Action::CommitsUnheard { slot } => {
                left.unheard -= 1;
                moving.commit(slot, false);
            }
            Action::Fails { slot } => {
                left.fails -= 1;
                moving.fail(slot);
            }
            Action::Crashes { node } => {
                left.crashes -= 1;
                moving.crash(node);
            }
            Action::LeaseRunsOut => {
                left.leases -= 1;
                moving.s.db.lease.as_mut()?.over = true;
            }
            Action::AssistantSwitched => {
                left.switches -= 1;
                moving.s.assistant = !s.assistant;
            }
            Action::AssigneePresence { online } => {
                left.presence -= 1;
                let agent = s.db.c.holder.assignee()?;
                moving.ask(Slot::Clock, 0, Event::AssigneePresence { agent, online });
            }
        }
        moving.s.seal();
        (moving.s != *s).then_some(moving.s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! always {
            ($($law:ident)*) => {
                [$(Property::<Self>::always(Law::$law.says(), |_, s| !s.witness.broken.has(Law::$law)),)*]
            };
        }
        macro_rules! sometimes {
            ($($sight:ident)*) => {
                [$((Seen::$sight, Property::<Self>::sometimes(Seen::$sight.says(), |m, _| m.seen.has(Seen::$sight))),)*]
            };
        }
        let mut properties = Vec::from(always! {
            OneVoice Silence Drafts StaleScreen Acknowledged Somebody Ranges ClientId OneTry Numbers Epoch Row
            Trigger OneObligation Ended Timers Released Refused
        });
        properties.push(Property::always(
            "laws 3 and 8: when the system has nothing left to do, whoever waits has a person who was alarmed",
            |m: &Self, s: &State| {
                let waits = s.witness.open.first();
                let Some((oldest, _)) = waits.filter(|_| m.quiet(s)) else { return true };
                let alarmed = |step| s.witness.alarms.contains(&(*oldest, step));
                s.db.c.holder.is_human() && alarmed(2)
            },
        ));
        let sights = sometimes! {
            TakeoverOfTurn TakeoverAfterRelease FromColleague LateResult Retaken Superseded Overtaken Answered
            AnsweredAfterReturn BrokeOff HandedOffOnEvidence Deadline OwnersAlarmed Thanks ClosedOver Reopened Woken
            LateEcho StaleScreen StaleTimer Conflict Deduplicated AckLost GateShut RolledBackStop CrashedUnit CrashedTurn
        };
        assert_eq!(sights.len(), Seen::ALL.len());
        let wanted = |(seen, _): &(Seen, _)| self.bounds.sights.contains(seen);
        properties.extend(sights.into_iter().filter(wanted).map(|(_, property)| property));
        properties
    }
}
