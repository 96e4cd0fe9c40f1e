//! Who has a socket open, on this node and on the others, and whether they take conversations.
//!
//! What this node knows of the others is what they said, until they are forgotten: they leave or their heart stops.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{AgentId, ContactId, NodeId, WorkspaceId};

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

/// An agent of a workspace.
type Who = (WorkspaceId, AgentId);

#[derive(Default)]
struct Inner {
    agents: HashMap<Who, (usize, Availability)>,
    visitors: HashMap<ContactId, (WorkspaceId, usize)>,
    elsewhere: HashMap<NodeId, There>,
    /// How often another node said something of an agent.
    heard: u64,
    changed: HashSet<Who>,
}

/// Who is at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct There {
    /// Agents, and what they say.
    pub agents: HashMap<Who, Availability>,
    /// Visitors.
    pub visitors: HashMap<ContactId, WorkspaceId>,
}

/// Open sockets, here and elsewhere.
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
            let first = entry.0 == 1;
            inner.changed.insert((ws, agent));
            first
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
                inner.changed.insert((ws, agent));
            }
            last
        })
    }

    /// What the agent says of themselves changed.
    pub fn agent_says(&self, ws: WorkspaceId, agent: AgentId, says: Availability) {
        self.with(|inner| {
            if let Some(entry) = inner.agents.get_mut(&(ws, agent)) {
                entry.1 = says;
                inner.changed.insert((ws, agent));
            }
        });
    }

    /// What others see: offline without a socket anywhere, else what the agent says.
    #[must_use]
    pub fn of_agent(&self, ws: WorkspaceId, agent: AgentId) -> Availability {
        self.with(|inner| {
            let here = inner.agents.get(&(ws, agent)).map(|entry| entry.1);
            let there = || inner.elsewhere.values().filter_map(|at| at.agents.get(&(ws, agent)));
            here.or_else(|| there().copied().min_by_key(|says| *says as u8))
                .unwrap_or(Availability::Offline)
        })
    }

    /// Whether the agent has a socket open anywhere, whatever they say.
    #[must_use]
    pub fn is_connected(&self, ws: WorkspaceId, agent: AgentId) -> bool {
        self.with(|inner| {
            inner.agents.contains_key(&(ws, agent))
                || inner.elsewhere.values().any(|at| at.agents.contains_key(&(ws, agent)))
        })
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
            let online =
                |(w, says): (WorkspaceId, Availability)| w == ws && says == Availability::Online;
            inner.agents.iter().map(|((w, _), entry)| (*w, entry.1)).any(online)
                || inner
                    .elsewhere
                    .values()
                    .flat_map(|at| &at.agents)
                    .map(|((w, _), says)| (*w, *says))
                    .any(online)
        })
    }

    /// A visitor's socket opened (`true`) or closed. Returns whether the visitor's being here changed.
    pub fn visitor(&self, ws: WorkspaceId, contact: ContactId, joined: bool) -> bool {
        self.with(|inner| {
            let (_, count) = inner.visitors.entry(contact).or_insert((ws, 0));
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

    /// How many sockets the visitor has open on this node.
    #[must_use]
    pub fn visitor_sockets(&self, contact: ContactId) -> usize {
        self.with(|inner| inner.visitors.get(&contact).map_or(0, |(_, count)| *count))
    }

    /// How many sockets the agent has open on this node.
    #[must_use]
    pub fn agent_sockets(&self, ws: WorkspaceId, agent: AgentId) -> usize {
        self.with(|inner| inner.agents.get(&(ws, agent)).map_or(0, |entry| entry.0))
    }

    /// Whether the visitor has a socket open anywhere.
    #[must_use]
    pub fn visitor_online(&self, contact: ContactId) -> bool {
        self.with(|inner| {
            inner.visitors.contains_key(&contact)
                || inner.elsewhere.values().any(|at| at.visitors.contains_key(&contact))
        })
    }

    /// The workspaces whose visitors have a socket open on this node.
    #[must_use]
    pub fn workspaces_of_visitors(&self) -> HashSet<WorkspaceId> {
        self.with(|inner| inner.visitors.values().map(|(workspace, _)| *workspace).collect())
    }

    /// Everybody with a socket open on this node.
    #[must_use]
    pub fn here(&self) -> There {
        self.with(|inner| There {
            agents: inner.agents.iter().map(|(who, entry)| (*who, entry.1)).collect(),
            visitors: inner.visitors.iter().map(|(who, entry)| (*who, entry.0)).collect(),
        })
    }

    /// Agents of this node who came, left or said something else since the last call, and what they say now; `None` is gone.
    #[must_use]
    pub fn take_changed(&self) -> Vec<(WorkspaceId, AgentId, Option<Availability>)> {
        self.with(|inner| {
            let changed = std::mem::take(&mut inner.changed);
            let says = |who: Who| inner.agents.get(&who).map(|entry| entry.1);
            changed.into_iter().map(|who| (who.0, who.1, says(who))).collect()
        })
    }

    /// These agents are to be taken again: what was taken could not be kept.
    pub fn change_again(&self, agents: impl IntoIterator<Item = (WorkspaceId, AgentId)>) {
        self.with(|inner| inner.changed.extend(agents));
    }

    /// Another node said of an agent what they say there; `None` is gone. Returns whether that is news.
    pub fn heard_of_agent(
        &self,
        node: NodeId,
        ws: WorkspaceId,
        agent: AgentId,
        says: Option<Availability>,
    ) -> bool {
        self.with(|inner| {
            inner.heard += 1;
            let agents = &mut inner.elsewhere.entry(node).or_default().agents;
            let before = match says {
                Some(says) => agents.insert((ws, agent), says),
                None => agents.remove(&(ws, agent)),
            };
            before != says
        })
    }

    /// Another node said whether a visitor is there. Returns whether that is news.
    pub fn heard_of_visitor(
        &self,
        node: NodeId,
        ws: WorkspaceId,
        contact: ContactId,
        there: bool,
    ) -> bool {
        self.with(|inner| {
            let visitors = &mut inner.elsewhere.entry(node).or_default().visitors;
            let before = match there {
                true => visitors.insert(contact, ws),
                false => visitors.remove(&contact),
            };
            before.is_some() != there
        })
    }

    /// A number that grows with all that is heard of agents.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.with(|inner| inner.heard)
    }

    /// Replaces what is known of the agents on these nodes by what was read after `heard`; if something was heard meanwhile,
    /// nothing is changed, since it may be newer. Returns for whom that is news.
    pub fn set_agents_elsewhere(
        &self,
        heard: u64,
        nodes: &[NodeId],
        rows: Vec<(NodeId, WorkspaceId, AgentId, Availability)>,
    ) -> HashSet<(WorkspaceId, AgentId)> {
        self.with(|inner| {
            if inner.heard != heard {
                return HashSet::new();
            }
            let mut read: HashMap<NodeId, HashMap<Who, Availability>> = HashMap::new();
            for (node, ws, agent, says) in rows {
                read.entry(node).or_default().insert((ws, agent), says);
            }
            let mut changed = HashSet::new();
            for node in nodes {
                let now = read.remove(node).unwrap_or_default();
                let known = &mut inner.elsewhere.entry(*node).or_default().agents;
                let differs = |a: &HashMap<Who, Availability>, b: &HashMap<Who, Availability>| {
                    let new = a.iter().filter(|(who, says)| b.get(who) != Some(says));
                    new.map(|(who, _)| *who).collect::<Vec<_>>()
                };
                changed.extend(differs(&now, known));
                changed.extend(differs(known, &now));
                *known = now;
            }
            changed
        })
    }

    /// Forgets which visitors a node said are there.
    pub fn forget_visitors(&self, node: NodeId) {
        self.with(|inner| {
            if let Some(there) = inner.elsewhere.get_mut(&node) {
                there.visitors.clear();
            }
        });
    }

    /// Forgets what a node said. Returns who was there.
    pub fn forget(&self, node: NodeId) -> There {
        self.with(|inner| inner.elsewhere.remove(&node).unwrap_or_default())
    }

    /// The nodes that said something.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<NodeId> {
        self.with(|inner| inner.elsewhere.keys().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    #[test]
    fn who_is_on_another_node_is_here_until_that_node_is_forgotten() {
        let presence = Presence::default();
        let (ws, agent, contact): (WorkspaceId, AgentId, ContactId) =
            (Ids.fresh(), Ids.fresh(), Ids.fresh());
        let (one, two): (NodeId, NodeId) = (Ids.fresh(), Ids.fresh());
        assert!(presence.heard_of_agent(one, ws, agent, Some(Availability::Away)));
        assert!(!presence.heard_of_agent(one, ws, agent, Some(Availability::Away)));
        assert!(presence.heard_of_agent(two, ws, agent, Some(Availability::Online)));
        assert_eq!(presence.of_agent(ws, agent), Availability::Online, "one tab is enough");
        assert!(presence.anyone_available(ws) && presence.is_connected(ws, agent));
        assert!(presence.heard_of_visitor(one, ws, contact, true));
        assert!(presence.visitor_online(contact));
        assert_eq!(presence.forget(two).agents.len(), 1);
        assert!(!presence.anyone_available(ws));
        assert_eq!(presence.forget(one).visitors.len(), 1);
        assert!(!presence.visitor_online(contact) && !presence.is_connected(ws, agent));
    }

    #[test]
    fn rows_mend_what_was_not_heard_but_do_not_undo_what_was() {
        let presence = Presence::default();
        let (ws, node): (WorkspaceId, NodeId) = (Ids.fresh(), Ids.fresh());
        let (ana, bo): (AgentId, AgentId) = (Ids.fresh(), Ids.fresh());
        presence.heard_of_agent(node, ws, ana, Some(Availability::Online));
        let heard = presence.heard();
        let rows = vec![(node, ws, bo, Availability::Away)];
        let changed = presence.set_agents_elsewhere(heard, &[node], rows);
        assert_eq!(changed, HashSet::from([(ws, ana), (ws, bo)]));
        assert_eq!(presence.of_agent(ws, ana), Availability::Offline);
        presence.heard_of_agent(node, ws, ana, Some(Availability::Online));
        assert!(presence.set_agents_elsewhere(heard, &[node], Vec::new()).is_empty());
        assert!(presence.is_connected(ws, ana) && presence.is_connected(ws, bo));
    }

    #[test]
    fn what_changed_here_is_taken_once() {
        let presence = Presence::default();
        let (ws, agent): (WorkspaceId, AgentId) = (Ids.fresh(), Ids.fresh());
        assert!(presence.agent_joined(ws, agent, Availability::Online));
        assert!(!presence.agent_joined(ws, agent, Availability::Away));
        assert_eq!(presence.take_changed(), [(ws, agent, Some(Availability::Away))]);
        assert!(!presence.agent_left(ws, agent));
        assert_eq!(presence.take_changed(), []);
        assert!(presence.agent_left(ws, agent));
        assert_eq!(presence.take_changed(), [(ws, agent, None)]);
        presence.change_again([(ws, agent)]);
        assert_eq!(presence.take_changed(), [(ws, agent, None)]);
    }
}
