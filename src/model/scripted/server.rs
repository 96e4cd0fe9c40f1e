//! The server that plays a script.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::steps::{self, Step};
use super::{Behaviour, Fault, Rule, Script};
use crate::model::openai::{ApiKey, OpenAiSettings};
use crate::text;

/// The length of its embeddings.
pub const EMBEDDING_DIMENSIONS: usize = 128;

/// A running scripted model. It stops when this is dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<Value>>,
    cancelled: Semaphore,
}

impl ScriptedServer {
    /// Starts on a free loopback port.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).await
    }

    /// Starts on a given address.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn start_on(address: SocketAddr, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            requests: Mutex::default(),
            cancelled: Semaphore::new(0),
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/models", get(models))
            .layer(axum::extract::DefaultBodyLimit::max(32 * 1024 * 1024))
            .with_state(Arc::clone(&shared));
        // Small events must not wait for each other's acknowledgement. Where that cannot be set they come later, no more.
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        let task = tokio::spawn(async move {
            // Ends only when the listener fails; whoever asks then sees a refused connection.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// Where it listens, up to and including `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Settings of a client for it.
    #[must_use]
    pub fn settings(&self) -> OpenAiSettings {
        OpenAiSettings::new(&self.base_url(), ApiKey::default(), "scripted")
    }

    /// Every chat request so far, as it came.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.shared.requests).clone()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.shared.requests).clear();
    }

    /// Plays another script from now on.
    pub fn play(&self, script: Script) {
        *lock(&self.shared.script) = script;
    }

    /// Adds a rule before all others.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.script).add(rule);
    }

    /// Waits until a client has hung up in the middle of a stream. Each time is seen once.
    pub async fn cancelled(&self) {
        // The semaphore is never closed.
        if let Ok(permit) = self.shared.cancelled.acquire().await {
            permit.forget();
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A poisoned lock only says that some test has failed already.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn chat(State(shared): State<Arc<Shared>>, body: String) -> Response<Body> {
    let Ok(body) = serde_json::from_str::<Value>(&body) else {
        let error = json!({ "error": { "message": "not JSON", "type": "invalid_request_error" } });
        return respond(400, "application/json", error.to_string());
    };
    lock(&shared.requests).push(body.clone());
    let (asked, behaviour) = lock(&shared.script).decide(&body);
    let text = match behaviour.fault {
        Some(Fault::Huge(bytes)) => "word ".repeat(bytes.div_ceil(5)),
        _ => behaviour.reply.text(&asked),
    };
    let usage = usage(&body, &text);
    match &behaviour.fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status { code, retry_after, body }) => {
            let mut response = respond(*code, "application/json", body.clone());
            let wait = retry_after.as_ref().and_then(|wait| wait.parse().ok());
            if let Some(wait) = wait {
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            response
        }
        Some(Fault::Html200) => {
            respond(200, "text/html; charset=utf-8", "<!doctype html><h1>Welcome</h1>".to_owned())
        }
        Some(Fault::Raw { code, content_type, body }) => respond(*code, content_type, body.clone()),
        Some(Fault::PlainJsonToStream) => whole(&text, &behaviour, &usage).await,
        _ if asked.streaming => streamed(&shared, &text, &behaviour, &usage),
        _ => whole(&text, &behaviour, &usage).await,
    }
}

/// About what a real server would count.
fn usage(body: &Value, text: &str) -> Value {
    let prompt = body.get("messages").map_or(0, |messages| messages.to_string().len() / 4);
    let completion = text.split_whitespace().count();
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion
    })
}

async fn whole(text: &str, behaviour: &Behaviour, usage: &Value) -> Response<Body> {
    if let Some(gate) = &behaviour.gate {
        gate.pass().await;
    }
    let tokens = u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX);
    let wait = behaviour.first_token_delay + behaviour.token_delay.saturating_mul(tokens);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let message = if behaviour.fault == Some(Fault::MalformedToolCall) {
        json!({ "tool_calls": [{ "function": { "name": "refund", "arguments": { "all": true } } }] })
    } else {
        json!({ "role": "assistant", "content": text })
    };
    let answer = json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": usage,
    });
    respond(200, "application/json", answer.to_string())
}

/// Tells when a stream is dropped before it is over.
struct Playing {
    steps: VecDeque<Step>,
    shared: Arc<Shared>,
    broken: bool,
}

impl Drop for Playing {
    fn drop(&mut self) {
        if !self.steps.is_empty() && !self.broken {
            self.shared.cancelled.add_permits(1);
        }
    }
}

fn streamed(
    shared: &Arc<Shared>,
    text: &str,
    behaviour: &Behaviour,
    usage: &Value,
) -> Response<Body> {
    let steps = steps::stream(text, behaviour, usage);
    let playing = Playing { steps, shared: Arc::clone(shared), broken: false };
    let body = stream::unfold(playing, |mut playing| async move {
        loop {
            // The step stays in the list while it lasts, so that a client that leaves meanwhile is noticed.
            match playing.steps.front()?.clone() {
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Gate(gate) => gate.pass().await,
                Step::Stall => std::future::pending().await,
                Step::Reset => {
                    playing.broken = true;
                    // What was sent before leaves first: the connection is flushed when this yields.
                    tokio::task::yield_now().await;
                    return Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), playing));
                }
                Step::Send(bytes) => {
                    playing.steps.pop_front();
                    return Some((Ok(bytes), playing));
                }
            }
            playing.steps.pop_front();
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    let kind = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn respond(code: u16, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::IM_A_TEAPOT);
    if let Ok(kind) = content_type.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

async fn models() -> Response<Body> {
    let models = json!({ "object": "list", "data": [{ "id": "scripted", "object": "model" }] });
    respond(200, "application/json", models.to_string())
}

async fn embeddings(body: String) -> Response<Body> {
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let texts: Vec<&str> = match body.get("input") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "object": "embedding", "index": index, "embedding": embed(text) }))
        .collect();
    let answer = json!({ "object": "list", "model": "scripted", "data": data });
    respond(200, "application/json", answer.to_string())
}

/// A vector in which texts that share words are near each other: each word adds one at a place of its own. Length 1.
fn embed(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; EMBEDDING_DIMENSIONS];
    let languages = [text::Language::English, text::Language::Indonesian];
    for term in text::terms(text, &languages) {
        // The last form is the stem.
        let form = term.forms.last().copied().unwrap_or_default() as usize;
        vector[form % EMBEDDING_DIMENSIONS] += 1.0;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    } else {
        vector[0] = 1.0;
    }
    vector
}
