//! The event hub of one process: keyed broadcast, who is present here and elsewhere, and the gates of running turns.
//!
//! It knows nothing of conversations; `conversation::events` says what travels through it.

mod drafts;
mod gate;
mod presence;
pub mod store;
mod topics;

pub use drafts::{Added, DraftSoFar, Drafts};
pub use gate::{Gate, Gates};
pub use presence::{Availability, Presence, There};
pub use topics::{Hearing, Topics};
