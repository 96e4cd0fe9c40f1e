//! How a logged record moves the state on.

use super::{Conversation, Holder, Mark, Obligation, Phase, Return, Snooze, Turn};
use crate::clock::Timestamp;
use crate::conversation::record::{Exemption, NoticeCode, Record};
use crate::guard::Guard;

impl Conversation {
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
                if answers.is_some() && !(Guard::AnswerRange.is_broken() && beyond.is_some()) {
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
                if *code == NoticeCode::IdleNudge {
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
