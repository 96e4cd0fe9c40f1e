//! Who looks at which conversation: on this node, counted by windows, and on the others, as they say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::{AgentId, ConversationId, NodeId, WorkspaceId};

#[derive(Debug, Default)]
struct Inner {
    here: HashMap<ConversationId, (WorkspaceId, HashMap<AgentId, usize>)>,
    elsewhere: HashMap<(NodeId, ConversationId), (WorkspaceId, Vec<AgentId>)>,
}

/// Who looks at what. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Viewers(Arc<Mutex<Inner>>);

impl Viewers {
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who looks at a conversation, wherever they are.
    pub(super) fn of(&self, conversation: ConversationId) -> Vec<AgentId> {
        let mut all = self.here(conversation);
        let inner = self.locked();
        for ((_, at), (_, agents)) in &inner.elsewhere {
            if *at == conversation {
                all.extend(agents);
            }
        }
        drop(inner);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Who of this node looks at a conversation.
    pub(super) fn here(&self, conversation: ConversationId) -> Vec<AgentId> {
        let inner = self.locked();
        let here = inner.here.get(&conversation);
        here.map(|(_, agents)| agents.keys().copied().collect()).unwrap_or_default()
    }

    /// Who of this node looks at what.
    pub(super) fn all_here(&self) -> Vec<(WorkspaceId, ConversationId, Vec<AgentId>)> {
        let inner = self.locked();
        let each = |(id, (ws, who)): (&ConversationId, &(WorkspaceId, HashMap<AgentId, usize>))| {
            (*ws, *id, who.keys().copied().collect())
        };
        inner.here.iter().map(each).collect()
    }

    pub(super) fn came(&self, ws: WorkspaceId, conversation: ConversationId, agent: AgentId) {
        let mut inner = self.locked();
        let (_, agents) = inner.here.entry(conversation).or_insert((ws, HashMap::new()));
        *agents.entry(agent).or_default() += 1;
    }

    pub(super) fn went(&self, conversation: ConversationId, agent: AgentId) {
        let mut inner = self.locked();
        let Some((_, agents)) = inner.here.get_mut(&conversation) else { return };
        if let Some(windows) = agents.get_mut(&agent) {
            *windows = windows.saturating_sub(1);
        }
        agents.retain(|_, windows| *windows > 0);
        if agents.is_empty() {
            inner.here.remove(&conversation);
        }
    }

    pub(super) fn heard(
        &self,
        node: NodeId,
        ws: WorkspaceId,
        conversation: ConversationId,
        agents: Vec<AgentId>,
    ) {
        let mut inner = self.locked();
        if agents.is_empty() {
            inner.elsewhere.remove(&(node, conversation));
        } else {
            inner.elsewhere.insert((node, conversation), (ws, agents));
        }
    }

    /// Forgets a node. Returns what was looked at there.
    pub(super) fn forget(&self, node: NodeId) -> Vec<(WorkspaceId, ConversationId)> {
        let mut gone = Vec::new();
        self.locked().elsewhere.retain(|(at, conversation), (ws, _)| {
            let stays = *at != node;
            if !stays {
                gone.push((*ws, *conversation));
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    #[test]
    fn windows_here_and_nodes_elsewhere_add_up() {
        let viewers = Viewers::default();
        let (ws, id): (WorkspaceId, ConversationId) = (Ids.fresh(), Ids.fresh());
        let (ana, bo): (AgentId, AgentId) = (Ids.fresh(), Ids.fresh());
        let node: NodeId = Ids.fresh();
        viewers.came(ws, id, ana);
        viewers.came(ws, id, ana);
        viewers.heard(node, ws, id, vec![ana, bo]);
        assert_eq!(viewers.of(id), [ana, bo]);
        viewers.went(id, ana);
        assert_eq!(viewers.all_here(), [(ws, id, vec![ana])]);
        viewers.went(id, ana);
        assert_eq!((viewers.here(id), viewers.of(id)), (vec![], vec![ana, bo]));
        assert_eq!(viewers.forget(node), [(ws, id)]);
        assert_eq!(viewers.of(id), []);
    }
}
