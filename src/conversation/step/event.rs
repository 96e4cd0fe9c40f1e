//! What can happen to a conversation, what the machine is told of the world, and what it answers.

use crate::clock::Timestamp;
use crate::conversation::message::Actor;
use crate::conversation::record::{HandoffCode, Outcome, Record, RequestVia};
use crate::conversation::state::{AiMode, Column, Conversation, Fence, Policy, TimerKind};
use crate::ids::{AgentId, AlarmId, AssistantId, ContactId, MessageId, TeamId, TurnId};

/// An agent's command and the epoch they saw. `None` skips the check (the system acting for them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub agent: AgentId,
    /// The epoch on their screen.
    pub expected_epoch: Option<u64>,
}

/// A finished reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The message that will hold it.
    pub message: MessageId,
    /// It is the fixed text for a question that could not be answered after a return.
    pub still_unanswered: bool,
}

/// Everything that can happen to a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are named like what they are; each variant says what happened"
)]
pub enum Event {
    /// The visitor opens the conversation (no row yet).
    VisitorStarted,
    /// The visitor wrote; `bare_thanks` if it is nothing but thanks.
    VisitorWrote { message: MessageId, bare_thanks: bool },
    /// The visitor asked for a person by button, menu or API.
    VisitorAskedForPerson { via: RequestVia },
    /// A worker wants the due turn, or one whose lease is lost.
    TurnLeased { turn: TurnId, seen_attempt: u32 },
    /// The turn has its answer.
    TurnAnswered { fence: Fence, reply: Reply },
    /// The turn wants a human.
    TurnHandsOff { fence: Fence, reason: HandoffCode },
    /// The turn failed; what was released before is kept, marked incomplete.
    TurnFailed { fence: Fence, reason: HandoffCode, released: Option<MessageId> },
    /// An agent takes over; from a colleague only as a fresh, confirmed command.
    AgentTakesOver { by: By, from_colleague: bool },
    /// An agent writes publicly.
    AgentWrites { by: By, message: MessageId },
    /// An agent leaves a note.
    AgentNotes { agent: AgentId, message: MessageId },
    /// To an agent, a team, or both.
    Assign { by: By, agent: Option<AgentId>, team: Option<TeamId> },
    /// Back to the end of the queue.
    ReturnToQueue { by: By },
    /// Back to the AI, with a note.
    AssignToAi { by: By, note: Option<MessageId> },
    /// Set aside.
    Snooze { by: By, until: Timestamp },
    /// Close, by an agent or the visitor.
    Close { by: Closer, outcome: Outcome },
    /// Open again, to that agent.
    Reopen { by: By },
    /// The owner wrote from elsewhere, at the provider's time.
    ChannelEcho { owner: AgentId, message: MessageId, sent_at: Timestamp },
    /// The AI switch.
    SetAiMode { by: By, mode: AiMode },
    /// The contact was blocked or unblocked.
    BlockContact { blocked: bool },
    /// The assignee left the business.
    AssigneeRemoved { agent: AgentId },
    /// The assignee's last socket went, or came back.
    AssigneePresence { agent: AgentId, online: bool },
    /// The contact was erased.
    EraseContact,
    /// A timer is due.
    TimerFired { kind: TimerKind, anchor: u64 },
    /// An agent has seen an alarm.
    AcknowledgeAlarm { alarm: AlarmId, agent: AgentId },
}

/// Who closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closer {
    /// An agent, with the epoch they saw.
    Agent(By),
    /// The visitor.
    Visitor(ContactId),
}

/// What the world looks like at the moment of the step.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Now.
    pub now: Timestamp,
    /// The assistant that may hold: published for the inbox and nothing stopped.
    pub assistant: Option<AssistantId>,
    /// The last human has a socket open.
    pub last_human_available: bool,
    /// Any agent of the inbox has a socket open.
    pub anyone_online: bool,
    /// The running turn has released a sentence, or might have (it runs on another node).
    pub turn_released: bool,
    /// The running turn's lease is over.
    pub lease_expired: bool,
    /// The inbox's policy.
    pub policy: Policy,
    /// Fresh ids, in case the step needs them.
    pub fresh: Fresh,
}

/// Fresh ids for what a step may create: at most one turn, two notices and one alarm.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// For a new turn.
    pub turn: TurnId,
    /// For notices, in order.
    pub notices: [MessageId; 2],
    /// For an alarm.
    pub alarm: AlarmId,
}

/// What the caller must do beside storing the records; done after the commit, except what is due work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Stop the worker of this turn at once.
    StopTurn(TurnId),
    /// Make a handover brief.
    OrderBrief,
    /// Make a summary.
    OrderSummary,
    /// Make suggested replies.
    OrderSuggestions,
    /// The turn's result came too late: only its record is closed.
    CloseTurn(Fence),
}

/// What an event leads to: the new state, the records that lead there, and what must be done.
#[derive(Debug, Clone)]
pub struct Step {
    /// The state afterwards.
    pub next: Conversation,
    /// What happened, in order, with who did it.
    pub records: Vec<(Actor, Record)>,
    /// What must be done.
    pub effects: Vec<Effect>,
}

/// Why a move is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not allowed while the conversation is {column:?}: {code}")]
pub struct Refused {
    /// Stable code for the API.
    pub code: &'static str,
    /// Where the conversation stood.
    pub column: Column,
    /// What was asked.
    pub event: &'static str,
}
