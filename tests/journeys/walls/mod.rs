//! The walls: who may call what, held against the running server.
//!
//! `tests/walls/table.tsv` is reviewed by people; [`routes`] and [`frames`] call every row of it as everybody, on the real
//! router and the real sockets, and find what has no row. [`attacks`], [`hostile_words`] and [`outside`] try what no table shows, and
//! [`canaries`] follow what must not leave the house.

mod attacks;
mod belongings;
mod callers;
mod canaries;
mod frames;
mod hostile_words;
mod obedient;
mod outside;
mod revoked;
mod routes;
mod sample;
mod table;
mod witness;

pub use belongings::Belongings;

/// What was tried, for whoever runs the tests with `--nocapture`.
#[expect(clippy::print_stdout, reason = "numbers that a person asked for")]
fn report(line: &str) {
    println!("{line}");
}
