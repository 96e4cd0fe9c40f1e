//! Which model does which task, and where it answers.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::{n32, n64};

/// The name that stands for the model inside the binary: quotes the best passages, no server needed.
pub const BUILT_IN: &str = "built-in";
/// The name that stands for the model that follows a script: demonstrations and tests.
pub const SCRIPTED: &str = "scripted";

/// Chat models and which task uses which: the name of an endpoint, or `built-in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Writes replies to visitors.
    pub answer: String,
    /// Decides whether a condition for a person is met.
    pub judge: String,
    /// Writes briefs and summaries.
    pub summarise: String,
    /// Suggests replies to agents.
    pub suggest: String,
    /// Takes over when another endpoint fails.
    pub fallback: Option<String>,
    /// Servers that speak the OpenAI chat protocol, by name.
    pub endpoints: BTreeMap<String, Endpoint>,
}

impl Default for Models {
    fn default() -> Self {
        let built_in = || BUILT_IN.to_owned();
        Self {
            answer: built_in(),
            judge: built_in(),
            summarise: built_in(),
            suggest: built_in(),
            fallback: None,
            endpoints: BTreeMap::new(),
        }
    }
}

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Replies to visitors.
    Answer,
    /// Conditions.
    Judge,
    /// Briefs and summaries.
    Summarise,
    /// Replies suggested to agents.
    Suggest,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 4] = [Self::Answer, Self::Judge, Self::Summarise, Self::Suggest];

    /// Its key under `models`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Judge => "judge",
            Self::Summarise => "summarise",
            Self::Suggest => "suggest",
        }
    }
}

impl Models {
    /// The name of the model for a task.
    #[must_use]
    pub fn of(&self, task: Task) -> &str {
        match task {
            Task::Answer => &self.answer,
            Task::Judge => &self.judge,
            Task::Summarise => &self.summarise,
            Task::Suggest => &self.suggest,
        }
    }
}

/// One server that speaks the OpenAI chat protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// Its address up to and including the version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// Sent as a bearer token, if set.
    pub api_key: Option<Secret>,
    /// The model's name on that server.
    pub model: String,
    /// How many tokens prompt and reply may have together.
    pub context_tokens: NonZeroU32,
    /// How long to wait for a connection.
    pub connect_timeout_ms: NonZeroU64,
    /// How long to wait for the next piece of a reply.
    pub timeout_ms: NonZeroU64,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            api_key: None,
            model: String::new(),
            context_tokens: n32(16_384),
            connect_timeout_ms: n64(3_000),
            timeout_ms: n64(20_000),
        }
    }
}

/// The embedding model for search.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embeddings {
    /// `off` searches by words alone; `openai` asks a server that speaks the OpenAI embeddings protocol.
    pub provider: EmbeddingProvider,
    /// Its address up to and including the version.
    pub base_url: Option<String>,
    /// Sent as a bearer token, if set.
    pub api_key: Option<Secret>,
    /// The model's name on that server.
    pub model: Option<String>,
    /// How many numbers a vector has, if the server may choose.
    pub dimensions: Option<NonZeroU32>,
}

/// Who makes vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingProvider {
    /// Nobody: search by words alone.
    #[default]
    Off,
    /// A server that speaks the OpenAI embeddings protocol.
    Openai,
}
