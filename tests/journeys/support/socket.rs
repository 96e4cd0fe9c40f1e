//! A socket as a browser has it: frames in order, every one remembered, so that a failing test can say what was heard.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::PATIENCE;

/// Everything somebody has been shown, as it came.
pub type Bytes = Arc<Mutex<Vec<String>>>;

/// An open socket.
pub struct Live {
    who: String,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: Vec<Value>,
    bytes: Option<Bytes>,
}

/// How a wait ended that was not for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// The close code; none if the connection just broke.
    pub code: Option<u16>,
}

/// Whether a frame is of this type.
pub fn kind_is(frame: &Value, kind: &str) -> bool {
    frame["type"] == kind
}

impl Live {
    /// Opens a socket and says nothing.
    pub async fn open(who: &str, origin: &str, page: Option<&str>) -> Result<Self, u16> {
        let address = format!("{}/api/v1/live", origin.replacen("http", "ws", 1));
        let mut request = address.into_client_request().expect("an address");
        if let Some(page) = page {
            request.headers_mut().insert("origin", page.parse().expect("an origin"));
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, _)) => {
                Ok(Self { who: who.to_owned(), stream, heard: Vec::new(), bytes: None })
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{who}'s socket could not be opened: {error}"),
        }
    }

    /// Opens a socket, says hello and hears the welcome.
    pub async fn hello(who: &str, origin: &str, hello: &Value, bytes: Option<Bytes>) -> Self {
        let opened = Self::open(who, origin, None).await;
        let mut live = opened.unwrap_or_else(|status| panic!("{who}'s socket: status {status}"));
        live.bytes = bytes;
        live.say(hello).await;
        live.until("the welcome", |frame| kind_is(frame, "welcome")).await;
        live
    }

    /// Sends a frame.
    pub async fn say(&mut self, frame: &Value) {
        self.say_raw(Message::text(frame.to_string())).await;
    }

    /// Sends anything.
    pub async fn say_raw(&mut self, message: Message) {
        // A socket that the server has closed meanwhile is seen when reading.
        let _closed = self.stream.send(message).await;
    }

    /// The next frame, or how the socket ended.
    pub async fn next(&mut self) -> Result<Value, Closed> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Some(bytes) = &self.bytes {
                        let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                        bytes.push(text.to_string());
                    }
                    let frame: Value = serde_json::from_str(&text).unwrap_or_else(|e| {
                        panic!("{} heard what is no JSON ({e}): {text}", self.who)
                    });
                    self.heard.push(frame.clone());
                    return Ok(frame);
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(Closed { code: frame.map(|frame| frame.code.into()) });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed { code: None }),
            }
        }
    }

    /// Reads until a frame is what is waited for, and returns it.
    pub async fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let start = self.heard.len();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.next().await {
                    Ok(frame) if is(&frame) => return Ok(frame),
                    Ok(_) => {}
                    Err(closed) => return Err(closed),
                }
            }
        });
        let why = match found.await {
            Ok(Ok(frame)) => return frame,
            Ok(Err(closed)) => format!("the socket ended ({closed:?})"),
            Err(_) => format!("nothing came within {PATIENCE:?}"),
        };
        panic!(
            "{} waited for {what}, but {why}. Heard meanwhile: {}",
            self.who,
            show(&self.heard[start..])
        );
    }

    /// A frame that has been heard already, or else the next that is what is waited for.
    pub async fn ever(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        match self.heard.iter().find(|frame| is(frame)) {
            Some(frame) => frame.clone(),
            None => self.until(what, is).await,
        }
    }

    /// An agent waits for help that is made: a brief, a summary or suggestions.
    pub async fn help(&mut self, conversation: &str, kind: &str) -> Value {
        let of = |frame: &Value| {
            kind_is(frame, "assist")
                && frame["conversation_id"] == conversation
                && frame["artifact"]["kind"] == kind
                && frame["artifact"]["state"] != "pending"
        };
        self.ever(&format!("the {kind} of {conversation}"), of).await["artifact"].clone()
    }

    /// Reads until the server ends the socket, and returns the close code.
    pub async fn closed(&mut self, what: &str) -> Option<u16> {
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Err(closed) = self.next().await {
                    return closed.code;
                }
            }
        });
        ended.await.unwrap_or_else(|_| {
            panic!("{} waited for the end ({what}). Heard: {}", self.who, show(&self.heard))
        })
    }

    /// Everything that was sent before now has been heard when this returns: frames are answered in order.
    pub async fn settle(&mut self) {
        self.say(&json!({ "type": "ping" })).await;
        self.until("the pong", |frame| kind_is(frame, "pong")).await;
    }

    /// Every frame so far.
    pub fn heard(&self) -> &[Value] {
        &self.heard
    }

    /// An agent waits for an event of a conversation; returns the frame and the event.
    pub async fn event(&mut self, conversation: &str, kind: &str) -> (Value, Value) {
        let of = |frame: &Value| event_in(frame, conversation, kind);
        let what = format!("the event {kind} of {conversation}");
        let frame = self.until(&what, |frame| of(frame).is_some()).await;
        let item = of(&frame).unwrap_or_default();
        (frame, item)
    }

    /// A visitor waits for a message that contains these words.
    pub async fn message(&mut self, words: &str) -> Value {
        let what = format!("a message with “{words}”");
        let frame = self.until(&what, |frame| says(frame, words)).await;
        frame["message"].clone()
    }

    /// A visitor reads a message with these words, among those that were there or as a new one.
    pub async fn reads(&mut self, words: &str) {
        let has = |message: &Value| message["text"].as_str().is_some_and(|t| t.contains(words));
        let in_frame = |frame: &Value| {
            let all = frame["conversation"]["messages"].as_array();
            has(&frame["message"]) || all.is_some_and(|all| all.iter().any(has))
        };
        self.ever(&format!("“{words}” to read"), in_frame).await;
    }

    /// A visitor waits for a notice.
    pub async fn notice(&mut self, code: &str) -> Value {
        let what = format!("the notice {code}");
        let frame = self.until(&what, |frame| frame["message"]["notice"] == code).await;
        frame["message"].clone()
    }

    /// A visitor waits for a state.
    pub async fn state(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let is = |frame: &Value| kind_is(frame, "state") && is(&frame["conversation"]);
        self.until(what, is).await["conversation"].clone()
    }
}

fn says(frame: &Value, words: &str) -> bool {
    kind_is(frame, "message")
        && frame["message"]["text"].as_str().is_some_and(|text| text.contains(words))
}

fn event_in(frame: &Value, conversation: &str, kind: &str) -> Option<Value> {
    if !kind_is(frame, "changed") || frame["row"]["id"] != conversation {
        return None;
    }
    frame["items"].as_array()?.iter().find(|item| item["kind"] == kind).cloned()
}

/// Frames for a failing test: short, one a line.
pub fn show(frames: &[Value]) -> String {
    if frames.is_empty() {
        return "nothing".to_owned();
    }
    let line = |frame: &Value| {
        let text: String = frame.to_string().chars().take(600).collect();
        format!("\n  {text}")
    };
    frames.iter().map(line).collect()
}
