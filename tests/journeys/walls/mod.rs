//! The walls: who may call what, held against the running server.
//!
//! `tests/walls/table.tsv` is reviewed by people; [`routes`] and [`frames`] call every row of it as everybody, on the real
//! router and the real sockets, and find what has no row. [`attacks`] and [`hostile_words`] try what no table shows, and
//! [`canaries`] follow what must not leave the house.

mod attacks;
mod belongings;
mod callers;
mod canaries;
mod frames;
mod hostile_words;
mod obedient;
mod revoked;
mod routes;
mod sample;
mod table;
mod witness;

pub use belongings::Belongings;
