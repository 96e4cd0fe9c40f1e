//! Broken promises: the alarms I have to look at.

use axum::extract::State;
use axum::http::StatusCode;

use super::conversations::alarm_reader;
use super::errors::commit_error;
use super::rows::AlarmView;
use crate::access::Signed;
use crate::api::extract::Items;
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Path};
use crate::app::AppState;
use crate::conversation::lists;
use crate::conversation::{Command, Event};
use crate::ids::AlarmId;

/// Alarms listed at once.
const MAX_ALARMS: u32 = 200;

/// Alarms for me, for everybody, and for owners if I am one: those nobody has looked at, oldest first.
#[utoipa::path(get, path = "/alarms", tag = "Conversations",
    security(("session" = [])), responses(
    (status = 200, description = "Open alarms", body = Items<AlarmView>), AgentErrors,
))]
pub async fn list(
    State(state): State<AppState>,
    signed: Signed,
) -> ApiResult<Json<Items<AlarmView>>> {
    let mut conn = state.conversations.db().read().await?;
    let reader = alarm_reader(&signed);
    let alarms = lists::alarms(&mut conn, signed.workspace, reader, MAX_ALARMS).await?;
    Ok(Json(Items::all(alarms.into_iter().map(AlarmView::from).collect())))
}

/// Says that somebody is looking; only whoever the alarm is for.
#[utoipa::path(post, path = "/alarms/{id}/acknowledge", tag = "Conversations", params(("id" = AlarmId, Path)),
    security(("session" = [], "csrf" = [])),
    responses((status = 204, description = "Acknowledged, now or before"), InputErrors, MissingErrors, AgentErrors,
))]
pub async fn acknowledge(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Path<AlarmId>,
) -> ApiResult<StatusCode> {
    let mut conn = state.conversations.db().read().await?;
    // Who is not told of an alarm does not silence it: an agent's own lapse reaches the owners.
    let reader = alarm_reader(&signed);
    let (alarm, open) = lists::alarm(&mut conn, signed.workspace, id)
        .await?
        .filter(|(alarm, _)| reader.hears(&alarm.recipient))
        .ok_or_else(|| ApiError::not_found("alarm"))?;
    drop(conn);
    if open {
        let event = Event::AcknowledgeAlarm { alarm: id, agent: signed.agent };
        let command = Command::new(signed.workspace, alarm.conversation, event);
        if let Err(error) = state.conversations.commit(command).await {
            return Err(commit_error(&state, signed.workspace, error).await);
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
