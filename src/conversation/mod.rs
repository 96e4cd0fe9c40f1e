//! Conversations: the pure machine, their messages and log, and `commit`, the only door through which one changes.

pub mod audit;
mod commit;
mod derive;
mod desk;
mod events;
pub mod figures;
pub mod lists;
mod message;
pub mod others;
mod record;
mod state;
mod step;
pub mod store;
pub mod verify;

pub use crate::assistant::inbox::ReopenTo;
pub use commit::{
    Command, CommitError, Committed, Conversations, TURN_LEASE, Target, TurnRecord, Words,
};
pub use desk::{Place, TakenTurn, TakenTurns, TurnDesk};
pub use events::{Change, Cursor, Draft, Evidence, Heard, Live, Logged, VisitorKey, Wire};
pub use message::{
    Actor, MAX_TEXT_CHARS, Message, MessageKind, PublicMessage, ReturnNote, Speaker,
};
pub use record::{
    AlarmFor, CancelReason, EndedBy, Entry, Exemption, HandoffCode, NoticeCode, Outcome, Record,
    RequestVia,
};
pub use state::{
    AiMode, AssigneeMissed, Column, Conversation, Fence, Holder, Mark, Obligation, Pace, Phase,
    Policy, Return, Snooze, Timer, TimerKind, Turn,
};
pub use step::{By, Closer, Effect, Event, Facts, Fresh, Refused, Reply, Step, start, step};
pub use store::Origin;

#[cfg(test)]
mod bullet_tests;
#[cfg(test)]
mod commit_tests;
#[cfg(test)]
mod model_check;
#[cfg(test)]
mod property_laws;
#[cfg(test)]
mod property_model;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod table_agents;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod test_world;
