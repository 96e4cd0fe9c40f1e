//! A stretch of a conversation's log, with the sentences of cancelled replies that the visitor may have read.

use std::collections::HashMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::wire::{Item, View};
use crate::access::Signed;
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Path, Query};
use crate::app::AppState;
use crate::contact;
use crate::conversation::lists::{self, RECORDS_AT_ONCE};
use crate::conversation::store::{self, Span};
use crate::conversation::{Logged, Record};
use crate::db::{Conn, DbError};
use crate::ids::{ConversationId, TurnId, WorkspaceId};
use crate::turn::Explained;

/// Events of a page at most.
const MAX_ITEMS: u32 = 500;
/// Events of a page when the client does not say.
const DEFAULT_ITEMS: u32 = 100;

/// Which part; without `after` and `before` the newest.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    /// Only events after this seq, the oldest first.
    #[param(format = "uint64")]
    after: Option<u64>,
    /// The last events before this seq.
    #[param(format = "uint64")]
    before: Option<u64>,
    /// How many at most (1 to 500; 100 when absent).
    limit: Option<u32>,
}

/// A stretch of the timeline, ascending by seq.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    items: Vec<Item>,
    /// There is more in the direction that was asked for.
    has_more: bool,
}

/// What happened in a conversation.
#[utoipa::path(get, path = "/conversations/{id}/timeline", tag = "Conversations",
    security(("session" = [])),
    params(("id" = ConversationId, Path), TimelineQuery), responses(
    (status = 200, description = "A stretch of the log", body = Timeline),
    InputErrors, MissingErrors, AgentErrors,
))]
pub async fn timeline(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Path<ConversationId>,
    Query(query): Query<TimelineQuery>,
) -> ApiResult<Json<Timeline>> {
    let limit = query.limit.unwrap_or(DEFAULT_ITEMS);
    if !(1..=MAX_ITEMS).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("Must be between 1 and {MAX_ITEMS}.")));
    }
    let span = match (query.after, query.before) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("before", "Give either after or before, not both."));
        }
        (Some(after), None) => Span::After(after),
        (None, before) => Span::Before(before.unwrap_or(u64::MAX)),
    };
    let workspace = signed.workspace;
    let directory = state.names.of(workspace).await?;
    let mut conn = state.conversations.db().read().await?;
    let c = lists::state(&mut conn, workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("conversation"))?;
    let contact = contact::store::get(&mut conn, workspace, c.contact).await?;
    let mut logged = store::timeline(&mut conn, workspace, id, span, limit + 1).await?;
    let has_more = logged.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if has_more {
        match span {
            Span::After(_) => {
                logged.pop();
            }
            Span::Before(_) => {
                logged.remove(0);
            }
        }
    }
    let read = may_have_been_read(&mut conn, workspace, id, &logged).await?;
    drop(conn);
    let contact_name = contact.and_then(|contact| contact.name);
    let view = View { directory: &directory, contact_name: contact_name.as_deref() };
    let items = items(&view, &logged, &read)?;
    Ok(Json(Timeline { items, has_more }))
}

/// The lines of a stretch; cancelled turns tell what may have been read of them.
pub(super) fn items(
    view: &View<'_>,
    logged: &[Logged],
    read: &HashMap<TurnId, String>,
) -> Result<Vec<Item>, DbError> {
    logged
        .iter()
        .map(|logged| {
            let mut item = view.item(logged)?;
            if let Record::TurnCancelled { turn, .. } = &logged.record
                && let (Some(text), Value::Object(data)) = (read.get(turn), &mut item.data)
            {
                data.insert("read_text".to_owned(), Value::String(text.clone()));
            }
            Ok(item)
        })
        .collect()
}

/// What the visitor may have read of turns that were cancelled.
pub(super) async fn may_have_been_read(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
    logged: &[Logged],
) -> Result<HashMap<TurnId, String>, DbError> {
    let cancelled: Vec<TurnId> = logged
        .iter()
        .filter_map(|logged| match &logged.record {
            Record::TurnCancelled { turn, .. } => Some(*turn),
            _ => None,
        })
        .collect();
    let mut read = HashMap::new();
    for some in cancelled.chunks(RECORDS_AT_ONCE) {
        for (turn, record) in lists::turn_records(conn, workspace, id, some).await? {
            let explained: Explained = crate::db::stored_json(&record)?;
            if let Some(released) = explained.released.filter(|text| !text.is_empty()) {
                read.insert(turn, released);
            }
        }
    }
    Ok(read)
}
