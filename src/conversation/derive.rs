//! What follows from the state after every step: the obligation. Pure.
//!
//! If a human holds (queue included) and a visitor message or request has no later public reply, exactly one obligation is
//! open.

use std::time::Duration;

use super::record::{EndedBy, Record};
use super::state::Conversation;
use super::step::Facts;

/// The records that bring the obligation in line with the state.
pub(super) fn obligation(c: &Conversation, ended_by: EndedBy, facts: &Facts) -> Vec<Record> {
    let wanted = c.waiting.filter(|_| c.holder.is_human() && !c.blocked);
    let mut records = Vec::new();
    let keeps = match (&c.obligation, wanted) {
        (Some(open), Some(mark)) => open.anchor == mark.seq,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if keeps {
        return records;
    }
    if c.obligation.is_some() {
        records.push(Record::ObligationEnded { by: ended_by });
    }
    if let Some(mark) = wanted {
        let answer_within = Duration::from_millis(facts.policy.human_answer_ms);
        records
            .push(Record::ObligationOpened { anchor: mark.seq, due_at: facts.now + answer_within });
    }
    records
}
