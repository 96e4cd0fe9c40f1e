//! What a conversation is, and how a logged record moves it on. Pure: no I/O, no clock, no fresh ids.
//!
//! Invariant: the state is the fold of its log. [`Conversation::apply`] is the only function that changes it, so replaying
//! the records of [`super::step()`] gives holder, epoch, numbers and timers again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::Actor;
use super::record::{HandoffCode, Outcome};
use crate::clock::Timestamp;
use crate::guard::Guard;
use crate::ids::{
    AgentId, AssistantId, ContactId, ConversationId, InboxId, MessageId, TeamId, TurnId,
    WorkspaceId,
};

mod fold;
mod policy;
mod timers;

pub use policy::{AssigneeMissed, Pace, Policy};
pub use timers::{Timer, TimerKind};

/// What a turn must still match when it wants to act: the baton, the reply and the try it began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The conversation's epoch when the turn was planned.
    pub epoch: u64,
    /// The turn.
    pub turn: TurnId,
    /// Its try; a lost lease raises it.
    pub attempt: u32,
}

/// A place in the log and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The seq of the event.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
}

/// Whether the assistant may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AiMode {
    /// It may hold the conversation.
    #[default]
    On,
    /// It only suggests, for every visitor message.
    Draft,
    /// It does nothing.
    Off,
}

/// A reply in the making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// How often it was leased.
    pub attempt: u32,
    /// Where it stands.
    pub phase: Phase,
}

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Waits for its time (debounce) and a worker.
    Due {
        /// Not before.
        run_at: Timestamp,
    },
    /// A worker has it.
    Running {
        /// Whose reply it will be.
        assistant: AssistantId,
        /// The last visitor message it reads.
        through: u64,
        /// The first visitor message it did not read.
        beyond: Option<Mark>,
    },
}

/// A snooze: until when, and the event that set it (its timer's anchor).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snooze {
    /// When it ends by itself.
    pub until: Timestamp,
    /// The seq that set it.
    pub anchor: u64,
}

/// Exactly one party holds a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Holder {
    /// The AI agent replies.
    Assistant {
        /// The running or due reply, if any.
        turn: Option<Turn>,
    },
    /// Humans hold it and nobody has picked it up.
    Queue {
        /// Since when it waits in this place.
        since: Timestamp,
        /// Why it is here.
        reason: HandoffCode,
        /// Whose queue.
        team: Option<TeamId>,
        /// Set aside until later.
        snooze: Option<Snooze>,
    },
    /// One person holds it.
    Assigned {
        /// Who.
        agent: AgentId,
        /// Their team for this conversation.
        team: Option<TeamId>,
        /// Set aside until later.
        snooze: Option<Snooze>,
        /// The assignee's sockets are gone since.
        offline: Option<Mark>,
    },
    /// Nobody holds it.
    Closed {
        /// Who closed it.
        by: Actor,
        /// How it ended.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// The three states people see, with the queue told apart: the columns of the machine's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// AI replying.
    Assistant,
    /// Human, in the queue.
    Queue,
    /// Human, assigned.
    Assigned,
    /// Closed.
    Closed,
}

impl Holder {
    /// The column of the table.
    #[must_use]
    pub fn column(&self) -> Column {
        match self {
            Self::Assistant { .. } => Column::Assistant,
            Self::Queue { .. } => Column::Queue,
            Self::Assigned { .. } => Column::Assigned,
            Self::Closed { .. } => Column::Closed,
        }
    }

    /// Whether humans hold it, the queue included.
    #[must_use]
    pub fn is_human(&self) -> bool {
        matches!(self.column(), Column::Queue | Column::Assigned)
    }

    /// The assignee, if one person holds it.
    #[must_use]
    pub fn assignee(&self) -> Option<AgentId> {
        match self {
            Self::Assigned { agent, .. } => Some(*agent),
            Self::Assistant { .. } | Self::Queue { .. } | Self::Closed { .. } => None,
        }
    }

    /// The snooze, if set.
    #[must_use]
    pub fn snooze(&self) -> Option<Snooze> {
        match self {
            Self::Queue { snooze, .. } | Self::Assigned { snooze, .. } => *snooze,
            Self::Assistant { .. } | Self::Closed { .. } => None,
        }
    }

    /// The turn, if the assistant holds it and one is due or running.
    #[must_use]
    pub fn turn(&self) -> Option<&Turn> {
        match self {
            Self::Assistant { turn } => turn.as_ref(),
            Self::Queue { .. } | Self::Assigned { .. } | Self::Closed { .. } => None,
        }
    }

    fn set_snooze(&mut self, to: Option<Snooze>) {
        match self {
            Self::Queue { snooze, .. } | Self::Assigned { snooze, .. } => *snooze = to,
            Self::Assistant { .. } | Self::Closed { .. } => {}
        }
    }

    fn set_turn(&mut self, to: Option<Turn>) {
        if let Self::Assistant { turn } = self {
            *turn = to;
        }
    }
}

/// A promise to a waiting visitor: derived, at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligation {
    /// The oldest unanswered message or request.
    pub anchor: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its next step is due; none = the ladder is at its end.
    pub due_at: Option<Timestamp>,
    /// How many steps were missed.
    pub step: u32,
}

/// The last hand-back to the AI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Its place: what was said up to here is input, never evidence.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who handed back.
    pub by: AgentId,
    /// The note they left.
    pub note: Option<MessageId>,
}

/// The state row of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Where it came in.
    pub inbox: InboxId,
    /// With whom.
    pub contact: ContactId,
    /// Who holds it.
    pub holder: Holder,
    /// +1 on every change of holder or assignee, AI switch, block, close, reopen, erase.
    pub epoch: u64,
    /// Number of the last event, gap-free from 1.
    pub seq: u64,
    /// Number of the last thing the visitor can see, gap-free from 1.
    pub public_seq: u64,
    /// Whether the assistant may speak.
    pub ai_mode: AiMode,
    /// The contact is blocked.
    pub blocked: bool,
    /// The contact's words were erased.
    pub erased: bool,
    /// Service episodes; a reopening starts a new one.
    pub episode: u32,
    /// The oldest visitor message without a later public reply.
    pub unanswered: Option<Mark>,
    /// The oldest visitor message or request for a person without a later public reply.
    pub waiting: Option<Mark>,
    /// The newest request for a person without a later public reply.
    pub asked: Option<Mark>,
    /// The open promise.
    pub obligation: Option<Obligation>,
    /// The anchor of the last alarm, and its step: a promise over the same anchor goes on from there.
    pub alarmed: Option<(u64, u32)>,
    /// The last visitor message.
    pub last_visitor: Option<Mark>,
    /// The last public message, notices apart: anchor of the idle timers.
    pub last_public: Option<Mark>,
    /// The anchor that was nudged about.
    pub nudged: Option<u64>,
    /// The last person who held it.
    pub last_human: Option<AgentId>,
    /// The last hand-back to the AI.
    pub returned: Option<Return>,
    /// When the visitor was last told that they wait.
    pub notice_at: Option<Timestamp>,
    /// Turns superseded since the last assistant commit.
    pub superseded: u32,
    /// Assistant replies since the episode or the last return began.
    pub ai_turns: u32,
    /// Of those, replies in a row that could not answer.
    pub failed_answers: u32,
    /// Agents who wrote without holding it.
    pub participants: BTreeSet<AgentId>,
}

impl Conversation {
    /// A conversation nobody has spoken in yet; its first record is `Started`.
    #[must_use]
    pub fn unborn(
        id: ConversationId,
        workspace: WorkspaceId,
        inbox: InboxId,
        contact: ContactId,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            workspace,
            inbox,
            contact,
            holder: Holder::Closed { by: Actor::System, outcome: Outcome::Solved, at: now },
            epoch: 0,
            seq: 0,
            public_seq: 0,
            ai_mode: AiMode::On,
            blocked: false,
            erased: false,
            episode: 0,
            unanswered: None,
            waiting: None,
            asked: None,
            obligation: None,
            alarmed: None,
            last_visitor: None,
            last_public: None,
            nudged: None,
            last_human: None,
            returned: None,
            notice_at: None,
            superseded: 0,
            ai_turns: 0,
            failed_answers: 0,
            participants: BTreeSet::new(),
        }
    }

    /// Whether a turn result made under `fence` may still act.
    #[must_use]
    pub fn admits(&self, fence: Fence) -> bool {
        let matches = self.epoch == fence.epoch
            && self.holder.turn().is_some_and(|turn| {
                turn.id == fence.turn
                    && turn.attempt == fence.attempt
                    && matches!(turn.phase, Phase::Running { .. })
            });
        matches || Guard::Fence.is_broken()
    }

    /// What was said up to this seq is input for conditions, never evidence.
    #[must_use]
    pub fn evidence_after(&self) -> u64 {
        self.returned.filter(|_| !Guard::EvidenceAfterReturn.is_broken()).map_or(0, |r| r.seq)
    }

    /// The team whose conversation it is, if humans hold it.
    pub(super) fn team(&self) -> Option<TeamId> {
        match &self.holder {
            Holder::Queue { team, .. } | Holder::Assigned { team, .. } => *team,
            Holder::Assistant { .. } | Holder::Closed { .. } => None,
        }
    }
}
