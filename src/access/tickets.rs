//! Tickets that let a signed-in agent open a socket: single use, 30 seconds, in this node's memory.
//!
//! The session cookie does not travel with the socket's first frame, and a token must not stand in a URL.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::secret::{fresh_token, token_hash};
use crate::clock::{Clock, Timestamp};
use crate::ids::{AgentId, WorkspaceId};

/// How long a ticket is good.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);

/// Whom a ticket stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketOwner {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// The stored form of the session, so that the socket can end with it.
    pub session: String,
}

/// The tickets of this node.
#[derive(Debug, Default)]
pub struct Tickets {
    open: Mutex<HashMap<String, (TicketOwner, Timestamp)>>,
}

impl Tickets {
    /// A fresh ticket and when it ends.
    #[must_use]
    pub fn issue(&self, owner: TicketOwner, clock: &Clock) -> (String, Timestamp) {
        let now = clock.now();
        let ticket = fresh_token();
        let expires_at = now + TICKET_LIFE;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, end)| *end > now);
        open.insert(token_hash(&ticket), (owner, expires_at));
        (ticket, expires_at)
    }

    /// Uses a ticket up.
    #[must_use]
    pub fn redeem(&self, ticket: &str, clock: &Clock) -> Option<TicketOwner> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (owner, expires_at) = open.remove(&token_hash(ticket))?;
        (expires_at > clock.now()).then_some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    #[test]
    fn a_ticket_works_once_and_not_for_long() {
        let clock = Clock::manual(Timestamp::from_millis(0));
        let tickets = Tickets::default();
        let owner =
            TicketOwner { workspace: Ids.fresh(), agent: Ids.fresh(), session: "s".to_owned() };
        let (ticket, _) = tickets.issue(owner.clone(), &clock);
        assert_eq!(tickets.redeem("other", &clock), None);
        assert_eq!(tickets.redeem(&ticket, &clock), Some(owner.clone()));
        assert_eq!(tickets.redeem(&ticket, &clock), None);
        let (late, _) = tickets.issue(owner, &clock);
        clock.advance(TICKET_LIFE);
        assert_eq!(tickets.redeem(&late, &clock), None);
    }
}
