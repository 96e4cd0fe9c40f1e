//! What a visitor reads and says.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::session::PageOfVisitor;
use super::view::{self, Stretch, Whose};
use super::wire::{VisitorConversation, VisitorMessage, VisitorState};
use crate::access::Visitor;
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Query};
use crate::app::AppState;
use crate::contact;
use crate::conversation::{
    Actor, Closer, Command, Committed, Conversation, Event, Heard, Origin, Outcome, RequestVia,
    Target, Words,
};
use crate::directory::Directory;
use crate::field;
use crate::ids::{ConversationId, MessageId};
use crate::inbox::commit_error;
use crate::words::{bare_thanks, clean, client_id};

fn whose(visitor: &Visitor) -> Whose {
    Whose { workspace: visitor.workspace, inbox: visitor.inbox, contact: visitor.contact }
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Only those after this number: to resume or poll.
    #[param(format = "uint64")]
    after: Option<u64>,
    /// Those before this number: history.
    #[param(format = "uint64")]
    before: Option<u64>,
}

/// The visitor's conversation with a stretch of its messages: the last 50, or those asked for.
#[utoipa::path(get, path = "/widget/conversation", tag = "Widget", params(Which),
    security(("visitor" = [])), responses(
    (status = 200, description = "The conversation", body = VisitorConversation),
    InputErrors, MissingErrors, AgentErrors,
))]
pub async fn conversation(
    State(state): State<AppState>,
    visitor: Visitor,
    Query(which): Query<Which>,
) -> ApiResult<Json<VisitorConversation>> {
    let stretch = match (which.after, which.before) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("before", "Give either after or before, not both."));
        }
        (Some(after), None) => Stretch::After(after),
        (None, Some(before)) => Stretch::Before(before),
        (None, None) => Stretch::Last,
    };
    let mut conn = state.conversations.db().read().await?;
    let read = view::read(&state, &mut conn, whose(&visitor), stretch).await?;
    let read = read.ok_or_else(|| ApiError::not_found("conversation yet: write first"))?;
    Ok(Json(read.view))
}

/// What a visitor writes.
#[derive(Debug, Deserialize, ToSchema)]
pub struct VisitorWrites {
    /// Your own id for it: sending it again stores nothing new.
    client_id: String,
    /// Up to 8000 characters.
    text: String,
    /// The visitor's language.
    locale: Option<String>,
    /// Where the widget runs.
    page: Option<PageOfVisitor>,
}

/// The message is on disk.
#[derive(Debug, Serialize, ToSchema)]
pub struct Acknowledged {
    message: VisitorMessage,
    conversation_id: ConversationId,
    epoch: u64,
}

/// Writes to the business. The answer means that the message is stored; the same `client_id` gives the same answer.
#[utoipa::path(post, path = "/widget/messages", tag = "Widget", request_body = VisitorWrites,
    security(("visitor" = [])), responses(
    (status = 200, description = "Stored, now or before", body = Acknowledged),
    InputErrors, AgentErrors,
))]
pub async fn write(
    State(state): State<AppState>,
    visitor: Visitor,
    Json(input): Json<VisitorWrites>,
) -> ApiResult<Json<Acknowledged>> {
    state.access.limits.visitor_message(visitor.contact)?;
    let text = clean("text", &input.text)?;
    let client_id = client_id(&input.client_id)?;
    let message: MessageId = state.conversations.ids().fresh();
    let event = Event::VisitorWrote { message, bare_thanks: bare_thanks(&text) };
    let words = Words { text, client_id: Some(client_id), ..Words::default() };
    let origin = origin(&state, &visitor, input.locale, input.page).await?;
    let committed = commit(&state, &visitor, origin, event, Some(words)).await?;
    let directory = state.names.of(visitor.workspace).await?;
    let message = committed
        .message
        .as_ref()
        .and_then(|message| VisitorMessage::of(message, &directory))
        .ok_or_else(|| ApiError::internal("a message was committed but did not come back"))?;
    Ok(Json(Acknowledged {
        message,
        conversation_id: committed.conversation.id,
        epoch: committed.conversation.epoch,
    }))
}

/// Where a conversation starts, if it starts now.
async fn origin(
    state: &AppState,
    visitor: &Visitor,
    locale: Option<String>,
    page: Option<PageOfVisitor>,
) -> ApiResult<Origin> {
    let given = locale.and_then(|locale| field::locale("locale", &locale).ok());
    let locale = match given {
        Some(locale) => locale,
        None => {
            let mut conn = state.conversations.db().read().await?;
            contact::store::get(&mut conn, visitor.workspace, visitor.contact)
                .await?
                .map_or_else(|| "en".to_owned(), |contact| contact.locale)
        }
    };
    let (page_url, page_title) = page.unwrap_or_default().kept();
    Ok(Origin { locale, page_url, page_title })
}

async fn commit(
    state: &AppState,
    visitor: &Visitor,
    origin: Origin,
    event: Event,
    words: Option<Words>,
) -> ApiResult<Committed> {
    let command = Command {
        workspace: visitor.workspace,
        target: Target::Contact { inbox: visitor.inbox, contact: visitor.contact, origin },
        event,
        words,
        evidence: None,
        turn_record: None,
    };
    match state.conversations.commit(command).await {
        Ok(committed) => Ok(committed),
        Err(error) => Err(commit_error(state, visitor.workspace, error).await),
    }
}

async fn state_of(state: &AppState, c: &Conversation) -> ApiResult<Json<VisitorState>> {
    let enough = |directory: &Directory| directory.knows(c.inbox, c.holder.assignee());
    let directory = state.names.of_knowing(c.workspace, enough).await?;
    let mut conn = state.conversations.db().read().await?;
    Ok(Json(view::visitor_state(state, &mut conn, c, &directory).await?))
}

/// A request for a person.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RequestPerson {
    /// Your own id for the request.
    client_id: String,
}

/// Asks for a person instead of the AI.
#[utoipa::path(post, path = "/widget/request-person", tag = "Widget", request_body = RequestPerson,
    security(("visitor" = [])), responses(
    (status = 200, description = "In the queue, or with a person already", body = VisitorState),
    InputErrors, AgentErrors,
))]
pub async fn request_person(
    State(state): State<AppState>,
    visitor: Visitor,
    Json(input): Json<RequestPerson>,
) -> ApiResult<Json<VisitorState>> {
    client_id(&input.client_id)?;
    state.access.limits.visitor_message(visitor.contact)?;
    let origin = origin(&state, &visitor, None, None).await?;
    let event = Event::VisitorAskedForPerson { via: RequestVia::Button };
    let committed = commit(&state, &visitor, origin, event, None).await?;
    state_of(&state, &committed.conversation).await
}

/// Ends the conversation; writing again reopens it. It counts as solved unless the visitor still waits.
#[utoipa::path(post, path = "/widget/close", tag = "Widget",
    security(("visitor" = [])), responses(
    (status = 200, description = "Closed", body = VisitorConversation),
    MissingErrors, AgentErrors,
))]
pub async fn close(
    State(state): State<AppState>,
    visitor: Visitor,
) -> ApiResult<Json<VisitorConversation>> {
    let missing = || ApiError::not_found("conversation yet: write first");
    let mut conn = state.conversations.db().read().await?;
    let c = view::current(&mut conn, whose(&visitor)).await?.ok_or_else(missing)?;
    drop(conn);
    let outcome = if c.waiting.is_some() { Outcome::Unsolved } else { Outcome::Solved };
    let event = Event::Close { by: Closer::Visitor(visitor.contact), outcome };
    let command = Command::new(visitor.workspace, c.id, event);
    if let Err(error) = state.conversations.commit(command).await {
        return Err(commit_error(&state, visitor.workspace, error).await);
    }
    let mut conn = state.conversations.db().read().await?;
    let read = view::read(&state, &mut conn, whose(&visitor), Stretch::Last).await?;
    Ok(Json(read.ok_or_else(missing)?.view))
}

/// Shows agents that the visitor is typing.
#[utoipa::path(post, path = "/widget/typing", tag = "Widget",
    security(("visitor" = [])), responses(
    (status = 204, description = "Shown for a few seconds"), AgentErrors,
))]
pub async fn typing(State(state): State<AppState>, visitor: Visitor) -> ApiResult<StatusCode> {
    let mut conn = state.conversations.db().read().await?;
    let Some(c) = view::current(&mut conn, whose(&visitor)).await? else {
        return Ok(StatusCode::NO_CONTENT);
    };
    if !state.feeds.may_tell_typing(c.id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let person = contact::store::get(&mut conn, visitor.workspace, visitor.contact).await?;
    drop(conn);
    let actor = Actor::Visitor(visitor.contact);
    let name = person.and_then(|person| person.name);
    let typing = Heard::Typing { conversation: c.id, actor, name };
    state.conversations.wire().tell_agents(visitor.workspace, typing);
    Ok(StatusCode::NO_CONTENT)
}

/// How far the visitor has read.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Seen {
    /// The number of the last message on the screen.
    public_seq: u64,
}

/// Says how far the visitor has read.
#[utoipa::path(post, path = "/widget/seen", tag = "Widget", request_body = Seen,
    security(("visitor" = [])), responses(
    (status = 204, description = "Taken"), InputErrors, AgentErrors,
))]
pub async fn seen(
    State(state): State<AppState>,
    visitor: Visitor,
    Json(input): Json<Seen>,
) -> ApiResult<StatusCode> {
    let mut conn = state.conversations.db().read().await?;
    let c = view::current(&mut conn, whose(&visitor)).await?;
    // Nothing keeps it yet; a number beyond the conversation is a mistake of the widget's all the same.
    if c.is_some_and(|c| input.public_seq > c.public_seq) {
        return Err(ApiError::invalid("public_seq", "Must be the number of a message."));
    }
    Ok(StatusCode::NO_CONTENT)
}
