//! What agents see on the wire: conversations, timelines and messages, from the log's values.
//!
//! Pure, but for the names it is handed. The visitors' view is `widget::wire`, which never borrows from here.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::conversation::{
    Actor, Conversation, Evidence, HandoffCode, Holder, Logged, Message, MessageKind, Outcome,
    Record,
};
use crate::db::DbError;
use crate::directory::Directory;
use crate::ids::{AgentId, AssistantId, MessageId};
use crate::knowledge::Citation;

/// A thing with a name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Named<Id> {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
}

/// The AI agent as people see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AssistantFace {
    /// Its id.
    pub id: AssistantId,
    /// Its name.
    pub name: String,
    /// An emoji.
    pub avatar: Option<String>,
}

/// Exactly one party holds a conversation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HolderView {
    /// Who.
    pub state: HolderState,
    /// The AI agent, while it holds it.
    pub assistant: Option<AssistantFace>,
    /// The person; null in the state `human` means the queue.
    pub agent: Option<Named<AgentId>>,
    /// The place in the queue.
    pub queue: Option<QueueView>,
    /// Set aside until then.
    pub snoozed_until: Option<Timestamp>,
    /// How it ended, while closed.
    pub outcome: Option<Outcome>,
}

/// The three states people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HolderState {
    /// The AI agent.
    Assistant,
    /// A person, or the queue.
    Human,
    /// Nobody.
    Closed,
}

/// A place in the queue.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QueueView {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: HandoffReason,
    /// The place, from 1; null where it was not counted (lists).
    pub position: Option<u64>,
}

/// Why a person is needed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HandoffReason {
    /// The code.
    pub code: HandoffCode,
    /// The name of the condition that fired.
    pub condition: Option<String>,
    /// What the visitor said, quoted.
    pub evidence: Option<String>,
    /// In which message.
    pub message_id: Option<MessageId>,
}

impl HandoffReason {
    fn of(code: HandoffCode, evidence: Option<&Evidence>) -> Self {
        let evidence = evidence.cloned().unwrap_or_default();
        Self {
            code,
            condition: evidence.condition,
            evidence: evidence.quote,
            message_id: evidence.message,
        }
    }
}

/// Who did or wrote something.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuthorView {
    /// `visitor`, `assistant`, `agent` or `system`.
    pub kind: &'static str,
    /// Their id.
    pub id: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// An emoji.
    pub avatar: Option<String>,
}

/// A message as agents see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageView {
    /// Its id.
    pub id: MessageId,
    /// Its place among everything.
    pub seq: u64,
    /// Its place among what the visitor sees; null = private.
    pub public_seq: Option<u64>,
    /// What it is.
    pub kind: MessageKind,
    /// Who wrote it.
    pub author: AuthorView,
    /// The words.
    pub text: String,
    /// The code of a notice.
    pub notice: Option<String>,
    /// Sources.
    pub citations: Vec<Citation>,
    /// The writer's own id for it.
    pub client_id: Option<String>,
    /// The reply broke off.
    pub incomplete: bool,
    /// `late_echo`, `imported`, ….
    pub flags: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// One line of the timeline.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TimelineItem)]
pub struct Item {
    /// Its number.
    pub seq: u64,
    /// The epoch after it.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: String,
    /// Who did it.
    pub actor: AuthorView,
    /// The message it carries.
    pub message: Option<MessageView>,
    /// More; its shape depends on the kind.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// The names that a conversation's view needs.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Everybody but the visitor.
    pub directory: &'a Directory,
    /// The visitor.
    pub contact_name: Option<&'a str>,
}

impl View<'_> {
    /// Who did something.
    #[must_use]
    pub fn author(&self, actor: Actor) -> AuthorView {
        let (name, avatar) = match actor {
            Actor::Visitor(_) => (self.contact_name.map(str::to_owned), None),
            Actor::Assistant(id) => match self.directory.assistants.get(&id) {
                Some(face) => (Some(face.name.clone()), face.avatar()),
                None => (None, None),
            },
            Actor::Agent(id) => (self.directory.agents.get(&id).cloned(), None),
            Actor::System => (None, None),
        };
        AuthorView { kind: actor.kind(), id: actor.id(), name, avatar }
    }

    /// A message.
    #[must_use]
    pub fn message(&self, message: &Message) -> MessageView {
        let mut author = self.author(message.author);
        if let Some(name) = &message.author_name {
            author.name = Some(name.clone());
        }
        MessageView {
            id: message.id,
            seq: message.seq,
            public_seq: message.public_seq,
            kind: message.kind,
            author,
            text: message.text.clone(),
            notice: message.notice.clone(),
            citations: message.citations.clone(),
            client_id: message.client_id.clone(),
            incomplete: message.incomplete,
            flags: message.flags.clone(),
            at: message.at,
        }
    }

    /// A line of the timeline.
    ///
    /// # Errors
    /// Never in practice: when the record cannot be JSON.
    pub fn item(&self, logged: &Logged) -> Result<Item, DbError> {
        let stored = serde_json::to_value(&logged.record)
            .map_err(|e| DbError::Broken(format!("event: {e}")))?;
        let Value::Object(mut stored) = stored else {
            return Err(DbError::Broken("event: not an object".to_owned()));
        };
        let kind = stored.remove("kind").and_then(|k| k.as_str().map(str::to_owned));
        let mut data = match stored.remove("data") {
            Some(Value::Object(data)) => data,
            Some(_) | None => Map::new(),
        };
        match &logged.record {
            Record::HandedOff { reason, .. } => {
                let reason = HandoffReason::of(*reason, logged.evidence.as_ref());
                data.insert("reason".to_owned(), json!(reason));
            }
            Record::Queued { reason, .. } => {
                data.insert("reason".to_owned(), json!(HandoffReason::of(*reason, None)));
            }
            Record::TookOver { agent, .. } | Record::Assigned { agent, .. } => {
                data.insert("agent_name".to_owned(), json!(self.directory.agents.get(agent)));
            }
            _ => {}
        }
        Ok(Item {
            seq: logged.seq,
            epoch: logged.epoch,
            at: logged.at,
            kind: kind.unwrap_or_default(),
            actor: self.author(logged.actor),
            message: logged.message.as_ref().map(|m| self.message(m)),
            data: Value::Object(data),
        })
    }
}

/// Who holds a conversation.
#[must_use]
pub fn holder(
    c: &Conversation,
    directory: &Directory,
    evidence: Option<&Evidence>,
    position: Option<u64>,
) -> HolderView {
    let mut view = HolderView {
        state: HolderState::Human,
        assistant: None,
        agent: None,
        queue: None,
        snoozed_until: c.holder.snooze().map(|snooze| snooze.until),
        outcome: None,
    };
    match &c.holder {
        Holder::Assistant { .. } => {
            view.state = HolderState::Assistant;
            view.assistant = directory.answering(c.inbox).map(|(id, face)| AssistantFace {
                id,
                name: face.name.clone(),
                avatar: face.avatar(),
            });
        }
        Holder::Queue { since, reason, .. } => {
            let reason = HandoffReason::of(*reason, evidence);
            view.queue = Some(QueueView { since: *since, reason, position });
        }
        Holder::Assigned { agent, .. } => {
            view.agent = Some(Named { id: *agent, name: directory.agent(*agent) });
        }
        Holder::Closed { outcome, .. } => {
            view.state = HolderState::Closed;
            view.outcome = Some(*outcome);
        }
    }
    view
}
