//! What the inbox's owner and the installation decided about the pace of a conversation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::assistant::inbox::{InboxSettings, ReopenTo};

/// What the inbox's owner decided, durations with their defaults; the pace of turns is the installation's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who gets a conversation that the visitor reopens.
    pub reopen_to: ReopenTo,
    /// How long the AI may leave a message unanswered, in ms; then a human gets it.
    pub ai_answer_ms: u64,
    /// How long a human may, in ms; then an alarm.
    pub human_answer_ms: u64,
    /// From the first alarm to the owners', in ms.
    pub escalate_ms: u64,
    /// What happens when an assignee misses the deadline.
    pub assignee_missed: AssigneeMissed,
    /// How long after the assignee's last socket went their unanswered conversation returns to the queue, in ms.
    pub offline_return_ms: u64,
    /// Quiet time until the AI asks whether that is all, in ms; 0 = never.
    pub idle_nudge_ms: u64,
    /// Quiet time until a conversation with the AI closes as timeout, in ms; 0 = never.
    pub idle_close_ms: u64,
    /// Wait for more words before the AI answers, in ms.
    pub debounce_ms: u64,
    /// Turns superseded at most between two assistant commits.
    pub max_supersedes: u32,
    /// Age of the oldest unanswered message up to which a turn may be superseded, in ms.
    pub supersede_within_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            reopen_to: ReopenTo::Assistant,
            ai_answer_ms: 60_000,
            human_answer_ms: 600_000,
            escalate_ms: 600_000,
            assignee_missed: AssigneeMissed::Alarm,
            offline_return_ms: 600_000,
            idle_nudge_ms: 900_000,
            idle_close_ms: 3_600_000,
            debounce_ms: 400,
            max_supersedes: 2,
            supersede_within_ms: 15_000,
        }
    }
}

impl From<&InboxSettings> for Policy {
    fn from(settings: &InboxSettings) -> Self {
        let timings = settings.timings;
        Self {
            reopen_to: settings.reopen_to,
            ai_answer_ms: timings.assistant_reply_ms,
            human_answer_ms: timings.human_reply_ms,
            escalate_ms: timings.escalate_ms,
            idle_nudge_ms: timings.idle_nudge_ms.unwrap_or(0),
            idle_close_ms: timings.idle_close_ms.unwrap_or(0),
            ..Self::default()
        }
    }
}

impl Policy {
    /// With the installation's pace.
    #[must_use]
    pub fn at(mut self, pace: Pace) -> Self {
        self.debounce_ms = pace.debounce_ms;
        self.max_supersedes = pace.max_supersedes;
        self.supersede_within_ms = pace.supersede_within_ms;
        self
    }
}

/// How fast turns follow the visitor: one setting for the whole installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Wait for more words before the AI answers, in ms.
    pub debounce_ms: u64,
    /// Turns superseded at most between two assistant commits.
    pub max_supersedes: u32,
    /// Age of the oldest unanswered message up to which a turn may be superseded, in ms.
    pub supersede_within_ms: u64,
}

/// What happens when an assignee misses the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssigneeMissed {
    /// An alarm to the assignee, later to the owners.
    #[default]
    Alarm,
    /// Back to the queue, with the alarm to all agents of the inbox.
    ReturnToQueue,
    /// Back to the AI, if it may hold; else to the queue.
    ReturnToAi,
}
