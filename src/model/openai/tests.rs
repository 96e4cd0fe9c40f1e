//! The client against a server that does everything a server may do.

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::Value;

use super::*;
use crate::model::scripted::{Behaviour, Fault, Gate, Rule, Script, ScriptedServer};
use crate::model::{ChatMessage, Delta, Material, OutputSchema, Role, Task};

const ANSWER: &str = "Refunds take five days. [1] Weekends do not count.";

async fn server(behaviour: Behaviour) -> ScriptedServer {
    ScriptedServer::start(Script::instant().with(Rule::always(behaviour))).await.expect("a port")
}

fn model(server: &ScriptedServer) -> OpenAiModel {
    OpenAiModel::new(server.settings()).expect("a client")
}

/// A client that does not wait for long.
fn hasty(server: &ScriptedServer) -> OpenAiModel {
    let limit = Duration::from_millis(150);
    OpenAiModel::new(OpenAiSettings {
        first_token_timeout: limit,
        idle_timeout: limit,
        total_timeout: limit,
        ..server.settings()
    })
    .expect("a client")
}

fn request() -> ChatRequest {
    ChatRequest {
        task: Task::Answer,
        messages: vec![
            ChatMessage { role: Role::System, content: "Task: answer".into() },
            ChatMessage { role: Role::User, content: "How long?".into() },
        ],
        schema: None,
        max_output_tokens: 77,
        temperature: 0.2,
        material: Arc::new(Material::default()),
    }
}

fn structured() -> ChatRequest {
    let schema = Arc::new(serde_json::json!({ "type": "object" }));
    ChatRequest { schema: Some(OutputSchema { name: "judge", schema }), ..request() }
}

/// The words that came, and how it ended.
async fn streamed(model: &OpenAiModel) -> (String, Result<Delta, ModelError>) {
    let mut stream = match model.stream(&request()).await {
        Ok(stream) => stream,
        Err(error) => return (String::new(), Err(error)),
    };
    let mut text = String::new();
    let mut last = Err(ModelError::EmptyStream);
    while let Some(item) = stream.next().await {
        match item {
            Ok(Delta::Text(piece)) => text.push_str(&piece),
            end => last = end,
        }
    }
    (text, last)
}

async fn check_stream(behaviour: Behaviour, text: &str, code: &str) {
    let described = format!("{behaviour:?}");
    let server = server(behaviour).await;
    let (said, end) = streamed(&model(&server)).await;
    assert_eq!(end.expect_err(&described).code(), code, "{described}");
    assert_eq!(said, text, "{described}");
}

async fn check_whole(behaviour: Behaviour, code: &str) {
    let described = format!("{behaviour:?}");
    let server = server(behaviour).await;
    let error = model(&server).complete(&request()).await.expect_err(&described);
    assert_eq!(error.code(), code, "{described}");
}

fn raw(code: u16, content_type: &str, body: &str) -> Behaviour {
    let (content_type, body) = (content_type.to_owned(), body.to_owned());
    Behaviour::fail(Fault::Raw { code, content_type, body })
}

#[tokio::test]
async fn a_good_answer_comes_whole_or_streamed() {
    let server = server(Behaviour::say(ANSWER)).await;
    let model = model(&server);
    let whole = model.complete(&request()).await.expect("answers");
    assert_eq!((whole.text.as_str(), whole.model.as_str()), (ANSWER, "scripted"));
    assert!(whole.usage.is_some_and(|usage| usage.completion_tokens > 5));
    let (said, end) = streamed(&model).await;
    assert_eq!(said, ANSWER);
    assert!(matches!(end, Ok(Delta::Done { usage: Some(_), ref model }) if model == "scripted"));
    let asked = &server.requests()[1];
    assert_eq!(asked["max_tokens"], 77);
    assert_eq!(asked["temperature"], 0.2);
    assert_eq!(asked["stream_options"]["include_usage"], true);
    assert_eq!(asked["messages"][0]["role"], "system");
}

#[tokio::test]
async fn what_is_no_stream_is_an_error_and_not_an_empty_answer() {
    check_stream(Behaviour::fail(Fault::Html200), "", "bad_response").await;
    check_stream(Behaviour::fail(Fault::EmptyStream), "", "empty_stream").await;
    check_stream(raw(200, "text/event-stream", "data: [DONE]\n\n"), "", "empty_stream").await;
    check_stream(raw(200, "text/event-stream", ": ping\n\n"), "", "empty_stream").await;
    check_stream(raw(200, "application/json", r#"{"ok":true}"#), "", "bad_response").await;
    check_stream(raw(200, "application/json", r#"{"error":{"code":429}}"#), "", "rate_limited")
        .await;
    check_stream(raw(200, "text/event-stream", "data: {nonsense\n\n"), "", "bad_response").await;
    check_whole(Behaviour::fail(Fault::Html200), "bad_response").await;
    check_whole(raw(200, "application/json", ""), "bad_response").await;
    check_whole(raw(200, "application/json", r#"{"error":"out of memory"}"#), "server_error").await;
}

#[tokio::test]
async fn a_whole_answer_to_the_wish_for_a_stream_is_an_answer() {
    let server = server(Behaviour::say(ANSWER).with_fault(Fault::PlainJsonToStream)).await;
    let (said, end) = streamed(&model(&server)).await;
    assert_eq!(said, ANSWER);
    assert!(matches!(end, Ok(Delta::Done { .. })), "{end:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error() {
    let say = |fault| Behaviour::say(ANSWER).with_fault(fault);
    check_stream(say(Fault::CutAfter(3)), "Refunds take five ", "cut_stream").await;
    check_stream(say(Fault::CutAfter(0)), "", "cut_stream").await;
    check_stream(say(Fault::ResetAfter(2)), "Refunds take ", "cut_stream").await;
    check_stream(say(Fault::ErrorInStream(1)), "Refunds ", "server_error").await;
    check_stream(say(Fault::MalformedToolCall), "", "bad_response").await;
    // An empty reason is no reason.
    let event = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":""}]}"#;
    let body = format!("data: {event}\n\ndata: [DONE]\n\n");
    check_stream(raw(200, "text/event-stream", &body), "a", "cut_stream").await;
}

#[tokio::test]
async fn silence_ends_in_a_timeout() {
    let stalled = server(Behaviour::say(ANSWER).with_fault(Fault::StallAfter(2))).await;
    // The first piece may take its time on a busy machine; only the silence after it is short.
    let model = OpenAiModel::new(OpenAiSettings {
        idle_timeout: Duration::from_millis(150),
        ..stalled.settings()
    });
    let (said, end) = streamed(&model.expect("a client")).await;
    assert_eq!(end, Err(ModelError::Timeout));
    assert!("Refunds take ".starts_with(&said));
    let silent = server(Behaviour::fail(Fault::Hang)).await;
    assert_eq!(streamed(&hasty(&silent)).await.1, Err(ModelError::Timeout));
    assert_eq!(hasty(&silent).complete(&request()).await, Err(ModelError::Timeout));
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    check_whole(Behaviour::fail(Fault::Huge(100_000)), "too_long").await;
    check_whole(Behaviour::fail(Fault::Huge(2_000_000)), "too_long").await;
    let server = server(Behaviour::fail(Fault::Huge(1_000_000))).await;
    let (said, end) = streamed(&model(&server)).await;
    assert_eq!(end, Err(ModelError::TooLong));
    assert!(said.len() <= MAX_ANSWER_BYTES);
}

#[tokio::test]
async fn refusals_keep_their_status() {
    for (code, expected) in [
        (401, "unauthorized"),
        (500, "server_error"),
        (503, "server_error"),
        (404, "rejected"),
        (307, "rejected"),
    ] {
        check_stream(Behaviour::status(code), "", expected).await;
        check_whole(Behaviour::status(code), expected).await;
    }
    let retry_after = Some("2".to_owned());
    let busy = Fault::Status { code: 429, retry_after, body: "<html>".into() };
    let server = server(Behaviour::fail(busy)).await;
    let error = model(&server).complete(&request()).await.expect_err("busy");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
    assert_eq!(server.requests().len(), 1, "nothing is retried here");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_apart() {
    let gone = server(Behaviour::say("x")).await.settings();
    let model = OpenAiModel::new(gone).expect("a client");
    assert_eq!(model.complete(&request()).await, Err(ModelError::Connect));
    assert!(matches!(model.stream(&request()).await, Err(ModelError::Connect)));
}

fn refusal(message: &str) -> Behaviour {
    let body = serde_json::json!({ "error": { "message": message } }).to_string();
    Behaviour::fail(Fault::Status { code: 400, retry_after: None, body })
}

/// Sends twice to a server that refuses once with this message; what it was asked.
async fn learned(message: &str, request: &ChatRequest, streaming: bool) -> Vec<Value> {
    let server = ScriptedServer::start(
        Script::instant()
            .with(Rule::always(Behaviour::say("{}")))
            .with(Rule::always(refusal(message)).once()),
    )
    .await
    .expect("a port");
    let model = model(&server);
    for _ in 0..2 {
        if streaming {
            assert!(model.stream(request).await.is_ok());
        } else {
            model.complete(request).await.expect("answers in the end");
        }
    }
    server.requests()
}

#[tokio::test]
async fn what_an_endpoint_refuses_is_learned_once() {
    let asked = learned(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        &request(),
        false,
    )
    .await;
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0]["max_tokens"], 77);
    for later in &asked[1..] {
        assert_eq!(later["max_completion_tokens"], 77);
        assert!(later.get("max_tokens").is_none());
    }

    let asked = learned("response_format json_schema is not supported", &structured(), false).await;
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0]["response_format"]["json_schema"]["strict"], true);
    assert!(asked[2].get("response_format").is_none());
    let wish = asked[2]["messages"][2]["content"].as_str().expect("an added message");
    assert!(wish.contains("JSON Schema"));

    let asked =
        learned("'temperature' does not support 0.2 with this model", &request(), false).await;
    assert!(asked[1].get("temperature").is_none() && asked[2].get("temperature").is_none());

    let asked = learned("Unknown field: stream_options", &request(), true).await;
    assert!(asked[2].get("stream_options").is_none());
}

#[tokio::test]
async fn a_refusal_about_something_else_is_not_asked_again_forever() {
    let server = server(refusal("max_tokens: the prompt is too long")).await;
    let model = model(&server);
    for _ in 0..2 {
        let error = model.complete(&request()).await.expect_err("refused");
        assert_eq!(error.detail(), Some("max_tokens: the prompt is too long"));
    }
    let asked = server.requests();
    assert_eq!(asked.len(), 4);
    assert!(asked[2].get("max_tokens").is_some(), "nothing was learned from it");
}

#[tokio::test]
async fn dropping_a_stream_hangs_up_at_once() {
    let gate = Gate::after(2);
    let server = server(Behaviour::say(ANSWER).with_gate(gate.clone())).await;
    let mut stream = model(&server).stream(&request()).await.expect("streams");
    assert!(matches!(stream.next().await, Some(Ok(Delta::Text(_)))));
    gate.arrived().await;
    drop(stream);
    server.cancelled().await;
}

#[tokio::test]
async fn embeddings_come_in_order_and_of_one_length() {
    let server = server(Behaviour::say("x")).await;
    let settings = EmbedderSettings {
        batch: 2,
        ..EmbedderSettings::new(&server.base_url(), ApiKey::default(), "scripted")
    };
    let embedder = OpenAiEmbedder::new(settings.clone()).expect("a client");
    let texts = ["my refund", "refunds!", "opening hours"].map(str::to_owned);
    let vectors = embedder.embed(&texts).await.expect("embeds");
    assert_eq!(vectors.len(), 3);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    assert!(dot(&vectors[0], &vectors[1]) > dot(&vectors[0], &vectors[2]));
    assert_eq!(embedder.dimensions(), Some(vectors[0].len()));
    assert_eq!(embedder.embed(&[]).await, Ok(Vec::new()));
    let wrong = OpenAiEmbedder::new(EmbedderSettings { dimensions: Some(3), ..settings });
    let error = wrong.expect("a client").embed(&texts).await.expect_err("another length");
    assert_eq!(error.code(), "bad_response");
}

#[test]
fn keys_do_not_print() {
    let settings = OpenAiSettings::new("http://x/v1", ApiKey::new("sk-secret"), "m");
    assert!(!format!("{settings:?}").contains("secret"));
    assert!(!format!("{:?}", OpenAiModel::new(settings)).contains("secret"));
}
