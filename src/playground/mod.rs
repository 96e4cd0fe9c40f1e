//! The Test stage: ask a published AI agent and see how it came to its answer. Nothing is stored.

use axum::extract::{FromRef, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{AccessState, Right, Signed};
use crate::api::{AgentErrors, ApiError, ApiResult, InputErrors, Json, MissingErrors, Path};
use crate::assistant::store;
use crate::conversation::{Evidence, HandoffCode, Speaker};
use crate::field;
use crate::ids::{AssistantId, MessageId};
use crate::knowledge::Citation;
use crate::turn::{Explained, Produced, Producer, Said, rehearse, settings};
use crate::words::clean;

/// Messages of a rehearsal at most.
const MAX_MESSAGES: usize = 40;

/// The routes of this feature.
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
    Producer: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(ask))
}

/// A conversation to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rehearsal {
    /// What was said, oldest first; the visitor speaks last.
    messages: Vec<Line>,
    /// The visitor's language; the AI agent's first one where it is missing.
    locale: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    role: Role,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LineRole)]
enum Role {
    Visitor,
    Assistant,
}

/// The reply and how it came about.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rehearsed {
    /// `answered` or `handed_off`.
    outcome: &'static str,
    /// The words for the visitor.
    text: Option<String>,
    /// Their sources.
    citations: Vec<Citation>,
    /// Why a human would get it.
    reason: Option<Reason>,
    /// Passages, verdicts, prompt, tokens, times.
    #[serde(flatten)]
    explained: Explained,
}

#[derive(Debug, Serialize, ToSchema)]
struct Reason {
    code: HandoffCode,
    condition: Option<String>,
    evidence: Option<String>,
    message_id: Option<MessageId>,
}

impl Reason {
    fn new(code: HandoffCode, evidence: Evidence) -> Self {
        Self { code, condition: evidence.condition, evidence: evidence.quote, message_id: None }
    }
}

/// Ask the published AI agent outside any conversation.
#[utoipa::path(post, path = "/assistants/{id}/ask", tag = "AI agents",
    security(("session" = [], "csrf" = [])),
    params(("id" = AssistantId, Path, description = "The AI agent")),
    request_body = Rehearsal,
    responses(
        (status = 200, description = "The reply and how it came about", body = Rehearsed),
        InputErrors, MissingErrors, AgentErrors,
    ))]
async fn ask(
    State(access): State<AccessState>,
    State(producer): State<Producer>,
    signed: Signed,
    Path(id): Path<AssistantId>,
    Json(rehearsal): Json<Rehearsal>,
) -> ApiResult<Json<Rehearsed>> {
    signed.require(Right::Configure)?;
    if rehearsal.messages.is_empty() || rehearsal.messages.len() > MAX_MESSAGES {
        let message = format!("Must have 1 to {MAX_MESSAGES} messages.");
        return Err(ApiError::invalid("messages", message));
    }
    if rehearsal.messages.last().is_none_or(|line| line.role != Role::Visitor) {
        return Err(ApiError::invalid("messages", "The visitor must speak last."));
    }
    let said = rehearsal
        .messages
        .iter()
        .map(|line| {
            let speaker = match line.role {
                Role::Visitor => Speaker::Visitor,
                Role::Assistant => Speaker::Assistant,
            };
            Ok(Said { speaker, text: clean("messages.text", &line.text)? })
        })
        .collect::<ApiResult<Vec<Said>>>()?;
    let mut conn = access.db.read().await?;
    let published = store::published(&mut conn, signed.workspace, id).await?;
    drop(conn);
    let published = published.ok_or_else(|| ApiError::not_found("AI agent"))?;
    let settings = settings(signed.workspace, published);
    let locale = rehearsal.locale.map(|tag| field::locale("locale", &tag)).transpose()?;
    let locale = locale
        .or_else(|| settings.persona.languages.first().cloned())
        .unwrap_or_else(|| "en".to_owned());
    let (produced, explained) = rehearse(&producer, settings, &locale, &said, access.ids).await;
    Ok(Json(answer(produced, explained)))
}

/// As people see it.
#[must_use]
pub fn answer(produced: Produced, explained: Explained) -> Rehearsed {
    let (outcome, text, citations, reason) = match produced {
        Produced::Answered { text, citations, .. } => ("answered", Some(text), citations, None),
        Produced::HandOff { reason, evidence } => {
            ("handed_off", None, Vec::new(), Some(Reason::new(reason, evidence)))
        }
        Produced::Failed { reason, evidence, released } => {
            let (text, citations) = released.unzip();
            let reason = Reason::new(reason, evidence);
            ("handed_off", text, citations.unwrap_or_default(), Some(reason))
        }
        Produced::Stopped => ("handed_off", None, Vec::new(), None),
    };
    Rehearsed {
        outcome,
        text,
        citations,
        reason,
        explained: Explained { outcome: String::new(), ..explained },
    }
}
