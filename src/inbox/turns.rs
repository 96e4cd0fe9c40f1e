//! Why the AI said what it said: the record of a turn's newest try.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Signed;
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Path};
use crate::app::AppState;
use crate::conversation::lists;
use crate::ids::{ConversationId, TurnId};
use crate::turn::Explained;

/// One turn, explained.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Turn)]
pub struct TurnView {
    id: TurnId,
    conversation_id: ConversationId,
    /// `due`, `running`, `answered`, `handed_off`, `superseded` or `cancelled`.
    status: String,
    /// The newest try.
    attempt: u64,
    /// What it cost in millionths of a dollar, where the price is known.
    cost_microusd: Option<u64>,
    #[serde(flatten)]
    explained: Explained,
}

/// Explains a turn: prompt and output as sent, passages with scores, verdicts, tokens, times.
#[utoipa::path(get, path = "/turns/{id}", tag = "Conversations", params(("id" = TurnId, Path)),
    security(("session" = [])), responses(
    (status = 200, description = "The turn", body = TurnView),
    InputErrors, MissingErrors, AgentErrors,
))]
pub async fn explain(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Path<TurnId>,
) -> ApiResult<Json<TurnView>> {
    let mut conn = state.conversations.db().read().await?;
    let turn = lists::turn(&mut conn, signed.workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("turn"))?;
    drop(conn);
    let explained: Explained =
        turn.record.map(|json| crate::db::stored_json(&json)).transpose()?.unwrap_or_default();
    Ok(Json(TurnView {
        id,
        conversation_id: turn.conversation,
        status: turn.status,
        attempt: turn.attempt,
        cost_microusd: None,
        explained,
    }))
}
