//! How far each conversation of a workspace was told: what keeps the order of law 5 on agents' sockets.
//!
//! Whatever a feed hears (this node's commits, in the order in which their tasks went on; other nodes', gathered and late;
//! the log as it is read) only says how far a conversation has come. What is told is always what follows the last told
//! event, without a gap, and is read from the log where what was heard does not have it. That can be done at any time: a
//! conversation's events are committed in the order of their numbers, so whoever has heard of one can read all before it.

use std::collections::HashMap;

use crate::conversation::Logged;
use crate::ids::ConversationId;

/// Conversations that are remembered before those are forgotten of which the feed's place knows as much.
const MAX_KNOWN: usize = 10_000;

#[derive(Clone, Copy, Default)]
struct Mark {
    /// The last event that was told.
    told: u64,
    /// The last event that stands at or below the feed's place.
    passed: u64,
}

/// The last told event of each conversation.
#[derive(Default)]
pub(super) struct Marks(HashMap<ConversationId, Mark>);

impl Marks {
    /// The last told event of a conversation, as far as it is remembered. Of what is not, exactly the events at or below the
    /// feed's place were told.
    pub(super) fn told(&self, id: ConversationId) -> Option<u64> {
        self.0.get(&id).map(|mark| mark.told)
    }

    /// Everything of a conversation up to this event was told.
    pub(super) fn tell(&mut self, id: ConversationId, through: u64) {
        if self.0.len() >= MAX_KNOWN && !self.0.contains_key(&id) {
            self.0.retain(|_, mark| mark.passed < mark.told);
        }
        let mark = self.0.entry(id).or_default();
        mark.told = through.max(mark.told);
    }

    /// The feed's place stands at or above this event now.
    pub(super) fn pass(&mut self, id: ConversationId, seq: u64) {
        if let Some(mark) = self.0.get_mut(&id) {
            mark.passed = seq.max(mark.passed);
        }
    }
}

/// What is new of one conversation.
#[derive(Default)]
pub(super) struct News {
    /// It goes as far as this.
    pub(super) through: u64,
    /// What came with its words: some of it, in any order, perhaps twice.
    pub(super) heard: Vec<Logged>,
}

impl News {
    /// What follows an event up to the end, if all of it was heard.
    pub(super) fn after(&mut self, told: u64) -> Option<Vec<Logged>> {
        let mut events = std::mem::take(&mut self.heard);
        events.retain(|event| told < event.seq);
        events.sort_by_key(|event| event.seq);
        events.dedup_by_key(|event| event.seq);
        let is_whole = events.iter().map(|event| event.seq).eq(told + 1..=self.through);
        is_whole.then_some(events)
    }
}

/// What is new, conversation by conversation, in the order in which they were heard of.
#[derive(Default)]
pub(super) struct AllNews(Vec<(ConversationId, News)>);

impl AllNews {
    /// The log of a conversation goes as far as `through`; some of it is here.
    pub(super) fn add(&mut self, id: ConversationId, through: u64, heard: &[Logged]) {
        let place = self.0.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
            self.0.push((id, News::default()));
            self.0.len() - 1
        });
        let news = &mut self.0[place].1;
        news.through = through.max(news.through);
        news.heard.extend_from_slice(heard);
    }

    /// How far each conversation goes.
    pub(super) fn ends(&self) -> Vec<(ConversationId, u64)> {
        self.0.iter().map(|(id, news)| (*id, news.through)).collect()
    }
}

impl IntoIterator for AllNews {
    type Item = (ConversationId, News);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::conversation::{Actor, Record};
    use crate::ids::Ids;

    fn events(seqs: &[u64]) -> Vec<Logged> {
        let event = |seq: &u64| Logged {
            seq: *seq,
            epoch: 1,
            at: Timestamp::from_millis(0),
            actor: Actor::System,
            record: Record::Unsnoozed,
            message: None,
            evidence: None,
        };
        seqs.iter().map(event).collect()
    }

    /// What is told after `told` of what was heard in these pieces; none if the log must be read.
    fn told(told: u64, pieces: &[&[u64]]) -> Option<Vec<u64>> {
        let id: ConversationId = Ids.fresh();
        let mut all = AllNews::default();
        for piece in pieces {
            all.add(id, piece.iter().copied().max().unwrap_or(0), &events(piece));
        }
        let (_, mut news) = all.into_iter().next().expect("something was heard");
        Some(news.after(told)?.iter().map(|event| event.seq).collect())
    }

    #[test]
    fn what_was_heard_is_told_only_where_it_is_whole() {
        assert_eq!(told(30, &[&[31, 32], &[33]]), Some(vec![31, 32, 33]));
        assert_eq!(told(30, &[&[33], &[31, 32]]), Some(vec![31, 32, 33]), "heard late");
        assert_eq!(told(31, &[&[31, 32], &[32, 33]]), Some(vec![32, 33]), "heard twice");
        assert_eq!(told(30, &[&[31, 32], &[34, 35]]), None, "a gap within");
        assert_eq!(told(30, &[&[32]]), None, "a gap before");
        assert_eq!(
            told(30, &[&[31, 32], &[]]),
            Some(vec![31, 32]),
            "without words, and nothing new"
        );
    }

    #[test]
    fn only_what_the_place_of_the_feed_knows_too_is_forgotten() {
        let mut marks = Marks::default();
        let (open, settled): (ConversationId, ConversationId) = (Ids.fresh(), Ids.fresh());
        for id in [open, settled] {
            marks.tell(id, 7);
            marks.tell(id, 5);
            assert_eq!(marks.told(id), Some(7), "never less");
        }
        marks.pass(open, 6);
        marks.pass(settled, 7);
        while marks.0.len() < MAX_KNOWN {
            marks.tell(Ids.fresh(), 1);
        }
        marks.tell(settled, 8);
        assert_eq!(marks.told(settled), Some(8), "known already: nothing has to make room");
        marks.pass(settled, 8);
        marks.tell(Ids.fresh(), 1);
        assert_eq!((marks.told(open), marks.told(settled)), (Some(7), None));
    }
}
