//! What the assistant does: takes a turn and brings back what came of it, if it may still hold the conversation.

use super::{Effect, Reply, Stepping};
use crate::conversation::message::Actor;
use crate::conversation::record::{CancelReason, HandoffCode, Record};
use crate::conversation::state::{AiMode, Fence, Phase};
use crate::guard::Guard;
use crate::ids::{AssistantId, TurnId};

impl Stepping<'_> {
    pub(super) fn lease(&mut self, turn: TurnId, seen_attempt: u32) {
        let Some(current) = self.c.holder.turn().copied() else { return };
        let seen = current.attempt == seen_attempt || Guard::Lease.is_broken();
        if current.id != turn || !seen {
            return;
        }
        let free = match current.phase {
            Phase::Due { run_at } => run_at <= self.facts.now,
            Phase::Running { .. } => self.facts.lease_expired || Guard::Lease.is_broken(),
        };
        if !free {
            return;
        }
        let Some(assistant) = self.available() else {
            return self.assistant_gone();
        };
        let through = self.c.last_visitor.map_or(0, |m| m.seq);
        let started = Record::TurnStarted { turn, assistant, attempt: seen_attempt + 1, through };
        self.log(Actor::Assistant(assistant), started);
    }

    pub(super) fn answered(&mut self, fence: Fence, reply: Reply) {
        if !self.c.admits(fence) {
            return self.too_late(fence);
        }
        if !self.ai_may_hold() {
            // Stopped or unpublished while it wrote: what it has to say is not sent.
            self.too_late(fence);
            return self.assistant_gone();
        }
        let through = self.c.holder.turn().and_then(|t| match t.phase {
            Phase::Running { through, .. } => Some(through),
            Phase::Due { .. } => None,
        });
        let answers = self.c.unanswered.zip(through).map(|(from, through)| (from.seq, through));
        let record = Record::AssistantAnswered {
            message: reply.message,
            turn: fence.turn,
            answers,
            still_unanswered: reply.still_unanswered,
        };
        self.log(self.writer(), record);
        if self.c.unanswered.is_some() {
            self.due_turn(Actor::System);
        }
    }

    pub(super) fn too_late(&mut self, fence: Fence) {
        self.effects.push(Effect::CloseTurn(fence));
    }

    /// The assistant that may hold the conversation now.
    fn available(&self) -> Option<AssistantId> {
        self.facts.assistant.filter(|_| self.c.ai_mode == AiMode::On && !self.c.blocked)
    }

    pub(super) fn ai_may_hold(&self) -> bool {
        self.available().is_some()
    }

    /// The assistant holds the conversation but may not any more.
    pub(super) fn assistant_gone(&mut self) {
        self.cancel_turn(Actor::System, CancelReason::AiOff);
        self.hand_off(Actor::System, HandoffCode::AiUnavailable, None);
    }

    /// The assistant whose turn runs, whoever may hold the conversation by now.
    pub(super) fn writer(&self) -> Actor {
        match self.c.holder.turn().map(|turn| turn.phase) {
            Some(Phase::Running { assistant, .. }) => Actor::Assistant(assistant),
            Some(Phase::Due { .. }) | None => {
                self.facts.assistant.map_or(Actor::System, Actor::Assistant)
            }
        }
    }
}
