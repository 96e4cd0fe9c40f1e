//! Who may do what: people, roles, sessions, invitations, visitor tokens, tickets for sockets, rates.
//!
//! Invariants: no secret is stored as it is (passwords as argon2id, tokens as SHA-256); secrets are compared in constant
//! time; unknown addresses and wrong passwords cannot be told apart; every query takes the workspace, except those that
//! find it (by token, address or public key). This floor says who is asking, never what they may see of a conversation.

pub mod cors;
pub mod extract;
pub mod http;
pub mod limits;
pub mod origin;
pub mod password;
pub mod role;
pub mod schemes;
pub mod secret;
pub mod session;
pub mod state;
pub mod store;
pub mod tickets;
pub mod visitor;

#[cfg(test)]
pub mod testing;

pub use extract::{Address, Signed, Visitor};
pub use limits::{Limited, RateLimits, Rates};
pub use origin::{AllowedOrigins, Origin};
pub use password::{PasswordCost, Passwords};
pub use role::{Presence, Right, Role};
pub use session::Session;
pub use state::AccessState;
pub use tickets::TicketOwner;
pub use visitor::{IssuedToken, VisitorToken};
