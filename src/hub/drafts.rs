//! The half-written replies of this node: what was released and is not committed yet, so that whoever connects in the
//! middle of a stream sees the beginning too.
//!
//! Ephemeral by design: a commit or a cancellation ends a draft, a restart loses it, and nothing reads it but sockets.

use std::collections::HashMap;
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

/// The drafts of every turn that runs on this node.
#[derive(Default)]
pub struct Drafts(Mutex<HashMap<ConversationId, DraftSoFar>>);

impl Drafts {
    /// Adds one released sentence; another turn or try starts over.
    pub fn add(
        &self,
        conversation: ConversationId,
        (turn, attempt, epoch): (TurnId, u32, u64),
        index: u32,
        sentence: &str,
    ) {
        let mut drafts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || DraftSoFar { turn, attempt, epoch, next_index: index, text: String::new() };
        let draft = drafts.entry(conversation).or_insert_with(fresh);
        if (draft.turn, draft.attempt, draft.epoch) != (turn, attempt, epoch) {
            *draft = fresh();
        }
        if index >= draft.next_index {
            draft.text.push_str(sentence);
            draft.next_index = index + 1;
        }
    }

    /// The draft of a conversation, if one is being written.
    #[must_use]
    pub fn of(&self, conversation: ConversationId) -> Option<DraftSoFar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&conversation).cloned()
    }

    /// Ends the draft of a conversation. Returns it, if there was one.
    pub fn end(&self, conversation: ConversationId) -> Option<DraftSoFar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&conversation)
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
        drafts.add(conversation, (turn, 1, 3), 0, "One. ");
        drafts.add(conversation, (turn, 1, 3), 1, "Two. ");
        drafts.add(conversation, (turn, 1, 3), 1, "Two. ");
        let so_far = drafts.of(conversation).expect("a draft");
        assert_eq!((so_far.text.as_str(), so_far.next_index), ("One. Two. ", 2));
        drafts.add(conversation, (turn, 2, 3), 0, "Again. ");
        assert_eq!(drafts.end(conversation).expect("a draft").text, "Again. ");
        assert_eq!(drafts.of(conversation), None);
    }
}
