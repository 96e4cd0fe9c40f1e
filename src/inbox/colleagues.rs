//! Who works in the workspace, and who of them is there.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{Role, Signed, store as people};
use crate::api::{AgentErrors, ApiResult, Items, Json};
use crate::app::AppState;
use crate::hub::Availability;
use crate::ids::AgentId;

/// A colleague.
#[derive(Debug, Serialize, ToSchema)]
pub struct Colleague {
    id: AgentId,
    name: String,
    email: String,
    role: Role,
    /// Offline without a console open, whatever they say of themselves.
    presence: Availability,
    /// How many open conversations they hold.
    open: i64,
}

/// Everybody who works in the workspace.
#[utoipa::path(get, path = "/agents", tag = "People",
    security(("session" = [])), responses(
    (status = 200, description = "Everybody", body = Items<Colleague>), AgentErrors,
))]
pub async fn agents(
    State(state): State<AppState>,
    signed: Signed,
) -> ApiResult<Json<Items<Colleague>>> {
    let db = state.conversations.db();
    let members = people::members(&mut db.read().await?, signed.workspace).await?;
    let here = &state.conversations.wire().presence;
    let colleagues = members.into_iter().map(|member| Colleague {
        presence: here.of_agent(signed.workspace, member.id),
        id: member.id,
        name: member.name,
        email: member.email,
        role: member.role,
        open: member.open,
    });
    Ok(Json(Items::all(colleagues.collect())))
}
