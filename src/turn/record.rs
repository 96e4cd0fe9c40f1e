//! What explains and replays a turn. Stored as JSON beside the log; shown to agents.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{ChunkId, MessageId};
use crate::knowledge::{Degraded, Passage};
use crate::model::{ChatMessage, Usage};
use crate::turn::prompt::{Shed, Verdict};

/// Everything worth knowing about one try of a turn.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Explained {
    /// The version of the assistant's configuration.
    pub assistant_version: u64,
    /// The model that answered.
    pub model: Option<String>,
    /// The prompt as sent.
    pub prompt: Option<Vec<ChatMessage>>,
    /// A hash of the prompt's templates, to tell which text was used.
    pub prompt_version: Option<String>,
    /// The model's output as it came.
    pub output: Option<String>,
    /// What the visitor may have read before it was committed or dropped.
    pub released: Option<String>,
    /// What was found.
    pub passages: Vec<ExplainedPassage>,
    /// What was wrong with the search, if anything: passages may be missing that fit by meaning only.
    pub search_degraded: Option<Degraded>,
    /// What the judge said.
    pub verdicts: Vec<ExplainedVerdict>,
    /// What it cost.
    pub tokens: ExplainedTokens,
    /// Passages and messages that did not fit.
    pub shed: ExplainedShed,
    /// Milliseconds by stage.
    pub stages_ms: BTreeMap<String, f64>,
    /// `answered`, `handed_off`, `failed`, `cancelled`, `discarded`.
    pub outcome: String,
    /// The code of what went wrong or fired.
    pub error: Option<String>,
    /// Calls to models, failed ones too.
    pub calls: Vec<ExplainedCall>,
}

/// A passage that was found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExplainedPassage {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// The article's title.
    pub title: String,
    /// The heading path.
    pub section: Option<String>,
    /// How well it fitted.
    pub score: f64,
    /// Whether it counted.
    pub kept: bool,
    /// Why, in words.
    pub why: String,
}

impl From<&Passage> for ExplainedPassage {
    fn from(passage: &Passage) -> Self {
        Self {
            chunk_id: passage.chunk_id,
            title: passage.title.clone(),
            section: passage.section.clone(),
            score: passage.score,
            kept: passage.kept,
            why: passage.why.clone(),
        }
    }
}

/// A worded condition's verdict.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExplainedVerdict {
    /// Its name.
    pub condition: String,
    /// Whether it fired.
    pub fired: bool,
    /// Whether anyone could judge it.
    pub judged: bool,
    /// The visitor's words.
    pub evidence: Option<String>,
    /// Whether the words were found in the visitor's messages.
    pub evidence_verified: bool,
    /// In which message.
    pub message_id: Option<MessageId>,
}

impl From<&Verdict> for ExplainedVerdict {
    fn from(verdict: &Verdict) -> Self {
        Self {
            condition: verdict.condition.clone(),
            fired: verdict.fired,
            judged: verdict.judged,
            evidence: verdict.evidence.clone(),
            evidence_verified: verdict.evidence_verified,
            message_id: verdict.message,
        }
    }
}

/// Tokens of all calls together.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
pub struct ExplainedTokens {
    /// Read.
    pub prompt: u64,
    /// Written.
    pub completion: u64,
}

/// What did not fit into the prompt.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ExplainedShed {
    /// Numbers of passages.
    pub passages: Vec<usize>,
    /// Earlier messages.
    pub messages: Vec<MessageId>,
}

impl From<Shed> for ExplainedShed {
    fn from(shed: Shed) -> Self {
        Self { passages: shed.passages, messages: shed.messages }
    }
}

/// One call to a model.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExplainedCall {
    /// `answer` or `judge`.
    pub task: String,
    /// Which model.
    pub model: String,
    /// The error's code, if it failed.
    pub error: Option<String>,
    /// How long it took.
    pub ms: f64,
}

impl Explained {
    /// Adds what a call cost.
    pub fn add_usage(&mut self, usage: Option<Usage>) {
        if let Some(usage) = usage {
            self.tokens.prompt += usage.prompt_tokens;
            self.tokens.completion += usage.completion_tokens;
        }
    }

    /// Notes how long a stage took.
    pub fn stage(&mut self, name: &str, since: Instant) {
        self.stages_ms.insert(name.to_owned(), millis(since.elapsed()));
    }

    /// As stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// Milliseconds with three decimals.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
