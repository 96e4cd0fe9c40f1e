//! The model check: within stated bounds, every order in which a visitor, the workers of two nodes, two agents, timers,
//! crashes and a forgetful network can act on one conversation, over the product's own `start`, `step` and `apply`.
//!
//! A unit of work loads, steps and shuts gates in one action and commits in another, so that units of different nodes meet
//! in between; the compare-and-set, the deduplication by client id, the leases and the gates of the shell are modelled
//! ([`shell`]), the machine is not. An independent [`witness`] reads the records and holds each commit against the laws.
//!
//! Time is taken out: every deadline has length zero and every timer may fire as soon as it is set, so that whatever order
//! real durations allow is among the orders tried (and some that they do not allow). What only durations can tell, such as
//! the ten minutes after a close, is in the tables of tests.
//!
//! Each run covers its bounds completely: it ends when there is no new state. `BATON_TEST_MODEL=deep` widens the bounds.

mod key;
mod model;
mod runs;
mod seen;
mod shell;
mod witness;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use model::{Baton, Bounds};

/// Checks one set of bounds to its end; with the machine's cores shared between the runs there are, two threads each.
#[expect(
    clippy::print_stdout,
    reason = "the figures are what the run is for; `--nocapture` shows them"
)]
fn check(mut bounds: Bounds, states: usize) {
    if std::env::var("BATON_TEST_MODEL").is_ok_and(|depth| depth == "deep") {
        bounds.left = bounds.left.deeper();
    }
    let name = bounds.name;
    let started = Instant::now();
    let checker = Baton::new(bounds)
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    println!(
        "model check {name}: {} states, {} unique, depth {}, {} properties, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        checker.model().properties().len(),
        started.elapsed().as_secs_f64(),
    );
    let failures = checker.discoveries().into_iter().filter(|(property, _)| {
        checker.model().property(property).expectation.discovery_is_failure()
    });
    let broken: Vec<String> = failures.map(|(property, path)| story(property, path)).collect();
    assert!(broken.is_empty(), "{name}: broken laws:\n{}", broken.join("\n"));
    checker.assert_properties();
    let unique = checker.unique_state_count();
    assert!(unique >= states, "{name}: {unique} states, fewer than the {states} there were");
}

/// How a law came to be broken, one action a line.
fn story(law: &str, path: stateright::Path<world::State, model::Action>) -> String {
    let actions = path.into_actions().into_iter().map(|action| format!("  {action:?}"));
    std::iter::once(law.to_owned()).chain(actions).collect::<Vec<_>>().join("\n")
}
