//! The runs: what each one's actors may do. Wide in one direction each, since all directions at once are too many.

use super::super::*;
use super::check;
use super::model::{Bounds, Ending, Move};
use super::seen::Seen;
use super::world::Left;

/// Every deadline is reached at once, but nothing idles out.
fn policy() -> Policy {
    Policy {
        ai_answer_ms: 0,
        human_answer_ms: 0,
        escalate_ms: 0,
        offline_return_ms: 0,
        idle_nudge_ms: 0,
        idle_close_ms: 0,
        debounce_ms: 0,
        max_supersedes: 1,
        supersede_within_ms: u64::MAX,
        ..Policy::default()
    }
}

const ALL: &[Ending] = &[Ending::Answer, Ending::HandOff, Ending::Fail];

/// Two nodes want the same turns: leases run out, a node dies, a person steps in.
#[test]
fn turns() {
    let bounds = Bounds {
        name: "turns",
        left: Left {
            words: 2,
            commands: [1, 0],
            leases: 1,
            crashes: 1,
            timers: 1,
            ..Left::default()
        },
        moves: [&[Move::TakeOver], &[]],
        endings: ALL,
        units: 2,
        policy: policy(),
        sights: &[
            Seen::TakeoverOfTurn,
            Seen::TakeoverAfterRelease,
            Seen::LateResult,
            Seen::Retaken,
            Seen::Superseded,
            Seen::Overtaken,
            Seen::Answered,
            Seen::BrokeOff,
            Seen::HandedOffOnEvidence,
            Seen::Deadline,
            Seen::Conflict,
            Seen::GateShut,
            Seen::CrashedUnit,
            Seen::CrashedTurn,
            Seen::StaleTimer,
        ],
    };
    check(bounds, 210_000);
}

/// Two agents want the same conversation while the AI writes in it.
#[test]
fn takeovers() {
    let bounds = Bounds {
        name: "takeovers",
        left: Left { words: 1, commands: [2, 1], leases: 1, ..Left::default() },
        moves: [
            &[Move::TakeOver, Move::Write, Move::ReturnToAi],
            &[Move::TakeOver, Move::TakeFromColleague, Move::Write],
        ],
        endings: &[Ending::Answer, Ending::HandOff],
        units: 2,
        policy: policy(),
        sights: &[
            Seen::TakeoverOfTurn,
            Seen::TakeoverAfterRelease,
            Seen::FromColleague,
            Seen::LateResult,
            Seen::Retaken,
            Seen::StaleScreen,
            Seen::Conflict,
            Seen::GateShut,
        ],
    };
    check(bounds, 84_000);
}

/// A conversation goes back to the AI, and the AI meets old words, old turns and old echoes.
#[test]
fn returns() {
    let bounds = Bounds {
        name: "returns",
        left: Left { words: 2, commands: [3, 0], ..Left::default() },
        moves: [&[Move::TakeOver, Move::ReturnToAi, Move::Write, Move::Echo, Move::LateEcho], &[]],
        endings: ALL,
        units: 2,
        policy: policy(),
        sights: &[
            Seen::TakeoverOfTurn,
            Seen::AnsweredAfterReturn,
            Seen::HandedOffOnEvidence,
            Seen::LateEcho,
            Seen::LateResult,
            Seen::BrokeOff,
        ],
    };
    check(bounds, 355_000);
}

fn promises(name: &'static str, assignee_missed: AssigneeMissed) -> Bounds {
    Bounds {
        name,
        left: Left { words: 1, commands: [1, 1], presence: 1, timers: 4, ..Left::default() },
        moves: [
            &[
                Move::TakeOver,
                Move::Snooze,
                Move::AssignTeam,
                Move::AssignColleague,
                Move::Requeue,
                Move::Write,
            ],
            &[Move::TakeFromColleague, Move::Write, Move::ReturnToAi],
        ],
        endings: &[Ending::HandOff],
        units: 2,
        policy: Policy { assignee_missed, ..policy() },
        sights: &[Seen::OwnersAlarmed, Seen::Woken, Seen::StaleTimer, Seen::Deadline],
    }
}

/// Somebody waits for a person: the ladder, snoozes, teams, colleagues who leave their desk.
#[test]
fn promises_with_alarms() {
    check(promises("promises with alarms", AssigneeMissed::Alarm), 340_000);
}

/// The same where a missed promise takes the conversation from the assignee.
#[test]
fn promises_that_move() {
    check(promises("promises that move", AssigneeMissed::ReturnToAi), 559_000);
}

/// Ends and new beginnings: closes, thanks, reopening, the AI switched off, quiet visitors.
#[test]
fn endings() {
    let bounds = Bounds {
        name: "endings",
        left: Left {
            words: 1,
            thanks: 1,
            commands: [1, 1],
            timers: 1,
            switches: 1,
            ..Left::default()
        },
        moves: [
            &[Move::Close, Move::Reopen, Move::Write, Move::AiOff, Move::AiOn],
            &[Move::Close, Move::Echo, Move::ReturnToAi],
        ],
        endings: &[Ending::Answer],
        units: 2,
        policy: Policy {
            reopen_to: ReopenTo::LastHuman,
            idle_nudge_ms: 1,
            idle_close_ms: 1,
            ..policy()
        },
        sights: &[Seen::Thanks, Seen::ClosedOver, Seen::Reopened, Seen::LateResult],
    };
    check(bounds, 732_000);
}

/// What goes wrong between a client and the log: lost acknowledgements, rolled back units, a node that dies, tries again.
#[test]
fn clients() {
    let bounds = Bounds {
        name: "clients",
        left: Left {
            words: 2,
            asks: 1,
            commands: [1, 0],
            unheard: 1,
            fails: 1,
            crashes: 1,
            ..Left::default()
        },
        moves: [&[Move::TakeOver], &[]],
        endings: &[Ending::Answer],
        units: 2,
        policy: policy(),
        sights: &[
            Seen::Deduplicated,
            Seen::AckLost,
            Seen::RolledBackStop,
            Seen::CrashedUnit,
            Seen::Conflict,
        ],
    };
    check(bounds, 83_000);
}
