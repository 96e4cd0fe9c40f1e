//! What goes over the wire: our requests, and a reading of answers that forgives what can be forgiven.
//!
//! Ids, times, object names, roles and indices are not read at all, so they may be missing or of any type.

use serde_json::{Map, Value, json};

use super::super::{ChatRequest, Completion, ModelError, Usage};
use super::quirks::Known;
use super::transport::inner_error;

/// The body of a request.
pub(super) fn request(model: &str, request: &ChatRequest, streaming: bool, known: Known) -> Value {
    let mut messages: Vec<Value> = request
        .messages
        .iter()
        .map(|message| json!({ "role": message.role, "content": message.content }))
        .collect();
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("stream".into(), json!(streaming));
    if streaming && !known.no_stream_options() {
        body.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    let limit = if known.new_limit() { "max_completion_tokens" } else { "max_tokens" };
    body.insert(limit.into(), json!(request.max_output_tokens));
    if !known.no_temperature() {
        // Through text, because 0.2_f32 would be sent as 0.20000000298023224.
        let temperature: f64 = request.temperature.to_string().parse().unwrap_or_default();
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(schema) = &request.schema {
        if known.schema_in_prompt() {
            let wish = format!(
                "Return only a JSON object, without any other words, that fits this JSON Schema:\n{}",
                schema.schema
            );
            // Behind the rest, where weak models still remember it.
            messages.push(json!({ "role": "user", "content": wish }));
        } else {
            body.insert(
                "response_format".into(),
                json!({ "type": "json_schema", "json_schema": {
                    "name": schema.name, "strict": true, "schema": &*schema.schema } }),
            );
        }
    }
    body.insert("messages".into(), Value::Array(messages));
    Value::Object(body)
}

/// Reads a whole answer.
pub(super) fn completion(value: &Value, model: &str) -> Result<Completion, ModelError> {
    let chunk = chunk(value)?;
    let mut calls = ToolCalls::default();
    calls.add(&chunk.tool_calls);
    let text = without_thinking(&chunk.text).to_owned();
    verdict(chunk.finish.as_deref(), text.trim().is_empty(), chunk.refused, !calls.is_empty())?;
    Ok(Completion {
        text,
        usage: chunk.usage,
        model: chunk.model.unwrap_or_else(|| model.to_owned()),
    })
}

/// Whether an answer that ended like this is an answer.
pub(super) fn verdict(
    finish: Option<&str>,
    is_empty: bool,
    refused: bool,
    has_calls: bool,
) -> Result<(), ModelError> {
    match finish {
        Some("content_filter" | "safety" | "SAFETY") => Err(ModelError::Filtered),
        Some("length" | "max_tokens" | "MAX_TOKENS") => Err(ModelError::TooLong),
        _ if is_empty && refused => Err(ModelError::Filtered),
        _ if is_empty && has_calls => {
            Err(ModelError::BadResponse { why: "a tool was called that was not offered" })
        }
        Some("error") => Err(ModelError::Server { status: 200 }),
        _ => Ok(()),
    }
}

/// One event of a stream, or a whole answer, which has the same parts.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub text: String,
    /// Why the answer ended; an empty reason is none.
    pub finish: Option<String>,
    pub usage: Option<Usage>,
    pub model: Option<String>,
    /// The model said no in its own field.
    pub refused: bool,
    pub tool_calls: Vec<Value>,
}

/// Reads one event.
pub(super) fn chunk(value: &Value) -> Result<Chunk, ModelError> {
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        return Err(inner_error(error));
    }
    if !value.is_object() {
        return Err(ModelError::BadResponse { why: "not an object" });
    }
    let mut chunk = Chunk {
        usage: usage(value.get("usage")),
        model: value.get("model").and_then(Value::as_str).map(str::to_owned),
        ..Chunk::default()
    };
    let Some(choices) = value.get("choices").and_then(Value::as_array) else {
        // The last event of some servers carries usage and no choices.
        let known = chunk.usage.is_some() || value.get("object").is_some();
        return if known { Ok(chunk) } else { Err(ModelError::BadResponse { why: "no choices" }) };
    };
    let Some(choice) = choices.first() else { return Ok(chunk) };
    let finish = choice.get("finish_reason").and_then(Value::as_str);
    chunk.finish = finish.filter(|reason| !reason.is_empty()).map(str::to_owned);
    let said = choice.get("delta").filter(|delta| delta.is_object());
    let said = said.or_else(|| choice.get("message"));
    if let Some(said) = said {
        chunk.text = text(said.get("content"));
        chunk.refused = said.get("refusal").is_some_and(|refusal| !text(Some(refusal)).is_empty());
        if let Some(calls) = said.get("tool_calls").and_then(Value::as_array) {
            chunk.tool_calls.clone_from(calls);
        }
    } else {
        chunk.text = text(choice.get("text"));
    }
    Ok(chunk)
}

/// Words: a text, or parts of which some are text.
fn text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.as_str().or_else(|| part.get("text")?.as_str()))
            .collect(),
        Some(Value::Object(part)) => {
            part.get("text").and_then(Value::as_str).unwrap_or("").to_owned()
        }
        _ => String::new(),
    }
}

/// Figures may be partial, or floats.
fn usage(value: Option<&Value>) -> Option<Usage> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a count"
    )]
    let number = |keys: [&str; 2]| {
        let found = keys.iter().find_map(|key| value?.get(*key))?;
        let float = || found.as_f64().filter(|n| (0.0..1e15).contains(n)).map(|n| n as u64);
        found.as_u64().or_else(float)
    };
    let prompt = number(["prompt_tokens", "input_tokens"]);
    let completion = number(["completion_tokens", "output_tokens"]);
    (prompt.is_some() || completion.is_some()).then(|| Usage {
        prompt_tokens: prompt.unwrap_or(0),
        completion_tokens: completion.unwrap_or(0),
    })
}

/// What comes behind the thinking that some servers leave in the answer.
fn without_thinking(text: &str) -> &str {
    let start = text.trim_start();
    match start.strip_prefix("<think>") {
        Some(rest) => rest.split_once("</think>").map_or("", |(_, answer)| answer.trim_start()),
        None => text,
    }
}

/// Keeps the thinking out of a stream.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    held: String,
    state: ThinkingState,
}

#[derive(Debug, Default, PartialEq)]
enum ThinkingState {
    /// Nothing but white space and perhaps part of the opening tag has come.
    #[default]
    Undecided,
    Thinking,
    Answering,
}

impl Thinking {
    /// The part of the answer in this piece.
    pub fn push(&mut self, text: String) -> String {
        const OPEN: &str = "<think>";
        const CLOSE: &str = "</think>";
        if self.state == ThinkingState::Answering {
            return text;
        }
        self.held.push_str(&text);
        if self.state == ThinkingState::Undecided {
            let start = self.held.trim_start();
            if start.starts_with(OPEN) {
                self.state = ThinkingState::Thinking;
            } else if OPEN.starts_with(start) {
                return String::new();
            } else {
                self.state = ThinkingState::Answering;
                return std::mem::take(&mut self.held);
            }
        }
        if let Some((_, answer)) = self.held.split_once(CLOSE) {
            let answer = answer.trim_start().to_owned();
            self.held.clear();
            self.state = ThinkingState::Answering;
            return answer;
        }
        // Only the end can still become the closing tag.
        let keep = self.held.len().saturating_sub(CLOSE.len());
        let keep = self.held.floor_char_boundary(keep);
        self.held.drain(..keep);
        if self.held.is_empty() {
            self.held.push(' ');
        }
        String::new()
    }

    /// What was held back when the answer ended.
    pub fn finish(&mut self) -> String {
        let undecided = self.state == ThinkingState::Undecided;
        if undecided { std::mem::take(&mut self.held) } else { String::new() }
    }
}

/// A call of a tool. None is offered yet; the collecting is needed to know that one was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON, as text.
    pub arguments: String,
}

/// Collects calls from the pieces of a stream. Servers leave `index` out, or send 0 for every call: a new id begins a new
/// call, whatever the index says.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    calls: Vec<(Option<u64>, ToolCall)>,
}

impl ToolCalls {
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub fn add(&mut self, pieces: &[Value]) {
        for piece in pieces {
            let index = piece.get("index").and_then(Value::as_u64);
            let id = piece.get("id").and_then(Value::as_str).unwrap_or("");
            let function = piece.get("function").unwrap_or(piece);
            let name = function.get("name").and_then(Value::as_str).unwrap_or("");
            let arguments = match function.get("arguments") {
                Some(Value::String(text)) => text.clone(),
                None | Some(Value::Null) => String::new(),
                Some(object) => object.to_string(),
            };
            let known = if id.is_empty() {
                let same = self.calls.iter().rposition(|(at, _)| index.is_some() && *at == index);
                // Without id and index: a name begins a call, anything else continues the last one.
                same.or_else(
                    || if name.is_empty() { self.calls.len().checked_sub(1) } else { None },
                )
            } else {
                self.calls.iter().position(|(_, call)| call.id == id)
            };
            match known.and_then(|at| self.calls.get_mut(at)) {
                Some((_, call)) => {
                    if call.name.is_empty() {
                        name.clone_into(&mut call.name);
                    }
                    call.arguments.push_str(&arguments);
                }
                None => self.calls.push((
                    index,
                    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments },
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests;
