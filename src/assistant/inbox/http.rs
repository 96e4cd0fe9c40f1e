//! Inboxes over HTTP.

use axum::extract::{FromRef, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::{self, InboxChange, NewInbox, NotChanged};
use super::{Inbox, ReopenTo, accent, snippet};
use crate::access::extract::ServedAt;
use crate::access::{AccessState, AllowedOrigins, Origin, Right, Signed};
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Items, Json, MissingErrors, Path};
use crate::field;
use crate::ids::{AssistantId, InboxId};

/// Longest name of an inbox.
const NAME_MAX: usize = 80;

/// The routes of this feature.
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(update))
}

/// An inbox on the wire.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Inbox)]
struct InboxAnswer {
    id: InboxId,
    name: String,
    public_key: String,
    assistant_id: Option<AssistantId>,
    allowed_origins: Vec<String>,
    reopen_to: ReopenTo,
    accent: String,
    /// Put it into the pages that show the widget.
    snippet: String,
}

impl InboxAnswer {
    fn new(inbox: Inbox, served_at: &Origin) -> Self {
        Self {
            snippet: snippet(served_at, &inbox.public_key),
            id: inbox.id,
            name: inbox.name,
            public_key: inbox.public_key,
            assistant_id: inbox.assistant,
            allowed_origins: inbox.allowed_origins.to_list(),
            reopen_to: inbox.settings.reopen_to,
            accent: inbox.settings.accent,
        }
    }
}

/// Every inbox. Any agent may read them: lists filter by inbox.
#[utoipa::path(get, path = "/inboxes", tag = "Set-up",
    security(("session" = [])), responses(
    (status = 200, description = "Every inbox", body = Items<InboxAnswer>), AgentErrors,
))]
async fn list(
    State(access): State<AccessState>,
    ServedAt(served_at): ServedAt,
    signed: Signed,
) -> ApiResult<Json<Items<InboxAnswer>>> {
    let inboxes = store::list(&mut access.db.read().await?, signed.workspace).await?;
    let items = inboxes.into_iter().map(|inbox| InboxAnswer::new(inbox, &served_at)).collect();
    Ok(Json(Items::all(items)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateInbox {
    name: String,
}

/// Makes an inbox that no AI agent answers yet, and that no page but our own may embed: set both next.
#[utoipa::path(post, path = "/inboxes", tag = "Set-up", request_body = CreateInbox,
    security(("session" = [], "csrf" = [])), responses(
    (status = 200, description = "Made", body = InboxAnswer), InputErrors, AgentErrors,
))]
async fn create(
    State(access): State<AccessState>,
    ServedAt(served_at): ServedAt,
    signed: Signed,
    Json(input): Json<CreateInbox>,
) -> ApiResult<Json<InboxAnswer>> {
    signed.require(Right::Configure)?;
    let new = NewInbox::named(
        &field::line("name", &input.name, NAME_MAX)?,
        AllowedOrigins::only_our_own(),
    );
    let (workspace, id, now) = (signed.workspace, access.ids.fresh(), access.clock.now());
    let inbox = access
        .db
        .write(move |conn| {
            let new = new.clone();
            Box::pin(async move { store::create(conn, workspace, id, &new, now).await })
        })
        .await?;
    Ok(Json(InboxAnswer::new(inbox, &served_at)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateInbox {
    name: Option<String>,
    /// Null means nobody: conversations go to the queue.
    #[serde(default, deserialize_with = "crate::api::extract::present")]
    #[schema(value_type = Option<AssistantId>)]
    assistant_id: Option<Option<AssistantId>>,
    /// Origins such as `https://shop.example`, or `*` alone.
    allowed_origins: Option<Vec<String>>,
    reopen_to: Option<ReopenTo>,
    /// A colour such as `#6d28d9`.
    accent: Option<String>,
}

/// Changes an inbox; what is absent stays.
#[utoipa::path(patch, path = "/inboxes/{id}", tag = "Set-up", params(("id" = InboxId, Path)),
    security(("session" = [], "csrf" = [])),
    request_body = UpdateInbox, responses(
    (status = 200, description = "Changed", body = InboxAnswer), InputErrors, MissingErrors, AgentErrors,
))]
async fn update(
    State(access): State<AccessState>,
    ServedAt(served_at): ServedAt,
    signed: Signed,
    Path(id): Path<InboxId>,
    Json(input): Json<UpdateInbox>,
) -> ApiResult<Json<InboxAnswer>> {
    signed.require(Right::Configure)?;
    let origins = input.allowed_origins.as_deref();
    let change = InboxChange {
        name: input.name.map(|name| field::line("name", &name, NAME_MAX)).transpose()?,
        assistant: input.assistant_id,
        allowed_origins: origins
            .map(|list| AllowedOrigins::parse("allowed_origins", list))
            .transpose()?,
        reopen_to: input.reopen_to,
        accent: input.accent.map(|value| accent("accent", &value)).transpose()?,
    };
    let workspace = signed.workspace;
    let changed = access
        .db
        .write(move |conn| {
            let change = change.clone();
            Box::pin(async move { store::update(conn, workspace, id, &change).await })
        })
        .await?;
    match changed {
        Ok(inbox) => Ok(Json(InboxAnswer::new(inbox, &served_at))),
        Err(NotChanged::Missing) => Err(ApiError::not_found("inbox")),
        Err(NotChanged::UnknownAssistant) => {
            Err(ApiError::invalid("assistant_id", "There is no such AI agent in this workspace."))
        }
    }
}
