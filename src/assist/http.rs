//! Help for agents over HTTP: what there is, asking for more, and what became of suggested replies.

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::run::{AssistError, Assistance};
use super::store;
use super::view::{Artifact, Assist, Fate, Kind};
use crate::access::{AccessState, Signed};
use crate::api::{
    AgentErrors, ApiError, ApiResult, ErrorAnswer, InputErrors, Json, MissingErrors, Path,
};
use crate::conversation::lists;
use crate::ids::{ArtifactId, ConversationId};

/// The routes of this feature.
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
    Assistance: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(assist, make)).routes(routes!(fate))
}

impl From<AssistError> for ApiError {
    fn from(error: AssistError) -> Self {
        match error {
            AssistError::NotFound => Self::not_found("conversation"),
            AssistError::Silent => Self::refused(
                "Nothing is made of a conversation whose contact is blocked or erased.",
                serde_json::json!({ "event": "assist" }),
            ),
            AssistError::Db(error) => error.into(),
        }
    }
}

/// The newest brief, summary and suggested replies.
#[utoipa::path(get, path = "/conversations/{id}/assist", tag = "Assist",
    security(("session" = [])),
    params(("id" = ConversationId, Path, description = "The conversation")),
    responses(
        (status = 200, description = "What there is; what is being made is `pending`", body = Assist),
        MissingErrors, AgentErrors,
    ))]
async fn assist(
    State(assistance): State<Assistance>,
    signed: Signed,
    Path(id): Path<ConversationId>,
) -> ApiResult<Json<Assist>> {
    let mut conn = assistance.conversations.db().read().await?;
    let found = lists::state(&mut conn, signed.workspace, id).await?;
    let conversation = found.ok_or_else(|| ApiError::not_found("conversation"))?;
    if conversation.erased {
        return Ok(Json(Assist::default()));
    }
    Ok(Json(store::assist(&mut conn, signed.workspace, id).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MakeArtifact)]
struct Make {
    kind: Kind,
}

/// Orders a brief, a summary or suggested replies; the result arrives as the socket frame `assist`.
#[utoipa::path(post, path = "/conversations/{id}/assist", tag = "Assist", request_body = Make,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path, description = "The conversation")),
    responses(
        (status = 200, description = "Ordered: the artifact is `pending`", body = Artifact),
        (status = 409, description = "The contact is blocked or erased (`refused`)", body = ErrorAnswer),
        InputErrors, MissingErrors, AgentErrors,
    ))]
async fn make(
    State(assistance): State<Assistance>,
    signed: Signed,
    Path(id): Path<ConversationId>,
    Json(input): Json<Make>,
) -> ApiResult<Json<Artifact>> {
    let ordered = assistance.order(signed.workspace, id, input.kind, &signed.locale).await?;
    Ok(Json(ordered))
}

/// What an agent did with a suggested reply before sending anything.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SuggestionChoice)]
enum Choice {
    /// Put into the composer.
    Inserted,
    /// Put aside.
    Dismissed,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SuggestionChosen)]
struct Chosen {
    fate: Choice,
}

/// Counts what became of a suggested reply.
#[utoipa::path(post, path = "/conversations/{id}/suggestions/{artifact}/{index}", tag = "Assist",
    security(("session" = [], "csrf" = [])),
    request_body = Chosen,
    params(
        ("id" = ConversationId, Path, description = "The conversation"),
        ("artifact" = ArtifactId, Path, description = "The suggestions"),
        ("index" = usize, Path, description = "Which reply, from 0"),
    ),
    responses((status = 204, description = "Counted"), InputErrors, MissingErrors, AgentErrors))]
async fn fate(
    State(assistance): State<Assistance>,
    signed: Signed,
    Path((id, artifact, index)): Path<(ConversationId, ArtifactId, usize)>,
    Json(input): Json<Chosen>,
) -> ApiResult<StatusCode> {
    let workspace = signed.workspace;
    let fate = match input.fate {
        Choice::Inserted => Fate::Inserted,
        Choice::Dismissed => Fate::Dismissed,
    };
    let unit = assistance.conversations.db().write(move |conn| {
        Box::pin(
            async move { store::count_fate(conn, workspace, id, (artifact, index), fate).await },
        )
    });
    if unit.await? { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found("suggestion")) }
}
