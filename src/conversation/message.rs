//! What people and the assistant wrote: domain values, and the public views that a visitor-facing prompt may hold.
//!
//! Law 7 (walls) lives in the types: [`PublicMessage`] and [`ReturnNote`] have no public constructor but `of`, which
//! answers `None` for anything private.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::ids::{AgentId, AssistantId, ContactId, MessageId, TurnId};
use crate::knowledge::Citation;

/// The longest text a visitor or agent may send, in characters.
pub const MAX_TEXT_CHARS: usize = 8_000;

/// Who wrote a message or caused an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// The contact.
    Visitor(ContactId),
    /// The AI agent.
    Assistant(AssistantId),
    /// A person of the business.
    Agent(AgentId),
    /// Baton itself: notices, timers.
    System,
}

impl Actor {
    /// The stored and shown name of the kind.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Visitor(_) => "visitor",
            Self::Assistant(_) => "assistant",
            Self::Agent(_) => "agent",
            Self::System => "system",
        }
    }

    /// The id behind it, in text.
    #[must_use]
    pub fn id(self) -> Option<String> {
        match self {
            Self::Visitor(id) => Some(id.to_string()),
            Self::Assistant(id) => Some(id.to_string()),
            Self::Agent(id) => Some(id.to_string()),
            Self::System => None,
        }
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Said in public.
    Text,
    /// Among agents; never shown to the visitor, never in a visitor-facing prompt.
    Note,
    /// The system's word to the visitor.
    Notice,
    /// What the agent told the AI when handing the conversation back.
    ReturnNote,
}

impl MessageKind {
    /// The stored name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Note => "note",
            Self::Notice => "notice",
            Self::ReturnNote => "return_note",
        }
    }
}

impl std::str::FromStr for MessageKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "text" => Self::Text,
            "note" => Self::Note,
            "notice" => Self::Notice,
            "return_note" => Self::ReturnNote,
            other => return Err(format!("unknown message kind `{other}`")),
        })
    }
}

/// One stored message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its place among all events of the conversation.
    pub seq: u64,
    /// Its place among what the visitor sees; none = private.
    pub public_seq: Option<u64>,
    /// What it is.
    pub kind: MessageKind,
    /// The code of a notice.
    pub notice: Option<String>,
    /// Who wrote it.
    pub author: Actor,
    /// The author's name at the time.
    pub author_name: Option<String>,
    /// The words.
    pub text: String,
    /// Sources of an assistant's answer.
    pub citations: Vec<Citation>,
    /// The writer's own id for it, for once-only.
    pub client_id: Option<String>,
    /// The turn that made it.
    pub turn: Option<TurnId>,
    /// For a reply: the first and last seq of the visitor messages it answers.
    pub answers: Option<(u64, u64)>,
    /// The reply broke off.
    pub incomplete: bool,
    /// `late_echo`, `imported`, ….
    pub flags: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl Message {
    /// Public words and nothing else: no sources, no name, no turn.
    #[must_use]
    pub fn said(
        id: MessageId,
        seq: u64,
        author: Actor,
        text: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            seq,
            public_seq: Some(seq),
            kind: MessageKind::Text,
            notice: None,
            author,
            author_name: None,
            text: text.into(),
            citations: Vec::new(),
            client_id: None,
            turn: None,
            answers: None,
            incomplete: false,
            flags: Vec::new(),
            at,
        }
    }
}

/// Who said a public message, as the model is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The contact.
    Visitor,
    /// The AI.
    Assistant,
    /// A human agent.
    Agent,
}

/// A message that the visitor has written or seen. The only kind of message a visitor-facing prompt can hold.
///
/// ```compile_fail
/// // There is no way to make one but from a message that is public.
/// let leak = baton::conversation::PublicMessage { id: todo!(), seq: 1, speaker: todo!(), name: None, text: String::new() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicMessage {
    id: MessageId,
    seq: u64,
    speaker: Speaker,
    name: Option<String>,
    text: String,
}

impl PublicMessage {
    /// The public view of a message; `None` if the visitor cannot see it, or if it is a system notice.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        message.public_seq?;
        if message.kind != MessageKind::Text {
            return None;
        }
        let speaker = match message.author {
            Actor::Visitor(_) => Speaker::Visitor,
            Actor::Assistant(_) => Speaker::Assistant,
            Actor::Agent(_) => Speaker::Agent,
            Actor::System => return None,
        };
        Some(Self {
            id: message.id,
            seq: message.seq,
            speaker,
            name: message.author_name.clone(),
            text: message.text.clone(),
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Its place in the conversation.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Who said it.
    #[must_use]
    pub fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// The speaker's name, if known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The words.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What an agent told the AI when handing back. Meant for the AI, so it may stand in a visitor-facing prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnNote(String);

impl ReturnNote {
    /// The note in a message; `None` if the message is something else, or the note is empty.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        let is_note = message.kind == MessageKind::ReturnNote && !message.text.trim().is_empty();
        is_note.then(|| Self(message.text.clone()))
    }

    /// The words.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}
