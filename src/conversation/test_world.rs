//! Conversations for tests: events go in, the clock moves when told, the log is kept. [`Setup`] names the usual ones.

use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::ids::{AgentId, AssistantId, MessageId, TeamId};

pub const MINUTE: u64 = 60_000;

/// An event, said of the world in which it happens.
pub type When = fn(&World) -> Event;

pub fn id<T: From<Uuid>>(n: u128) -> T {
    T::from(Uuid::from_u128(n))
}

pub fn anna() -> AgentId {
    id(0xA1)
}

pub fn bert() -> AgentId {
    id(0xB2)
}

pub fn support() -> TeamId {
    id(0x51)
}

pub fn sales() -> TeamId {
    id(0x52)
}

pub fn robot() -> AssistantId {
    id(0xA0)
}

/// A conversation, what the world around it looks like, and its log so far.
#[derive(Debug, Clone)]
pub struct World {
    pub unborn: Conversation,
    pub c: Conversation,
    pub facts: Facts,
    pub log: Vec<(Actor, Record, Timestamp)>,
    ids: u128,
}

impl World {
    /// Nobody has said anything; the step that started it comes along.
    pub fn start(blocked: bool, assistant: Option<AssistantId>) -> (Self, Step) {
        let now = Timestamp::from_millis(1_900_000_000_000);
        let unborn = Conversation::unborn(id(1), id(2), id(3), id(4), now);
        let facts = Facts {
            now,
            assistant,
            last_human_available: true,
            anyone_online: true,
            turn_released: false,
            lease_expired: false,
            policy: Policy::default(),
            fresh: Fresh { turn: id(0), notices: [id(0), id(0)], alarm: id(0) },
        };
        let c = unborn.clone();
        let mut world = Self { unborn, c, facts, log: Vec::new(), ids: 0x1000 };
        world.refresh();
        let visitor = Actor::Visitor(world.c.contact);
        let step = super::start(world.c.clone(), visitor, blocked, &world.facts);
        world.accept(&step);
        (world, step)
    }

    pub fn new() -> Self {
        Self::start(false, Some(robot())).0
    }

    fn fresh<T: From<Uuid>>(&mut self) -> T {
        self.ids += 1;
        id(self.ids)
    }

    fn refresh(&mut self) {
        self.facts.fresh = Fresh {
            turn: self.fresh(),
            notices: [self.fresh(), self.fresh()],
            alarm: self.fresh(),
        };
    }

    fn accept(&mut self, step: &Step) {
        self.c = step.next.clone();
        let now = self.facts.now;
        self.log.extend(step.records.iter().map(|(actor, record)| (*actor, record.clone(), now)));
    }

    /// Steps; an accepted step becomes the state.
    pub fn put(&mut self, event: &Event) -> Result<Step, Refused> {
        self.refresh();
        let step = step(&self.c, event, &self.facts)?;
        self.accept(&step);
        Ok(step)
    }

    /// Steps where a refusal would be a mistake of the test.
    pub fn then(mut self, event: impl Fn(&Self) -> Event) -> Self {
        let event = event(&self);
        if let Err(refused) = self.put(&event) {
            panic!("{event:?} was refused: {refused}");
        }
        self
    }

    pub fn after(mut self, millis: u64) -> Self {
        self.facts.now = self.facts.now + std::time::Duration::from_millis(millis);
        self
    }

    pub fn with(mut self, change: impl Fn(&mut Facts)) -> Self {
        change(&mut self.facts);
        self
    }

    /// The log as it would be stored.
    pub fn stored(&self) -> Vec<Logged> {
        let mut c = self.unborn.clone();
        let mut log = Vec::new();
        for (actor, record, at) in &self.log {
            c.apply(record, *at);
            let kind = match record {
                Record::Noticed { .. } => MessageKind::Notice,
                Record::Noted { .. } => MessageKind::Note,
                Record::ReturnedToAi { .. } => MessageKind::ReturnNote,
                _ => MessageKind::Text,
            };
            let (turn, answers) = match record {
                Record::AssistantAnswered { turn, answers, .. } => (Some(*turn), *answers),
                _ => (None, None),
            };
            let notice = match record {
                Record::Noticed { code, .. } => Some(code.as_str().to_owned()),
                _ => None,
            };
            let message = record.message().map(|id| Message {
                id,
                seq: c.seq,
                public_seq: record.is_public().then_some(c.public_seq),
                kind,
                notice,
                author: *actor,
                author_name: None,
                text: "words".to_owned(),
                citations: Vec::new(),
                client_id: None,
                turn,
                answers,
                incomplete: false,
                flags: Vec::new(),
                at: *at,
            });
            let (seq, epoch) = (c.seq, c.epoch);
            let (actor, record) = (*actor, record.clone());
            log.push(Logged { seq, epoch, at: *at, actor, record, message, evidence: None });
        }
        log
    }

    /// The kinds of what was logged since the mark, in order.
    pub fn kinds_since(&self, mark: usize) -> String {
        self.log[mark..].iter().map(|(_, r, _)| describe(r)).collect::<Vec<_>>().join(" ")
    }

    /// A message id that is not taken yet.
    pub fn message(&self) -> MessageId {
        id(0x9_0000_0000 + u128::from(self.c.seq))
    }

    pub fn by(&self, agent: AgentId) -> By {
        By { agent, expected_epoch: Some(self.c.epoch) }
    }

    pub fn stale(&self, agent: AgentId) -> By {
        By { agent, expected_epoch: Some(self.c.epoch.wrapping_sub(1)) }
    }

    /// The fence of the current turn; of no turn at all if there is none.
    pub fn fence(&self) -> Fence {
        self.c.holder.turn().map_or(
            Fence { epoch: self.c.epoch, turn: id(0xDEAD), attempt: 1 },
            |turn| Fence { epoch: self.c.epoch, turn: turn.id, attempt: turn.attempt },
        )
    }

    /// The pending timer of a kind, due or not; of no event at all if there is none.
    pub fn timer(&self, kind: TimerKind) -> Event {
        let pending = self.c.timers(&self.facts.policy).into_iter().find(|t| t.kind == kind);
        Event::TimerFired { kind, anchor: pending.map_or(0, |t| t.anchor) }
    }

    pub fn due_in(&self, kind: TimerKind) -> Option<u64> {
        let pending = self.c.timers(&self.facts.policy).into_iter().find(|t| t.kind == kind)?;
        u64::try_from(pending.due_at.millis() - self.facts.now.millis()).ok()
    }
}

pub fn wrote(w: &World) -> Event {
    Event::VisitorWrote { message: w.message(), bare_thanks: false }
}

pub fn thanked(w: &World) -> Event {
    Event::VisitorWrote { message: w.message(), bare_thanks: true }
}

pub fn asked(_: &World) -> Event {
    Event::VisitorAskedForPerson { via: RequestVia::Button }
}

pub fn leased(w: &World) -> Event {
    let fence = w.fence();
    Event::TurnLeased { turn: fence.turn, seen_attempt: fence.attempt }
}

pub fn answered(w: &World) -> Event {
    let reply = Reply { message: w.message(), still_unanswered: false };
    Event::TurnAnswered { fence: w.fence(), reply }
}

pub fn handed_off(w: &World) -> Event {
    Event::TurnHandsOff { fence: w.fence(), reason: HandoffCode::NoAnswer }
}

pub fn failed(w: &World) -> Event {
    Event::TurnFailed { fence: w.fence(), reason: HandoffCode::ModelFailed, released: None }
}

pub fn broke_off(w: &World) -> Event {
    let released = Some(w.message());
    Event::TurnFailed { fence: w.fence(), reason: HandoffCode::ModelFailed, released }
}

pub fn anna_takes_over(w: &World) -> Event {
    Event::AgentTakesOver { by: w.by(anna()), from_colleague: false }
}

pub fn anna_writes(w: &World) -> Event {
    Event::AgentWrites { by: w.by(anna()), message: w.message() }
}

pub fn anna_returns(w: &World) -> Event {
    Event::AssignToAi { by: w.by(anna()), note: None }
}

pub fn anna_closes(w: &World) -> Event {
    Event::Close { by: Closer::Agent(w.by(anna())), outcome: Outcome::Solved }
}

pub fn anna_snoozes(w: &World) -> Event {
    let until = w.facts.now + std::time::Duration::from_millis(60 * MINUTE);
    Event::Snooze { by: w.by(anna()), until }
}

pub fn blocked(_: &World) -> Event {
    Event::BlockContact { blocked: true }
}

/// What the owner wrote on their phone a minute ago.
pub fn echo(w: &World) -> Event {
    let sent_at = w.facts.now - std::time::Duration::from_millis(MINUTE);
    Event::ChannelEcho { owner: bert(), message: w.message(), sent_at }
}

pub fn anna_reopens(w: &World) -> Event {
    Event::Reopen { by: w.by(anna()) }
}

pub fn anna_goes(_: &World) -> Event {
    Event::AssigneePresence { agent: anna(), online: false }
}

pub fn to_support(w: &World) -> Event {
    Event::Assign { by: w.by(anna()), agent: None, team: Some(support()) }
}

macro_rules! setups {
    ($($name:ident = $world:expr;)*) => {
        /// How a conversation came to stand where it stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Setup { $($name,)* }
        impl Setup {
            pub fn named(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }
            pub fn world(self) -> World {
                match self { $(Self::$name => $world,)* }
            }
        }
    };
}

setups! {
    // The assistant holds it: …
    // … nothing was said,
    Fresh = World::new();
    // … a reply is due and may be leased,
    Due = World::new().then(wrote).after(400);
    // … a reply is being written,
    Running = Setup::Due.world().then(leased);
    // … and its first sentence is out,
    Released = Setup::Running.world().with(|f| f.turn_released = true);
    // … and its worker is gone,
    LeaseLost = Setup::Running.world().with(|f| f.lease_expired = true);
    // … and two before it were superseded,
    SupersededTwice = Setup::Running.world().then(wrote).after(400).then(leased).then(wrote).after(400).then(leased);
    // … and the question is 15 s old,
    SlowTurn = Setup::Running.world().after(14_600);
    // … and more was said after the release,
    Overtaken = Setup::Released.world().then(wrote);
    // … but its assistant may not any more,
    Stopped = Setup::Running.world().with(|f| f.assistant = None);
    // … or is due and may not be written any more,
    DueStopped = Setup::Due.world().with(|f| f.assistant = None);
    // … everything is answered,
    Answered = Setup::Running.world().then(answered);
    // … since a person handed it back, and a reply is being written,
    Returned = Setup::Assigned.world().after(5 * MINUTE).then(anna_returns).after(400).then(leased);
    // … the reply has taken a minute,
    Overdue = Setup::Running.world().after(MINUTE);
    // … nobody has spoken for 15 minutes,
    Quiet = Setup::Answered.world().after(15 * MINUTE);
    // … or for an hour.
    Silent = Setup::Answered.world().after(60 * MINUTE);
    // It is in the queue: …
    // … the visitor waits,
    Queue = Setup::Running.world().then(handed_off);
    // … and was told five minutes ago,
    ToldLongAgo = Setup::Queue.world().after(5 * MINUTE);
    // … set aside for an hour,
    SnoozedQueue = Setup::Queue.world().then(anna_snoozes);
    // … after the AI had it back once,
    QueueAgain = Setup::Returned.world().then(handed_off);
    // … for ten minutes,
    QueueMissed = Setup::Queue.world().after(10 * MINUTE);
    // … in the queue of a team,
    TeamQueue = Setup::Queue.world().then(to_support);
    // … of a blocked contact.
    BlockedQueue = World::start(true, Some(robot())).0;
    // Anna has it: …
    // … the visitor waits,
    Assigned = Setup::Running.world().then(anna_takes_over);
    // … she has replied,
    Replied = Setup::Assigned.world().then(anna_writes);
    // … set aside for an hour,
    Snoozed = Setup::Assigned.world().then(anna_snoozes);
    // … which is over,
    SnoozeOver = Setup::Snoozed.world().after(60 * MINUTE);
    // … she went offline,
    Offline = Setup::Assigned.world().then(anna_goes);
    // … ten minutes ago, the visitor waiting,
    OfflineLong = Setup::Offline.world().after(10 * MINUTE);
    // … after the AI had it back once,
    AssignedAgain = Setup::Returned.world().then(anna_takes_over);
    // … she let the visitor wait for ten minutes,
    Missed = Setup::Assigned.world().after(10 * MINUTE);
    // … of a blocked contact.
    BlockedAssigned = Setup::Blocked.world().then(anna_reopens);
    // It is closed: …
    // … by Anna a moment ago,
    Closed = Setup::Replied.world().then(anna_closes);
    // … more than ten minutes ago,
    ClosedLong = Setup::Closed.world().after(10 * MINUTE + 1);
    // … after the AI had it back once,
    ClosedAgain = Setup::Returned.world().then(anna_closes);
    // … because the contact is blocked,
    Blocked = Setup::Closed.world().then(blocked);
    // … because the contact was erased.
    Erased = Setup::Closed.world().then(|_| Event::EraseContact);
}

/// A record as the tables of the tests name it: its kind, and what tells it from others of its kind.
pub fn describe(record: &Record) -> String {
    let kind = serde_json::to_value(record).expect("serialises")["kind"].clone();
    let kind = kind.as_str().expect("has a kind");
    let entry = |to: &Entry| match to {
        Entry::Assistant => "assistant",
        Entry::Queue { .. } => "queue",
        Entry::Agent { .. } => "agent",
    };
    let detail = match record {
        Record::Started { to } | Record::Reopened { to, .. } => entry(to),
        Record::Exempted { reason } => reason.as_str(),
        Record::TurnCancelled { reason, .. } => match reason {
            CancelReason::Takeover => "takeover",
            CancelReason::PersonRequested => "person",
            CancelReason::Closed => "closed",
            CancelReason::AiOff => "ai_off",
            CancelReason::Deadline => "deadline",
            CancelReason::LateEcho => "late_echo",
        },
        Record::HandedOff { reason, .. } | Record::Queued { reason, .. } => reason.as_str(),
        Record::Noticed { code, .. } => code.as_str(),
        Record::Closed { outcome, .. } => outcome.as_str(),
        Record::ObligationEnded { by } => by.as_str(),
        Record::AlarmRaised { recipient, .. } => recipient.as_str(),
        _ => return kind.to_owned(),
    };
    format!("{kind}({detail})")
}
