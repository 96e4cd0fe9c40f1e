//! What follows from the state after every step: the obligation. Pure.
//!
//! If a human holds (queue included) and a visitor message or request has no later public reply, exactly one obligation is
//! open. A snooze moves its deadline only for as long as it lasts.

use std::time::Duration;

use super::record::{EndedBy, Record};
use super::state::Conversation;
use super::step::Facts;
use crate::guard::Guard;

/// The records that bring the obligation in line with the state.
pub(super) fn obligation(
    c: &Conversation,
    ended_by: EndedBy,
    woken_early: bool,
    facts: &Facts,
) -> Vec<Record> {
    let wanted =
        c.waiting.filter(|_| c.holder.is_human() && !c.blocked && !Guard::Obligation.is_broken());
    let due_at = facts.now + Duration::from_millis(facts.policy.human_answer_ms);
    let opened = |anchor| Record::ObligationOpened { anchor, due_at };
    let ended = Record::ObligationEnded { by: ended_by };
    match (c.obligation, wanted.map(|mark| mark.seq)) {
        (None, None) => vec![],
        (None, Some(anchor)) => vec![opened(anchor)],
        (Some(_), None) => vec![ended],
        (Some(open), Some(anchor)) if open.anchor != anchor => vec![ended, opened(anchor)],
        (Some(open), Some(_)) if woken_early && open.due_at.is_some_and(|moved| moved > due_at) => {
            vec![Record::ObligationMoved { due_at: Some(due_at), step: open.step }]
        }
        (Some(_), Some(_)) => vec![],
    }
}
