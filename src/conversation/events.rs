//! What others hear of a conversation: committed changes, and the drafts and signs that are never stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::desk::TurnDesk;
use super::message::{Actor, Message};
use super::record::Record;
use super::state::Conversation;
use crate::clock::Timestamp;
use crate::hub::{Drafts, Gates, Presence, Topics};
use crate::ids::{
    AgentId, ArtifactId, ContactId, ConversationId, InboxId, MessageId, TurnId, WorkspaceId,
};

/// A stored event with the words that lie beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Its number.
    pub seq: u64,
    /// The epoch after it.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What happened.
    pub record: Record,
    /// The message it carries.
    pub message: Option<Message>,
    /// Why it was handed off, in words.
    pub evidence: Option<Evidence>,
}

/// The words behind a handoff.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The name of the condition that fired.
    pub condition: Option<String>,
    /// What the visitor said, quoted.
    pub quote: Option<String>,
    /// In which message.
    pub message: Option<MessageId>,
}

/// A place in a workspace's feed: the writing transaction and the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor {
    /// The transaction (0 on SQLite).
    pub tx: i64,
    /// The row.
    pub feed: i64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.tx, self.feed)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (tx, feed) = text.split_once('.').ok_or(())?;
        Ok(Self { tx: tx.parse().map_err(|_| ())?, feed: feed.parse().map_err(|_| ())? })
    }
}

/// One commit: the state afterwards and what led there.
#[derive(Debug, Clone)]
pub struct Change {
    /// The state after the commit.
    pub conversation: Conversation,
    /// The new events, in order.
    pub events: Vec<Logged>,
    /// The place of the last one in the workspace's feed.
    pub cursor: Cursor,
}

impl Change {
    /// Whether it leases this turn: then no worker need look for it.
    fn starts(&self, turn: TurnId) -> bool {
        let starts = |l: &Logged| matches!(l.record, Record::TurnStarted { turn: started, .. } if started == turn);
        self.events.iter().any(starts)
    }
}

/// A released sentence that is not committed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// Of which turn.
    pub turn: TurnId,
    /// Of which try.
    pub attempt: u32,
    /// Under which epoch; clients drop older ones.
    pub epoch: u64,
    /// Its place in the draft, from 0.
    pub index: u32,
    /// The sentence with its trailing space.
    pub text: String,
}

/// What travels to the sockets of one contact in one inbox, and to agents who watch the conversation.
#[derive(Debug, Clone)]
pub enum Live {
    /// Something was committed.
    Changed(Arc<Change>),
    /// The AI's half-written reply grows.
    Draft(Arc<Draft>),
    /// The half-written reply is gone.
    DraftDropped {
        /// Of which conversation.
        conversation: ConversationId,
        /// Which turn.
        turn: TurnId,
        /// The epoch that is.
        epoch: u64,
    },
    /// Someone is typing.
    Typing {
        /// In which conversation.
        conversation: ConversationId,
        /// Who.
        actor: Actor,
        /// Their name, if the other side may know it.
        name: Option<String>,
    },
}

/// What travels to every agent of a workspace.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Something was committed.
    Changed(Arc<Change>),
    /// A brief, summary or set of suggestions is ready or failed.
    Artifact {
        /// Of which conversation.
        conversation: ConversationId,
        /// Which one.
        artifact: ArtifactId,
    },
    /// What is known of a turn that ended without its words is stored: what may have been read of it, too.
    Explained {
        /// In which conversation.
        conversation: ConversationId,
        /// Which one.
        turn: TurnId,
    },
    /// An agent came, left or changed what they say of themselves.
    Presence {
        /// Who.
        agent: AgentId,
    },
    /// A visitor came or left.
    Visitor {
        /// Who.
        contact: ContactId,
    },
    /// A visitor or colleague is typing.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        actor: Actor,
        /// Their name.
        name: Option<String>,
    },
}

/// The key of a visitor's own topic.
pub type VisitorKey = (InboxId, ContactId);

/// Everything live of one process.
pub struct Wire {
    /// To agents, by workspace.
    pub agents: Topics<WorkspaceId, Heard>,
    /// To visitors and watching agents, by contact.
    pub visitors: Topics<VisitorKey, Live>,
    /// Who is here.
    pub presence: Presence,
    /// The running turns of this node.
    pub gates: Gates,
    /// The half-written replies of this node.
    pub drafts: Drafts,
    /// Woken when a turn may be due.
    pub turn_due: tokio::sync::Notify,
    /// Woken when a job may be due.
    pub job_due: tokio::sync::Notify,
    /// Woken when a timer may be due sooner than before.
    pub timer_set: tokio::sync::Notify,
    /// When the timers worker looks again by itself; the end of time while it looks.
    pub timers_looked_at: AtomicI64,
    /// Where a turn that becomes due finds this node's worker at once.
    pub desk: TurnDesk,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            agents: Topics::new(1024),
            visitors: Topics::new(256),
            presence: Presence::default(),
            gates: Gates::default(),
            drafts: Drafts::default(),
            turn_due: tokio::sync::Notify::new(),
            job_due: tokio::sync::Notify::new(),
            timer_set: tokio::sync::Notify::new(),
            timers_looked_at: AtomicI64::new(i64::MAX),
            desk: TurnDesk::default(),
        }
    }
}

impl Wire {
    /// Wakes the timers worker if it would look too late for this.
    pub fn timer_at(&self, due_at: Option<Timestamp>) {
        if due_at.is_some_and(|at| at.millis() < self.timers_looked_at.load(Ordering::SeqCst)) {
            self.timer_set.notify_one();
        }
    }

    /// Tells agents, the visitor and the turn worker what was committed.
    #[expect(clippy::needless_pass_by_value, reason = "handed over: every subscriber shares it")]
    pub fn publish(&self, change: Arc<Change>) {
        let c = &change.conversation;
        let key = (c.inbox, c.contact);
        let answered = |l: &Logged| matches!(l.record, Record::AssistantAnswered { .. });
        for logged in &change.events {
            match &logged.record {
                Record::TurnCancelled { turn, .. } | Record::TurnSuperseded { turn } => {
                    self.drafts.end(c.id);
                    let gone =
                        Live::DraftDropped { conversation: c.id, turn: *turn, epoch: c.epoch };
                    self.visitors.publish(&key, gone);
                }
                Record::HandedOff { turn: Some(turn), .. } | Record::TurnStarted { turn, .. } => {
                    let had_draft = self.drafts.end(c.id).is_some();
                    // A reply committed in the same step takes the draft's place by itself.
                    let replaced = change.events.iter().any(answered);
                    if had_draft && !replaced {
                        let gone =
                            Live::DraftDropped { conversation: c.id, turn: *turn, epoch: c.epoch };
                        self.visitors.publish(&key, gone);
                    }
                }
                Record::AssistantAnswered { .. } => {
                    self.drafts.end(c.id);
                }
                Record::TurnDue { turn, .. } if !change.starts(*turn) => self.turn_due.notify_one(),
                _ => {}
            }
        }
        self.visitors.publish(&key, Live::Changed(Arc::clone(&change)));
        self.agents.publish(&c.workspace, Heard::Changed(Arc::clone(&change)));
    }

    /// Tells the visitor and watching agents of one released sentence. Call it inside [`crate::hub::Gate::release`], so
    /// that nothing is added once the turn is stopped.
    pub fn publish_draft(&self, key: VisitorKey, draft: Draft) {
        let fence = (draft.turn, draft.attempt, draft.epoch);
        // Kept before it is told: who subscribes in between reads it from the map and skips the told one by its index.
        self.drafts.add(draft.conversation, fence, draft.index, &draft.text);
        self.visitors.publish(&key, Live::Draft(Arc::new(draft)));
    }
}
