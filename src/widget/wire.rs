//! What a visitor sees on the wire. Built from public messages only: there is no field for anything else.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::conversation::{Actor, Conversation, Holder, Message, MessageKind};
use crate::directory::Directory;
use crate::hub::DraftSoFar;
use crate::ids::{ConversationId, MessageId, TurnId};
use crate::knowledge::{Audience, Citation};

/// Who wrote a message: a name, never an id.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorAuthor {
    /// `visitor`, `assistant`, `agent` or `system`.
    pub kind: &'static str,
    /// The name to show.
    pub name: Option<String>,
    /// An emoji.
    pub avatar: Option<String>,
}

/// A source that visitors may read.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorCitation {
    /// The article's title.
    pub title: String,
    /// The heading within.
    pub section: Option<String>,
    /// Where to read it.
    pub url: Option<String>,
}

impl VisitorCitation {
    /// The public view; none for what only agents may read.
    fn of(citation: &Citation) -> Option<Self> {
        (citation.audience == Audience::Public).then(|| Self {
            title: citation.title.clone(),
            section: citation.section.clone(),
            url: citation.url.clone(),
        })
    }
}

/// A message as the visitor sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorMessage {
    /// Its id.
    pub id: MessageId,
    /// Its number, gap-free.
    pub public_seq: u64,
    /// Who wrote it.
    pub author: VisitorAuthor,
    /// `text` or `notice`.
    pub kind: MessageKind,
    /// The code of a notice.
    pub notice: Option<String>,
    /// The words.
    pub text: String,
    /// Sources.
    pub citations: Vec<VisitorCitation>,
    /// The visitor's own id for it.
    pub client_id: Option<String>,
    /// The reply broke off.
    pub incomplete: bool,
    /// When.
    pub at: Timestamp,
}

impl VisitorMessage {
    /// The visitor's view; `None` for notes and whatever else has no public number.
    #[must_use]
    pub fn of(message: &Message, directory: &Directory) -> Option<Self> {
        let public_seq = message.public_seq?;
        let visible = matches!(message.kind, MessageKind::Text | MessageKind::Notice);
        if !visible {
            return None;
        }
        let mut author = author(message.author, directory);
        if let Some(name) = &message.author_name {
            author.name = Some(name.clone());
        }
        // What an agent's browser called its message is no business of the visitor's.
        let own = matches!(message.author, Actor::Visitor(_));
        Some(Self {
            id: message.id,
            public_seq,
            author,
            kind: message.kind,
            notice: message.notice.clone(),
            text: message.text.clone(),
            citations: message.citations.iter().filter_map(VisitorCitation::of).collect(),
            client_id: message.client_id.clone().filter(|_| own),
            incomplete: message.incomplete,
            at: message.at,
        })
    }
}

/// Who did something, as a visitor may know them.
#[must_use]
pub fn author(actor: Actor, directory: &Directory) -> VisitorAuthor {
    let (name, avatar) = match actor {
        Actor::Visitor(_) | Actor::System => (None, None),
        Actor::Agent(id) => (directory.agents.get(&id).cloned(), None),
        Actor::Assistant(id) => directory
            .assistants
            .get(&id)
            .map_or((None, None), |face| (Some(face.name.clone()), face.avatar())),
    };
    VisitorAuthor { kind: actor.kind(), name, avatar }
}

/// Who answers now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Answering {
    /// `assistant`, `agent`, `queue` or `nobody`.
    pub kind: &'static str,
    /// The name to show.
    pub name: Option<String>,
    /// An emoji.
    pub avatar: Option<String>,
}

/// The place in the queue.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorQueue {
    /// From 1.
    pub position: u64,
    /// Since when.
    pub since: Timestamp,
    /// How long it will take; null = unknown.
    pub expected_minutes: Option<u64>,
}

/// The half-written reply.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorDraft {
    /// Its turn.
    pub turn: TurnId,
    /// Its try.
    pub attempt: u32,
    /// Drop it when a later epoch is heard of.
    pub epoch: u64,
    /// The released sentences so far.
    pub text: String,
}

impl From<DraftSoFar> for VisitorDraft {
    fn from(draft: DraftSoFar) -> Self {
        let DraftSoFar { turn, attempt, epoch, text, .. } = draft;
        Self { turn, attempt, epoch, text }
    }
}

/// A conversation's state without its messages.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorState {
    /// Its id.
    pub id: ConversationId,
    /// `assistant`, `human` or `closed`.
    pub state: &'static str,
    /// Who answers.
    pub answering: Answering,
    /// The place in the queue.
    pub queue: Option<VisitorQueue>,
    /// Grows whenever somebody else answers.
    pub epoch: u64,
    /// The number of the last message.
    pub public_seq: u64,
}

impl VisitorState {
    /// The visitor's view; the place in the queue (position, minutes) only counts while there.
    #[must_use]
    pub fn of(c: &Conversation, directory: &Directory, place: Option<(u64, Option<u64>)>) -> Self {
        let nameless = |kind| Answering { kind, name: None, avatar: None };
        let (state, answering, queue) = match &c.holder {
            Holder::Assistant { .. } => {
                let face = directory.answering(c.inbox).map(|(_, face)| face);
                let answering = Answering {
                    kind: "assistant",
                    name: face.map(|face| face.name.clone()),
                    avatar: face.and_then(crate::directory::Identity::avatar),
                };
                ("assistant", answering, None)
            }
            Holder::Queue { since, .. } => {
                let queue = place.map(|(position, expected_minutes)| VisitorQueue {
                    position,
                    since: *since,
                    expected_minutes,
                });
                ("human", nameless("queue"), queue)
            }
            Holder::Assigned { agent, .. } => {
                let name = directory.agents.get(agent).cloned();
                ("human", Answering { kind: "agent", name, avatar: None }, None)
            }
            Holder::Closed { .. } => ("closed", nameless("nobody"), None),
        };
        Self { id: c.id, state, answering, queue, epoch: c.epoch, public_seq: c.public_seq }
    }
}

/// A conversation with messages.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorConversation {
    /// Its state.
    #[serde(flatten)]
    pub state: VisitorState,
    /// Messages, oldest first.
    pub messages: Vec<VisitorMessage>,
    /// There are messages before the first of these.
    pub has_earlier: bool,
    /// The half-written reply.
    pub draft: Option<VisitorDraft>,
}
