//! A visitor: one connection that writes, one socket that hears.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::business::Business;
use super::http::Connection;
use super::judgement::Latencies;

/// A socket as a client has it.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a visitor's socket has heard since it was last asked.
///
/// A question is sent, heard back once it is stored, read by a turn that begins after that (its dots), and answered by that turn's
/// sentences and its whole answer. A question that is stored while a turn runs waits for the next one, and so does its time.
#[derive(Default)]
pub struct Heard {
    /// When those questions were due that have been sent, in order.
    sent: VecDeque<Instant>,
    /// Those that are stored and no turn has read.
    stored: Vec<Instant>,
    /// Those that the running turn reads and has shown no sentence for.
    read: Vec<Instant>,
    /// From a question's scheduled time to the first sentence on the socket.
    pub first: Latencies,
    /// From a person's message's scheduled time to the socket.
    pub people: Latencies,
    /// A sentence has been shown, its answer is not finished.
    drafting: bool,
    /// Finished answers of the AI.
    pub answers: u64,
    /// Questions whose answer came without a sentence shown before.
    pub unannounced: u64,
    /// The AI gave the conversation away.
    pub handed_off: bool,
}

impl Heard {
    fn is_settled(&self) -> bool {
        self.sent.is_empty() && self.stored.is_empty() && self.read.is_empty() && !self.drafting
    }
}

/// Shared between a visitor and their socket.
#[derive(Default)]
pub struct Ear {
    heard: Mutex<Heard>,
    answered: Notify,
}

impl Ear {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was heard since the last time.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut *self.lock())
    }

    /// Something will be said that was due then.
    pub fn expect(&self, due: Instant) {
        self.lock().sent.push_back(due);
    }

    /// What was expected last could not be said.
    pub fn expect_no_more(&self) {
        self.lock().sent.pop_back();
    }

    /// How many finished answers there are.
    pub fn answers(&self) -> u64 {
        self.lock().answers
    }

    /// Waits until there are so many finished answers, or for so long; returns whether they are there.
    pub async fn until(&self, answers: u64, patience: Duration) -> bool {
        let there = async {
            loop {
                let told = self.answered.notified();
                if self.answers() >= answers {
                    return;
                }
                told.await;
            }
        };
        tokio::time::timeout(patience, there).await.is_ok()
    }

    /// Waits until nothing waits any more and the AI has said all it had to say; returns whether that came.
    pub async fn settled(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if self.lock().is_settled() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        false
    }

    fn hear(&self, frame: &str) {
        let now = Instant::now();
        let heard = &mut *self.lock();
        let by = |author: &str| frame.contains(&format!(r#""author":{{"kind":"{author}""#));
        if frame.starts_with(r#"{"type":"draft","#) {
            heard.drafting = true;
            // One answer may be to several questions: all of them have waited for it.
            for due in heard.read.drain(..) {
                heard.first.add(now - due);
            }
        } else if frame.starts_with(r#"{"type":"typing","#) && by("assistant") {
            // A turn begins. One that it supersedes has read less.
            heard.read.append(&mut heard.stored);
        } else if frame.starts_with(r#"{"type":"message","#) {
            if by("assistant") {
                heard.answers += 1;
                heard.drafting = false;
                heard.unannounced += u64::try_from(heard.read.len()).unwrap_or(u64::MAX);
                heard.read.clear();
                self.answered.notify_waiters();
            } else if by("visitor") {
                heard.stored.extend(heard.sent.pop_front());
            } else if by("agent")
                && let Some(due) = heard.sent.pop_front()
            {
                heard.people.add(now - due);
            }
        } else if frame.starts_with(r#"{"type":"state","#)
            && !frame.contains(r#""state":"assistant""#)
        {
            heard.handed_off = true;
        }
    }
}

/// Somebody on a page.
pub struct Visitor {
    writer: Connection,
    headers: String,
    pub ear: Arc<Ear>,
    /// Known once they have written.
    pub conversation: Option<String>,
    written: u64,
    listening: JoinHandle<()>,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Visitor {
    /// Opens the widget and its socket.
    pub async fn arrive(address: SocketAddr, business: &Business) -> anyhow::Result<Self> {
        let mut writer = Connection::open(address).await?;
        let path = format!("/api/v1/widget/{}/session", business.key);
        let session = writer.send("POST", &path, "", r#"{"locale":"en"}"#).await?.json()?;
        let token = session["token"].as_str().context("no token")?.to_owned();
        let hello = json!({ "type": "hello", "token": token, "after": 0 }).to_string();
        let mut socket = hello_socket(address, hello).await?;
        let ear: Arc<Ear> = Arc::default();
        let hears = Arc::clone(&ear);
        let listening = tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = message {
                    hears.hear(&text);
                }
            }
        });
        Ok(Self {
            writer,
            headers: format!("authorization: Bearer {token}\r\n"),
            ear,
            conversation: None,
            written: 0,
            listening,
        })
    }

    /// Many of them.
    pub async fn arrive_all(
        address: SocketAddr,
        business: &Business,
        count: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut visitors = Vec::with_capacity(count);
        for _ in 0..count {
            visitors.push(Self::arrive(address, business).await?);
        }
        Ok(visitors)
    }

    /// Writes; returns when it is acknowledged.
    pub async fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.written += 1;
        let id = self.written;
        let body = format!(r#"{{"client_id":"message-{id}","text":"{text}","locale":"en"}}"#);
        let answer =
            self.writer.send("POST", "/api/v1/widget/messages", &self.headers, &body).await?;
        if self.conversation.is_none() {
            let acknowledged = answer.json()?;
            self.conversation = acknowledged["conversation_id"].as_str().map(str::to_owned);
        }
        anyhow::ensure!(answer.status == 200, "a visitor's message: status {}", answer.status);
        Ok(())
    }
}

/// Opens a socket, says hello and hears the welcome.
pub async fn hello_socket(address: SocketAddr, hello: String) -> anyhow::Result<Socket> {
    let address = format!("ws://{address}/api/v1/live");
    // Thousands of them are open at once; what they hear is short.
    let small = WebSocketConfig::default().read_buffer_size(2 * 1024).write_buffer_size(2 * 1024);
    let (mut socket, _) =
        tokio_tungstenite::connect_async_with_config(address, Some(small), true).await?;
    socket.send(Message::text(hello)).await?;
    let welcome = socket.next().await.context("no welcome")??;
    let text = welcome.to_text()?;
    anyhow::ensure!(text.contains(r#""type":"welcome""#), "no welcome but {text}");
    Ok(socket)
}
