//! The seeded simulation: the real `Conversations::commit`, turn worker, producer, jobs and timers, on one or two nodes over
//! one database, with people who do what they should not and machines that do what they can, in virtual time.
//!
//! # How it stays true and repeats
//!
//! * **Time** is the runtime's paused clock: it jumps to the next timer when no task can go on. A node's [`Clock`] follows
//!   it, each as wrong as the seed says. Nothing sleeps in real time.
//! * **The database** is SQLite, and every statement is done on the thread that asks ([`crate::db::simulated`]): the runtime
//!   is never idle while SQLite works, so its clock cannot jump meanwhile, and tasks cannot overtake each other by the luck of
//!   threads. Where a statement waits, it waits in virtual time, by the seed's choice.
//! * **Chance**: each actor, node and model draws from a stream of its own that follows from the seed; ids do, too.
//! * **Faults** come in at two seams: between a connection and its engine (errors before, in and after a transaction, delays,
//!   death, freezing), and in the model. No product code knows of them.
//!
//! A run ends in a calm: nothing fails, everybody is served, all deadlines pass. Then [`oracle`] looks at everything.
//!
//! `BATON_TEST_SEEDS` says how many seeds run (from `BATON_TEST_FIRST_SEED` on), `BATON_TEST_SEED` names one to replay with its
//! whole trace.
//!
//! [`Clock`]: crate::clock::Clock

mod agent;
mod chance;
mod client;
mod model;
mod oracle;
mod power;
mod run;
mod sights;
#[expect(clippy::module_inception, reason = "what a run of the simulation shares")]
mod sim;
mod trouble;
mod visitor;
mod weather;
mod world;

use std::io::Write as _;

use run::{Ran, run};
use sights::Sights;

/// How many seeds run unless told otherwise: about a minute of a debug build.
const SEEDS: u64 = 120;
/// After so many failures the rest is not worth waiting for.
const ENOUGH_FAILURES: usize = 8;
/// How much of a failing seed's trace is shown.
const TAIL: usize = 60;
/// From so many seeds on everything must have been met.
const ENOUGH: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number")))
}

/// Everything that was wrong with a run, how to see it again, and how it ended.
fn report(ran: &Ran, tail: usize) -> String {
    let from = ran.trace.len().saturating_sub(tail);
    format!(
        "seed {}: {}\nagain: BATON_TEST_SEED={} cargo test --lib sim::a_seed_again -- --nocapture\n{}",
        ran.seed,
        ran.wrong.join("\n  "),
        ran.seed,
        ran.trace[from..].join("\n"),
    )
}

#[test]
fn the_laws_hold_in_every_seed() {
    let first = number("BATON_TEST_FIRST_SEED").unwrap_or(1);
    let seeds = number("BATON_TEST_SEEDS").unwrap_or(SEEDS);
    let mut sights = Sights::default();
    let mut failed = Vec::new();
    for seed in first..first + seeds {
        let ran = run(seed);
        sights.add(&ran.sights);
        if !ran.wrong.is_empty() {
            failed.push(ran);
        }
        if failed.len() == ENOUGH_FAILURES {
            break;
        }
    }
    if let Some(worst) = failed.first() {
        let all: Vec<u64> = failed.iter().map(|ran| ran.seed).collect();
        let others: Vec<String> =
            failed.iter().map(|ran| format!("{}: {}", ran.seed, ran.wrong.join("; "))).collect();
        let (others, worst) = (others.join("\n"), report(worst, TAIL));
        panic!("of {seeds} seeds failed at least {all:?}\n{others}\n{worst}");
    }
    writeln!(std::io::stdout().lock(), "{seeds} seeds from {first} on: {sights}")
        .expect("what was met is told");
    if seeds >= ENOUGH {
        assert_eq!(sights.missing(), [], "never met in {seeds} seeds: {sights}");
    }
}

#[test]
fn the_same_seed_runs_the_same_way() {
    for seed in [3, 4, 8, 11] {
        let (one, two) = (run(seed), run(seed));
        let apart = one.trace.iter().zip(&two.trace).position(|(a, b)| a != b);
        if let Some(apart) = apart {
            let from = apart.saturating_sub(5);
            panic!(
                "seed {seed} goes apart:\n{}\n---\n{}",
                one.trace[from..=apart].join("\n"),
                two.trace[from..=apart].join("\n")
            );
        }
        assert_eq!(one.fingerprint, two.fingerprint, "seed {seed}");
    }
    assert_ne!(run(3).fingerprint, run(4).fingerprint);
}

/// Replays the seed that `BATON_TEST_SEED` names and shows its whole trace; the first one otherwise.
#[test]
fn a_seed_again() {
    let named = number("BATON_TEST_SEED");
    let ran = run(named.unwrap_or(1));
    let story = report(&ran, TAIL);
    if named.is_some() {
        let mut out = std::io::stdout().lock();
        for line in &ran.trace {
            writeln!(out, "{line}").expect("the trace is shown");
        }
        writeln!(out, "{}", ran.sights).expect("the sights are shown");
    }
    assert!(ran.wrong.is_empty(), "{story}");
    assert!(ran.trace.len() > TAIL, "next to nothing happened:\n{story}");
}
