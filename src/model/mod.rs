//! Language models behind one small boundary: ask for a whole answer or for a stream of it.
//!
//! Three kinds stand behind [`ChatModel`]: any OpenAI-compatible endpoint ([`openai`]), the built-in answerer that needs no
//! model at all ([`builtin`]), and a scripted server for tests and demonstrations ([`scripted`]). A request carries both
//! the rendered prompt and the [`Material`] it was rendered from, so that an answerer that reads no prompts can work too.
//!
//! Nothing here retries, falls back or decides what a failure means for a conversation: that is the turn's business, and
//! [`ModelError`] tells it what it needs. Nothing here logs the words of a prompt or an answer.

pub mod builtin;
mod error;
pub mod extract;
pub mod fence;
pub mod json;
pub mod openai;
pub mod prompt;
pub mod scripted;
mod set;
pub mod tokens;
mod watched;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::MessageId;
use tokens::{Calibration, TokenBudget};

pub use error::ModelError;
pub use set::{BUILT_IN, DEFAULT, ModelSet, Models};
pub use watched::Watched;

/// The longest answer that is read from a model, in bytes; a longer one is [`ModelError::TooLong`].
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A model that holds a chat.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// What people and records call it.
    fn name(&self) -> &str;

    /// Whether asking it leaves the process.
    fn kind(&self) -> ModelKind;

    /// How many tokens prompt and answer may have together.
    fn context_tokens(&self) -> usize;

    /// How many tokens a prompt may have if the answer may have that many.
    fn prompt_budget(&self, max_output_tokens: u32) -> TokenBudget {
        let calibration = Calibration::default();
        TokenBudget::for_window(self.context_tokens(), max_output_tokens, &calibration)
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// Any [`ModelError`]; nothing is retried here.
    async fn complete(&self, request: &ChatRequest) -> Result<Completion, ModelError>;

    /// Asks and returns the answer as it comes. A stream that ends well ends with [`Delta::Done`]; one that ends without
    /// it has failed. Dropping the stream cancels the work behind it.
    ///
    /// # Errors
    /// Any [`ModelError`], here or as the stream's last item.
    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError>;

    /// Told when whoever asked has stopped waiting because no answer came in time.
    fn kept_waiting(&self, _task: Task) {}
}

/// An answer as it comes.
pub type ChatStream = BoxStream<'static, Result<Delta, ModelError>>;

/// What a model is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Answer a visitor.
    Answer,
    /// Say which worded conditions have come true.
    Judge,
    /// Brief the agent who takes over.
    Brief,
    /// Summarise a conversation for agents.
    Summary,
    /// Suggest replies to an agent.
    Suggest,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 5] =
        [Self::Answer, Self::Judge, Self::Brief, Self::Summary, Self::Suggest];

    /// The stable name: of the prompt's folder, of its first line, in logs and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Judge => "judge",
            Self::Brief => "brief",
            Self::Summary => "summary",
            Self::Suggest => "suggest",
        }
    }

    /// The task of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.as_str() == name)
    }
}

/// Whether asking a model leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Answers from passages alone, at once, without a language model.
    BuiltIn,
    /// A server.
    Remote,
}

/// How the assistant speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Warm, plain, first names.
    #[default]
    Friendly,
    /// Matter-of-fact.
    Neutral,
    /// Polite and distant.
    Formal,
}

/// Who speaks in a chat request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The rules, ours alone.
    System,
    /// What the model works on.
    User,
    /// What the model said before.
    Assistant,
}

/// One message of a chat request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// The words.
    pub content: String,
}

/// The shape a structured answer must have.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSchema {
    /// Its name.
    pub name: &'static str,
    /// A JSON Schema.
    pub schema: Arc<serde_json::Value>,
}

/// One request to a model.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// What it is for.
    pub task: Task,
    /// The rendered prompt.
    pub messages: Vec<ChatMessage>,
    /// The shape of the answer; none = plain text.
    pub schema: Option<OutputSchema>,
    /// How long the answer may be.
    pub max_output_tokens: u32,
    /// 0 = as repeatable as the model can.
    pub temperature: f32,
    /// What the prompt was rendered from.
    pub material: Arc<Material>,
}

/// What a prompt was rendered from, for answerers that read no prompts. It holds nothing that the prompt does not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Material {
    /// The visitor's unanswered words, oldest first, one a line.
    pub question: String,
    /// The conversation's language, such as `en` or `id`.
    pub locale: String,
    /// How to speak.
    pub tone: Tone,
    /// What was found, best first, as numbered in the prompt.
    pub passages: Vec<MaterialPassage>,
    /// What was said, oldest first, the unanswered words included.
    pub transcript: Vec<Line>,
    /// What the agent told the assistant when handing back.
    pub note: Option<String>,
    /// The keys of the conditions to judge.
    pub conditions: Vec<String>,
}

/// A passage as the prompt shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MaterialPassage {
    /// The number to cite it by.
    pub number: usize,
    /// The article's title.
    pub title: String,
    /// The heading path within the article.
    pub section: Option<String>,
    /// The words.
    pub text: String,
    /// For agents only; never in an answer's material.
    pub internal: bool,
}

/// Something that was said, as the prompt shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Line {
    /// `visitor`, `assistant`, `agent`, `note` or `return_note`.
    pub speaker: &'static str,
    /// The speaker's name, if known.
    pub name: Option<String>,
    /// The words.
    pub text: String,
    /// The message behind it.
    pub message: Option<MessageId>,
    /// A visitor's message that nobody has answered yet.
    pub unanswered: bool,
    /// Titles of the articles that an assistant's answer cited.
    pub sources: Vec<String>,
}

/// What a request cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The words.
    pub text: String,
    /// What it cost, if the server told.
    pub usage: Option<Usage>,
    /// The model that answered, as it calls itself.
    pub model: String,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More words.
    Text(String),
    /// The answer is complete.
    Done {
        /// What it cost, if the server told.
        usage: Option<Usage>,
        /// The model that answered, as it calls itself.
        model: String,
    },
}
