//! One WebSocket with JSON frames: bounded in every direction, so that a client that does not read costs nothing.
//!
//! A frame that cannot be handed over in time ends the socket with [`Code::TooSlow`]; the client comes back and resumes by
//! number. It knows nothing of what travels through it.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

/// What a socket keeps for reading: thousands are open at once, and clients say little. Longer frames get their room as they
/// come.
const READ_BYTES: usize = 512;
/// What is written at once.
const WRITE_BYTES: usize = 4 * 1024;
/// The largest frame a client may send.
const MAX_FRAME_BYTES: usize = 16 * 1024;
/// How long a close frame may take before the connection is simply dropped.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Frames a client may send per [`WINDOW`].
const MAX_FRAMES: u32 = 120;
/// The time over which a client's frames are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Why the server ends a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The server is going away; come back.
    GoingAway,
    /// What was sent is not a frame.
    Malformed,
    /// The token, ticket or session is no longer good.
    Unauthenticated,
    /// This page or role may not.
    Forbidden,
    /// Did not say hello, or did not read in time.
    TooSlow,
    /// Too many frames or sockets.
    RateLimited,
    /// Something is away; come back.
    Unavailable,
}

impl Code {
    /// The close code on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::Malformed => 1007,
            Self::Unauthenticated => 4401,
            Self::Forbidden => 4403,
            Self::TooSlow => 4408,
            Self::RateLimited => 4429,
            Self::Unavailable => 1013,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "the server is restarting: connect again",
            Self::Malformed => "frames are JSON objects with a type",
            Self::Unauthenticated => "the token is no longer good: get a new one",
            Self::Forbidden => "this page or role may not listen here",
            Self::TooSlow => "too slow: connect again and resume",
            Self::RateLimited => "too many frames: wait a little",
            Self::Unavailable => "something is away: connect again in a moment",
        }
    }
}

/// Why a socket is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The client left or the connection broke.
    Left,
    /// We end it.
    Ended(Code),
}

/// How patient a socket is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until one frame is handed over.
    pub write: Duration,
    /// Between two pings; a client that is silent for two of them is gone.
    pub ping: Duration,
}

/// A WebSocket with JSON frames.
pub struct Socket {
    inner: WebSocket,
    patience: Patience,
    ping_at: Instant,
    heard_at: Instant,
    window: (Instant, u32),
}

/// An upgrade with small buffers.
pub fn small(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
}

impl Socket {
    /// Takes over a connection.
    #[must_use]
    pub fn new(inner: WebSocket, patience: Patience) -> Self {
        let now = Instant::now();
        Self { inner, patience, ping_at: now + patience.ping, heard_at: now, window: (now, 0) }
    }

    /// Hands one frame over.
    ///
    /// # Errors
    /// [`Gone`] when the client left or does not read.
    pub async fn send<T: Serialize + Sync>(&mut self, frame: &T) -> Result<(), Gone> {
        let text = match serde_json::to_string(frame) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a frame cannot be JSON");
                return Err(Gone::Ended(Code::Unavailable));
            }
        };
        self.hand_over(Message::Text(text.into())).await
    }

    async fn hand_over(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(self.patience.write, self.inner.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => Err(Gone::Ended(Code::TooSlow)),
        }
    }

    /// The next frame of the client. Pings in between; safe to drop and call again.
    ///
    /// # Errors
    /// [`Gone`] when the client left, went silent, or sent something that is no frame.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, Gone> {
        loop {
            let text = self.text().await?;
            let now = Instant::now();
            if now.duration_since(self.window.0) >= WINDOW {
                self.window = (now, 0);
            }
            self.window.1 += 1;
            if self.window.1 > MAX_FRAMES {
                return Err(Gone::Ended(Code::RateLimited));
            }
            let value: serde_json::Value =
                serde_json::from_str(&text).map_err(|_| Gone::Ended(Code::Malformed))?;
            // Frames of a later version of the client are not an error.
            if let Ok(frame) = serde_json::from_value(value) {
                return Ok(frame);
            }
        }
    }

    async fn text(&mut self) -> Result<Utf8Bytes, Gone> {
        loop {
            let received = tokio::select! {
                received = self.inner.recv() => received,
                () = tokio::time::sleep_until(self.ping_at) => {
                    if self.heard_at.elapsed() >= self.patience.ping * 2 {
                        return Err(Gone::Left);
                    }
                    self.ping_at = Instant::now() + self.patience.ping;
                    self.hand_over(Message::Ping(axum::body::Bytes::new())).await?;
                    continue;
                }
            };
            self.heard_at = Instant::now();
            match received {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_))) => return Err(Gone::Ended(Code::Malformed)),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone::Left),
            }
        }
    }

    /// Says why, as far as the client still listens, and ends the connection.
    pub async fn end(mut self, gone: Gone) {
        let Gone::Ended(code) = gone else { return };
        let frame = CloseFrame { code: code.number(), reason: code.reason().into() };
        let said = async {
            self.inner.send(Message::Close(Some(frame))).await?;
            // The client's own close frame ends the connection cleanly.
            while self.inner.recv().await.is_some_and(|received| received.is_ok()) {}
            Ok::<_, axum::Error>(())
        };
        let _late_or_gone = timeout(CLOSE_WITHIN, said).await;
    }
}
