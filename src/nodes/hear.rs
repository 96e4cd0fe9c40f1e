//! What this node does with what another one tells.

use std::sync::Arc;

use crate::app::AppState;
use crate::conversation::others::Item;
use crate::conversation::{Actor, Heard, Live, VisitorKey};
use crate::hub::Added;
use crate::ids::{ConversationId, NodeId, WorkspaceId};
use crate::inbox::Told;

/// Takes up one thing that `node` said.
pub async fn hear(state: &AppState, node: NodeId, item: Item) {
    let wire = state.conversations.wire();
    match item {
        Item::Moved(moved) => wire.publish_moved(Arc::from(moved)),
        // It is decided on the other node already.
        Item::Stops(turn) => {
            let _shut = wire.gates.shut(turn, true);
        }
        Item::Draft(workspace, inbox, contact, draft) => {
            let id = draft.conversation;
            if wire.show_draft((inbox, contact), draft) == Added::Gap {
                writes(state, workspace, (inbox, contact), id).await;
            }
        }
        Item::Writes(workspace, inbox, contact, id) => {
            writes(state, workspace, (inbox, contact), id).await;
        }
        Item::Heard(workspace, heard) => wire.agents.publish(&workspace, heard),
        Item::Typing(inbox, contact, conversation, actor, name) => {
            let typing = Live::Typing { conversation, actor, name };
            wire.visitors.publish(&(inbox, contact), typing);
        }
        Item::Read(workspace, agent, conversation) => {
            state.feeds.tell(workspace, Told::Read { agent, conversation });
        }
        Item::Contact(contact) => state.feeds.tell_contact(contact),
        Item::Settings => {
            state.names.forget_all();
            state.feeds.look_again();
        }
        Item::Knowledge => {
            // A search would find it by itself; so the next one need not wait for it.
            let knowledge = state.minds.producer.knowledge.clone();
            state.tasks.spawn(async move { knowledge.catch_up().await });
        }
        Item::Agent(workspace, agent, says) => {
            if wire.presence.heard_of_agent(node, workspace, agent, says) {
                wire.agents.publish(&workspace, Heard::Presence { agent });
            }
        }
        Item::Visitor(workspace, contact, there) => {
            if wire.presence.heard_of_visitor(node, workspace, contact, there) {
                wire.agents.publish(&workspace, Heard::Visitor { contact });
            }
        }
        Item::Viewers(workspace, conversation, agents) => {
            state.feeds.watched_elsewhere(node, workspace, conversation, agents);
        }
        Item::Turns => wire.turn_due.notify_one(),
        Item::Hello => {
            if wire.others.count() == 0 {
                wire.others.set_count(1);
            }
            say_who_is_here(state);
        }
        Item::Anew => {
            wire.presence.forget_visitors(node);
            state.feeds.forget(node);
        }
        Item::Missed => state.missed.notify_one(),
        Item::Bye => forget(state, node),
    }
}

/// Tells the others who is on this node.
pub fn say_who_is_here(state: &AppState) {
    let wire = state.conversations.wire();
    wire.others.push(Item::Anew);
    for (contact, workspace) in wire.presence.here().visitors {
        wire.others.push(Item::Visitor(workspace, contact, true));
    }
    for (workspace, conversation, agents) in state.feeds.watched_here() {
        wire.others.push(Item::Viewers(workspace, conversation, agents));
    }
}

/// Forgets who was on a node that is gone, and tells those who saw them there.
pub fn forget(state: &AppState, node: NodeId) {
    let wire = state.conversations.wire();
    let gone = wire.presence.forget(node);
    for (workspace, agent) in gone.agents.into_keys() {
        wire.agents.publish(&workspace, Heard::Presence { agent });
    }
    for (contact, workspace) in gone.visitors {
        wire.agents.publish(&workspace, Heard::Visitor { contact });
    }
    state.feeds.forget(node);
}

/// Shows that the AI writes, where its words cannot be shown.
async fn writes(state: &AppState, workspace: WorkspaceId, key: VisitorKey, id: ConversationId) {
    // Names that cannot be read now are no reason to stop hearing.
    let Ok(directory) = state.names.of(workspace).await else { return };
    if let Some((assistant, _)) = directory.answering(key.0) {
        let actor = Actor::Assistant(assistant);
        let typing = Live::Typing { conversation: id, actor, name: None };
        state.conversations.wire().visitors.publish(&key, typing);
    }
}
