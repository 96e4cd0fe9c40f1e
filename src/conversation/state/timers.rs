//! What a conversation waits for: derived from its state, never stored beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Conversation, Holder, Mark, Obligation, Policy};
use crate::clock::Timestamp;

/// The timers a conversation can have: at most one of each kind, stale only when the anchor changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// The AI left a message unanswered for too long.
    AnswerDeadline,
    /// The next step of the obligation's ladder.
    Obligation,
    /// A snooze ends.
    Snooze,
    /// The assignee has been offline for too long.
    Offline,
    /// Nobody has said anything: ask, …
    IdleNudge,
    /// … then close.
    IdleClose,
}

/// One pending timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// What for.
    pub kind: TimerKind,
    /// The event it hangs on.
    pub anchor: u64,
    /// When it fires.
    pub due_at: Timestamp,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Conversation {
    /// Every pending timer, derived from the state.
    #[must_use]
    pub fn timers(&self, policy: &Policy) -> Vec<Timer> {
        let mut timers = Vec::new();
        let mut add = |kind, anchor, due_at| timers.push(Timer { kind, anchor, due_at });
        match &self.holder {
            Holder::Assistant { .. } => match (self.unanswered, self.last_public) {
                (Some(mark), _) => {
                    let due_at = self.ai_clock(mark) + ms(policy.ai_answer_ms);
                    add(TimerKind::AnswerDeadline, mark.seq, due_at);
                }
                (None, Some(mark)) => {
                    let quiet_since = self.ai_clock(mark);
                    if policy.idle_nudge_ms > 0 && self.nudged != Some(mark.seq) {
                        add(TimerKind::IdleNudge, mark.seq, quiet_since + ms(policy.idle_nudge_ms));
                    }
                    if policy.idle_close_ms > 0 {
                        add(TimerKind::IdleClose, mark.seq, quiet_since + ms(policy.idle_close_ms));
                    }
                }
                (None, None) => {}
            },
            Holder::Queue { .. } | Holder::Assigned { .. } => {
                if let Some(Obligation { anchor, due_at: Some(due_at), .. }) = self.obligation {
                    add(TimerKind::Obligation, anchor, due_at);
                }
                if let Some(snooze) = self.holder.snooze() {
                    add(TimerKind::Snooze, snooze.anchor, snooze.until);
                }
                if let Holder::Assigned { offline: Some(mark), .. } = &self.holder
                    && self.obligation.is_some()
                {
                    add(TimerKind::Offline, mark.seq, mark.at + ms(policy.offline_return_ms));
                }
            }
            Holder::Closed { .. } => {}
        }
        timers
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_timer_at(&self, policy: &Policy) -> Option<Timestamp> {
        self.timers(policy).into_iter().map(|timer| timer.due_at).min()
    }

    /// From when the AI's deadlines count: a hand-back gives it their full time, however old the mark is.
    fn ai_clock(&self, mark: Mark) -> Timestamp {
        self.returned.map_or(mark.at, |returned| mark.at.max(returned.at))
    }
}
