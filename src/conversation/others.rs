//! What the nodes of one database tell each other, and the queue in which it waits to be sent.
//!
//! Hints, never the truth: a message that is lost costs time until the next look at the database, nothing else. On SQLite,
//! and while a node is alone, nothing is queued. How the queue is emptied and what a node does with what it hears stands in
//! `crate::nodes`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::events::{Change, Cursor, Draft, Heard};
use super::message::Actor;
use super::record::Record;
use crate::hub::Availability;
use crate::ids::{AgentId, AssistantId, ContactId, ConversationId, InboxId, TurnId, WorkspaceId};

/// Items that may wait while the database is away; beyond it, everybody is asked to look for themselves.
const MAX_WAITING: usize = 50_000;

/// A conversation was changed by a commit, without any words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Where it came in.
    pub inbox: InboxId,
    /// Whose words.
    pub contact: ContactId,
    /// Which.
    pub conversation: ConversationId,
    /// The first new event.
    pub from: u64,
    /// The last new event.
    pub seq: u64,
    /// The number of the last public message.
    pub public_seq: u64,
    /// The epoch that is.
    pub epoch: u64,
    /// The place of the last event in the workspace's feed.
    pub cursor: Cursor,
    /// The AI begins to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<AssistantId>,
    /// Tries that have ended, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<Ended>,
}

/// Tries of a turn have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The turn.
    pub turn: TurnId,
    /// Up to this try.
    pub through: u32,
    /// What becomes of the half-written reply.
    pub draft: DraftEnds,
}

/// How a half-written reply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftEnds {
    /// It is gone, also for those who have not seen any of it.
    Dropped,
    /// It is gone, if there was one.
    Left,
    /// The committed reply takes its place.
    Replaced,
}

impl Moved {
    /// What others must know of a commit.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        let c = &change.conversation;
        let begins = change.events.iter().find_map(|logged| match logged.record {
            Record::TurnStarted { assistant, .. } => Some(assistant),
            _ => None,
        });
        Self {
            workspace: c.workspace,
            inbox: c.inbox,
            contact: c.contact,
            conversation: c.id,
            from: change.events.first().map_or(c.seq, |logged| logged.seq),
            seq: c.seq,
            public_seq: c.public_seq,
            epoch: c.epoch,
            cursor: change.cursor,
            begins,
            ended: ended(change),
        }
    }

    /// Takes up what was committed afterwards.
    fn join(&mut self, later: Self) {
        self.from = self.from.min(later.from);
        self.seq = self.seq.max(later.seq);
        self.public_seq = self.public_seq.max(later.public_seq);
        self.epoch = self.epoch.max(later.epoch);
        self.cursor = self.cursor.max(later.cursor);
        // What has ended meanwhile does not begin any more.
        let begins = if later.ended.is_empty() { self.begins } else { None };
        self.begins = later.begins.or(begins);
        self.ended.extend(later.ended);
    }
}

/// The tries that a commit has ended, in order.
fn ended(change: &Change) -> Vec<Ended> {
    let answered = |record: &Record| matches!(record, Record::AssistantAnswered { .. });
    let replaced = change.events.iter().any(|logged| answered(&logged.record));
    let left = if replaced { DraftEnds::Replaced } else { DraftEnds::Left };
    let all = |turn: TurnId, draft| Ended { turn, through: u32::MAX, draft };
    let each = change.events.iter().filter_map(|logged| match &logged.record {
        Record::TurnCancelled { turn, .. } | Record::TurnSuperseded { turn } => {
            Some(all(*turn, DraftEnds::Dropped))
        }
        Record::HandedOff { turn: Some(turn), .. } => Some(all(*turn, left)),
        Record::TurnStarted { turn, attempt, .. } => {
            Some(Ended { turn: *turn, through: attempt.saturating_sub(1), draft: left })
        }
        Record::AssistantAnswered { turn, .. } => Some(all(*turn, DraftEnds::Replaced)),
        _ => None,
    });
    each.collect()
}

/// One thing that a node tells the others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A conversation was changed.
    Moved(Box<Moved>),
    /// A turn is being stopped: what stops it is about to be committed.
    Stops(TurnId),
    /// A released sentence.
    Draft(WorkspaceId, InboxId, ContactId, Draft),
    /// The AI writes what is too long to be told.
    Writes(WorkspaceId, InboxId, ContactId, ConversationId),
    /// What agents hear; never a change.
    Heard(WorkspaceId, Heard),
    /// Somebody types what the visitor will read.
    Typing(InboxId, ContactId, ConversationId, Actor, Option<String>),
    /// An agent has read a conversation.
    Read(WorkspaceId, AgentId, ConversationId),
    /// A contact's name or address changed.
    Contact(ContactId),
    /// People, rights or the set-up changed.
    Settings,
    /// Articles changed.
    Knowledge,
    /// What an agent says on this node; nothing when they left it.
    Agent(WorkspaceId, AgentId, Option<Availability>),
    /// A visitor came to this node or left it.
    Visitor(WorkspaceId, ContactId, bool),
    /// Who looks at a conversation on this node.
    Viewers(WorkspaceId, ConversationId, Vec<AgentId>),
    /// More turns are due than this node has places for.
    Turns,
    /// I am new, or missed something: say who is with you.
    Hello,
    /// Forget who was with me: those who are follow.
    Anew,
    /// I could not tell everything: look yourself.
    Missed,
    /// I am going.
    Bye,
}

impl Item {
    /// The conversation whose order it is a part of, where merging a later change into an earlier one would be wrong.
    fn drafts(&self) -> Option<ConversationId> {
        match self {
            Self::Draft(.., draft) => Some(draft.conversation),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    /// Where the last change of a conversation stands, while another may be merged into it.
    moved: HashMap<ConversationId, usize>,
}

/// The queue of what this node tells the others, and what it knows of them.
#[derive(Default)]
pub struct Others {
    queue: Mutex<Queue>,
    is_linked: AtomicBool,
    is_hearing: AtomicBool,
    count: AtomicUsize,
    /// Woken when something waits.
    pub waiting: Notify,
}

impl Others {
    /// From now on there may be other nodes.
    pub fn link(&self) {
        self.is_linked.store(true, Ordering::Release);
    }

    /// Whether there may be other nodes.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.is_linked.load(Ordering::Acquire)
    }

    /// How many other nodes are alive, as far as is known.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// So many other nodes are alive. Returns whether that is news.
    pub fn set_count(&self, count: usize) -> bool {
        self.count.swap(count, Ordering::AcqRel) != count
    }

    /// Whether the others are heard.
    #[must_use]
    pub fn is_hearing(&self) -> bool {
        self.is_hearing.load(Ordering::Acquire)
    }

    /// The others are heard, or not any more. Returns whether that is news.
    pub fn set_hearing(&self, hearing: bool) -> bool {
        self.is_hearing.swap(hearing, Ordering::AcqRel) != hearing
    }

    /// Whether a takeover elsewhere would not be heard: then nothing is shown that it would have stopped.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.count() > 0 && !self.is_hearing()
    }

    /// Tells the others, if there are any.
    pub fn tell(&self, item: impl FnOnce() -> Item) {
        if self.count() > 0 {
            self.push(item());
        }
    }

    /// Tells whoever there is, known or not.
    pub fn push(&self, item: Item) {
        if !self.is_linked() {
            return;
        }
        let mut queue = self.locked();
        if queue.items.len() >= MAX_WAITING {
            queue.items.clear();
            queue.moved.clear();
            queue.items.push(Item::Missed);
        }
        queue.push(item);
        drop(queue);
        self.waiting.notify_one();
    }

    /// Everything that waits, in order.
    #[must_use]
    pub fn take(&self) -> Vec<Item> {
        let mut queue = self.locked();
        queue.moved.clear();
        std::mem::take(&mut queue.items)
    }

    fn locked(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, item: Item) {
        if let Some(conversation) = item.drafts() {
            // The sentence stands between two changes.
            self.moved.remove(&conversation);
        }
        match item {
            Item::Moved(later) => {
                let place = self.moved.get(&later.conversation).copied();
                match place.and_then(|place| self.items.get_mut(place)) {
                    Some(Item::Moved(earlier)) => earlier.join(*later),
                    Some(_) | None => {
                        self.moved.insert(later.conversation, self.items.len());
                        self.items.push(Item::Moved(later));
                    }
                }
            }
            other => self.items.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    fn moved(conversation: ConversationId, seq: u64) -> Item {
        Item::Moved(Box::new(Moved {
            workspace: Ids.fresh(),
            inbox: Ids.fresh(),
            contact: Ids.fresh(),
            conversation,
            from: seq,
            seq,
            public_seq: seq,
            epoch: 1,
            cursor: Cursor { tx: 7, feed: i64::try_from(seq).unwrap_or(0) },
            begins: None,
            ended: Vec::new(),
        }))
    }

    fn seqs(items: &[Item]) -> Vec<Option<(u64, u64)>> {
        let range = |item: &Item| match item {
            Item::Moved(moved) => Some((moved.from, moved.seq)),
            _ => None,
        };
        items.iter().map(range).collect()
    }

    #[test]
    fn changes_of_one_conversation_are_told_together_but_never_across_a_sentence() {
        let others = Others::default();
        let (one, two): (ConversationId, ConversationId) = (Ids.fresh(), Ids.fresh());
        others.tell(|| moved(one, 1));
        assert!(others.take().is_empty(), "nobody is there");
        others.link();
        others.set_count(1);
        for (conversation, seq) in [(one, 1), (two, 1), (one, 2), (one, 3)] {
            others.tell(|| moved(conversation, seq));
        }
        let draft = Draft {
            conversation: one,
            turn: Ids.fresh(),
            attempt: 1,
            epoch: 1,
            index: 0,
            text: "Hi. ".to_owned(),
        };
        others.tell(|| Item::Draft(Ids.fresh(), Ids.fresh(), Ids.fresh(), draft));
        others.tell(|| moved(one, 4));
        others.tell(|| moved(two, 2));
        let told = others.take();
        assert_eq!(seqs(&told), [Some((1, 3)), Some((1, 2)), None, Some((4, 4))]);
        others.tell(|| moved(one, 5));
        assert_eq!(seqs(&others.take()), [Some((5, 5))], "what was taken is not changed any more");
    }

    #[test]
    fn what_waits_too_long_is_replaced_by_asking_to_look() {
        let others = Others::default();
        others.link();
        for _ in 0..=MAX_WAITING {
            others.push(Item::Settings);
        }
        assert!(matches!(others.take().as_slice(), [Item::Missed, Item::Settings]));
    }
}
