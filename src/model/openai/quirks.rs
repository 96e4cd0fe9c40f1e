//! What an endpoint will not take, learned from its refusals.

use std::sync::atomic::{AtomicU8, Ordering};

use super::transport::Failure;

/// The length limit goes by its newer name, `max_completion_tokens`.
const NEW_LIMIT: u8 = 1;
/// Schemas go into the prompt instead of `response_format`.
const NO_SCHEMA: u8 = 2;
/// No `temperature`.
const NO_TEMPERATURE: u8 = 4;
/// No `stream_options`, so no usage in streams.
const NO_STREAM_OPTIONS: u8 = 8;
/// The name of the length limit has been changed once already.
const LIMIT_SETTLED: u8 = 16;

/// By these words in a refusal it is the schema that is refused.
const SCHEMA_WORDS: [&str; 5] =
    ["response_format", "json_schema", "structured output", "guided", "grammar"];

/// What has been learned about an endpoint.
#[derive(Debug)]
pub(super) struct Quirks(AtomicU8);

/// What was known when a request was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known(u8);

impl Known {
    pub fn new_limit(self) -> bool {
        self.0 & NEW_LIMIT != 0
    }

    pub fn schema_in_prompt(self) -> bool {
        self.0 & NO_SCHEMA != 0
    }

    pub fn no_temperature(self) -> bool {
        self.0 & NO_TEMPERATURE != 0
    }

    pub fn no_stream_options(self) -> bool {
        self.0 & NO_STREAM_OPTIONS != 0
    }

    /// What to try instead of a request that was refused like this; none if the refusal is about something else.
    pub fn instead(self, failure: &Failure, has_schema: bool) -> Option<Self> {
        if !matches!(failure.status, Some(400 | 404 | 415 | 422 | 500 | 501)) {
            return None;
        }
        let said = failure.body.to_lowercase();
        let mentions = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let lacks = |bit: u8| self.0 & bit == 0;
        if mentions(&["max_tokens", "max_completion_tokens"]) && lacks(LIMIT_SETTLED) {
            Some(Self((self.0 ^ NEW_LIMIT) | LIMIT_SETTLED))
        } else if has_schema && lacks(NO_SCHEMA) && mentions(&SCHEMA_WORDS) {
            Some(Self(self.0 | NO_SCHEMA))
        } else if mentions(&["temperature"]) && lacks(NO_TEMPERATURE) {
            Some(Self(self.0 | NO_TEMPERATURE))
        } else if mentions(&["stream_options", "include_usage"]) && lacks(NO_STREAM_OPTIONS) {
            Some(Self(self.0 | NO_STREAM_OPTIONS))
        } else {
            None
        }
    }
}

impl Quirks {
    /// OpenAI itself wants the newer name of the length limit; nearly all others still want the older one.
    pub fn expected_of(base_url: &str) -> Self {
        let is_openai = base_url.contains("//api.openai.com");
        Self(AtomicU8::new(if is_openai { NEW_LIMIT } else { 0 }))
    }

    pub fn now(&self) -> Known {
        Known(self.0.load(Ordering::Relaxed))
    }

    /// Remembers what an endpoint has accepted.
    pub fn remember(&self, accepted: Known) {
        if self.now() != accepted {
            self.0.store(accepted.0, Ordering::Relaxed);
        }
    }
}
