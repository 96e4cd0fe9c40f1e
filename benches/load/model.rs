//! A model server that costs as little as one can: fixed verdicts, a fixed answer streamed token by token.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Response, header};
use axum::response::IntoResponse;
use axum::routing::{post, put};
use axum::serve::ListenerExt;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::child::Child;
use super::http::Connection;
use super::judgement::Quantiles;
use super::pace;
use super::scenario::Scenario;

/// Tokens in each sentence of the answer.
const SENTENCE: usize = 10;

struct Played {
    delay_ms: AtomicU64,
    /// One event each; the last ones end the stream.
    events: Vec<Bytes>,
    verdicts: Bytes,
}

/// Serves until killed; says its address first.
pub async fn serve() -> anyhow::Result<()> {
    let scenario = Scenario::read()?;
    let played = Arc::new(Played {
        delay_ms: AtomicU64::new(0),
        events: events(scenario.tokens),
        verdicts: verdicts(scenario.conditions),
    });
    let router = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/delay/{ms}", put(delay))
        .with_state(played);
    listen(router).await
}

/// Serves a router on a free loopback port and says where.
pub async fn listen(router: Router) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}/", listener.local_addr()?)?;
    out.flush()?;
    let listener = listener.tap_io(|socket| {
        let _old_kernel = socket.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn delay(State(played): State<Arc<Played>>, Path(ms): Path<u64>) {
    played.delay_ms.store(ms, Ordering::Relaxed);
}

async fn chat(State(played): State<Arc<Played>>, body: String) -> Response<Body> {
    let delay = Duration::from_millis(played.delay_ms.load(Ordering::Relaxed));
    if body.contains("\"stream\":true") {
        // An event a frame, so that each is seen by itself.
        let events = played.events.clone();
        let waited = stream::once(async move {
            wait(delay).await;
            stream::iter(events)
        });
        let events = waited.flatten().map(Ok::<_, Infallible>);
        return ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
            .into_response();
    }
    wait(delay).await;
    ([(header::CONTENT_TYPE, "application/json")], played.verdicts.clone()).into_response()
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

fn usage() -> Value {
    json!({ "prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920 })
}

fn events(tokens: usize) -> Vec<Bytes> {
    let event = |value: &Value| Bytes::from(format!("data: {value}\n\n"));
    let chunk = |delta: Value, finish: Option<&str>| {
        event(&json!({
            "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        }))
    };
    let mut events = vec![chunk(json!({ "role": "assistant", "content": "" }), None)];
    events.extend((1..=tokens).map(|number| {
        let end = if number % SENTENCE == 0 { ". " } else { " " };
        chunk(json!({ "content": format!("answer{end}") }), None)
    }));
    events.push(chunk(json!({}), Some("stop")));
    events.push(event(&json!({
        "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench",
        "choices": [], "usage": usage(),
    })));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn verdicts(conditions: usize) -> Bytes {
    let verdict =
        |number| json!({ "condition": format!("c{number}"), "fired": false, "evidence": "" });
    let verdicts: Vec<Value> = (1..=conditions).map(verdict).collect();
    let answer = json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 0, "model": "bench",
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": json!({ "verdicts": verdicts }).to_string() },
            "finish_reason": "stop",
        }],
        "usage": usage(),
    });
    Bytes::from(answer.to_string())
}

/// Makes the model think so long.
pub async fn think(model: &Child, delay: Duration) -> anyhow::Result<()> {
    let mut connection = Connection::open(model.address).await?;
    let path = format!("/delay/{}", delay.as_millis());
    connection.send("PUT", &path, "", "").await?;
    Ok(())
}

/// A request of about the size of a turn's.
pub fn request(streaming: bool) -> String {
    let prompt = "A passage of the help centre, as long as they are. ".repeat(100);
    let messages = json!([{ "role": "user", "content": prompt }]);
    json!({ "model": "bench", "stream": streaming, "messages": messages }).to_string()
}

/// How long a bare client waits for the judge, at this rate.
pub async fn judge(model: &Child, per_second: f64, calls: usize) -> anyhow::Result<Quantiles> {
    let body: Arc<str> = request(false).into();
    let address = model.address;
    let call = move |connection: Option<Connection>| {
        let body = Arc::clone(&body);
        async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            connection.send("POST", "/v1/chat/completions", "", &body).await?.json()?;
            Ok(connection)
        }
    };
    Ok(Quantiles::from(&pace::repeated(per_second, calls, call).await?))
}
