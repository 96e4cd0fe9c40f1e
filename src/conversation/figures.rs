//! What commits mean for the metrics. Labels are names of enums.

use super::events::Logged;
use super::record::{AlarmFor, HandoffCode, Record};
use super::state::Holder;
use crate::metrics;

/// Reasons and recipients are told from the start, at zero.
pub fn announce() {
    let people = &metrics::get().people;
    for reason in HandoffCode::ALL {
        people.handoffs.add_many(&[reason.as_str()], 0);
    }
    for recipient in AlarmFor::ALL {
        people.alarms.add_many(&[recipient.as_str()], 0);
    }
}

/// Who held a conversation before a commit.
pub(super) fn holder(holder: &Holder) -> &'static str {
    match holder {
        Holder::Assistant { .. } => "assistant",
        Holder::Queue { .. } | Holder::Closed { .. } => "queue",
        Holder::Assigned { .. } => "agent",
    }
}

/// Counts what was committed.
pub(super) fn count(held_by: &'static str, events: &[Logged]) {
    let people = &metrics::get().people;
    for event in events {
        if event.message.as_ref().is_some_and(|message| message.public_seq.is_some()) {
            people.messages.add(&[event.actor.kind()]);
        }
        match &event.record {
            Record::TookOver { .. } => people.takeovers.add(&[held_by]),
            Record::HandedOff { reason, .. } => people.handoffs.add(&[reason.as_str()]),
            Record::ReturnedToAi { .. } => people.returns.add(&[]),
            Record::AlarmRaised { recipient, .. } => people.alarms.add(&[recipient.as_str()]),
            _ => {}
        }
    }
}
