//! Lists, one conversation, counts, read marks, typing.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::feed::Told;
use super::rows::{self, DetailView, RowView};
use crate::access::{Right, Signed};
use crate::api::extract::Items;
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Path, Query};
use crate::app::AppState;
use crate::contact;
use crate::conversation::lists::{self, After, AlarmReader, Filter, ListRow};
use crate::conversation::others::Item;
use crate::conversation::{Actor, Heard, Holder, Live};
use crate::directory::Directory;
use crate::ids::{AgentId, ConversationId, InboxId, WorkspaceId};

/// Rows of a page at most.
const MAX_ROWS: u32 = 100;

/// Which conversations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListView {
    /// Of the whole workspace.
    #[default]
    All,
    /// In the queue.
    Unassigned,
    /// Mine.
    Mine,
}

/// In which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListState {
    /// Not closed.
    Open,
    /// The AI replies.
    Assistant,
    /// A person or the queue.
    Human,
    /// Closed.
    Closed,
}

/// What to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `all`, `unassigned` or `mine`.
    #[serde(default)]
    #[param(inline)]
    view: ListView,
    /// Without it, everything.
    #[param(inline)]
    state: Option<ListState>,
    /// Only of this inbox.
    #[param(inline)]
    inbox: Option<InboxId>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many rows at most (1 to 100; 50 when absent).
    limit: Option<u32>,
}

impl ListQuery {
    fn filter(&self, me: AgentId) -> Filter {
        let wanted: &[&str] = match self.state {
            None => &["assistant", "queue", "assigned", "closed"],
            Some(ListState::Open) => &["assistant", "queue", "assigned"],
            Some(ListState::Assistant) => &["assistant"],
            Some(ListState::Human) => &["queue", "assigned"],
            Some(ListState::Closed) => &["closed"],
        };
        let held = |view: &'static str| wanted.contains(&view);
        let pick = |name: &'static str, of_view: bool| {
            if of_view && held(name) { name } else { "" }
        };
        let all = self.view == ListView::All;
        let unassigned = all || self.view == ListView::Unassigned;
        Filter {
            holders: [
                pick("assistant", all),
                pick("queue", unassigned),
                pick("assigned", all),
                pick("closed", all),
            ],
            assignee: (self.view == ListView::Mine && held("assigned")).then_some(me),
            inbox: self.inbox,
        }
    }
}

/// Conversations, newest activity first.
#[utoipa::path(get, path = "/conversations", tag = "Conversations", params(ListQuery),
    security(("session" = [])), responses(
    (status = 200, description = "One page", body = Items<RowView>), InputErrors, AgentErrors,
))]
pub async fn list(
    State(state): State<AppState>,
    signed: Signed,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Items<RowView>>> {
    let page = crate::api::Page { cursor: query.cursor.clone(), limit: query.limit };
    let limit = page.limit(MAX_ROWS)?;
    let after = page
        .cursor
        .map(|cursor| cursor.parse::<After>())
        .transpose()
        .map_err(|()| ApiError::invalid("cursor", "Must be a next_cursor of this list."))?;
    let mut conn = state.conversations.db().read().await?;
    let filter = query.filter(signed.agent);
    let mut rows =
        lists::page(&mut conn, signed.workspace, signed.agent, filter, after, limit + 1).await?;
    drop(conn);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows
        .last()
        .filter(|_| more)
        .map(|row| After { updated_at: row.updated_at, id: row.conversation.id }.to_string());
    let known = |row: &ListRow, directory: &Directory| {
        directory.knows(row.conversation.inbox, row.conversation.holder.assignee())
    };
    let enough = |directory: &Directory| rows.iter().all(|row| known(row, directory));
    let directory = state.names.of_knowing(signed.workspace, enough).await?;
    let presence = &state.conversations.wire().presence;
    let view = |row: &ListRow| {
        rows::row(row, &directory, presence.visitor_online(row.conversation.contact))
    };
    Ok(Json(Items { items: rows.iter().map(view).collect(), next_cursor }))
}

/// The number beside each view.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountsView {
    all: OpenCount,
    unassigned: i64,
    mine: i64,
    unread: i64,
    alarms: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct OpenCount {
    open: i64,
}

/// Counts of the views, of conversations with something unread (the queue's and mine) and of my alarms.
#[utoipa::path(get, path = "/counts", tag = "Conversations",
    security(("session" = [])), responses(
    (status = 200, description = "The counts", body = CountsView), AgentErrors,
))]
pub async fn counts(State(state): State<AppState>, signed: Signed) -> ApiResult<Json<CountsView>> {
    let mut conn = state.conversations.db().read().await?;
    let counts = lists::counts(&mut conn, signed.workspace, alarm_reader(&signed)).await?;
    Ok(Json(CountsView {
        all: OpenCount { open: counts.open },
        unassigned: counts.unassigned,
        mine: counts.mine,
        unread: counts.unread,
        alarms: counts.alarms,
    }))
}

/// Whose alarms somebody reads.
pub(super) fn alarm_reader(signed: &Signed) -> AlarmReader {
    AlarmReader { agent: signed.agent, owner: signed.role.may(Right::Configure) }
}

/// One conversation.
#[utoipa::path(get, path = "/conversations/{id}", tag = "Conversations",
    security(("session" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "The conversation", body = DetailView),
    InputErrors, MissingErrors, AgentErrors,
))]
pub async fn get(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Path<ConversationId>,
) -> ApiResult<Json<DetailView>> {
    detail(&state, signed.workspace, signed.agent, id).await.map(Json)
}

/// All that is known of a conversation, as this agent sees it.
pub(super) async fn detail(
    state: &AppState,
    workspace: WorkspaceId,
    reader: AgentId,
    id: ConversationId,
) -> ApiResult<DetailView> {
    let mut conn = state.conversations.db().read().await?;
    let row = lists::row(&mut conn, workspace, Some(reader), id)
        .await?
        .ok_or_else(|| ApiError::not_found("conversation"))?;
    let c = &row.conversation;
    let contact = contact::store::get(&mut conn, workspace, c.contact)
        .await?
        .ok_or_else(|| ApiError::not_found("contact"))?;
    let position = match &c.holder {
        Holder::Queue { since, .. } => {
            Some(lists::queue_position(&mut conn, workspace, c.inbox, *since).await?)
        }
        Holder::Assistant { .. } | Holder::Assigned { .. } | Holder::Closed { .. } => None,
    };
    drop(conn);
    let enough = |directory: &Directory| directory.knows(c.inbox, c.holder.assignee());
    let directory = state.names.of_knowing(workspace, enough).await?;
    let online = state.conversations.wire().presence.visitor_online(c.contact);
    Ok(rows::detail(&row, contact, &directory, online, position))
}

/// How far an agent has read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The last event on the screen.
    seq: u64,
}

/// Moves my read mark on, never back.
#[utoipa::path(post, path = "/conversations/{id}/read", tag = "Conversations", request_body = Read,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 204, description = "Remembered"), InputErrors, MissingErrors, AgentErrors,
))]
pub async fn read(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Path<ConversationId>,
    Json(input): Json<Read>,
) -> ApiResult<StatusCode> {
    let (workspace, agent) = (signed.workspace, signed.agent);
    let db = state.conversations.db();
    lists::state(&mut db.read().await?, workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("conversation"))?;
    db.write(move |conn| {
        Box::pin(async move { lists::mark_read(conn, workspace, agent, id, input.seq).await })
    })
    .await?;
    state.feeds.tell(workspace, Told::Read { agent, conversation: id });
    state.conversations.wire().others.tell(|| Item::Read(workspace, agent, id));
    Ok(StatusCode::NO_CONTENT)
}

/// Shows colleagues, and the visitor if the conversation is mine, that I am typing.
#[utoipa::path(post, path = "/conversations/{id}/typing", tag = "Conversations",
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 204, description = "Shown for a few seconds"), InputErrors, MissingErrors, AgentErrors,
))]
pub async fn typing(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Path<ConversationId>,
) -> ApiResult<StatusCode> {
    let mut conn = state.conversations.db().read().await?;
    let c = lists::state(&mut conn, signed.workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("conversation"))?;
    drop(conn);
    let wire = state.conversations.wire();
    let (actor, name) = (Actor::Agent(signed.agent), Some(signed.name.clone()));
    // To the visitor only the holder speaks.
    if c.holder.assignee() == Some(signed.agent) {
        let typing = Live::Typing { conversation: id, actor, name: name.clone() };
        wire.visitors.publish(&(c.inbox, c.contact), typing);
        wire.others.tell(|| Item::Typing(c.inbox, c.contact, id, actor, name.clone()));
    }
    wire.tell_agents(signed.workspace, Heard::Typing { conversation: id, actor, name });
    Ok(StatusCode::NO_CONTENT)
}
