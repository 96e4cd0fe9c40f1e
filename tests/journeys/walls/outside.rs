//! The edges: paths that climb, bodies that explode, addresses that the server must not ask, model servers that answer with
//! bombs or send it elsewhere.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::any;
use futures_util::stream;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::sample;
use crate::on_both_engines;
use crate::support::people::{conversation_of, fresh_client_id, send};
use crate::support::world::millis;
use crate::support::{Engine, Setup, World};

/// Longest that a hostile request may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// Says exactly these bytes to the server, and hears what comes before it hangs up or falls silent.
async fn raw(world: &World, request: &str) -> String {
    let address = world.origin.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut heard = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut heard)).await;
    assert!(read.is_ok(), "no end to the answer to {request:?}");
    String::from_utf8_lossy(&heard).into_owned()
}

async fn paths_do_not_climb(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let climbs = [
        "/assets/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e/%2e%2e/Cargo.toml",
        "/assets/..%5c..%5cCargo.toml",
        "/assets/....//....//etc/passwd",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/index.html%00.js",
        "/assets/%c0%ae%c0%ae/etc/passwd",
        "/widget/..%2f..%2fconsole%2findex.html",
        "/widget/%2e%2e%2fconsole%2findex.html",
        "/widget/../../etc/passwd",
        "//etc/passwd",
        "/api/v1/../../etc/passwd",
        "/api/v1/widget/..%2f..%2fx/session",
        "/help/../../etc/passwd",
    ];
    for path in climbs {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: desk.example\r\nconnection: close\r\n\r\n");
        let answer = raw(&world, &request).await;
        let status: u16 = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        assert!([400, 401, 404, 405].contains(&status), "{path}: {answer:.300}");
        for inner in ["root:", "[package]", "<!doctype"] {
            assert!(!answer.contains(inner), "{path}: {answer:.300}");
        }
    }
    // Neither a header nor a path can put a line into the answer, and two lengths are none.
    for request in [
        "GET /api/v1/x%0d%0aset-cookie:%20a=b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET /api/v1/auth/me HTTP/1.1\r\nhost: a\r\nx-request-id: a%0d%0aset-cookie: a=b\r\nconnection: close\r\n\r\n",
        "GET /api/v1/auth/me HTTP/1.1\r\nhost: a\r\nx-request-id: a\u{1b}[31m\r\nconnection: close\r\n\r\n",
        "POST /api/v1/auth/sign-in HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\nGET /ready HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /api/v1/auth/sign-in HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{}x",
    ] {
        let answer = raw(&world, request).await;
        assert!(!answer.to_lowercase().contains("set-cookie"), "{request:?}: {answer}");
        assert!(
            !answer.contains('\u{1b}') && !answer.contains("\"ready\""),
            "{request:?}: {answer}"
        );
        let status: u16 = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        assert!((400..500).contains(&status), "{request:?}: {answer:.300}");
    }
    world.end().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).expect("packs");
    packed.finish().expect("packs")
}

async fn bodies_do_not_explode(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let rina = world.visitor("Rina").await;
    let good =
        json!({ "client_id": fresh_client_id(), "text": "Hello", "locale": "en" }).to_string();
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let fields: String = (0..60_000).map(|n| format!(r#""f{n}":{n},"#)).collect();
    let digits = "9".repeat(900_000);
    let cases: Vec<(&str, Option<&str>, Vec<u8>)> = vec![
        ("packed", Some("gzip"), gzip(good.as_bytes())),
        ("packed as br", Some("br"), good.clone().into_bytes()),
        ("a bomb", Some("gzip"), bomb.clone()),
        ("a bomb, not named", None, bomb),
        ("deep lists", None, "[".repeat(500_000).into_bytes()),
        ("deep objects", None, r#"{"a":"#.repeat(190_000).into_bytes()),
        (
            "deep within a field",
            None,
            format!(r#"{{"client_id":"x","text":{}"#, "[".repeat(400_000)).into_bytes(),
        ),
        ("a long number", None, format!(r#"{{"client_id":"x","text":{digits}}}"#).into_bytes()),
        ("a long exponent", None, format!(r#"{{"public_seq":1e{digits}}}"#).into_bytes()),
        (
            "a long id",
            None,
            format!(r#"{{"client_id":"{}","text":"x"}}"#, "x".repeat(900_000)).into_bytes(),
        ),
        ("too long", None, format!(r#"{{"text":"{}"}}"#, "x".repeat(3 << 20)).into_bytes()),
        ("twice", None, br#"{"client_id":"x","client_id":"y","text":"x"}"#.to_vec()),
        ("no end", None, format!(r#"{{"client_id":"x",{fields}"#).into_bytes()),
    ];
    for (what, packed, body) in cases {
        let mut request = rina.request(Method::POST, "/widget/messages");
        request = request.header("content-type", "application/json").body(body);
        if let Some(packed) = packed {
            request = request.header("content-encoding", packed);
        }
        let started = Instant::now();
        let answer = send(request, what).await;
        assert!(started.elapsed() < SOON, "{what} took {:?}", started.elapsed());
        if packed == Some("br") {
            // The name of a packing is no packing: bodies are read as they are.
            assert_eq!(answer.status, 200, "{what}: {}", answer.text);
            continue;
        }
        assert!(
            [400, 413].contains(&answer.status),
            "{what}: {} {:.300}",
            answer.status,
            answer.text
        );
        assert!(answer.text.len() < 2_000, "{what} is answered with {} bytes", answer.text.len());
    }
    // Many unknown fields are passed over, and cost nothing but their reading.
    let many = format!(r#"{{{fields}"client_id":"many","text":"x"}}"#);
    let request =
        rina.request(Method::POST, "/widget/messages").header("content-type", "application/json");
    let started = Instant::now();
    let answer = send(request.body(many), "many fields").await;
    assert!(started.elapsed() < SOON && [200, 400].contains(&answer.status), "{}", answer.status);
    let long = format!("/conversations/conv_{}", "0".repeat(6_000));
    let answer = world.agent("Ana").get(&long).await;
    assert!([400, 404, 414].contains(&answer.status), "{}", answer.status);
    world.end().await;
}

/// A server that nobody should ask, and how often it was.
struct Trap {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Trap {
    async fn set() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { address, asked, task }
    }

    fn url(&self) -> String {
        format!("http://{}/latest/meta-data", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Fields of requests whose name says that they hold an address. None is fetched: they are shown to people, or compared.
const ADDRESSES: [&str; 4] = [
    // Where a visitor can read an article: a link.
    "ArticleInput.url",
    // Which pages may embed an inbox: compared with the Origin header.
    "UpdateInbox.allowed_origins",
    // The visitor's page: a link for agents.
    "StartSession.page.url",
    "VisitorWrites.page.url",
];

/// A new field that holds an address fails here until somebody has decided who fetches it, and how that is walled in.
#[test]
fn no_request_names_what_the_server_fetches() {
    let document = serde_json::to_value(baton::app::document()).expect("a document");
    let mut found = Vec::new();
    for item in document["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("operations").values() {
            let schema = operation.pointer("/requestBody/content/application~1json/schema");
            let Some(schema) = schema else { continue };
            let name = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()).unwrap_or("");
            for field in sample::fields(&document, schema) {
                let last = field.rsplit('.').next().unwrap_or_default();
                let telling = [
                    "url", "uri", "link", "href", "host", "endpoint", "webhook", "callback",
                    "origin", "server",
                ];
                if telling.iter().any(|word| last.contains(word)) {
                    found.push(format!("{name}{field}"));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    let mut known = ADDRESSES.map(str::to_owned).to_vec();
    known.sort();
    assert_eq!(found, known);
}

/// Whatever people and visitors write, the server asks nobody but the configured model servers.
async fn the_server_fetches_nothing_it_is_told(engine: Engine) {
    let trap = Trap::set().await;
    let url = trap.url();
    let world = World::new(engine, Setup::default()).await;
    let sari = world.agent("Sari");
    let image = format!(
        "A refund: ![x]({url}) <img src=\"{url}\"> [[include {url}]] {{% include '{url}' %}}"
    );
    let path = format!("/knowledge-bases/{}/articles", world.business.base);
    let article = json!({
        "source": "text", "title": format!("![x]({url})"), "body": image, "audience": "public", "locale": "en", "url": url,
    });
    sari.post(&path, article).await.ok();
    let path = format!("/assistants/{}", world.business.assistant);
    let now = sari.get(&path).await.ok();
    let mut config = now["config"].clone();
    config["job_description"] = json!(image);
    config["identity"]["greeting"]["en"] = json!(image);
    sari.put(&path, json!({ "version": now["version"], "config": config })).await.ok();
    let wild = json!({ "version": now["version"], "config": { "model": url } });
    assert_eq!(sari.put(&path, wild).await.status, 400);
    let mut named = config.clone();
    named["model"] = json!(url);
    let version = sari.get(&path).await.ok()["version"].clone();
    sari.put(&path, json!({ "version": version, "config": named })).await.names(
        400,
        "invalid",
        "config.model",
    );
    let origins = json!({ "allowed_origins": [format!("http://{}", trap.address)] });
    sari.patch(&format!("/inboxes/{}", world.business.inbox), origins).await.ok();
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let body = json!({
        "client_id": fresh_client_id(), "text": format!("How long does a refund take? {url}"),
        "page": { "url": url, "title": url },
    });
    let request = rina.request(Method::POST, "/widget/messages").json(&body);
    let request = request.header("x-forwarded-host", trap.address.to_string());
    let request =
        request.header("origin", format!("http://{}", trap.address)).header("referer", &url);
    let id = conversation_of(&send(request, "a message").await.ok());
    page.until("an answer", |f| f["message"]["author"]["kind"] == "assistant").await;
    let ana = world.agent("Ana");
    let mut desk = ana.live(None).await;
    rina.ask_for_person().await;
    for kind in ["brief", "suggestions"] {
        ana.post(&format!("/conversations/{id}/assist"), json!({ "kind": kind })).await.ok();
        desk.help(&id, kind).await;
    }
    assert_eq!(trap.asked(), 0, "the server asked {url}");
    drop((page, desk));
    world.end().await;
}

/// What a hostile model server does with every request, and how much of its answer was taken.
async fn hostile(
    answer: impl Fn(bool, Arc<AtomicUsize>) -> Response + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let handler = move |headers: HeaderMap| {
        let streaming = headers.get("accept").is_some_and(|kind| kind == "text/event-stream");
        let answered = answer(streaming, Arc::clone(&count));
        async move { answered }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(any(handler));
    let task = tokio::spawn(async move {
        axum::serve(listener, router).await.expect("serves");
    });
    (url, taken, task)
}

/// A body without an end, in pieces, that counts what is taken of it.
fn endless(kind: &str, packed: bool, piece: Bytes, taken: Arc<AtomicUsize>) -> Response {
    let pieces = stream::unfold(0_usize, move |sent| {
        let (piece, taken) = (piece.clone(), Arc::clone(&taken));
        async move {
            taken.fetch_add(piece.len(), Ordering::SeqCst);
            Some((Ok::<_, Infallible>(piece), sent + 1))
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert("content-type", kind.parse().expect("a type"));
    if packed {
        response.headers_mut().insert("content-encoding", "gzip".parse().expect("a packing"));
    }
    response
}

/// One visitor asks, with that model server; returns why a person got it.
async fn asked_with(engine: Engine, url: String) -> Value {
    let setup = Setup::default()
        .config(move |config| {
            config.turn.budget_ms = millis(8_000);
            for endpoint in config.models.endpoints.values_mut() {
                endpoint.base_url.clone_from(&url);
                endpoint.api_key = Some(baton::config::Secret::new("canary-model-key"));
                endpoint.timeout_ms = millis(3_000);
            }
        })
        .assistant(|config| {
            config.conditions.worded = vec![baton::assistant::config::WordedCondition {
                name: "Cancels".to_owned(),
                text: "The visitor wants to cancel.".to_owned(),
            }];
        });
    let world = World::new(engine, setup).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let started = Instant::now();
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    page.state("with people", |c| c["state"] == "human").await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let detail = world.agent("Ana").detail(&id).await;
    drop(page);
    world.end().await;
    detail["holder"]["queue"]["reason"]["code"].clone()
}

/// Neither a bomb, nor a line without an end, nor an event without an end fills memory or keeps a worker busy.
async fn model_servers_cannot_flood_us(engine: Engine) {
    let zeros = Bytes::from(gzip(&vec![b' '; 16 << 20]));
    let word = Bytes::from("a".repeat(16 << 10));
    let lines = Bytes::from("data: x\n".repeat(2 << 10));
    let objects = Bytes::from(r#"{"a":["#.repeat(2 << 10));
    let cases = [
        ("a bomb", "text/event-stream", true, zeros.clone()),
        ("a bomb of JSON", "application/json", true, zeros),
        ("a line without an end", "text/event-stream", false, word.clone()),
        ("an event without an end", "text/event-stream", false, lines),
        ("a body without an end", "application/json", false, word),
        ("depth without an end", "application/json", false, objects),
    ];
    for (what, kind, packed, piece) in cases {
        let (url, taken, task) = hostile(move |streaming, taken| {
            let kind = if streaming { kind } else { "application/json" };
            endless(kind, packed, piece.clone(), taken)
        })
        .await;
        let reason = Box::pin(asked_with(engine, url)).await;
        assert!(
            ["model_failed", "judge_failed"].contains(&reason.as_str().unwrap_or("")),
            "{what}: {reason}"
        );
        // At most a few answers of the longest kind and what lies in the buffers between, for each try.
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken < 64 << 20, "{what}: {taken} bytes were taken");
        task.abort();
    }
}

/// A model server that sends us elsewhere is not followed: neither the key nor the prompt goes there.
async fn redirects_of_model_servers_are_not_followed(engine: Engine) {
    let trap = Trap::set().await;
    for status in [301, 302, 303, 307, 308] {
        let target = trap.url();
        let (url, _, task) = hostile(move |_, _| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = axum::http::StatusCode::from_u16(status).expect("a status");
            response.headers_mut().insert("location", target.parse().expect("an address"));
            response
        })
        .await;
        let reason = Box::pin(asked_with(engine, url)).await;
        assert!(
            ["model_failed", "judge_failed"].contains(&reason.as_str().unwrap_or("")),
            "{reason}"
        );
        task.abort();
    }
    assert_eq!(trap.asked(), 0);
}

on_both_engines!(
    paths_do_not_climb,
    bodies_do_not_explode,
    the_server_fetches_nothing_it_is_told,
    model_servers_cannot_flood_us,
    redirects_of_model_servers_are_not_followed,
);
