//! The scripted model: a server on loopback that speaks the OpenAI protocol and does what a script says.
//!
//! Tests use it for everything a model server may do, well or badly; benchmarks for a known speed; the demonstration as a
//! second AI agent. It knows only what stands in the prompt it was sent, like a real model. A [`Script`] is pure; the
//! [`ScriptedServer`] adds time, sockets and a record of what was asked.

mod asked;
mod gate;
mod reply;
mod script;
mod server;
mod steps;

#[cfg(test)]
mod tests;

pub use asked::Asked;
pub use gate::Gate;
pub use reply::Reply;
pub use script::{Behaviour, Fault, Rule, Script};
pub use server::ScriptedServer;
