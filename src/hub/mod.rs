//! The event hub of one process: keyed broadcast, who is present, and the gates of running turns.
//!
//! It knows nothing of conversations; `conversation::events` says what travels through it.

mod drafts;
mod gate;
mod presence;
mod topics;

pub use drafts::{DraftSoFar, Drafts};
pub use gate::{Gate, Gates};
pub use presence::{Availability, Presence};
pub use topics::Topics;
