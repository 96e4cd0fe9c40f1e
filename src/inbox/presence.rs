//! Agents who come and go: told at once, and after a while of absence to the conversations they hold.

use std::time::Duration;

use crate::access::Presence as Says;
use crate::app::AppState;
use crate::conversation::lists;
use crate::conversation::{Command, CommitError, Event, Heard};
use crate::hub::Availability;
use crate::ids::{AgentId, WorkspaceId};

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
            wire.agents.publish(&workspace, Heard::Presence { agent });
            let back = tell_conversations(state.clone(), workspace, agent, true);
            state.tasks.spawn(back);
        }
        Self { state: state.clone(), workspace, agent }
    }

    /// What the agent says of themselves, as read again.
    pub(super) fn says(&self, says: Says) {
        let wire = self.state.conversations.wire();
        let says = availability(says);
        if wire.presence.of_agent(self.workspace, self.agent) != says {
            wire.presence.agent_says(self.workspace, self.agent, says);
            wire.agents.publish(&self.workspace, Heard::Presence { agent: self.agent });
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let (state, workspace, agent) = (self.state.clone(), self.workspace, self.agent);
        let wire = state.conversations.wire();
        if !wire.presence.agent_left(workspace, agent) || state.shutdown.is_cancelled() {
            return;
        }
        wire.agents.publish(&workspace, Heard::Presence { agent });
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
    if state.conversations.wire().presence.agent_sockets(workspace, agent) == 0 {
        tell_conversations(state, workspace, agent, false).await;
    }
}

/// Tells every conversation the agent holds that they went or came back.
async fn tell_conversations(state: AppState, workspace: WorkspaceId, agent: AgentId, online: bool) {
    let told = async {
        let mut conn = state.conversations.db().read().await?;
        let held = lists::assigned_to(&mut conn, workspace, agent).await?;
        drop(conn);
        for id in held {
            let event = Event::AssigneePresence { agent, online };
            state.conversations.commit(Command::new(workspace, id, event)).await?;
        }
        Ok::<_, CommitError>(())
    };
    if let Err(error) = told.await {
        tracing::warn!(agent.id = %agent, online, %error, "an agent's coming or going was not recorded");
    }
}
