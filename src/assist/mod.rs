//! AI help for agents: briefs, summaries, suggested replies.
//!
//! Help is ordered as a job in the transaction that makes it useful (a handoff, a close) or by an agent, made from the whole
//! conversation with its private notes, stored as an artifact, and never goes to a visitor but through an agent. Without a
//! model, or when it fails, help is extractive: quotations and passages. Each artifact knows up to which event it reads, so
//! that it can be shown as stale. Nothing is made of erased or blocked conversations.

mod ask;
mod extract;
mod http;
mod phrases;
pub mod prompt;
mod run;
mod said;
pub mod store;
mod suggest;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod thread;
mod view;

pub use http::router;
pub use run::{AssistError, Assistance};
pub use view::{
    Artifact, Assist, BriefContent, Content, Fate, Kind, Ref, Reply, Source, State,
    SuggestionsContent,
};
