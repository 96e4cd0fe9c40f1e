//! The half-written replies, of turns that run on this node and of those that others tell of: what was released and is not
//! committed yet, so that whoever connects in the middle of a stream sees the beginning too.
//!
//! Ephemeral by design: a commit or a cancellation ends a draft, a restart loses it, and nothing reads it but sockets. What
//! is told of a try that has ended comes too late and is refused.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::ids::{ConversationId, TurnId};

/// What a running turn has released so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftSoFar {
    /// The turn.
    pub turn: TurnId,
    /// Its try.
    pub attempt: u32,
    /// Under which epoch.
    pub epoch: u64,
    /// The index that the next sentence will have.
    pub next_index: u32,
    /// The sentences, each with its trailing space.
    pub text: String,
}

/// Turns remembered as ended: more than can end while one notification is on its way.
const MAX_ENDED: usize = 4_096;

/// What became of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is a part of the draft.
    Yes,
    /// What stands before it is not known here, so it cannot be shown.
    Gap,
    /// Its try has ended, or it was here before.
    Late,
}

#[derive(Default)]
struct Inner {
    drafts: HashMap<ConversationId, DraftSoFar>,
    ended: HashMap<TurnId, u32>,
    ended_first: VecDeque<TurnId>,
}

/// The drafts of every running turn that this node knows of.
#[derive(Default)]
pub struct Drafts(Mutex<Inner>);

impl Drafts {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds one released sentence; another turn or a later try starts over.
    pub fn add(
        &self,
        conversation: ConversationId,
        (turn, attempt, epoch): (TurnId, u32, u64),
        index: u32,
        sentence: &str,
    ) -> Added {
        self.with(|inner| {
            if inner.ended.get(&turn).is_some_and(|through| attempt <= *through) {
                return Added::Late;
            }
            let fresh = || DraftSoFar { turn, attempt, epoch, next_index: 0, text: String::new() };
            let draft = inner.drafts.entry(conversation).or_insert_with(fresh);
            let is_older = epoch < draft.epoch || (draft.turn == turn && attempt < draft.attempt);
            if is_older {
                return Added::Late;
            }
            if (draft.turn, draft.attempt, draft.epoch) != (turn, attempt, epoch) {
                *draft = fresh();
            }
            if index != draft.next_index {
                return if index < draft.next_index { Added::Late } else { Added::Gap };
            }
            draft.text.push_str(sentence);
            draft.next_index = index + 1;
            Added::Yes
        })
    }

    /// The draft of a conversation, if one is being written.
    #[must_use]
    pub fn of(&self, conversation: ConversationId) -> Option<DraftSoFar> {
        self.with(|inner| inner.drafts.get(&conversation).filter(|d| d.next_index > 0).cloned())
    }

    /// Ends the draft of a conversation. Returns it, if there was one.
    pub fn end(&self, conversation: ConversationId) -> Option<DraftSoFar> {
        self.with(|inner| inner.drafts.remove(&conversation)).filter(|d| d.next_index > 0)
    }

    /// Refuses from now on what is told of a turn's tries up to this one.
    pub fn refuse(&self, turn: TurnId, through: u32) {
        self.with(|inner| {
            match inner.ended.insert(turn, through) {
                None => inner.ended_first.push_back(turn),
                Some(before) if before > through => {
                    inner.ended.insert(turn, before);
                }
                Some(_) => {}
            }
            if inner.ended_first.len() > MAX_ENDED
                && let Some(oldest) = inner.ended_first.pop_front()
            {
                inner.ended.remove(&oldest);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    #[test]
    fn sentences_add_up_and_another_try_starts_over() {
        let drafts = Drafts::default();
        let (conversation, turn): (ConversationId, TurnId) = (Ids.fresh(), Ids.fresh());
        assert_eq!(drafts.add(conversation, (turn, 1, 3), 0, "One. "), Added::Yes);
        assert_eq!(drafts.add(conversation, (turn, 1, 3), 1, "Two. "), Added::Yes);
        assert_eq!(drafts.add(conversation, (turn, 1, 3), 1, "Two. "), Added::Late);
        let so_far = drafts.of(conversation).expect("a draft");
        assert_eq!((so_far.text.as_str(), so_far.next_index), ("One. Two. ", 2));
        assert_eq!(drafts.add(conversation, (turn, 2, 3), 0, "Again. "), Added::Yes);
        assert_eq!(drafts.add(conversation, (turn, 1, 3), 2, "Three. "), Added::Late);
        assert_eq!(drafts.end(conversation).expect("a draft").text, "Again. ");
        assert_eq!(drafts.of(conversation), None);
    }

    #[test]
    fn what_comes_late_or_without_its_beginning_is_not_shown() {
        let drafts = Drafts::default();
        let (conversation, turn): (ConversationId, TurnId) = (Ids.fresh(), Ids.fresh());
        assert_eq!(drafts.add(conversation, (turn, 2, 3), 1, "Two. "), Added::Gap);
        assert_eq!(drafts.of(conversation), None);
        assert_eq!(drafts.end(conversation), None);
        drafts.refuse(turn, 2);
        drafts.refuse(turn, 1);
        assert_eq!(drafts.add(conversation, (turn, 2, 3), 0, "One. "), Added::Late);
        assert_eq!(drafts.add(conversation, (turn, 3, 3), 0, "One. "), Added::Yes);
        let other: TurnId = Ids.fresh();
        assert_eq!(drafts.add(conversation, (other, 1, 2), 0, "Old. "), Added::Late);
    }
}
