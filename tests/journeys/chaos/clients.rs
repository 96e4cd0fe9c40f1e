//! People who do not give up: they ask again until they are answered, come back when their socket ends, and write down what
//! they saw.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

use crate::support::people::fresh_client_id;
use crate::support::{Agent, Visitor};

/// Wait before the same is asked again.
const AGAIN: Duration = Duration::from_millis(100);
/// What is not answered in this time will not be.
const GIVE_UP: Duration = Duration::from_secs(60);
/// One answer.
const ANSWERED: Duration = Duration::from_secs(10);
/// Lines of an agent's diary.
const DIARY: usize = 4_000;
/// Without a frame for so long the client looks whether the socket is alive.
const QUIET: Duration = Duration::from_secs(3);

/// What happened to everybody's requests and sockets.
#[derive(Default)]
pub struct Trouble {
    pub asked_again: AtomicUsize,
    pub sockets_lost: AtomicUsize,
    pub started_over: AtomicUsize,
    /// What must never happen.
    pub wrong: Mutex<Vec<String>>,
}

impl Trouble {
    pub fn wrong(&self, what: String) {
        locked(&self.wrong).push(what);
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

/// Asks until there is an answer that is one: not from a server that is going, or whose database is away.
pub async fn ask(
    trouble: &Trouble,
    what: &str,
    request: impl Fn() -> RequestBuilder,
) -> Option<(u16, Value)> {
    let since = Instant::now();
    while since.elapsed() < GIVE_UP {
        if let Ok(response) = request().timeout(ANSWERED).send().await {
            let status = response.status().as_u16();
            if status < 500 && status != 429 {
                if let Ok(body) = response.bytes().await {
                    return Some((status, serde_json::from_slice(&body).unwrap_or_default()));
                }
            } else if status != 503 && status != 429 {
                let text = response.text().await.unwrap_or_default();
                trouble.wrong(format!("{what}: {status} {text}"));
            }
        }
        trouble.asked_again.fetch_add(1, Ordering::Relaxed);
        sleep(AGAIN).await;
    }
    trouble.wrong(format!("{what}: no answer for {GIVE_UP:?}"));
    None
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A socket after its hello.
async fn open(origin: &str, hello: &Value) -> Option<Stream> {
    let address = format!("{}/api/v1/live", origin.replacen("http", "ws", 1));
    let opened = timeout(ANSWERED, tokio_tungstenite::connect_async(address)).await;
    let (mut stream, _) = opened.ok()?.ok()?;
    stream.send(Message::text(hello.to_string())).await.ok()?;
    Some(stream)
}

/// The next frame; none when the socket is at its end.
async fn next(stream: &mut Stream) -> Option<Value> {
    let mut asked = false;
    loop {
        match timeout(QUIET, stream.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => {
                let frame: Value = serde_json::from_str(&text).ok()?;
                if frame["type"] != "pong" {
                    return Some(frame);
                }
                asked = false;
            }
            Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return None,
            Ok(Some(Ok(_))) => {}
            Err(_) if asked => return None,
            Err(_) => {
                asked = true;
                stream.send(Message::text(r#"{"type":"ping"}"#)).await.ok()?;
            }
        }
    }
}

/// What a visitor has seen and knows.
#[derive(Default)]
pub struct VisitorBook {
    /// Every message, in the order in which the socket brought it.
    pub seen: Vec<Value>,
    /// Client ids that were acknowledged, with the message's id.
    pub acknowledged: BTreeMap<String, String>,
    pub drafts: usize,
    /// Which conversation it is.
    pub conversation: Option<String>,
}

impl VisitorBook {
    pub fn last(&self) -> u64 {
        self.seen.last().and_then(|message| message["public_seq"].as_u64()).unwrap_or(0)
    }
}

/// Keeps a socket open and writes down what it brings, until told to stop.
pub async fn visitor_listens(
    visitor: Visitor,
    book: Arc<Mutex<VisitorBook>>,
    trouble: Arc<Trouble>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let hello =
            json!({ "type": "hello", "token": visitor.token, "after": locked(&book).last() });
        let listening = async {
            let Some(mut stream) = open(&visitor.origin, &hello).await else { return };
            let mut epoch = 0;
            while let Some(frame) = next(&mut stream).await {
                visitor_hears(&visitor.name, &frame, &mut epoch, &book, &trouble);
            }
            trouble.sockets_lost.fetch_add(1, Ordering::Relaxed);
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = listening => sleep(AGAIN).await,
        }
    }
}

fn visitor_hears(
    name: &str,
    frame: &Value,
    epoch: &mut u64,
    book: &Mutex<VisitorBook>,
    trouble: &Trouble,
) {
    let mut book = locked(book);
    let state = &frame["conversation"];
    if let Some(known) = state["epoch"].as_u64() {
        *epoch = known.max(*epoch);
    }
    match frame["type"].as_str() {
        Some("welcome") => {
            for message in state["messages"].as_array().into_iter().flatten() {
                seen(name, message, &mut book, trouble);
            }
        }
        Some("message") => seen(name, &frame["message"], &mut book, trouble),
        Some("draft") => {
            book.drafts += 1;
            if frame["epoch"].as_u64().is_some_and(|of| of < *epoch) {
                trouble.wrong(format!("stale: {name} at epoch {epoch} was sent {frame}"));
            }
        }
        _ => {}
    }
}

fn seen(name: &str, message: &Value, book: &mut VisitorBook, trouble: &Trouble) {
    let number = message["public_seq"].as_u64().unwrap_or(0);
    let last = book.last();
    if number != last + 1 {
        let what = if number <= last { "doubled or reordered" } else { "lost" };
        trouble.wrong(format!("{what}: {name} has {last} and was sent {message}"));
    }
    if number > last {
        book.seen.push(message.clone());
    }
}

/// Writes, each time until it is acknowledged, until told to stop.
pub async fn visitor_writes(
    visitor: Visitor,
    book: Arc<Mutex<VisitorBook>>,
    trouble: Arc<Trouble>,
    stop: CancellationToken,
) {
    let questions = [
        "How long does a refund take?",
        "How long does a parcel to Jakarta take?",
        "What is in the coffee subscription?",
    ];
    for n in 1_usize.. {
        if stop.is_cancelled() {
            return;
        }
        let client_id = fresh_client_id();
        let text = format!("{} ({n})", questions[n % questions.len()]);
        let body = json!({ "client_id": client_id, "text": text });
        let request = || visitor.request(Method::POST, "/widget/messages").json(&body);
        if let Some((status, answer)) = ask(&trouble, &visitor.name, request).await {
            let id = answer["message"]["id"].as_str();
            match id {
                Some(id) if status == 200 => {
                    let mut book = locked(&book);
                    book.conversation = answer["conversation_id"].as_str().map(str::to_owned);
                    book.acknowledged.insert(client_id, id.to_owned());
                }
                _ => trouble.wrong(format!("{}: {status} {answer}", visitor.name)),
            }
        }
        if n.is_multiple_of(12) {
            let body = json!({ "client_id": fresh_client_id() });
            let request = || visitor.request(Method::POST, "/widget/request-person").json(&body);
            ask(&trouble, &visitor.name, request).await;
        }
        let pause = Duration::from_millis(300 + 150 * (n as u64 % 5));
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// What an agent has seen.
#[derive(Default)]
pub struct AgentBook {
    /// The kind of every event, by conversation and number.
    pub events: BTreeMap<String, BTreeMap<u64, String>>,
    /// Client ids of messages that were acknowledged, with the message's id.
    pub acknowledged: BTreeMap<String, String>,
    pub takeovers: usize,
    cursor: Option<String>,
    /// Conversations as their rows last said.
    rows: BTreeMap<String, Value>,
    /// What happened last, for whoever has to explain what is wrong.
    diary: VecDeque<String>,
}

impl AgentBook {
    fn note(&mut self, what: &str) {
        let at = baton::clock::Clock::system().now().millis() % 1_000_000;
        if self.diary.len() >= DIARY {
            self.diary.pop_front();
        }
        self.diary.push_back(format!("{at} {what}"));
    }

    /// What is noted of a conversation and of the sockets.
    fn told_of(&self, id: &str) -> String {
        let lines = self.diary.iter().filter(|line| line.contains(id) || line.contains("socket"));
        lines.map(|line| format!("\n    {line}")).collect()
    }
}

/// Keeps a console open and writes down what it brings, until told to stop.
pub async fn agent_listens(
    agent: Agent,
    book: Arc<Mutex<AgentBook>>,
    trouble: Arc<Trouble>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let listening = async {
            let request = || agent.request(Method::POST, "/live/ticket").json(&json!({}));
            let Some((200, ticket)) = ask(&trouble, &agent.name, request).await else { return };
            let cursor = locked(&book).cursor.clone();
            let hello = json!({ "type": "hello", "ticket": ticket["ticket"], "cursor": cursor });
            let Some(mut stream) = open(&agent.origin, &hello).await else { return };
            locked(&book).note(&format!("the socket opens from {cursor:?}"));
            let mut told: BTreeMap<String, u64> = BTreeMap::new();
            while let Some(frame) = next(&mut stream).await {
                if frame["type"] == "resync" {
                    trouble.started_over.fetch_add(1, Ordering::Relaxed);
                    locked(&book).note(&format!("the socket starts over at {}", frame["cursor"]));
                    start_over(&agent, &book, &trouble).await;
                    locked(&book).note("the socket has started over");
                }
                agent_hears(&agent.name, &frame, &mut told, &book, &trouble);
            }
            locked(&book).note("the socket has ended");
            trouble.sockets_lost.fetch_add(1, Ordering::Relaxed);
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = listening => sleep(AGAIN).await,
        }
    }
}

fn agent_hears(
    name: &str,
    frame: &Value,
    told: &mut BTreeMap<String, u64>,
    book: &Mutex<AgentBook>,
    trouble: &Trouble,
) {
    let mut book = locked(book);
    if let Some(cursor) = frame["cursor"].as_str() {
        book.cursor = Some(cursor.to_owned());
    }
    let Some(id) = frame["row"]["id"].as_str() else { return };
    book.rows.insert(id.to_owned(), frame["row"].clone());
    let seqs: Vec<String> = frame["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| format!("{} {}", item["seq"], item["kind"].as_str().unwrap_or_default()))
        .collect();
    book.note(&format!(
        "{id} at {}, row {}: {}",
        frame["cursor"],
        frame["row"]["seq"],
        seqs.join(", ")
    ));
    for item in frame["items"].as_array().into_iter().flatten() {
        let (seq, kind) = (item["seq"].as_u64().unwrap_or(0), item["kind"].as_str());
        let kind = kind.unwrap_or_default().to_owned();
        let known = book.events.entry(id.to_owned()).or_default();
        let is_missing = seq > 1 && !known.contains_key(&(seq - 1));
        let before = known.insert(seq, kind.clone());
        let last = told.get(id).copied().unwrap_or(0);
        // The end of a turn comes once more with what was read of it. What a socket before has brought may come again.
        let is_again = kind == "turn_cancelled" && before.is_some();
        let what = match before {
            Some(before) if before != kind => format!("event {seq} was {before}, is {kind}"),
            _ if is_missing => format!("reordered: {seq} came without the one before it"),
            _ if seq <= last && !is_again => {
                format!("doubled or reordered: {seq} came after {last}")
            }
            _ => String::new(),
        };
        if !what.is_empty() {
            let diary = book.told_of(id);
            trouble.wrong(format!("{what}: {name}, {id}{diary}"));
        }
        told.insert(id.to_owned(), seq.max(last));
    }
}

/// The server says that it lost the thread: everything is read again, as a console does.
async fn start_over(agent: &Agent, book: &Mutex<AgentBook>, trouble: &Trouble) {
    let request = || agent.request(Method::GET, "/conversations?limit=100");
    let Some((200, list)) = ask(trouble, &agent.name, request).await else { return };
    for row in list["items"].as_array().into_iter().flatten() {
        let Some(id) = row["id"].as_str() else { continue };
        read_on(agent, id, book, trouble).await;
    }
}

/// Reads the timeline of a conversation from the first number that is not known.
async fn read_on(agent: &Agent, id: &str, book: &Mutex<AgentBook>, trouble: &Trouble) {
    loop {
        let after = locked(book)
            .events
            .get(id)
            .map_or(0, |known| (1..).find(|seq| !known.contains_key(seq)).unwrap_or(1) - 1);
        let path = format!("/conversations/{id}/timeline?after={after}&limit=500");
        let request = || agent.request(Method::GET, &path);
        let Some((200, page)) = ask(trouble, &agent.name, request).await else { return };
        let mut book = locked(book);
        let items = page["items"].as_array().map_or(&[][..], Vec::as_slice);
        let last = items.last().map(|item| item["seq"].clone());
        book.note(&format!("{id} is read after {after}: {} to {last:?}", items.len()));
        let known = book.events.entry(id.to_owned()).or_default();
        for item in items {
            let kind = item["kind"].as_str().unwrap_or_default().to_owned();
            known.insert(item["seq"].as_u64().unwrap_or(0), kind);
        }
        if page["has_more"] != true {
            return;
        }
    }
}

/// Takes over, answers, hands back or closes, one conversation after the other, until told to stop.
pub async fn agent_works(
    agent: Agent,
    book: Arc<Mutex<AgentBook>>,
    trouble: Arc<Trouble>,
    stop: CancellationToken,
) {
    for n in 0_usize.. {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(Duration::from_millis(150)) => {}
        }
        let wanted = {
            let book = locked(&book);
            // Who waits for a person, and now and then somebody whom the AI is answering.
            let state = if n.is_multiple_of(5) { "assistant" } else { "human" };
            let is_open =
                |row: &&Value| row["holder"]["agent"].is_null() && row["holder"]["state"] == state;
            let mut open: Vec<&Value> = book.rows.values().filter(is_open).collect();
            open.sort_by_key(|row| row["updated_at"].to_string());
            let pick = open.get(n % open.len().max(1));
            pick.and_then(|row| row["id"].as_str()).map(str::to_owned)
        };
        if let Some(id) = wanted {
            serve(&agent, &id, n, &book, &trouble).await;
        }
    }
}

async fn serve(agent: &Agent, id: &str, n: usize, book: &Mutex<AgentBook>, trouble: &Trouble) {
    let path = format!("/conversations/{id}/take-over");
    let request = || agent.request(Method::POST, &path).json(&json!({}));
    let Some((status, taken)) = ask(trouble, &agent.name, request).await else { return };
    if status != 200 {
        // Closed, or a colleague was faster.
        return;
    }
    locked(book).takeovers += 1;
    let mut epoch = taken["epoch"].clone();
    for _ in 0..2 {
        let client_id = fresh_client_id();
        let text = format!("{} is here ({client_id})", agent.name);
        loop {
            let path = format!("/conversations/{id}/messages");
            let body = json!({ "text": text, "client_id": client_id, "expected_epoch": epoch });
            let request = || agent.request(Method::POST, &path).json(&body);
            let Some((status, answer)) = ask(trouble, &agent.name, request).await else { return };
            match (status, answer["id"].as_str()) {
                (200, Some(id)) => {
                    locked(book).acknowledged.insert(client_id, id.to_owned());
                    break;
                }
                // It has changed hands and come back to us, or not.
                (409, _)
                    if answer["error"]["detail"]["holder"]["agent"]["id"] == agent.id.as_str() =>
                {
                    epoch = answer["error"]["detail"]["epoch"].clone();
                }
                (409, _) => return,
                (status, _) => return trouble.wrong(format!("{}: {status} {answer}", agent.name)),
            }
        }
    }
    let command = if n.is_multiple_of(4) { "close" } else { "assign-to-ai" };
    let path = format!("/conversations/{id}/{command}");
    let mut body = json!({ "expected_epoch": epoch });
    match command {
        "close" => body["outcome"] = json!("solved"),
        _ => body["note"] = json!("Go on"),
    }
    let request = || agent.request(Method::POST, &path).json(&body);
    // 409 when the first try was done and only its answer was lost.
    ask(trouble, &agent.name, request).await;
}
