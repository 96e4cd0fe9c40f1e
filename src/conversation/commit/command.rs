//! What somebody asks of a conversation, and what became of it.

use crate::conversation::events::{Evidence, Logged};
use crate::conversation::message::Message;
use crate::conversation::state::{Conversation, Fence};
use crate::conversation::step::{Event, Refused};
use crate::conversation::store::{self, Origin};
use crate::db::DbError;
use crate::ids::{ContactId, ConversationId, InboxId, WorkspaceId};
use crate::knowledge::Citation;

/// Which conversation an event is for.
#[derive(Debug, Clone)]
pub enum Target {
    /// This one.
    Conversation(ConversationId),
    /// The one of this contact in this inbox; it starts if there is none.
    Contact {
        /// Where.
        inbox: InboxId,
        /// Who.
        contact: ContactId,
        /// From where, if it starts now.
        origin: Origin,
    },
}

/// The words of the message that an event carries.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// The text.
    pub text: String,
    /// Its sources.
    pub citations: Vec<Citation>,
    /// The writer's own id for it.
    pub client_id: Option<String>,
    /// `late_echo`, `imported`, `still_unanswered`, ….
    pub flags: Vec<String>,
}

/// What explains one try of a turn, as JSON.
#[derive(Debug, Clone)]
pub struct TurnRecord {
    /// The try it explains.
    pub fence: Fence,
    /// The record.
    pub json: String,
}

/// One change that somebody asks for.
#[derive(Debug, Clone)]
pub struct Command {
    /// In which workspace.
    pub workspace: WorkspaceId,
    /// Of which conversation.
    pub target: Target,
    /// What happened.
    pub event: Event,
    /// The words, if the event carries a message.
    pub words: Option<Words>,
    /// Why a turn hands off, in words.
    pub evidence: Option<Evidence>,
    /// Stored in the same transaction if the step is accepted.
    pub turn_record: Option<TurnRecord>,
}

impl Command {
    /// A change without words.
    #[must_use]
    pub fn new(workspace: WorkspaceId, conversation: ConversationId, event: Event) -> Self {
        Self {
            workspace,
            target: Target::Conversation(conversation),
            event,
            words: None,
            evidence: None,
            turn_record: None,
        }
    }

    /// The writer's own id of the message it carries, by which it may be stored already.
    pub(super) fn sent(&self) -> Option<store::Sent<'_>> {
        let client_id = self.words.as_ref()?.client_id.as_deref()?;
        Some(store::Sent { author_kind: author_kind(&self.event), client_id })
    }

    /// With the words of its message.
    #[must_use]
    pub fn with_words(mut self, words: Words) -> Self {
        self.words = Some(words);
        self
    }
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The state now.
    pub conversation: Conversation,
    /// The new events; empty if nothing changed.
    pub events: Vec<Logged>,
    /// The message that the command carried, or the one stored earlier under its client id.
    pub message: Option<Message>,
    /// It had been stored before: nothing changed now.
    pub duplicate: bool,
    /// A turn's result that came too late: nothing changed.
    pub too_late: bool,
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No such conversation, inbox or contact in the workspace.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The machine does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The agent's screen was out of date: who holds the conversation now.
    #[error("the conversation has changed hands meanwhile")]
    Stale {
        /// The state that is.
        now: Box<Conversation>,
    },
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

fn author_kind(event: &Event) -> &'static str {
    match event {
        Event::VisitorWrote { .. } => "visitor",
        Event::TurnAnswered { .. } | Event::TurnFailed { .. } => "assistant",
        _ => "agent",
    }
}
