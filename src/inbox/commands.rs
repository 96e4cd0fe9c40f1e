//! What an agent does to a conversation: each is one event through the committing door.
//!
//! Every command but *take over* and notes names the epoch the agent saw; on a mismatch nothing changes.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::conversations::detail;
use super::errors::{CommandErrors, commit_error};
use super::rows::DetailView;
use super::wire::{MessageView, View};
use crate::access::{Right, Signed};
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Path};
use crate::app::AppState;
use crate::assist;
use crate::clock::Timestamp;
use crate::conversation::{AiMode, By, Closer, Command, Committed, Event, Outcome, Words};
use crate::conversation::{CommitError, lists};
use crate::ids::{AgentId, ArtifactId, ConversationId, MessageId, WorkspaceId};
use crate::words::{clean, client_id};

type Id = Path<ConversationId>;

fn by(signed: &Signed, expected_epoch: u64) -> By {
    By { agent: signed.agent, expected_epoch: Some(expected_epoch) }
}

async fn commit(
    state: &AppState,
    signed: &Signed,
    id: ConversationId,
    event: Event,
    words: Option<Words>,
) -> ApiResult<Committed> {
    let mut command = Command::new(signed.workspace, id, event);
    command.words = words;
    match state.conversations.commit(command).await {
        Ok(committed) => Ok(committed),
        Err(error) => Err(commit_error(state, signed.workspace, error).await),
    }
}

/// Whether this agent may move the conversation away from whoever holds it: what a colleague holds leaves their hands only
/// with the right to take it, whichever command would do it.
///
/// # Errors
/// 403 naming the right; 409 when the epoch is not the one that is, since only its holder is known here.
async fn may_move(
    state: &AppState,
    signed: &Signed,
    id: ConversationId,
    expected_epoch: u64,
) -> ApiResult<()> {
    if signed.role.may(Right::TakeFromColleague) {
        return Ok(());
    }
    let mut conn = state.conversations.db().read().await?;
    let c = lists::state(&mut conn, signed.workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("conversation"))?;
    drop(conn);
    if c.epoch != expected_epoch {
        let stale = CommitError::Stale { now: Box::new(c) };
        return Err(commit_error(state, signed.workspace, stale).await);
    }
    match c.holder.assignee() {
        Some(colleague) if colleague != signed.agent => signed.require(Right::TakeFromColleague),
        Some(_) | None => Ok(()),
    }
}

/// Commits and answers with what is known of the conversation then.
async fn then_detail(
    state: &AppState,
    signed: &Signed,
    id: ConversationId,
    event: Event,
    words: Option<Words>,
) -> ApiResult<Json<DetailView>> {
    commit(state, signed, id, event, words).await?;
    detail(state, signed.workspace, signed.agent, id).await.map(Json)
}

/// Commits and answers with the message that was stored, now or earlier under the same client id.
async fn then_message(
    state: &AppState,
    signed: &Signed,
    id: ConversationId,
    event: Event,
    words: Words,
) -> ApiResult<Json<MessageView>> {
    let committed = commit(state, signed, id, event, Some(words)).await?;
    let message = committed
        .message
        .ok_or_else(|| ApiError::internal("a message was committed but did not come back"))?;
    let directory = state.names.of(signed.workspace).await?;
    Ok(Json(View { directory: &directory, contact_name: None }.message(&message)))
}

/// Take a conversation over.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeOver {
    /// The epoch on the screen; needed only to take it from a colleague.
    expected_epoch: Option<u64>,
    /// Take it although a colleague holds it (right `take_from_colleague`).
    #[serde(default)]
    from_colleague: bool,
}

/// Takes a conversation over from the AI or the queue, or on purpose from a colleague.
#[utoipa::path(post, path = "/conversations/{id}/take-over", tag = "Conversations", request_body = TakeOver,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "It is yours", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn take_over(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    input: Option<Json<TakeOver>>,
) -> ApiResult<Json<DetailView>> {
    let input = input.map(|Json(input)| input).unwrap_or_default();
    if input.from_colleague {
        signed.require(Right::TakeFromColleague)?;
        if input.expected_epoch.is_none() {
            return Err(ApiError::invalid(
                "expected_epoch",
                "Must be the epoch you see, to take a conversation from a colleague.",
            ));
        }
    }
    let by = By { agent: signed.agent, expected_epoch: input.expected_epoch };
    let event = Event::AgentTakesOver { by, from_colleague: input.from_colleague };
    then_detail(&state, &signed, id, event, None).await
}

/// A public reply.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// What the visitor will read.
    text: String,
    /// Your own id for it: sending it again stores nothing new.
    client_id: String,
    /// The epoch on the screen.
    expected_epoch: u64,
    /// The suggested reply it came from.
    suggestion: Option<SuggestionUsed>,
}

/// Which suggested reply was sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuggestionUsed {
    artifact_id: ArtifactId,
    index: u32,
}

/// Writes to the visitor. While the AI or the queue holds the conversation, this takes it over.
#[utoipa::path(post, path = "/conversations/{id}/messages", tag = "Conversations", request_body = Write,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "Stored", body = MessageView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn write(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<Write>,
) -> ApiResult<Json<MessageView>> {
    let words = words(&input.text, &input.client_id)?;
    let message: MessageId = state.conversations.ids().fresh();
    let event = Event::AgentWrites { by: by(&signed, input.expected_epoch), message };
    let wrote = then_message(&state, &signed, id, event, words).await?;
    // The same client id again brings the message of then: it is not sent a second time.
    if wrote.0.id == message
        && let Some(used) = input.suggestion
    {
        count_sent(&state, signed.workspace, id, used).await;
    }
    Ok(wrote)
}

/// Remembers that a suggested reply was sent; the message stands whether or not that succeeds.
async fn count_sent(
    state: &AppState,
    workspace: WorkspaceId,
    id: ConversationId,
    used: SuggestionUsed,
) {
    let place = (used.artifact_id, usize::try_from(used.index).unwrap_or(usize::MAX));
    let counted = state.conversations.db().write(move |conn| {
        Box::pin(async move {
            assist::store::count_fate(conn, workspace, id, place, assist::Fate::Sent).await
        })
    });
    if let Err(error) = counted.await {
        tracing::warn!(%error, "the fate of a suggested reply was not counted");
    }
}

fn words(text: &str, id: &str) -> ApiResult<Words> {
    let (text, id) = (clean("text", text)?, client_id(id)?);
    Ok(Words { text, client_id: Some(id), ..Words::default() })
}

/// A private note.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What colleagues will read.
    text: String,
    /// Your own id for it: sending it again stores nothing new.
    client_id: String,
}

/// Leaves a note that only colleagues see.
#[utoipa::path(post, path = "/conversations/{id}/notes", tag = "Conversations", request_body = Note,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "Stored", body = MessageView),
    InputErrors, MissingErrors, AgentErrors,
))]
pub async fn note(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<Note>,
) -> ApiResult<Json<MessageView>> {
    let words = words(&input.text, &input.client_id)?;
    let message: MessageId = state.conversations.ids().fresh();
    let event = Event::AgentNotes { agent: signed.agent, message };
    then_message(&state, &signed, id, event, words).await
}

/// To whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    agent_id: AgentId,
    /// The epoch on the screen.
    expected_epoch: u64,
}

/// Gives a conversation to one person; a colleague's only with the right `take_from_colleague`.
#[utoipa::path(post, path = "/conversations/{id}/assign", tag = "Conversations", request_body = Assign,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "Assigned", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn assign(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<Assign>,
) -> ApiResult<Json<DetailView>> {
    may_move(&state, &signed, id, input.expected_epoch).await?;
    let by = by(&signed, input.expected_epoch);
    let event = Event::Assign { by, agent: Some(input.agent_id), team: None };
    then_detail(&state, &signed, id, event, None).await
}

/// Only the epoch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The epoch on the screen.
    expected_epoch: u64,
}

/// Puts a conversation at the end of the queue; a colleague's only with the right `take_from_colleague`.
#[utoipa::path(post, path = "/conversations/{id}/return-to-queue", tag = "Conversations", request_body = Expected,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "In the queue", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn return_to_queue(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<Expected>,
) -> ApiResult<Json<DetailView>> {
    may_move(&state, &signed, id, input.expected_epoch).await?;
    let event = Event::ReturnToQueue { by: by(&signed, input.expected_epoch) };
    then_detail(&state, &signed, id, event, None).await
}

/// Back to the AI.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignToAi {
    /// What the AI should know. It is not shown to the visitor, but the AI may say what it says.
    note: Option<String>,
    /// The epoch on the screen.
    expected_epoch: u64,
}

/// Hands a conversation back to the AI, which answers at once if the visitor waits; a colleague's only with the right
/// `take_from_colleague`.
#[utoipa::path(post, path = "/conversations/{id}/assign-to-ai", tag = "Conversations", request_body = AssignToAi,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "With the AI", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn assign_to_ai(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<AssignToAi>,
) -> ApiResult<Json<DetailView>> {
    may_move(&state, &signed, id, input.expected_epoch).await?;
    let note = input.note.filter(|note| !note.trim().is_empty());
    let words = note
        .map(|note| clean("note", &note).map(|text| Words { text, ..Words::default() }))
        .transpose()?;
    let message = words.is_some().then(|| state.conversations.ids().fresh::<MessageId>());
    let event = Event::AssignToAi { by: by(&signed, input.expected_epoch), note: message };
    then_detail(&state, &signed, id, event, words).await
}

/// How it ended, as an agent may say.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentOutcome {
    /// Solved.
    Solved,
    /// Not solved.
    Unsolved,
    /// Not a customer.
    Spam,
}

impl From<AgentOutcome> for Outcome {
    fn from(outcome: AgentOutcome) -> Self {
        match outcome {
            AgentOutcome::Solved => Self::Solved,
            AgentOutcome::Unsolved => Self::Unsolved,
            AgentOutcome::Spam => Self::Spam,
        }
    }
}

/// How it ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    outcome: AgentOutcome,
    /// The epoch on the screen.
    expected_epoch: u64,
}

/// Closes a conversation; a colleague's only with the right `take_from_colleague`.
#[utoipa::path(post, path = "/conversations/{id}/close", tag = "Conversations", request_body = Close,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "Closed", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn close(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<Close>,
) -> ApiResult<Json<DetailView>> {
    may_move(&state, &signed, id, input.expected_epoch).await?;
    let by = Closer::Agent(by(&signed, input.expected_epoch));
    let event = Event::Close { by, outcome: input.outcome.into() };
    then_detail(&state, &signed, id, event, None).await
}

/// Opens a closed conversation again; it is mine then.
#[utoipa::path(post, path = "/conversations/{id}/reopen", tag = "Conversations", request_body = Expected,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "Open", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn reopen(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<Expected>,
) -> ApiResult<Json<DetailView>> {
    let event = Event::Reopen { by: by(&signed, input.expected_epoch) };
    then_detail(&state, &signed, id, event, None).await
}

/// Until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnoozeUntil {
    /// In the future.
    until: Timestamp,
    /// The epoch on the screen.
    expected_epoch: u64,
}

/// Sets a conversation aside.
#[utoipa::path(post, path = "/conversations/{id}/snooze", tag = "Conversations", request_body = SnoozeUntil,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "Snoozed", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn snooze(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<SnoozeUntil>,
) -> ApiResult<Json<DetailView>> {
    let event = Event::Snooze { by: by(&signed, input.expected_epoch), until: input.until };
    then_detail(&state, &signed, id, event, None).await
}

/// The AI switch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAiMode {
    mode: AiMode,
    /// The epoch on the screen.
    expected_epoch: u64,
}

/// Switches the AI on, to drafts only, or off for one conversation.
#[utoipa::path(post, path = "/conversations/{id}/ai-mode", tag = "Conversations", request_body = SetAiMode,
    security(("session" = [], "csrf" = [])),
    params(("id" = ConversationId, Path)), responses(
    (status = 200, description = "Switched", body = DetailView),
    CommandErrors, InputErrors, MissingErrors, AgentErrors,
))]
pub async fn ai_mode(
    State(state): State<AppState>,
    signed: Signed,
    Path(id): Id,
    Json(input): Json<SetAiMode>,
) -> ApiResult<Json<DetailView>> {
    let event = Event::SetAiMode { by: by(&signed, input.expected_epoch), mode: input.mode };
    then_detail(&state, &signed, id, event, None).await
}
