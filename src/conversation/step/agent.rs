//! What people of the business do, at a screen that may be out of date or from elsewhere.

use super::{By, Effect, Refused, Stepping};
use crate::clock::Timestamp;
use crate::conversation::message::Actor;
use crate::conversation::record::{CancelReason, Entry, HandoffCode, NoticeCode, Record};
use crate::conversation::state::{AiMode, Column};
use crate::guard::Guard;
use crate::ids::{AgentId, MessageId, TeamId};

impl Stepping<'_> {
    /// An agent's command must name the epoch that is.
    pub(super) fn fresh_enough(&self, by: By, event: &'static str) -> Result<(), Refused> {
        match by.expected_epoch {
            Some(epoch) if epoch != self.c.epoch && !Guard::AgentEpoch.is_broken() => {
                Err(self.refuse(event, "stale_epoch"))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn take_over(&mut self, agent: AgentId) {
        let from = self.c.holder.assignee();
        self.cancel_turn(Actor::Agent(agent), CancelReason::Takeover);
        self.log(Actor::Agent(agent), Record::TookOver { agent, from });
        self.notice(NoticeCode::AgentJoined);
        self.effects.push(Effect::OrderBrief);
    }

    pub(super) fn assign(
        &mut self,
        by: By,
        agent: Option<AgentId>,
        team: Option<TeamId>,
    ) -> Result<(), Refused> {
        if agent.is_none() && team.is_none() {
            return Err(self.refuse("assign", "nobody_named"));
        }
        let holder = self.c.holder.assignee();
        let same_team = team.is_none() || team == self.c.team();
        if self.c.holder.is_human() && agent == holder && same_team {
            return Ok(());
        }
        if agent == Some(by.agent) && holder.is_some_and(|holder| holder != by.agent) {
            return Err(self.refuse("assign", "held_by_colleague"));
        }
        self.fresh_enough(by, "assign")?;
        let actor = Actor::Agent(by.agent);
        self.cancel_turn(actor, CancelReason::Takeover);
        let Some(agent) = agent else {
            self.queue(actor, HandoffCode::Assigned, team);
            return Ok(());
        };
        self.log(actor, Record::Assigned { agent, team });
        if Some(agent) != holder {
            self.notice(NoticeCode::AgentJoined);
            self.effects.push(Effect::OrderBrief);
        }
        Ok(())
    }

    pub(super) fn assign_to_ai(
        &mut self,
        by: By,
        note: Option<MessageId>,
        column: Column,
    ) -> Result<(), Refused> {
        self.fresh_enough(by, "assign_to_ai")?;
        if !self.ai_may_hold() {
            // Nothing changes and the agent is told, instead of the conversation silently landing in the queue.
            return Err(self.refuse("assign_to_ai", "ai_unavailable"));
        }
        let actor = Actor::Agent(by.agent);
        if column == Column::Closed {
            self.log(actor, Record::Reopened { by: actor, to: Entry::Assistant });
        }
        self.return_to_ai(actor, by.agent, note);
        Ok(())
    }

    pub(super) fn return_to_ai(&mut self, actor: Actor, by: AgentId, note: Option<MessageId>) {
        self.log(actor, Record::ReturnedToAi { by, note });
        self.notice(NoticeCode::ReturnedToAi);
        if self.c.unanswered.is_some() {
            self.due_turn(actor);
        }
    }

    pub(super) fn echo(
        &mut self,
        owner: AgentId,
        message: MessageId,
        sent_at: Timestamp,
        column: Column,
    ) {
        let actor = Actor::Agent(owner);
        if self.c.returned.is_some_and(|r| sent_at < r.at) {
            // Older than the last return: a public reply to what came before it, but no reach for the baton.
            self.cancel_turn(actor, CancelReason::LateEcho);
            self.log(actor, Record::LateEcho { message, sent_at });
            if column == Column::Assistant && self.c.unanswered.is_some() {
                self.due_turn(Actor::System);
            }
            return;
        }
        match column {
            Column::Assistant => self.take_over(owner),
            Column::Queue => {
                self.log(actor, Record::Assigned { agent: owner, team: None });
            }
            Column::Assigned => {}
            Column::Closed => {
                self.log(actor, Record::Reopened { by: actor, to: Entry::Agent { agent: owner } });
            }
        }
        self.log(actor, Record::AgentWrote { agent: owner, message });
    }

    pub(super) fn set_ai_mode(&mut self, agent: AgentId, mode: AiMode, column: Column) {
        let actor = Actor::Agent(agent);
        match (column, mode) {
            (Column::Assistant, AiMode::Off | AiMode::Draft) => {
                self.cancel_turn(actor, CancelReason::AiOff);
                self.log(actor, Record::AiModeSet { mode });
                self.log(actor, Record::Assigned { agent, team: None });
                self.notice(NoticeCode::AgentJoined);
                self.effects.push(Effect::OrderBrief);
            }
            (Column::Assistant, AiMode::On)
            | (Column::Queue | Column::Assigned | Column::Closed, _) => {
                self.log(actor, Record::AiModeSet { mode });
            }
        }
    }

    /// A snooze moves the obligation's deadline on; it does not end it.
    pub(super) fn move_deadline(&mut self, until: Timestamp) {
        if let Some(open) = self.c.obligation
            && open.due_at.is_none_or(|due_at| due_at < until)
        {
            let moved = Record::ObligationMoved { due_at: Some(until), step: open.step };
            self.log(Actor::System, moved);
        }
    }
}
