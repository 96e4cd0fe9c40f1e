//! A visitor's conversation, read: its state, a stretch of its public messages, the half-written reply.

use super::wire::{VisitorConversation, VisitorMessage, VisitorState};
use crate::app::AppState;
use crate::conversation::store::{self, Part};
use crate::conversation::{Conversation, Holder, Message, lists};
use crate::db::{Conn, DbError};
use crate::directory::Directory;
use crate::hub::DraftSoFar;
use crate::ids::{ContactId, InboxId, WorkspaceId};

/// Messages of a page.
pub(super) const PAGE: u32 = 50;
/// Messages sent at once to a visitor who comes back.
pub(super) const CATCH_UP: u32 = 200;

/// Which messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stretch {
    /// The last ones.
    Last,
    /// Those after this number.
    After(u64),
    /// Those before this number.
    Before(u64),
}

/// Whose conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub(super) workspace: WorkspaceId,
    pub(super) inbox: InboxId,
    pub(super) contact: ContactId,
}

/// What was read of a conversation.
pub(super) struct Read {
    pub(super) conversation: Conversation,
    pub(super) view: VisitorConversation,
    pub(super) draft: Option<DraftSoFar>,
}

/// The visitor's conversation, if it has begun.
pub(super) async fn read(
    state: &AppState,
    conn: &mut Conn,
    whose: Whose,
    stretch: Stretch,
) -> Result<Option<Read>, DbError> {
    let Some(c) = current(conn, whose).await? else { return Ok(None) };
    let enough = |directory: &Directory| directory.knows(c.inbox, c.holder.assignee());
    let directory = state.names.of_knowing_on(conn, whose.workspace, enough).await?;
    let (part, limit) = match stretch {
        // Numbers that are not there yet come from another database: start over.
        Stretch::After(after) if after > 0 && after <= c.public_seq => {
            (Part::PublicAfter(after), CATCH_UP)
        }
        Stretch::Last | Stretch::After(_) => (Part::PublicBefore(u64::MAX), PAGE),
        Stretch::Before(before) => (Part::PublicBefore(before), PAGE),
    };
    let messages = store::messages(conn, whose.workspace, c.id, part, limit).await?;
    let has_earlier = messages.first().and_then(|m| m.public_seq).is_some_and(|seq| seq > 1);
    let draft = state.conversations.wire().drafts.of(c.id).filter(|draft| draft.epoch == c.epoch);
    let view = VisitorConversation {
        state: visitor_state(state, conn, &c, &directory).await?,
        messages: visible(&messages, &directory),
        has_earlier,
        draft: draft.clone().map(Into::into),
    };
    Ok(Some(Read { conversation: c, view, draft }))
}

/// The messages a visitor may see.
pub(super) fn visible(messages: &[Message], directory: &Directory) -> Vec<VisitorMessage> {
    messages.iter().filter_map(|message| VisitorMessage::of(message, directory)).collect()
}

/// The state row of the visitor's conversation.
pub(super) async fn current(
    conn: &mut Conn,
    whose: Whose,
) -> Result<Option<Conversation>, DbError> {
    let Whose { workspace, inbox, contact } = whose;
    let Some(id) = store::of_contact(conn, workspace, inbox, contact).await? else {
        return Ok(None);
    };
    lists::state(conn, workspace, id).await
}

/// The state with the place in the queue and how long it will take.
pub(super) async fn visitor_state(
    state: &AppState,
    conn: &mut Conn,
    c: &Conversation,
    directory: &Directory,
) -> Result<VisitorState, DbError> {
    let place = match &c.holder {
        Holder::Queue { since, .. } => {
            let now = state.conversations.clock().now();
            let position = lists::queue_position(conn, c.workspace, c.inbox, *since).await?;
            let minutes = state.waits.minutes(conn, c.workspace, c.inbox, now).await?;
            Some((position, minutes))
        }
        Holder::Assistant { .. } | Holder::Assigned { .. } | Holder::Closed { .. } => None,
    };
    Ok(VisitorState::of(c, directory, place))
}
