//! What time does: deadlines, the ladder of a broken promise, snoozes that end, quiet.

use std::time::Duration;

use super::Stepping;
use crate::conversation::message::Actor;
use crate::conversation::record::{
    AlarmFor, CancelReason, HandoffCode, NoticeCode, Outcome, Record,
};
use crate::conversation::state::{AssigneeMissed, TimerKind};
use crate::guard::Guard;

impl Stepping<'_> {
    pub(super) fn timer(&mut self, kind: TimerKind, anchor: u64) {
        let now = self.facts.now;
        let due = self
            .c
            .timers(&self.facts.policy)
            .into_iter()
            .any(|t| t.kind == kind && t.anchor == anchor && t.due_at <= now);
        if !due && !Guard::TimerAnchor.is_broken() {
            return;
        }
        match kind {
            TimerKind::AnswerDeadline => {
                self.cancel_turn(Actor::System, CancelReason::Deadline);
                self.hand_off(Actor::System, HandoffCode::Deadline, None);
            }
            TimerKind::Obligation => self.obligation_missed(),
            TimerKind::Snooze => self.wake(Actor::System),
            TimerKind::Offline => self.queue(Actor::System, HandoffCode::AgentOffline, None),
            TimerKind::IdleNudge => self.notice(NoticeCode::IdleNudge),
            TimerKind::IdleClose => self.close(Actor::System, Outcome::Timeout),
        }
    }

    /// The next step of the ladder: assignee or inbox first, the owners later.
    fn obligation_missed(&mut self) {
        let Some(open) = self.c.obligation else { return };
        let assigned = self.c.holder.assignee().is_some();
        let policy = &self.facts.policy;
        let recipient = match (open.step, assigned, policy.assignee_missed) {
            (0, true, AssigneeMissed::Alarm) => AlarmFor::Assignee,
            (0, true, AssigneeMissed::ReturnToQueue | AssigneeMissed::ReturnToAi)
            | (0, false, _) => AlarmFor::Inbox,
            (_, _, _) => AlarmFor::Owners,
        };
        self.log(
            Actor::System,
            Record::AlarmRaised {
                alarm: self.facts.fresh.alarm,
                anchor: open.anchor,
                step: open.step + 1,
                recipient,
            },
        );
        let due_at =
            (open.step == 0).then(|| self.facts.now + Duration::from_millis(policy.escalate_ms));
        self.log(Actor::System, Record::ObligationMoved { due_at, step: open.step + 1 });
        if open.step == 0 && assigned {
            match policy.assignee_missed {
                AssigneeMissed::Alarm => {}
                AssigneeMissed::ReturnToAi if self.ai_may_hold() => {
                    // The timer acts for the person whose turn it was.
                    if let Some(agent) = self.c.holder.assignee() {
                        self.return_to_ai(Actor::System, agent, None);
                    }
                }
                AssigneeMissed::ReturnToQueue | AssigneeMissed::ReturnToAi => {
                    self.queue(Actor::System, HandoffCode::Missed, None);
                }
            }
        }
    }
}
