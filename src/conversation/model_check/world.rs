//! What one state of the model is: the database, two nodes, the people around them, and the units of work that are open.

use std::sync::Arc;

use super::super::test_world::{anna, bert, id, robot};
use super::super::*;
use super::key::key;
use super::witness::Witness;
use crate::clock::Timestamp;
use crate::ids::{AgentId, TurnId};

/// The only moment there is, timers apart (see [`super`] on time).
pub const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

/// Everything at one moment.
#[derive(Debug, Clone)]
pub struct State {
    pub db: Database,
    /// What each node's turn worker does.
    pub workers: [Option<Worker>; 2],
    /// Units of work between load and COMMIT, by who asked.
    pub units: [Option<Arc<Unit>>; Slot::COUNT],
    pub visitor: Visitor,
    /// The epoch on the screens of Anna and Bert.
    pub screens: [u64; 2],
    /// An assistant is published and not stopped.
    pub assistant: bool,
    /// How much more may happen.
    pub left: Left,
    pub witness: Witness,
    /// Where fresh ids come from; not part of the key, since ids are only ever compared.
    ids: u128,
    key: Arc<[u8]>,
}

/// What is committed.
#[derive(Debug, Clone)]
pub struct Database {
    pub c: Arc<Conversation>,
    /// The lease of the running turn.
    pub lease: Option<Lease>,
    /// The visitor's own ids of the stored messages.
    pub client_ids: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub node: usize,
    /// It has run out.
    pub over: bool,
}

/// One try of a turn on a node, with its gate.
#[derive(Debug, Clone)]
pub struct Worker {
    pub turn: TurnId,
    pub attempt: u32,
    /// None until the lease is committed.
    pub plan: Option<Plan>,
    /// The gate is shut.
    pub shut: bool,
    /// A sentence is out.
    pub released: bool,
    /// This node has committed the end of the turn, so nothing more may be released here.
    pub silenced: bool,
}

/// What a try works on, as `turn::Plan` has it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub fence: Fence,
    /// The oldest message that may be evidence.
    pub evidence: Option<u64>,
}

/// A unit of work that has loaded the row, stepped, and not yet committed.
#[derive(Debug, Clone)]
pub struct Unit {
    pub ask: Ask,
    pub read: Arc<Conversation>,
    pub facts: Facts,
    pub step: Step,
}

/// What somebody wants committed.
#[derive(Debug, Clone)]
pub struct Ask {
    pub slot: Slot,
    pub node: usize,
    pub event: Event,
    pub now: Timestamp,
    pub client_id: Option<u8>,
    /// The message that a handoff names as its evidence.
    pub evidence: Option<u64>,
}

/// Who has a unit open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Visitor,
    /// The visitor's client tries again while its first request is still under way.
    Again,
    Agent(usize),
    Worker(usize),
    Clock,
}

impl Slot {
    pub const COUNT: usize = 7;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Visitor,
        Self::Again,
        Self::Agent(0),
        Self::Agent(1),
        Self::Worker(0),
        Self::Worker(1),
        Self::Clock,
    ];

    pub fn place(self) -> usize {
        match self {
            Self::Visitor => 0,
            Self::Again => 1,
            Self::Agent(n) => 2 + n,
            Self::Worker(n) => 4 + n,
            Self::Clock => 6,
        }
    }
}

/// The visitor's client.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    /// How many client ids it has used.
    pub ids: u8,
    /// The message it has not heard back about, and whether that is bare thanks.
    pub unheard: Option<(u8, bool)>,
    /// The client ids it was told are stored.
    pub heard: Vec<u8>,
}

/// How often things may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// The visitor writes.
    pub words: u8,
    /// The visitor says nothing but thanks.
    pub thanks: u8,
    /// The visitor asks for a person.
    pub asks: u8,
    /// Commands of each agent.
    pub commands: [u8; 2],
    /// An acknowledgement is lost.
    pub unheard: u8,
    /// A unit is rolled back by the database.
    pub fails: u8,
    /// A node dies.
    pub crashes: u8,
    /// A lease runs out.
    pub leases: u8,
    /// The assistant is stopped or started.
    pub switches: u8,
    /// The assignee's sockets go or come back.
    pub presence: u8,
    /// Timers fire.
    pub timers: u8,
}

impl Left {
    /// One more of everything that may happen in this run at all, accidents apart.
    pub fn deeper(self) -> Self {
        let more = |left: u8| left + u8::from(left > 0);
        Self {
            words: more(self.words),
            asks: more(self.asks),
            commands: self.commands.map(more),
            leases: more(self.leases),
            timers: more(self.timers),
            ..self
        }
    }
}

impl State {
    /// A conversation that has just started with the assistant.
    pub fn start(left: Left, policy: &Policy) -> Self {
        let unborn = Conversation::unborn(id(1), id(2), id(3), id(4), NOW);
        let mut ids = 0x1000;
        let facts = facts(policy, &mut ids);
        let actor = Actor::Visitor(unborn.contact);
        let step = super::super::start(unborn, actor, false, &facts);
        let mut witness = Witness::default();
        witness.started(&step);
        let screen = step.next.epoch;
        let mut state = Self {
            db: Database { c: Arc::new(step.next), lease: None, client_ids: Vec::new() },
            workers: [None, None],
            units: std::array::from_fn(|_| None),
            visitor: Visitor::default(),
            screens: [screen; 2],
            assistant: true,
            left,
            witness,
            ids,
            key: Arc::new([]),
        };
        state.seal();
        state
    }

    /// To be called when a state is complete: takes its key.
    pub fn seal(&mut self) {
        self.key = key(self).into();
    }

    /// What the world looks like to a unit on `node` at `now`.
    pub fn facts(&mut self, policy: &Policy, node: usize, now: Timestamp) -> Facts {
        let mut facts = facts(policy, &mut self.ids);
        facts.now = now;
        facts.assistant = self.assistant.then(robot);
        facts.lease_expired = self.db.lease.is_none_or(|lease| lease.over);
        // A try that does not run on this node may have released something.
        facts.turn_released = self.db.c.holder.turn().is_some_and(|turn| {
            self.workers[node].as_ref().is_none_or(|w| {
                (w.turn, w.attempt) != (turn.id, turn.attempt) || w.plan.is_none() || w.released
            })
        });
        facts
    }

    pub fn fresh<T: From<uuid::Uuid>>(&mut self) -> T {
        fresh(&mut self.ids)
    }

    pub fn open_units(&self) -> usize {
        self.units.iter().flatten().count()
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl std::hash::Hash for State {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

pub fn agent(n: usize) -> AgentId {
    [anna(), bert()][n]
}

fn fresh<T: From<uuid::Uuid>>(ids: &mut u128) -> T {
    *ids += 1;
    id(*ids)
}

fn facts(policy: &Policy, ids: &mut u128) -> Facts {
    Facts {
        now: NOW,
        assistant: Some(robot()),
        last_human_available: true,
        anyone_online: true,
        turn_released: false,
        lease_expired: false,
        policy: policy.clone(),
        fresh: Fresh { turn: fresh(ids), notices: [fresh(ids), fresh(ids)], alarm: fresh(ids) },
    }
}
