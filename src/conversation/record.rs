//! The log's vocabulary: what happened, in ids, enums and numbers only. Words, names and evidence live beside it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::Actor;
use super::state::{AiMode, Holder};
use crate::clock::Timestamp;
use crate::ids::{AgentId, AlarmId, AssistantId, MessageId, TeamId, TurnId};

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant,)* }
        impl $name {
            /// The stored and shown name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }
    };
}

named! {
    /// Why humans hold a conversation.
    HandoffCode {
        /// The visitor asked for a person.
        AskedForPerson = "asked_for_person",
        /// The knowledge does not hold the answer.
        NoAnswer = "no_answer",
        /// A phrase condition fired.
        Phrase = "phrase",
        /// The AI failed to answer several times.
        FailedAnswers = "failed_answers",
        /// The AI has replied as often as it may.
        MaxTurns = "max_turns",
        /// A worded condition fired.
        Worded = "worded",
        /// The model failed, and its fallback too.
        ModelFailed = "model_failed",
        /// The conditions could not be judged in time.
        JudgeFailed = "judge_failed",
        /// The AI decided under its job description that a person must do it.
        JobDescription = "job_description",
        /// The AI did not answer in time.
        Deadline = "deadline",
        /// No assistant may hold the conversation.
        AiUnavailable = "ai_unavailable",
        /// The AI was switched off for this conversation.
        AiOff = "ai_off",
        /// Someone put it into a team's queue.
        Assigned = "assigned",
        /// The assignee put it back.
        Returned = "returned",
        /// It was reopened.
        Reopened = "reopened",
        /// The assignee left the business.
        AgentRemoved = "agent_removed",
        /// The assignee went offline.
        AgentOffline = "agent_offline",
        /// The assignee missed the deadline.
        Missed = "missed",
    }
}

named! {
    /// How a conversation ended.
    Outcome {
        /// Solved.
        Solved = "solved",
        /// Not solved.
        Unsolved = "unsolved",
        /// Not a customer.
        Spam = "spam",
        /// The visitor went quiet.
        Timeout = "timeout",
    }
}

named! {
    /// Why a visitor message needs no answer.
    Exemption {
        /// The contact is blocked.
        Blocked = "blocked",
        /// The number is one that the AI must not answer.
        AllowListed = "allow_listed",
        /// Bare thanks after the close.
        Thanks = "thanks",
        /// The conversation was closed over it.
        Closed = "closed",
    }
}

named! {
    /// The system's words to the visitor; texts in the catalogues.
    NoticeCode {
        /// A person will take over.
        HandoffWaiting = "handoff_waiting",
        /// A person will take over, but nobody is here now.
        HandoffNobodyOnline = "handoff_nobody_online",
        /// Still waiting.
        StillWaiting = "still_waiting",
        /// A person answers now.
        AgentJoined = "agent_joined",
        /// The AI answers again.
        ReturnedToAi = "returned_to_ai",
        /// Anything else?
        IdleNudge = "idle_nudge",
        /// Closed.
        Closed = "closed",
    }
}

impl NoticeCode {
    /// Whether it tells the visitor that they wait for a person.
    #[must_use]
    pub fn tells_of_waiting(self) -> bool {
        matches!(self, Self::HandoffWaiting | Self::HandoffNobodyOnline | Self::StillWaiting)
    }
}

named! {
    /// How a request for a person came in.
    RequestVia {
        /// The button.
        Button = "button",
        /// A menu of a channel.
        Menu = "menu",
        /// The API.
        Api = "api",
    }
}

named! {
    /// What ended an obligation.
    EndedBy {
        /// A human's public reply.
        Reply = "reply",
        /// A ticket goes on with it.
        Ticket = "ticket",
        /// The close.
        Close = "close",
        /// The return to the AI.
        Return = "return",
    }
}

named! {
    /// Who has to look at an alarm.
    AlarmFor {
        /// The assignee.
        Assignee = "assignee",
        /// Every agent of the inbox.
        Inbox = "inbox",
        /// The owners.
        Owners = "owners",
    }
}

named! {
    /// Why a turn ended without its words.
    CancelReason {
        /// A person took over, or it was assigned.
        Takeover = "takeover",
        /// The visitor asked for a person.
        PersonRequested = "person_requested",
        /// It was closed, blocked or erased.
        Closed = "closed",
        /// The AI was switched off.
        AiOff = "ai_off",
        /// It took too long.
        Deadline = "deadline",
        /// The owner had answered elsewhere.
        LateEcho = "late_echo",
    }
}

/// Where a conversation starts or reopens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "holder", rename_all = "snake_case")]
pub enum Entry {
    /// With the AI.
    Assistant,
    /// In the queue.
    Queue {
        /// Why.
        reason: HandoffCode,
    },
    /// With one person.
    Agent {
        /// Who.
        agent: AgentId,
    },
}

impl Entry {
    pub(super) fn holder(self, at: Timestamp) -> Holder {
        match self {
            Self::Assistant => Holder::Assistant { turn: None },
            Self::Queue { reason } => Holder::Queue { since: at, reason, team: None, snooze: None },
            Self::Agent { agent } => {
                Holder::Assigned { agent, team: None, snooze: None, offline: None }
            }
        }
    }
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are named like what they are; each variant says what happened"
)]
pub enum Record {
    /// The first one.
    Started { to: Entry },
    /// The visitor wrote.
    VisitorWrote { message: MessageId },
    /// The visitor asked for a person by button, menu or API.
    PersonRequested { via: RequestVia },
    /// The visitor's message just before (or all unanswered ones, at a close) needs no answer.
    Exempted { reason: Exemption },
    /// A reply is due.
    TurnDue { turn: TurnId, run_at: Timestamp },
    /// A worker has it and reads the visitor's messages up to `through`.
    TurnStarted { turn: TurnId, assistant: AssistantId, attempt: u32, through: u64 },
    /// The visitor wrote more before anything was released.
    TurnSuperseded { turn: TurnId },
    /// Its words are dropped.
    TurnCancelled { turn: TurnId, reason: CancelReason },
    /// The AI's reply; `answers` = first and last seq of the visitor messages it answers, none if it broke off.
    AssistantAnswered {
        message: MessageId,
        turn: TurnId,
        answers: Option<(u64, u64)>,
        still_unanswered: bool,
    },
    /// AI to queue.
    HandedOff { reason: HandoffCode, turn: Option<TurnId> },
    /// A person stepped in.
    TookOver { agent: AgentId, from: Option<AgentId> },
    /// A person's public reply.
    AgentWrote { agent: AgentId, message: MessageId },
    /// A person's private note.
    Noted { agent: AgentId, message: MessageId },
    /// The system told the visitor.
    Noticed { code: NoticeCode, message: MessageId },
    /// To one person.
    Assigned { agent: AgentId, team: Option<TeamId> },
    /// To the end of a queue.
    Queued { reason: HandoffCode, team: Option<TeamId> },
    /// Back to the AI.
    ReturnedToAi { by: AgentId, note: Option<MessageId> },
    /// The AI switch of this conversation.
    AiModeSet { mode: AiMode },
    /// Set aside.
    Snoozed { by: AgentId, until: Timestamp },
    /// Awake again.
    Unsnoozed,
    /// The assignee's last socket went.
    WentOffline { agent: AgentId },
    /// The assignee is back.
    CameBack { agent: AgentId },
    /// Closed.
    Closed { by: Actor, outcome: Outcome },
    /// Open again: a new episode.
    Reopened { by: Actor, to: Entry },
    /// No more answers for this contact.
    ContactBlocked,
    /// Answers again.
    ContactUnblocked,
    /// The contact's words are gone.
    Erased,
    /// A promise to the visitor.
    ObligationOpened { anchor: u64, due_at: Timestamp },
    /// Its next step.
    ObligationMoved { due_at: Option<Timestamp>, step: u32 },
    /// It was kept, or is moot.
    ObligationEnded { by: EndedBy },
    /// It was broken.
    AlarmRaised { alarm: AlarmId, anchor: u64, step: u32, recipient: AlarmFor },
    /// Someone looked.
    AlarmAcknowledged { alarm: AlarmId, by: AgentId },
    /// What the owner wrote elsewhere before the last return.
    LateEcho { message: MessageId, sent_at: Timestamp },
}

impl Record {
    /// Whether the visitor sees it as a message, so that it takes a public number.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(
            self,
            Self::VisitorWrote { .. }
                | Self::AssistantAnswered { .. }
                | Self::AgentWrote { .. }
                | Self::Noticed { .. }
                | Self::LateEcho { .. }
        )
    }

    /// Whether it changes who may act.
    #[must_use]
    pub fn raises_epoch(&self) -> bool {
        matches!(
            self,
            Self::Started { .. }
                | Self::HandedOff { .. }
                | Self::TookOver { .. }
                | Self::Assigned { .. }
                | Self::Queued { .. }
                | Self::ReturnedToAi { .. }
                | Self::AiModeSet { .. }
                | Self::Closed { .. }
                | Self::Reopened { .. }
                | Self::ContactBlocked
                | Self::ContactUnblocked
                | Self::Erased
        )
    }

    /// The message it is about.
    #[must_use]
    pub fn message(&self) -> Option<MessageId> {
        match self {
            Self::VisitorWrote { message }
            | Self::AssistantAnswered { message, .. }
            | Self::AgentWrote { message, .. }
            | Self::Noted { message, .. }
            | Self::Noticed { message, .. }
            | Self::LateEcho { message, .. } => Some(*message),
            Self::ReturnedToAi { note, .. } => *note,
            _ => None,
        }
    }
}
