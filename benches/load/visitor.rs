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
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::business::Business;
use super::http::Connection;
use super::judgement::Latencies;

/// A socket as a client has it.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a visitor's socket has heard since it was last asked.
#[derive(Default)]
pub struct Heard {
    /// When those questions were due that have been sent and not begun to be answered.
    waiting: VecDeque<Instant>,
    /// From a question's scheduled time to the first sentence on the socket.
    pub first: Latencies,
    /// From a person's message's scheduled time to the socket.
    pub people: Latencies,
    /// A sentence has been shown, its answer is not finished.
    drafting: bool,
    /// Finished answers of the AI.
    pub answers: u64,
    /// Answers that came without a sentence shown before.
    pub unannounced: u64,
    /// The AI gave the conversation away.
    pub handed_off: bool,
}

impl Heard {
    fn is_settled(&self) -> bool {
        self.waiting.is_empty() && !self.drafting
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
        self.lock().waiting.push_back(due);
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
        let mut heard = self.lock();
        if frame.starts_with(r#"{"type":"draft","#) {
            heard.drafting = true;
            // One answer may be to several questions: all of them have waited for it.
            while let Some(due) = heard.waiting.pop_front() {
                heard.first.add(now - due);
            }
        } else if frame.starts_with(r#"{"type":"message","#) {
            if frame.contains(r#""author":{"kind":"assistant""#) {
                heard.answers += 1;
                heard.drafting = false;
                if !heard.waiting.is_empty() {
                    heard.waiting.clear();
                    heard.unannounced += 1;
                }
                drop(heard);
                self.answered.notify_waiters();
            } else if frame.contains(r#""author":{"kind":"agent""#)
                && let Some(due) = heard.waiting.pop_front()
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
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_nodelay(true)?;
    }
    socket.send(Message::text(hello)).await?;
    let welcome = socket.next().await.context("no welcome")??;
    let text = welcome.to_text()?;
    anyhow::ensure!(text.contains(r#""type":"welcome""#), "no welcome but {text}");
    Ok(socket)
}
