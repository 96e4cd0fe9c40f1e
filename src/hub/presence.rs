//! Who has a socket open on this node, and whether they take conversations.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{AgentId, ContactId, WorkspaceId};

/// What an agent says of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Takes conversations.
    #[default]
    Online,
    /// Is there, takes none.
    Away,
    /// Is not there.
    Offline,
}

impl Availability {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Offline => "offline",
        }
    }
}

#[derive(Default)]
struct Inner {
    agents: HashMap<(WorkspaceId, AgentId), (usize, Availability)>,
    visitors: HashMap<ContactId, usize>,
}

/// Open sockets of one node.
#[derive(Default)]
pub struct Presence(Mutex<Inner>);

impl Presence {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An agent's socket opened. Returns whether it is their first.
    pub fn agent_joined(&self, ws: WorkspaceId, agent: AgentId, says: Availability) -> bool {
        self.with(|inner| {
            let entry = inner.agents.entry((ws, agent)).or_default();
            entry.0 += 1;
            entry.1 = says;
            entry.0 == 1
        })
    }

    /// An agent's socket closed. Returns whether it was their last.
    pub fn agent_left(&self, ws: WorkspaceId, agent: AgentId) -> bool {
        self.with(|inner| {
            let Some(entry) = inner.agents.get_mut(&(ws, agent)) else { return false };
            entry.0 = entry.0.saturating_sub(1);
            let last = entry.0 == 0;
            if last {
                inner.agents.remove(&(ws, agent));
            }
            last
        })
    }

    /// What the agent says of themselves changed.
    pub fn agent_says(&self, ws: WorkspaceId, agent: AgentId, says: Availability) {
        self.with(|inner| {
            if let Some(entry) = inner.agents.get_mut(&(ws, agent)) {
                entry.1 = says;
            }
        });
    }

    /// What others see: offline without a socket, else what the agent says.
    #[must_use]
    pub fn of_agent(&self, ws: WorkspaceId, agent: AgentId) -> Availability {
        self.with(|inner| inner.agents.get(&(ws, agent)).map_or(Availability::Offline, |e| e.1))
    }

    /// Whether the agent is here and takes conversations.
    #[must_use]
    pub fn is_available(&self, ws: WorkspaceId, agent: AgentId) -> bool {
        self.of_agent(ws, agent) == Availability::Online
    }

    /// Whether anybody of the workspace is here and takes conversations.
    #[must_use]
    pub fn anyone_available(&self, ws: WorkspaceId) -> bool {
        self.with(|inner| {
            inner.agents.iter().any(|((w, _), e)| *w == ws && e.1 == Availability::Online)
        })
    }

    /// A visitor's socket opened (`true`) or closed. Returns whether the visitor's being here changed.
    pub fn visitor(&self, contact: ContactId, joined: bool) -> bool {
        self.with(|inner| {
            let count = inner.visitors.entry(contact).or_default();
            if joined {
                *count += 1;
                return *count == 1;
            }
            *count = count.saturating_sub(1);
            let gone = *count == 0;
            if gone {
                inner.visitors.remove(&contact);
            }
            gone
        })
    }

    /// How many sockets the visitor has open.
    #[must_use]
    pub fn visitor_sockets(&self, contact: ContactId) -> usize {
        self.with(|inner| inner.visitors.get(&contact).copied().unwrap_or(0))
    }

    /// How many sockets the agent has open.
    #[must_use]
    pub fn agent_sockets(&self, ws: WorkspaceId, agent: AgentId) -> usize {
        self.with(|inner| inner.agents.get(&(ws, agent)).map_or(0, |entry| entry.0))
    }

    /// Whether the visitor has a socket open.
    #[must_use]
    pub fn visitor_online(&self, contact: ContactId) -> bool {
        self.with(|inner| inner.visitors.contains_key(&contact))
    }
}
