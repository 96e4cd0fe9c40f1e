//! The laws, over random stories: what holds after every step, whoever did what in which order.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` widen the search; by default it is the same on every run.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use super::property_laws::{Before, check_log, check_step};
use super::test_world::*;
use super::*;
use crate::ids::AgentId;

/// Something that happens, said without knowing how the conversation stands.
#[derive(Debug, Clone)]
enum Op {
    Wait(u64),
    /// Which assistant may hold from now on, if any.
    Assistant(Option<u8>),
    SomeoneOnline(bool),
    LastHumanAvailable(bool),
    SentenceReleased,
    LeaseLost,
    VisitorWrote {
        thanks: bool,
    },
    VisitorAsked,
    Leased {
        fence: Which,
    },
    Answered {
        fence: Which,
        still_unanswered: bool,
    },
    HandedOff {
        fence: Which,
    },
    Failed {
        fence: Which,
        released: bool,
    },
    TakesOver {
        agent: u8,
        seen: Seen,
        from_colleague: bool,
    },
    Writes {
        agent: u8,
        seen: Seen,
    },
    Notes {
        agent: u8,
    },
    Assigns {
        agent: u8,
        seen: Seen,
        to: Option<u8>,
        team: Option<u8>,
    },
    ReturnsToQueue {
        agent: u8,
        seen: Seen,
    },
    AssignsToAi {
        agent: u8,
        seen: Seen,
    },
    Snoozes {
        agent: u8,
        seen: Seen,
        minutes: u64,
    },
    Closes {
        agent: Option<u8>,
        seen: Seen,
    },
    Reopens {
        agent: u8,
        seen: Seen,
    },
    Switches {
        agent: u8,
        seen: Seen,
        mode: u8,
    },
    Echo {
        seconds_ago: u64,
    },
    Block(bool),
    Removed {
        agent: u8,
    },
    Presence {
        agent: u8,
        online: bool,
    },
    Erased,
    /// One of the pending timers, at its time or before it.
    Timer {
        which: Index,
        early: bool,
    },
    /// One that was pending some time ago.
    OldTimer {
        which: Index,
    },
    Acknowledged,
}

/// The fence a turn result comes with.
#[derive(Debug, Clone)]
enum Which {
    Current,
    Former(Index),
    WrongTry,
    WrongEpoch,
}

/// The epoch on an agent's screen.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Current,
    Stale,
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        16 => Just(Which::Current),
        2 => any::<Index>().prop_map(Which::Former),
        1 => Just(Which::WrongTry),
        1 => Just(Which::WrongEpoch),
    ]
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![6 => Just(Seen::Current), 1 => Just(Seen::Stale)]
}

/// Scenes rather than single events: talk with the assistant has to last for a while to get anywhere.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let scene = prop_oneof![
        5 => prop::collection::vec(talk(), 1..16),
        3 => prop::collection::vec(people(), 1..6),
        4 => prop::collection::vec(around(), 1..5),
        3 => (0..2u8).prop_map(|agent| vec![Op::AssignsToAi { agent, seen: Seen::Current }]),
    ];
    prop::collection::vec(scene, 4..20).prop_map(|scenes| {
        let mut ops: Vec<Op> = scenes.into_iter().flatten().collect();
        ops.truncate(60);
        ops
    })
}

fn talk() -> impl Strategy<Value = Op> {
    prop_oneof![
        24 => prop::bool::weighted(0.2).prop_map(|thanks| Op::VisitorWrote { thanks }),
        24 => which().prop_map(|fence| Op::Leased { fence }),
        20 => (which(), any::<bool>())
            .prop_map(|(fence, still_unanswered)| Op::Answered { fence, still_unanswered }),
        2 => which().prop_map(|fence| Op::HandedOff { fence }),
        2 => (which(), any::<bool>()).prop_map(|(fence, released)| Op::Failed { fence, released }),
        4 => Just(Op::SentenceReleased),
        4 => Just(Op::LeaseLost),
        3 => (0..3_000u64).prop_map(Op::Wait),
        2 => (0..2u8).prop_map(|n| Op::Assistant(Some(n))),
        1 => Just(Op::VisitorAsked),
    ]
}

fn people() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::VisitorWrote { thanks: false }),
        1 => Just(Op::VisitorAsked),
        2 => (0..2u8, seen(), any::<bool>())
            .prop_map(|(agent, seen, from_colleague)| Op::TakesOver { agent, seen, from_colleague }),
        3 => (0..2u8, seen()).prop_map(|(agent, seen)| Op::Writes { agent, seen }),
        1 => (0..2u8).prop_map(|agent| Op::Notes { agent }),
        5 => (0..2u8, seen(), prop::option::of(0..2u8), prop::option::of(0..2u8))
            .prop_map(|(agent, seen, to, team)| Op::Assigns { agent, seen, to, team }),
        1 => (0..2u8, seen()).prop_map(|(agent, seen)| Op::ReturnsToQueue { agent, seen }),
        4 => (0..2u8, seen()).prop_map(|(agent, seen)| Op::AssignsToAi { agent, seen }),
        1 => (0..2u8, seen(), 0..90u64)
            .prop_map(|(agent, seen, minutes)| Op::Snoozes { agent, seen, minutes }),
        1 => (prop::option::of(0..2u8), seen()).prop_map(|(agent, seen)| Op::Closes { agent, seen }),
        1 => (0..2u8, seen()).prop_map(|(agent, seen)| Op::Reopens { agent, seen }),
        1 => (0..2u8, seen(), 0..3u8)
            .prop_map(|(agent, seen, mode)| Op::Switches { agent, seen, mode }),
    ]
}

fn around() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop_oneof![0..2_000u64, 0..20_000u64, 0..900_000u64].prop_map(Op::Wait),
        2 => prop::option::weighted(0.8, 0..2u8).prop_map(Op::Assistant),
        1 => any::<bool>().prop_map(Op::SomeoneOnline),
        1 => any::<bool>().prop_map(Op::LastHumanAvailable),
        3 => (0..900u64).prop_map(|seconds_ago| Op::Echo { seconds_ago }),
        1 => prop::bool::weighted(0.4).prop_map(Op::Block),
        1 => (0..2u8).prop_map(|agent| Op::Removed { agent }),
        2 => (0..2u8, any::<bool>()).prop_map(|(agent, online)| Op::Presence { agent, online }),
        8 => (any::<Index>(), prop::bool::weighted(0.1))
            .prop_map(|(which, early)| Op::Timer { which, early }),
        1 => any::<Index>().prop_map(|which| Op::OldTimer { which }),
        1 => Just(Op::Acknowledged),
        1 => Just(Op::Erased),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let reopen_to = [ReopenTo::Assistant, ReopenTo::LastHuman, ReopenTo::Queue];
    let missed = [AssigneeMissed::Alarm, AssigneeMissed::ReturnToQueue, AssigneeMissed::ReturnToAi];
    (prop::sample::select(reopen_to.to_vec()), prop::sample::select(missed.to_vec())).prop_map(
        |(reopen_to, assignee_missed)| Policy { reopen_to, assignee_missed, ..Policy::default() },
    )
}

fn agent(n: u8) -> AgentId {
    [anna(), bert()][usize::from(n % 2)]
}

/// A story: the world, and what its past left lying about.
struct Story {
    world: World,
    fences: Vec<Fence>,
    timers: Vec<Timer>,
}

impl Story {
    fn start(blocked: bool, assistant: bool, policy: Policy) -> Self {
        let (mut world, _) = World::start(blocked, assistant.then(robot));
        world.facts.policy = policy;
        world.facts.assistant = Some(robot());
        check_log(&world, 0);
        Self { world, fences: Vec::new(), timers: Vec::new() }
    }

    fn fence(&self, which: &Which) -> Fence {
        let current = self.world.fence();
        match which {
            Which::Current => current,
            Which::Former(_) if self.fences.is_empty() => current,
            Which::Former(index) => *index.get(&self.fences),
            Which::WrongTry => Fence { attempt: current.attempt + 1, ..current },
            Which::WrongEpoch => Fence { epoch: current.epoch.wrapping_sub(1), ..current },
        }
    }

    fn by(&self, n: u8, seen: Seen) -> By {
        match seen {
            Seen::Current => self.world.by(agent(n)),
            Seen::Stale => self.world.stale(agent(n)),
        }
    }

    /// Moves the world, or names the event that the conversation gets.
    fn event(&mut self, op: &Op) -> Option<Event> {
        let w = &mut self.world;
        match op {
            Op::Wait(millis) => {
                w.facts.now = w.facts.now + std::time::Duration::from_millis(*millis);
                return None;
            }
            Op::Assistant(which) => w.facts.assistant = which.map(|n| id(0xA0 + u128::from(n))),
            Op::SomeoneOnline(online) => w.facts.anyone_online = *online,
            Op::LastHumanAvailable(available) => w.facts.last_human_available = *available,
            Op::SentenceReleased => w.facts.turn_released = true,
            Op::LeaseLost => w.facts.lease_expired = true,
            Op::Leased { .. } => {
                w.facts.now = w.facts.now + std::time::Duration::from_millis(400);
            }
            Op::Timer { which, early: false } => {
                if let Some(timer) = self.pending(which) {
                    let now = &mut self.world.facts.now;
                    *now = (*now).max(timer.due_at);
                }
            }
            _ => {}
        }
        let w = &self.world;
        let message = w.message();
        let reason = HandoffCode::NoAnswer;
        Some(match op {
            Op::Wait(_)
            | Op::Assistant(_)
            | Op::SomeoneOnline(_)
            | Op::LastHumanAvailable(_)
            | Op::SentenceReleased
            | Op::LeaseLost => return None,
            Op::VisitorWrote { thanks } => Event::VisitorWrote { message, bare_thanks: *thanks },
            Op::VisitorAsked => asked(w),
            Op::Leased { fence } => {
                let fence = self.fence(fence);
                Event::TurnLeased { turn: fence.turn, seen_attempt: fence.attempt }
            }
            Op::Answered { fence, still_unanswered } => {
                let reply = Reply { message, still_unanswered: *still_unanswered };
                Event::TurnAnswered { fence: self.fence(fence), reply }
            }
            Op::HandedOff { fence } => Event::TurnHandsOff { fence: self.fence(fence), reason },
            Op::Failed { fence, released } => {
                let released = released.then_some(message);
                Event::TurnFailed { fence: self.fence(fence), reason, released }
            }
            Op::TakesOver { agent, seen, from_colleague } => {
                let by = self.by(*agent, *seen);
                Event::AgentTakesOver { by, from_colleague: *from_colleague }
            }
            Op::Writes { agent, seen } => {
                Event::AgentWrites { by: self.by(*agent, *seen), message }
            }
            Op::Notes { agent: n } => Event::AgentNotes { agent: agent(*n), message },
            Op::Assigns { agent: n, seen, to, team } => Event::Assign {
                by: self.by(*n, *seen),
                agent: to.map(agent),
                team: team.map(|n| [support(), sales()][usize::from(n)]),
            },
            Op::ReturnsToQueue { agent, seen } => {
                Event::ReturnToQueue { by: self.by(*agent, *seen) }
            }
            Op::AssignsToAi { agent, seen } => {
                Event::AssignToAi { by: self.by(*agent, *seen), note: Some(message) }
            }
            Op::Snoozes { agent, seen, minutes } => {
                let until = w.facts.now + std::time::Duration::from_millis(minutes * MINUTE);
                Event::Snooze { by: self.by(*agent, *seen), until }
            }
            Op::Closes { agent, seen } => {
                let by = agent
                    .map_or(Closer::Visitor(w.c.contact), |n| Closer::Agent(self.by(n, *seen)));
                Event::Close { by, outcome: Outcome::Solved }
            }
            Op::Reopens { agent, seen } => Event::Reopen { by: self.by(*agent, *seen) },
            Op::Switches { agent, seen, mode } => {
                let mode = [AiMode::On, AiMode::Draft, AiMode::Off][usize::from(*mode)];
                Event::SetAiMode { by: self.by(*agent, *seen), mode }
            }
            Op::Echo { seconds_ago } => {
                let sent_at = w.facts.now - std::time::Duration::from_secs(*seconds_ago);
                Event::ChannelEcho { owner: bert(), message, sent_at }
            }
            Op::Block(blocked) => Event::BlockContact { blocked: *blocked },
            Op::Removed { agent: n } => Event::AssigneeRemoved { agent: agent(*n) },
            Op::Presence { agent: n, online } => {
                Event::AssigneePresence { agent: agent(*n), online: *online }
            }
            Op::Erased => Event::EraseContact,
            Op::Timer { which, .. } => {
                let timer = self.pending(which)?;
                Event::TimerFired { kind: timer.kind, anchor: timer.anchor }
            }
            Op::OldTimer { which } if self.timers.is_empty() => {
                let _ = which;
                return None;
            }
            Op::OldTimer { which } => {
                let timer = which.get(&self.timers);
                Event::TimerFired { kind: timer.kind, anchor: timer.anchor }
            }
            Op::Acknowledged => Event::AcknowledgeAlarm { alarm: id(7), agent: anna() },
        })
    }

    fn pending(&self, which: &Index) -> Option<Timer> {
        let pending = self.world.c.timers(&self.world.facts.policy);
        (!pending.is_empty()).then(|| *which.get(&pending))
    }

    /// Goes on, and holds the step and the log against the laws.
    fn tell(&mut self, op: &Op) {
        let Some(event) = self.event(op) else { return };
        let before = Before::of(&self.world, &event);
        let result = self.world.put(&event);
        check_step(&before, &result, &self.world);
        check_log(&self.world, before.logged());
        self.remember(result);
    }

    /// Goes on without looking.
    fn tell_blindly(&mut self, op: &Op) {
        if let Some(event) = self.event(op) {
            let result = self.world.put(&event);
            self.remember(result);
        }
    }

    fn remember(&mut self, result: Result<Step, Refused>) {
        if let Ok(step) = result
            && step.records.iter().any(|(_, r)| matches!(r, Record::TurnStarted { .. }))
        {
            self.fences.push(self.world.fence());
            self.world.facts.turn_released = false;
            self.world.facts.lease_expired = false;
        }
        self.timers.extend(self.world.c.timers(&self.world.facts.policy));
    }
}

/// Stories per run: enough for every kind of record to come up several times, in a few seconds.
const CASES: u32 = 512;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_260_101),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let cases = default.cases.max(CASES);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_laws_hold_after_every_step(
        blocked in prop::bool::weighted(0.05),
        assistant in prop::bool::weighted(0.9),
        policy in policy(),
        ops in ops(),
    ) {
        let mut story = Story::start(blocked, assistant, policy);
        for op in &ops {
            story.tell(op);
        }
    }

    #[test]
    fn the_checker_of_logs_finds_nothing_in_any_story(
        assistant in prop::bool::weighted(0.9),
        policy in policy(),
        ops in ops(),
    ) {
        let mut story = Story::start(false, assistant, policy);
        for op in &ops {
            story.tell_blindly(op);
        }
        prop_assert_eq!(verify::verify(&story.world.c, &story.world.stored()), []);
    }
}
