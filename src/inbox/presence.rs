//! Agents who come and go: told at once, and after a while of absence to the conversations they hold.
//!
//! What a process that has ended would have told is told by others, from the rows it left (`crate::nodes`).

use std::time::Duration;

use crate::access::Presence as Says;
use crate::app::AppState;
use crate::conversation::lists;
use crate::conversation::{Command, CommitError, Conversations, Event, Heard};
use crate::db::{Db, DbError};
use crate::hub::{Availability, store};
use crate::ids::{AgentId, NodeId, WorkspaceId};

/// What an agent says, as the hub calls it.
pub(super) fn availability(says: Says) -> Availability {
    match says {
        Says::Online => Availability::Online,
        Says::Away => Availability::Away,
        Says::Offline => Availability::Offline,
    }
}

/// One open socket of an agent; dropping it is leaving.
pub(super) struct Here {
    state: AppState,
    workspace: WorkspaceId,
    agent: AgentId,
}

impl Here {
    /// The agent's socket opened.
    pub(super) fn join(
        state: &AppState,
        workspace: WorkspaceId,
        agent: AgentId,
        says: Says,
    ) -> Self {
        let wire = state.conversations.wire();
        if wire.presence.agent_joined(workspace, agent, availability(says)) {
            tell(&state.conversations, workspace, agent);
            let back = tell_conversations(state.conversations.clone(), workspace, agent, true);
            state.tasks.spawn(async move {
                let _told = back.await;
            });
        }
        Self { state: state.clone(), workspace, agent }
    }

    /// What the agent says of themselves, as read again.
    pub(super) fn says(&self, says: Says) {
        let wire = self.state.conversations.wire();
        let says = availability(says);
        if wire.presence.of_agent(self.workspace, self.agent) != says {
            wire.presence.agent_says(self.workspace, self.agent, says);
            tell(&self.state.conversations, self.workspace, self.agent);
        }
    }
}

/// Tells colleagues that an agent came, left or said something else; the keeper of this node's rows tells the other nodes.
fn tell(conversations: &Conversations, workspace: WorkspaceId, agent: AgentId) {
    let wire = conversations.wire();
    wire.agents.publish(&workspace, Heard::Presence { agent });
    wire.presence_changed.notify_one();
}

impl Drop for Here {
    fn drop(&mut self) {
        let (state, workspace, agent) = (self.state.clone(), self.workspace, self.agent);
        let wire = state.conversations.wire();
        if !wire.presence.agent_left(workspace, agent) || state.shutdown.is_cancelled() {
            return;
        }
        tell(&state.conversations, workspace, agent);
        let grace = state.live.offline_grace;
        let tasks = state.tasks.clone();
        tasks.spawn(async move { gone_for_good(state, workspace, agent, grace).await });
    }
}

/// A page that is loaded again is back within moments: only then is an agent offline.
async fn gone_for_good(state: AppState, workspace: WorkspaceId, agent: AgentId, grace: Duration) {
    tokio::select! {
        () = state.shutdown.cancelled() => return,
        () = tokio::time::sleep(grace) => {}
    }
    if told_gone(&state.conversations, workspace, agent).await
        && let Err(error) =
            forget_left(state.conversations.db(), state.conversations.node(), agent).await
    {
        tracing::warn!(agent.id = %agent, %error, "an agent's going is recorded, and will be once more");
    }
}

/// Tells every conversation an agent holds that they are gone, unless they are back. Returns whether that is done.
pub async fn told_gone(
    conversations: &Conversations,
    workspace: WorkspaceId,
    agent: AgentId,
) -> bool {
    let presence = &conversations.wire().presence;
    if presence.is_connected(workspace, agent) {
        return true;
    }
    let told = tell_conversations(conversations.clone(), workspace, agent, false).await;
    // Back while it was told: then the last word is that they are here.
    if presence.is_connected(workspace, agent) {
        return tell_conversations(conversations.clone(), workspace, agent, true).await;
    }
    told
}

/// Tells every conversation an agent holds that they went or came back. Returns whether every one was told.
pub async fn tell_conversations(
    conversations: Conversations,
    workspace: WorkspaceId,
    agent: AgentId,
    online: bool,
) -> bool {
    let told = async {
        let mut conn = conversations.db().read().await?;
        let held = lists::assigned_to(&mut conn, workspace, agent).await?;
        drop(conn);
        for id in held {
            let event = Event::AssigneePresence { agent, online };
            conversations.commit(Command::new(workspace, id, event)).await?;
        }
        Ok::<_, CommitError>(())
    };
    let told = told.await;
    if let Err(error) = &told {
        tracing::warn!(agent.id = %agent, online, %error, "an agent's coming or going was not recorded");
    }
    told.is_ok()
}

/// Forgets that an agent left a node: everybody knows.
async fn forget_left(db: &Db, node: NodeId, agent: AgentId) -> Result<(), DbError> {
    db.write(move |conn| Box::pin(async move { store::forget_left(conn, node, agent).await })).await
}
