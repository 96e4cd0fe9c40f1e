//! What the visitor does: writes, asks for a person.

use std::time::Duration;

use super::{Effect, Stepping};
use crate::assistant::inbox::ReopenTo;
use crate::conversation::message::Actor;
use crate::conversation::record::{
    CancelReason, Entry, Exemption, HandoffCode, NoticeCode, Record, RequestVia,
};
use crate::conversation::state::{AiMode, Column, Holder, Phase};
use crate::ids::MessageId;

/// After a close, a bare "thanks" within this time does not reopen (architecture: ten minutes).
const THANKS_WINDOW: Duration = Duration::from_secs(600);
/// The visitor is told again that they wait at most this often.
const NOTICE_AGAIN: Duration = Duration::from_secs(300);

impl Stepping<'_> {
    fn visitor(&self) -> Actor {
        Actor::Visitor(self.c.contact)
    }

    pub(super) fn visitor_wrote(&mut self, message: MessageId, bare_thanks: bool, column: Column) {
        let visitor = self.visitor();
        let wrote = Record::VisitorWrote { message };
        if self.c.blocked {
            self.log(visitor, wrote);
            self.log(Actor::System, Record::Exempted { reason: Exemption::Blocked });
            return;
        }
        match column {
            Column::Assistant => {
                self.log(visitor, wrote);
                self.answer_due(visitor);
            }
            Column::Queue | Column::Assigned => {
                self.log(visitor, wrote);
                self.wake(visitor);
                self.suggest();
            }
            Column::Closed => {
                let just_closed = matches!(&self.c.holder, Holder::Closed { at, .. }
                    if self.facts.now.since(*at) <= THANKS_WINDOW);
                if bare_thanks && just_closed {
                    self.log(visitor, wrote);
                    self.log(Actor::System, Record::Exempted { reason: Exemption::Thanks });
                    return;
                }
                self.reopen_by_policy(visitor);
                self.log(visitor, wrote);
                match self.c.holder.column() {
                    Column::Assistant => self.answer_due(visitor),
                    Column::Queue => self.entered_queue(),
                    Column::Assigned | Column::Closed => {}
                }
                self.suggest();
            }
        }
    }

    /// In draft mode every visitor message gets suggested replies.
    fn suggest(&mut self) {
        if self.c.ai_mode == AiMode::Draft {
            self.effects.push(Effect::OrderSuggestions);
        }
    }

    /// The assistant holds and the visitor has just written.
    fn answer_due(&mut self, visitor: Actor) {
        if !self.ai_may_hold() {
            return self.assistant_gone();
        }
        let Some(turn) = self.c.holder.turn().copied() else {
            self.due_turn(visitor);
            return;
        };
        let policy = &self.facts.policy;
        let age = self.c.unanswered.map_or(Duration::ZERO, |m| self.facts.now.since(m.at));
        let limit_free = self.c.superseded < policy.max_supersedes
            && age < Duration::from_millis(policy.supersede_within_ms);
        match turn.phase {
            // Wait a little more, but not for ever: a flood of words must not starve the answer.
            Phase::Due { .. } if limit_free => {
                let run_at = self.facts.now + Duration::from_millis(policy.debounce_ms);
                self.log(visitor, Record::TurnDue { turn: turn.id, run_at });
            }
            Phase::Running { .. } if !self.facts.turn_released && limit_free => {
                self.log(visitor, Record::TurnSuperseded { turn: turn.id });
                self.effects.push(Effect::StopTurn(turn.id));
                self.due_turn(visitor);
            }
            Phase::Due { .. } | Phase::Running { .. } => {}
        }
    }

    pub(super) fn asked_for_person(&mut self, via: RequestVia, column: Column) {
        let visitor = self.visitor();
        let asked = Record::PersonRequested { via };
        if self.c.blocked {
            self.log(visitor, asked);
            self.log(Actor::System, Record::Exempted { reason: Exemption::Blocked });
            return;
        }
        match column {
            Column::Assistant => {
                self.log(visitor, asked);
                self.cancel_turn(visitor, CancelReason::PersonRequested);
                self.hand_off(visitor, HandoffCode::AskedForPerson, None);
            }
            Column::Queue => {
                self.log(visitor, asked);
                self.wake(visitor);
                let quiet =
                    self.c.notice_at.is_none_or(|at| self.facts.now.since(at) >= NOTICE_AGAIN);
                if quiet {
                    self.tell_of_waiting(NoticeCode::StillWaiting);
                }
            }
            Column::Assigned => {
                self.log(visitor, asked);
                self.wake(visitor);
            }
            Column::Closed => {
                let to = Entry::Queue { reason: HandoffCode::AskedForPerson };
                self.log(visitor, Record::Reopened { by: visitor, to });
                self.log(visitor, asked);
                self.entered_queue();
            }
        }
    }

    /// To the holder that the inbox's policy names, if that one may hold; else the queue.
    fn reopen_by_policy(&mut self, actor: Actor) {
        let queue = Entry::Queue { reason: HandoffCode::Reopened };
        let to = match (self.facts.policy.reopen_to, self.c.last_human) {
            (ReopenTo::Assistant, _) if self.ai_may_hold() => Entry::Assistant,
            (ReopenTo::LastHuman, Some(agent)) if self.facts.last_human_available => {
                Entry::Agent { agent }
            }
            (ReopenTo::Assistant | ReopenTo::LastHuman | ReopenTo::Queue, _) => queue,
        };
        self.log(actor, Record::Reopened { by: actor, to });
    }
}
