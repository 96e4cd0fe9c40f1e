//! What others hear of a conversation: committed changes, and the drafts and signs that are never stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use super::desk::TurnDesk;
use super::message::{Actor, Message};
use super::others::{DraftEnds, Ended, Item, Moved, Others};
use super::record::Record;
use super::state::Conversation;
use crate::clock::Timestamp;
use crate::hub::{Added, Drafts, Gates, Presence, Topics};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Something was committed on another node, or may have been: the database knows.
    Moved(Arc<Moved>),
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// Something was committed.
    #[serde(skip)]
    Changed(Arc<Change>),
    /// Something was committed on another node: the database knows.
    #[serde(skip)]
    Moved(Arc<Moved>),
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
    /// The half-written replies that this node knows of.
    pub drafts: Drafts,
    /// The other nodes of the database.
    pub others: Others,
    /// Woken when an agent of this node came, left or said something else.
    pub presence_changed: tokio::sync::Notify,
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
            others: Others::default(),
            presence_changed: tokio::sync::Notify::new(),
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

    /// Tells agents, the visitor, the turn worker and the other nodes what was committed.
    #[expect(clippy::needless_pass_by_value, reason = "handed over: every subscriber shares it")]
    pub fn publish(&self, change: Arc<Change>) {
        let c = &change.conversation;
        let key = (c.inbox, c.contact);
        let moved = Moved::of(&change);
        self.end_drafts(&moved);
        let waits =
            |l: &Logged| matches!(l.record, Record::TurnDue { turn, .. } if !change.starts(turn));
        if change.events.iter().any(waits) {
            self.turn_due.notify_one();
        }
        self.visitors.publish(&key, Live::Changed(Arc::clone(&change)));
        self.agents.publish(&c.workspace, Heard::Changed(Arc::clone(&change)));
        self.others.tell(|| Item::Moved(Box::new(moved)));
    }

    /// Tells this node's sockets what another node has committed. Its running tries are stopped first.
    #[expect(clippy::needless_pass_by_value, reason = "handed over: every subscriber shares it")]
    pub fn publish_moved(&self, moved: Arc<Moved>) {
        for ended in &moved.ended {
            self.gates.shut_through(ended.turn, ended.through);
        }
        self.end_drafts(&moved);
        self.visitors.publish(&(moved.inbox, moved.contact), Live::Moved(Arc::clone(&moved)));
        self.agents.publish(&moved.workspace, Heard::Moved(Arc::clone(&moved)));
    }

    fn end_drafts(&self, moved: &Moved) {
        for Ended { turn, through, draft } in moved.ended.iter().copied() {
            if through > 0 {
                self.drafts.refuse(turn, through);
            }
            let had_one = self.drafts.end(moved.conversation).is_some();
            let is_gone = match draft {
                DraftEnds::Dropped => true,
                DraftEnds::Left => had_one,
                // The reply, committed in the same step, takes its place by itself.
                DraftEnds::Replaced => false,
            };
            if is_gone {
                let (conversation, epoch) = (moved.conversation, moved.epoch);
                let gone = Live::DraftDropped { conversation, turn, epoch };
                self.visitors.publish(&(moved.inbox, moved.contact), gone);
            }
        }
    }

    /// Tells the visitor and watching agents, here and on the other nodes, of one released sentence. Call it inside
    /// [`crate::hub::Gate::release`], so that nothing is added once the turn is stopped.
    ///
    /// While the others are not heard nothing is shown: a takeover there could not stop it.
    pub fn publish_draft(&self, workspace: WorkspaceId, key: VisitorKey, draft: Draft) {
        if self.others.is_deaf() {
            return;
        }
        self.others.tell(|| Item::Draft(workspace, key.0, key.1, draft.clone()));
        let _late = self.show_draft(key, draft);
    }

    /// Tells this node's sockets of a sentence that was released here or on another node. Returns what became of it.
    pub fn show_draft(&self, key: VisitorKey, draft: Draft) -> Added {
        let fence = (draft.turn, draft.attempt, draft.epoch);
        // Kept before it is told: who subscribes in between reads it from the map and skips the told one by its index.
        let added = self.drafts.add(draft.conversation, fence, draft.index, &draft.text);
        if added == Added::Yes {
            self.visitors.publish(&key, Live::Draft(Arc::new(draft)));
        }
        added
    }

    /// Tells the agents of a workspace, here and on the other nodes, what is no change.
    pub fn tell_agents(&self, workspace: WorkspaceId, heard: Heard) {
        self.others.tell(|| Item::Heard(workspace, heard.clone()));
        self.agents.publish(&workspace, heard);
    }
}
