//! Any endpoint that speaks OpenAI's chat completions, well or badly.
//!
//! Transport and paths come from async-openai; reading answers is our own and lenient, because servers differ in every
//! detail (`wire`). What an endpoint will not take (the name of the length limit, a JSON schema, a temperature, usage in
//! streams) is learned once from its refusal and remembered. Nothing is read from the environment and nothing is retried.
//! The log target `async_openai` must be off: that crate logs bodies it cannot read.

mod embed;
mod quirks;
mod stream;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_trait::async_trait;

use super::tokens::{self, Calibration, TokenBudget};
use super::{
    ChatModel, ChatRequest, ChatStream, Completion, MAX_ANSWER_BYTES, ModelError, ModelKind, Usage,
};
use quirks::Quirks;
use transport::Transport;

pub use embed::{EmbedderSettings, OpenAiEmbedder};

/// Makes ring the process's TLS provider. Call it first thing; calling it again does nothing.
pub fn install_crypto() {
    // The only error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Reads bytes as a whole answer, as events of a stream and as the body of a refusal.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_anything(bytes: &[u8]) {
    for status in [400, 401, 404, 429, 500] {
        let error = transport::refusal(status, &String::from_utf8_lossy(bytes));
        assert!(!error.code().is_empty());
    }
    let mut thinking = wire::Thinking::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(value) = serde_json::from_slice(line) else { continue };
        if let Ok(chunk) = wire::chunk(&value) {
            let _shown = thinking.push(chunk.text);
        }
        if let Ok(completion) = wire::completion(&value, "asked-for") {
            assert!(!completion.model.is_empty());
        }
    }
    let _held = thinking.finish();
}

/// A secret that does not print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Empty = the endpoint wants none.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "ApiKey(none)" } else { "ApiKey(…)" })
    }
}

/// How to reach a model.
#[derive(Debug, Clone)]
pub struct OpenAiSettings {
    /// Up to and including `/v1`.
    pub base_url: String,
    /// The key.
    pub api_key: ApiKey,
    /// The model's name at the endpoint.
    pub model: String,
    /// How many tokens prompt and answer may have together.
    pub context_tokens: usize,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the first piece of a stream.
    pub first_token_timeout: Duration,
    /// How long a stream may be silent after that.
    pub idle_timeout: Duration,
    /// How long to wait for a whole answer that is not streamed.
    pub total_timeout: Duration,
}

impl OpenAiSettings {
    /// Settings with the usual limits.
    #[must_use]
    pub fn new(base_url: &str, api_key: ApiKey, model: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            api_key,
            model: model.to_owned(),
            context_tokens: 32_000,
            connect_timeout: Duration::from_secs(5),
            first_token_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(15),
            total_timeout: Duration::from_secs(60),
        }
    }
}

/// A model behind an OpenAI-compatible endpoint.
pub struct OpenAiModel {
    settings: OpenAiSettings,
    whole: Client<OpenAIConfig>,
    streamed: Client<OpenAIConfig>,
    quirks: Quirks,
    calibration: Calibration,
    answers: AtomicU32,
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiModel")
            .field("settings", &self.settings)
            .field("quirks", &self.quirks)
            .finish_non_exhaustive()
    }
}

impl OpenAiModel {
    /// A client for that endpoint. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ModelError::Connect`] if the TLS set-up of the machine is broken.
    pub fn new(settings: OpenAiSettings) -> Result<Self, ModelError> {
        let http = transport::http_client(settings.connect_timeout)?;
        let client = |streaming| client(&settings.base_url, &settings.api_key, &http, streaming);
        Ok(Self {
            whole: client(false),
            streamed: client(true),
            quirks: Quirks::expected_of(&settings.base_url),
            calibration: Calibration::default(),
            answers: AtomicU32::new(0),
            settings,
        })
    }

    /// Sends a request; what the endpoint refuses to take is learned and left out.
    async fn ask<T, F, Fut>(
        &self,
        request: &ChatRequest,
        streaming: bool,
        send: F,
    ) -> Result<T, ModelError>
    where
        F: Fn(serde_json::Value) -> Fut,
        Fut: Future<Output = Result<T, transport::Failure>>,
    {
        let mut known = self.quirks.now();
        loop {
            let body = wire::request(&self.settings.model, request, streaming, known);
            let failure = match send(body).await {
                Ok(answer) => {
                    // Only now: a refusal that mentioned the length limit may have been about the prompt's length.
                    self.quirks.remember(known);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            match known.instead(&failure, request.schema.is_some()) {
                Some(other) => known = other,
                None => return Err(failure.error),
            }
        }
    }

    /// Compares our count with the server's, now and then: counting costs more than a turn should pay each time.
    fn calibrate(&self, request: &ChatRequest, usage: Option<Usage>) {
        let answers = self.answers.fetch_add(1, Ordering::Relaxed);
        let Some(usage) = usage else { return };
        if tokens::is_loaded() && (answers < 8 || answers.is_multiple_of(64)) {
            let counted =
                request.messages.iter().map(|message| tokens::count(&message.content)).sum();
            self.calibration.learn(counted, usage.prompt_tokens);
        }
    }
}

#[async_trait]
impl ChatModel for OpenAiModel {
    fn name(&self) -> &str {
        &self.settings.model
    }

    fn kind(&self) -> ModelKind {
        ModelKind::Remote
    }

    fn context_tokens(&self) -> usize {
        self.settings.context_tokens
    }

    fn prompt_budget(&self, max_output_tokens: u32) -> TokenBudget {
        TokenBudget::for_window(self.settings.context_tokens, max_output_tokens, &self.calibration)
    }

    async fn complete(&self, request: &ChatRequest) -> Result<Completion, ModelError> {
        let send = |body: serde_json::Value| async move {
            let chat = self.whole.chat();
            let answer = chat.create_byot::<_, serde_json::Value>(body);
            match tokio::time::timeout(self.settings.total_timeout, answer).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(transport::failure(error)),
                Err(_) => Err(ModelError::Timeout.into()),
            }
        };
        let value = self.ask(request, false, send).await?;
        let completion = wire::completion(&value, &self.settings.model)?;
        if completion.text.len() > MAX_ANSWER_BYTES {
            return Err(ModelError::TooLong);
        }
        self.calibrate(request, completion.usage);
        Ok(completion)
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        let send = |body: serde_json::Value| async move {
            let chat = self.streamed.chat();
            let answer = chat.create_stream_byot::<_, serde_json::Value>(body);
            match tokio::time::timeout(self.settings.first_token_timeout, answer).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(transport::failure(error)),
                Err(_) => Err(ModelError::Timeout.into()),
            }
        };
        let upstream = self.ask(request, true, send).await?;
        Ok(stream::read(upstream, &self.settings))
    }
}

fn client(
    base_url: &str,
    api_key: &ApiKey,
    http: &reqwest::Client,
    streaming: bool,
) -> Client<OpenAIConfig> {
    // Every field is set, so that none of the defaults, which come from the environment, stays.
    let config = OpenAIConfig::default()
        .with_api_base(base_url.trim_end_matches('/'))
        .with_api_key(&api_key.0)
        .with_org_id("")
        .with_project_id("");
    let has_key = !api_key.0.is_empty();
    Client::with_config(config).with_http_client(http.clone()).with_http_service(Transport::new(
        http.clone(),
        streaming,
        has_key,
    ))
}
