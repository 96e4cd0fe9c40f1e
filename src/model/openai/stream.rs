//! Reading a stream of events: what counts as an answer, and what as a failure.
//!
//! Rules: an answer ends with a `finish_reason`; a stream without one was cut; a stream without any event held nothing. The
//! stream behind is dropped, and with it the connection, as soon as the reader is dropped or the answer has failed.

use std::time::Duration;

use async_openai::types::stream::StreamResponse;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;

use super::super::{ChatStream, Delta, MAX_ANSWER_BYTES, ModelError, Usage};
use super::wire::{self, Thinking, ToolCalls};
use super::{OpenAiSettings, transport};

/// How long to wait for the usage and the end of the stream once the answer has ended.
const GRACE: Duration = Duration::from_secs(2);

/// The answer in an upstream of events.
pub(super) fn read(upstream: StreamResponse<Value>, settings: &OpenAiSettings) -> ChatStream {
    let reader = Reader {
        upstream,
        first: settings.first_token_timeout,
        idle: settings.idle_timeout,
        model: settings.model.clone(),
        events: 0,
        bytes: 0,
        finish: None,
        usage: None,
        refused: false,
        calls: ToolCalls::default(),
        thinking: Thinking::default(),
        over: false,
    };
    stream::unfold(reader, |mut reader| async move {
        if reader.over {
            return None;
        }
        let item = reader.next().await;
        reader.over = !matches!(item, Ok(Delta::Text(_)));
        Some((item, reader))
    })
    .boxed()
}

struct Reader {
    upstream: StreamResponse<Value>,
    first: Duration,
    idle: Duration,
    model: String,
    events: usize,
    bytes: usize,
    finish: Option<String>,
    usage: Option<Usage>,
    refused: bool,
    calls: ToolCalls,
    thinking: Thinking,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Result<Delta, ModelError> {
        loop {
            let patience = match (self.events, &self.finish) {
                (_, Some(_)) => GRACE,
                (0, None) => self.first,
                (_, None) => self.idle,
            };
            let event = match tokio::time::timeout(patience, self.upstream.next()).await {
                Ok(Some(Ok(event))) => event,
                // Once the answer has ended, how the connection ends does not matter.
                Ok(None | Some(Err(_))) | Err(_) if self.finish.is_some() => return self.end(),
                Ok(Some(Err(error))) => return Err(transport::failure(error).error),
                Ok(None) => return self.end(),
                Err(_) => return Err(ModelError::Timeout),
            };
            self.events += 1;
            let chunk = wire::chunk(&event)?;
            self.finish = chunk.finish.or(self.finish.take());
            self.usage = chunk.usage.or(self.usage);
            self.refused |= chunk.refused;
            self.calls.add(&chunk.tool_calls);
            if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
                self.model = model;
            }
            let text = self.thinking.push(chunk.text);
            if !text.is_empty() {
                return self.text(text);
            }
        }
    }

    fn text(&mut self, text: String) -> Result<Delta, ModelError> {
        self.bytes += text.len();
        if self.bytes > MAX_ANSWER_BYTES {
            return Err(ModelError::TooLong);
        }
        Ok(Delta::Text(text))
    }

    fn end(&mut self) -> Result<Delta, ModelError> {
        if self.events == 0 {
            return Err(ModelError::EmptyStream);
        }
        if self.finish.is_none() {
            return Err(ModelError::CutStream);
        }
        let held = self.thinking.finish();
        if !held.trim().is_empty() {
            return self.text(held);
        }
        wire::verdict(
            self.finish.as_deref(),
            self.bytes == 0,
            self.refused,
            !self.calls.is_empty(),
        )?;
        Ok(Delta::Done { usage: self.usage, model: std::mem::take(&mut self.model) })
    }
}
