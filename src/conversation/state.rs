//! What a conversation is, and how a logged record moves it on. Pure: no I/O, no clock, no fresh ids.
//!
//! Invariant: the state is the fold of its log. [`Conversation::apply`] is the only function that changes it, so replaying
//! the records of [`super::step()`] gives holder, epoch, numbers and timers again.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::message::Actor;
use super::record::{Exemption, HandoffCode, Outcome, Record};
use crate::assistant::inbox::{InboxSettings, ReopenTo};
use crate::clock::Timestamp;
use crate::guard::Guard;
use crate::ids::{
    AgentId, AssistantId, ContactId, ConversationId, InboxId, MessageId, TeamId, TurnId,
    WorkspaceId,
};

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
        self.returned.map_or(0, |r| r.seq)
    }

    /// From when the AI's deadlines count: a hand-back gives it their full time, however old the mark is.
    fn ai_clock(&self, mark: Mark) -> Timestamp {
        self.returned.map_or(mark.at, |returned| mark.at.max(returned.at))
    }

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

    /// Moves the state on by one logged record: the only function that changes it.
    pub fn apply(&mut self, record: &Record, at: Timestamp) {
        self.seq += 1;
        if record.is_public() {
            self.public_seq += 1;
        }
        if record.raises_epoch() {
            self.epoch += 1;
        }
        let mark = Mark { seq: self.seq, at };
        match record {
            Record::Started { to } | Record::Reopened { to, .. } => {
                self.episode += 1;
                self.ai_turns = 0;
                self.failed_answers = 0;
                self.holder = to.holder(at);
                if let Some(agent) = self.holder.assignee() {
                    self.note_is_dealt_with();
                    self.last_human = Some(agent);
                }
            }
            Record::VisitorWrote { .. } => {
                self.unanswered.get_or_insert(mark);
                self.waiting.get_or_insert(mark);
                self.last_visitor = Some(mark);
                self.last_public = Some(mark);
                if let Holder::Assistant { turn: Some(turn) } = &mut self.holder
                    && let Phase::Running { beyond, .. } = &mut turn.phase
                {
                    beyond.get_or_insert(mark);
                }
            }
            Record::PersonRequested { .. } => {
                self.waiting.get_or_insert(mark);
                self.asked = Some(mark);
            }
            Record::Exempted { reason } => self.exempt(*reason, mark),
            Record::TurnDue { turn, run_at } => {
                let attempt = self.holder.turn().filter(|t| t.id == *turn).map_or(0, |t| t.attempt);
                self.holder.set_turn(Some(Turn {
                    id: *turn,
                    attempt,
                    phase: Phase::Due { run_at: *run_at },
                }));
            }
            Record::TurnStarted { turn, assistant, attempt, through } => {
                self.holder.set_turn(Some(Turn {
                    id: *turn,
                    attempt: *attempt,
                    phase: Phase::Running {
                        assistant: *assistant,
                        through: *through,
                        beyond: None,
                    },
                }));
            }
            Record::TurnSuperseded { .. } => {
                self.superseded += 1;
                self.holder.set_turn(None);
            }
            Record::TurnCancelled { .. } => self.holder.set_turn(None),
            Record::AssistantAnswered { answers, still_unanswered, .. } => {
                let beyond = self.holder.turn().and_then(|turn| match turn.phase {
                    Phase::Running { beyond, .. } => beyond,
                    Phase::Due { .. } => None,
                });
                if answers.is_some() {
                    self.unanswered = beyond;
                    self.waiting = beyond;
                }
                self.holder.set_turn(None);
                self.superseded = 0;
                self.ai_turns += 1;
                self.failed_answers = if *still_unanswered { self.failed_answers + 1 } else { 0 };
                self.last_public = Some(mark);
            }
            Record::HandedOff { reason, .. } => {
                self.holder =
                    Holder::Queue { since: at, reason: *reason, team: None, snooze: None };
            }
            Record::TookOver { agent, .. } => {
                self.note_is_dealt_with();
                let team = self.team();
                self.holder = Holder::Assigned { agent: *agent, team, snooze: None, offline: None };
                self.last_human = Some(*agent);
            }
            Record::Assigned { agent, team } => {
                self.note_is_dealt_with();
                let team = team.or_else(|| self.team());
                self.holder = Holder::Assigned { agent: *agent, team, snooze: None, offline: None };
                self.last_human = Some(*agent);
            }
            Record::Queued { reason, team } => {
                let team = team.or_else(|| self.team());
                self.holder = Holder::Queue { since: at, reason: *reason, team, snooze: None };
            }
            Record::AgentWrote { agent, .. } => {
                self.answered_by_human(mark);
                if self.holder.assignee() != Some(*agent) {
                    self.participants.insert(*agent);
                }
                if let Holder::Assigned { agent: holder, offline, .. } = &mut self.holder
                    && holder == agent
                {
                    *offline = None;
                }
            }
            Record::LateEcho { sent_at, .. } => {
                self.last_public = Some(mark);
                self.answered_until(*sent_at);
            }
            Record::Noted { .. } => {}
            Record::Noticed { code, .. } => {
                if code.tells_of_waiting() {
                    self.notice_at = Some(at);
                }
                if *code == super::record::NoticeCode::IdleNudge {
                    self.nudged = self.last_public.map(|m| m.seq);
                }
            }
            Record::ReturnedToAi { by, note } => {
                self.holder = Holder::Assistant { turn: None };
                self.returned = Some(Return { seq: self.seq, at, by: *by, note: *note });
                self.waiting = self.unanswered;
                self.asked = None;
                self.ai_turns = 0;
                self.failed_answers = 0;
                self.superseded = 0;
            }
            Record::AiModeSet { mode } => self.ai_mode = *mode,
            Record::Snoozed { until, .. } => {
                self.holder.set_snooze(Some(Snooze { until: *until, anchor: self.seq }));
            }
            Record::Unsnoozed => self.holder.set_snooze(None),
            Record::WentOffline { .. } => {
                if let Holder::Assigned { offline, .. } = &mut self.holder {
                    *offline = Some(mark);
                }
            }
            Record::CameBack { .. } => {
                if let Holder::Assigned { offline, .. } = &mut self.holder {
                    *offline = None;
                }
            }
            Record::Closed { by, outcome } => {
                self.holder = Holder::Closed { by: *by, outcome: *outcome, at };
                self.unanswered = None;
                self.waiting = None;
                self.asked = None;
                self.superseded = 0;
            }
            Record::ContactBlocked => self.blocked = true,
            Record::ContactUnblocked => self.blocked = false,
            Record::Erased => self.erased = true,
            Record::ObligationOpened { anchor, due_at } => {
                self.obligation = Some(Obligation {
                    anchor: *anchor,
                    opened_at: at,
                    due_at: Some(*due_at),
                    step: self
                        .alarmed
                        .filter(|(over, _)| over == anchor)
                        .map_or(0, |(_, step)| step),
                });
            }
            Record::ObligationMoved { due_at, step } => {
                if let Some(open) = &mut self.obligation {
                    open.due_at = *due_at;
                    open.step = *step;
                }
            }
            Record::ObligationEnded { .. } => self.obligation = None,
            Record::AlarmRaised { anchor, step, .. } => self.alarmed = Some((*anchor, *step)),
            Record::AlarmAcknowledged { .. } => {}
        }
    }

    /// The team whose conversation it is, if humans hold it.
    pub(super) fn team(&self) -> Option<TeamId> {
        match &self.holder {
            Holder::Queue { team, .. } | Holder::Assigned { team, .. } => *team,
            Holder::Assistant { .. } | Holder::Closed { .. } => None,
        }
    }

    /// A person has it again: what was told to the AI at the last hand-back is theirs to say anew. The place of the return
    /// stays, since what was said before it is still no evidence.
    fn note_is_dealt_with(&mut self) {
        if let Some(returned) = &mut self.returned {
            returned.note = None;
        }
    }

    fn answered_by_human(&mut self, mark: Mark) {
        self.unanswered = None;
        self.waiting = None;
        self.asked = None;
        self.superseded = 0;
        self.last_public = Some(mark);
    }

    /// A reply given elsewhere at that time answers what was said or asked until then. Of what came after it only the newest
    /// message and the newest request are known, which is enough to keep the visitor waiting for someone.
    fn answered_until(&mut self, sent_at: Timestamp) {
        let later = |mark: Option<Mark>| mark.filter(|m| m.at > sent_at);
        if later(self.unanswered).is_none() {
            self.unanswered = self.unanswered.and(later(self.last_visitor));
        }
        self.asked = later(self.asked);
        if later(self.waiting).is_none() {
            self.waiting =
                [self.unanswered, self.asked].into_iter().flatten().min_by_key(|m| m.seq);
        }
    }

    /// An exempted message needs no answer; `closed` exempts whatever was unanswered.
    fn exempt(&mut self, reason: Exemption, mark: Mark) {
        let this_one = |m: Option<Mark>| m.filter(|m| m.seq + 1 != mark.seq);
        match reason {
            Exemption::Closed => {
                self.unanswered = None;
                self.waiting = None;
                self.asked = None;
            }
            Exemption::Blocked | Exemption::AllowListed | Exemption::Thanks => {
                self.unanswered = this_one(self.unanswered);
                self.waiting = this_one(self.waiting);
                self.asked = this_one(self.asked);
            }
        }
    }
}
