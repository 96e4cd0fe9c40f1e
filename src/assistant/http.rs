//! AI agents over HTTP: list, make, read, save and publish.

use axum::extract::{FromRef, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::config::AssistantConfig;
use super::inbox::{self, Inbox, snippet};
use super::models::{ModelOption, ModelOptions};
use super::store::{self, Assistant, NotSaved};
use crate::access::extract::ServedAt;
use crate::access::{AccessState, Origin, Right, Signed};
use crate::api::{
    AgentErrors, ApiError, ApiResult, ErrorAnswer, InputErrors, Items, Json, MissingErrors, Path,
};
use crate::db::DbError;
use crate::field::Invalid;
use crate::ids::{AssistantId, InboxId, WorkspaceId};
use crate::model::Tone;

/// The routes of this feature, inboxes included.
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
    ModelOptions: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, save))
        .merge(inbox::http::router())
}

/// An AI agent in the list.
#[derive(Debug, Serialize, ToSchema)]
struct AssistantRow {
    id: AssistantId,
    name: String,
    avatar: String,
    tone: Tone,
    model: String,
    version: i64,
    inboxes: Vec<InboxName>,
    stopped: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct InboxName {
    id: InboxId,
    name: String,
}

/// An AI agent with everything that can be set.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assistant)]
struct AssistantAnswer {
    id: AssistantId,
    /// Name it when saving.
    version: i64,
    config: AssistantConfig,
    inboxes: Vec<InboxSnippet>,
    model_options: Vec<ModelOption>,
}

#[derive(Debug, Serialize, ToSchema)]
struct InboxSnippet {
    id: InboxId,
    name: String,
    public_key: String,
    snippet: String,
}

async fn inboxes(access: &AccessState, workspace: WorkspaceId) -> Result<Vec<Inbox>, DbError> {
    inbox::store::list(&mut access.db.read().await?, workspace).await
}

async fn answer(
    access: &AccessState,
    workspace: WorkspaceId,
    assistant: Assistant,
    options: &ModelOptions,
    served_at: &Origin,
) -> ApiResult<Json<AssistantAnswer>> {
    let own = inboxes(access, workspace).await?.into_iter();
    let inboxes = own
        .filter(|inbox| inbox.assistant == Some(assistant.id))
        .map(|inbox| InboxSnippet {
            snippet: snippet(served_at, &inbox.public_key),
            id: inbox.id,
            name: inbox.name,
            public_key: inbox.public_key,
        })
        .collect();
    Ok(Json(AssistantAnswer {
        id: assistant.id,
        version: assistant.version,
        config: assistant.config,
        inboxes,
        model_options: options.0.to_vec(),
    }))
}

/// Every AI agent.
#[utoipa::path(get, path = "/assistants", tag = "Set-up",
    security(("session" = [])), responses(
    (status = 200, description = "Every AI agent", body = Items<AssistantRow>), AgentErrors,
))]
async fn list(
    State(access): State<AccessState>,
    signed: Signed,
) -> ApiResult<Json<Items<AssistantRow>>> {
    signed.require(Right::Configure)?;
    let all = store::list(&mut access.db.read().await?, signed.workspace).await?;
    let inboxes = inboxes(&access, signed.workspace).await?;
    let row = |assistant: Assistant| AssistantRow {
        inboxes: inboxes
            .iter()
            .filter(|inbox| inbox.assistant == Some(assistant.id))
            .map(|inbox| InboxName { id: inbox.id, name: inbox.name.clone() })
            .collect(),
        id: assistant.id,
        version: assistant.version,
        stopped: assistant.stopped,
        name: assistant.config.identity.name,
        avatar: assistant.config.identity.avatar,
        tone: assistant.config.identity.tone,
        model: assistant.config.model,
    };
    Ok(Json(Items::all(all.into_iter().map(row).collect())))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateAssistant {
    name: String,
}

/// Makes an AI agent with careful defaults.
#[utoipa::path(post, path = "/assistants", tag = "Set-up", request_body = CreateAssistant,
    security(("session" = [], "csrf" = [])), responses(
    (status = 200, description = "Made and published", body = AssistantAnswer), InputErrors, AgentErrors,
))]
async fn create(
    State(access): State<AccessState>,
    State(options): State<ModelOptions>,
    ServedAt(served_at): ServedAt,
    signed: Signed,
    Json(input): Json<CreateAssistant>,
) -> ApiResult<Json<AssistantAnswer>> {
    signed.require(Right::Configure)?;
    let config = AssistantConfig::fresh(input.name.trim()).validated(&options.ids()).map_err(
        // The client wrote `name`; where it ends up is not its concern.
        |invalid| Invalid::new("name", invalid.message),
    )?;
    let (workspace, agent) = (signed.workspace, signed.agent);
    let (id, now) = (access.ids.fresh(), access.clock.now());
    let made = access
        .db
        .write(move |conn| {
            let config = config.clone();
            Box::pin(
                async move { store::create(conn, workspace, id, &config, Some(agent), now).await },
            )
        })
        .await?;
    answer(&access, workspace, made, &options, &served_at).await
}

/// One AI agent with everything that can be set.
#[utoipa::path(get, path = "/assistants/{id}", tag = "Set-up", params(("id" = AssistantId, Path)),
    security(("session" = [])), responses(
    (status = 200, description = "The published version", body = AssistantAnswer), MissingErrors, AgentErrors,
))]
async fn get(
    State(access): State<AccessState>,
    State(options): State<ModelOptions>,
    ServedAt(served_at): ServedAt,
    signed: Signed,
    Path(id): Path<AssistantId>,
) -> ApiResult<Json<AssistantAnswer>> {
    signed.require(Right::Configure)?;
    let found = store::published(&mut access.db.read().await?, signed.workspace, id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("AI agent"))?;
    answer(&access, signed.workspace, found, &options, &served_at).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SaveAssistant {
    /// The version that was edited.
    version: i64,
    config: AssistantConfig,
}

/// Saves and publishes a new version.
#[utoipa::path(put, path = "/assistants/{id}", tag = "Set-up", params(("id" = AssistantId, Path)),
    security(("session" = [], "csrf" = [])),
    request_body = SaveAssistant, responses(
    (status = 200, description = "Saved and published", body = AssistantAnswer),
    (status = 409, description = "Somebody has saved meanwhile (`stale_version`)", body = ErrorAnswer),
    InputErrors, MissingErrors, AgentErrors,
))]
async fn save(
    State(access): State<AccessState>,
    State(options): State<ModelOptions>,
    ServedAt(served_at): ServedAt,
    signed: Signed,
    Path(id): Path<AssistantId>,
    Json(input): Json<SaveAssistant>,
) -> ApiResult<Json<AssistantAnswer>> {
    signed.require(Right::Configure)?;
    let in_config =
        |invalid: Invalid| Invalid::new(format!("config.{}", invalid.field), invalid.message);
    let config = input.config.validated(&options.ids()).map_err(in_config)?;
    let (workspace, agent, edited) = (signed.workspace, signed.agent, input.version);
    let now = access.clock.now();
    let saved = access
        .db
        .write(move |conn| {
            let config = config.clone();
            Box::pin(
                async move { store::save(conn, workspace, id, edited, &config, agent, now).await },
            )
        })
        .await?;
    match saved {
        Ok(assistant) => {
            tracing::info!(assistant.id = %id, assistant.version = assistant.version, "published");
            answer(&access, workspace, assistant, &options, &served_at).await
        }
        Err(NotSaved::Missing) => Err(ApiError::not_found("AI agent")),
        Err(NotSaved::Stale { current }) => Err(ApiError::conflict(
            "stale_version",
            "Somebody has saved this AI agent meanwhile: load it again, then make your changes.",
        )
        .with_detail(serde_json::json!({ "version": current }))),
        Err(NotSaved::UnknownKnowledgeBase(base)) => Err(ApiError::invalid(
            "config.knowledge_bases",
            format!("There is no knowledge base {base} in this workspace."),
        )),
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
