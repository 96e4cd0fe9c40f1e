//! What a refused or stale command looks like to the one who sent it.

use std::sync::Arc;

use serde_json::json;
use utoipa::IntoResponses;

use super::wire;
use crate::api::{ApiError, ErrorAnswer};
use crate::app::AppState;
use crate::conversation::{Column, CommitError, Conversation, Refused};
use crate::db::DbError;
use crate::directory::Directory;
use crate::ids::WorkspaceId;

/// What any command on a conversation may answer besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described in the OpenAPI document")]
pub enum CommandErrors {
    /// The machine refused it (`refused`, detail `{state, event, reason, offer?}`), or it has changed hands
    /// (`stale_epoch`, detail `{epoch, holder}`).
    #[response(status = 409)]
    Conflict(ErrorAnswer),
}

/// The API's words for why nothing was committed.
pub async fn commit_error(
    state: &AppState,
    workspace: WorkspaceId,
    error: CommitError,
) -> ApiError {
    match error {
        CommitError::NotFound(what) => ApiError::not_found(what),
        CommitError::Refused(refused) => refused_error(&refused),
        CommitError::Stale { now } => match names(state, workspace, &now).await {
            Ok(directory) => {
                let holder = wire::holder(&now, &directory, None, None);
                ApiError::stale_epoch(json!({ "epoch": now.epoch, "holder": holder }))
            }
            Err(error) => error.into(),
        },
        CommitError::Db(error) => error.into(),
    }
}

async fn names(
    state: &AppState,
    workspace: WorkspaceId,
    c: &Conversation,
) -> Result<Arc<Directory>, DbError> {
    let enough = |directory: &Directory| directory.knows(c.inbox, c.holder.assignee());
    state.names.of_knowing(workspace, enough).await
}

fn refused_error(refused: &Refused) -> ApiError {
    if refused.code == "in_the_past" {
        return ApiError::invalid("until", "Must be in the future.");
    }
    let state = match refused.column {
        Column::Assistant => "assistant",
        Column::Queue | Column::Assigned => "human",
        Column::Closed => "closed",
    };
    let offer = match (refused.code, refused.event) {
        ("closed", "write") => Some("reopen_and_send"),
        ("closed", _) => Some("reopen"),
        ("held_by_colleague", _) => Some("take_from_colleague"),
        _ => None,
    };
    let message = match refused.code {
        "closed" => "The conversation is closed: reopen it first.",
        "held_by_colleague" => "A colleague holds this conversation: take it from them on purpose.",
        "held_by_ai" => "The AI holds this conversation: take it over first.",
        "not_closed" => "The conversation is open already.",
        "ai_unavailable" => {
            "The AI cannot take this conversation: it is switched off, stopped or not published."
        }
        _ => "The conversation does not allow this now: look at who holds it.",
    };
    let mut detail = json!({ "state": state, "event": refused.event, "reason": refused.code });
    if let (Some(offer), Some(detail)) = (offer, detail.as_object_mut()) {
        detail.insert("offer".to_owned(), json!(offer));
    }
    ApiError::refused(message, detail)
}
