//! What one accepted step leaves in the database, and what happens once it is there.

use std::sync::Arc;

use super::{Command, CommitError, Committed, Conversations, Outcome, Target, TurnRecord, Words};
use crate::conversation::desk::Seat;
use crate::conversation::events::{Change, Logged};
use crate::conversation::figures;
use crate::conversation::message::{Actor, Message, MessageKind};
use crate::conversation::record::{Entry, NoticeCode, Record};
use crate::conversation::state::{Conversation, Holder};
use crate::conversation::step::{Effect, Event, Facts, Step};
use crate::conversation::store::{self, Lease, Loaded, TurnFacts};
use crate::db::{Conn, DbError};
use crate::ids::{AgentId, MessageId, WorkspaceId};
use crate::text::catalogue;

impl Conversations {
    #[expect(clippy::too_many_arguments, reason = "all that one transaction writes")]
    pub(super) async fn write(
        &self,
        conn: &mut Conn,
        command: Command,
        loaded: Loaded,
        is_new: bool,
        stepped: Step,
        facts: &Facts,
        taken: Option<(TurnFacts, Seat)>,
    ) -> Outcome {
        let before = loaded.conversation.clone();
        let held_by = figures::holder(&before.holder);
        let events = self.logged(conn, &command, &loaded, &stepped, facts).await?;
        let after = stepped.next;
        let newest = events.iter().rev().find_map(|e| {
            e.message.as_ref().filter(|m| m.public_seq.is_some() && m.kind == MessageKind::Text)
        });
        let snippet = newest.map(store::snippet).transpose()?;
        if is_new {
            let Target::Contact { origin, .. } = &command.target else {
                return Err(CommitError::NotFound("conversation"));
            };
            store::insert(conn, &after, origin, &loaded.policy, snippet, facts.now).await?;
        } else {
            store::update(conn, &before, &after, &loaded.policy, snippet, facts.now).await?;
        }
        let lease = Lease { node: self.node, until: facts.now + self.turn_lease };
        let cursor = store::insert_events(conn, &after, &events).await?;
        // As it stood just before each event: what one of them has ended, the next does not end again.
        let mut at = before;
        for logged in &events {
            if let Some(message) = &logged.message {
                store::insert_message(conn, &after, message).await?;
            }
            if let Some(evidence) = &logged.evidence {
                store::insert_evidence(conn, &after, logged.seq, evidence).await?;
            }
            store::project(conn, &at, &after, logged, lease, facts.now).await?;
            at.apply(&logged.record, facts.now);
        }
        for effect in &stepped.effects {
            let kind = match effect {
                Effect::OrderBrief => "brief",
                Effect::OrderSummary => "summary",
                Effect::OrderSuggestions => "suggestions",
                Effect::StopTurn(_) | Effect::CloseTurn(_) => continue,
            };
            let payload = format!(r#"{{"at_seq":{}}}"#, after.seq);
            store::insert_job(conn, &after, self.ids.fresh(), kind, payload, facts.now).await?;
        }
        if let Some(TurnRecord { fence, json }) = command.turn_record {
            let (ws, id) = (after.workspace, after.id);
            let (turn, attempt) = (fence.turn, fence.attempt);
            store::put_turn_record(conn, ws, id, turn, attempt, json, facts.now).await?;
        }
        let wanted = message_of(&command.event);
        let message = wanted
            .and_then(|id| events.iter().find_map(|e| e.message.as_ref().filter(|m| m.id == id)))
            .cloned();
        let change =
            Arc::new(Change { conversation: after.clone(), events: events.clone(), cursor });
        let wire = Arc::clone(&self.wire);
        let orders_work = !stepped.effects.is_empty();
        let next_timer = after.next_timer_at(&loaded.policy);
        let taken = taken.and_then(|(facts, seat)| seat.taken_by(&after, facts));
        conn.after_commit(move || {
            if orders_work {
                wire.job_due.notify_one();
            }
            if let Some(taken) = &taken {
                taken.leased();
            }
            wire.timer_at(next_timer);
            figures::count(held_by, &change.events);
            wire.publish(change);
            if let Some(taken) = taken {
                taken.begin();
            }
        });
        Ok(Committed { conversation: after, events, message, duplicate: false, too_late: false })
    }

    /// Numbers the records and gives each its words.
    async fn logged(
        &self,
        conn: &mut Conn,
        command: &Command,
        loaded: &Loaded,
        stepped: &Step,
        facts: &Facts,
    ) -> Result<Vec<Logged>, CommitError> {
        let mut at = loaded.conversation.clone();
        let mut names = Names { workspace: at.workspace, known: Vec::new() };
        let mut events = Vec::with_capacity(stepped.records.len());
        for (actor, record) in &stepped.records {
            let held_by = at.holder.clone();
            at.apply(record, facts.now);
            let message = match record.message() {
                None => None,
                Some(id) => {
                    let words = match record {
                        Record::Noticed { code, .. } => {
                            let name = match (code, at.holder.assignee()) {
                                (NoticeCode::AgentJoined, Some(agent)) => {
                                    names.of(conn, agent).await?
                                }
                                _ => loaded.assistant.as_ref().map(|a| a.1.clone()),
                            };
                            let text = catalogue::text(
                                &loaded.locale,
                                code.as_str(),
                                name.as_deref().unwrap_or_default(),
                            );
                            Words { text, ..Words::default() }
                        }
                        _ => command.words.clone().unwrap_or_default(),
                    };
                    let author_name = match actor {
                        Actor::Agent(agent) => names.of(conn, *agent).await?,
                        Actor::Assistant(_) => loaded.assistant.as_ref().map(|a| a.1.clone()),
                        Actor::Visitor(_) | Actor::System => None,
                    };
                    Some(message(id, &at, &held_by, *actor, author_name, record, words, facts))
                }
            };
            if let Record::TookOver { agent, .. }
            | Record::Assigned { agent, .. }
            | Record::Reopened { to: Entry::Agent { agent }, .. } = record
                && names.of(conn, *agent).await?.is_none()
            {
                return Err(CommitError::NotFound("agent"));
            }
            let evidence = match record {
                Record::HandedOff { .. } => command.evidence.clone(),
                _ => None,
            };
            events.push(Logged {
                seq: at.seq,
                epoch: at.epoch,
                at: facts.now,
                actor: *actor,
                record: record.clone(),
                message,
                evidence,
            });
        }
        Ok(events)
    }
}

/// Names of agents met in one step.
struct Names {
    workspace: WorkspaceId,
    known: Vec<(AgentId, Option<String>)>,
}

impl Names {
    async fn of(&mut self, conn: &mut Conn, agent: AgentId) -> Result<Option<String>, DbError> {
        if let Some((_, name)) = self.known.iter().find(|(id, _)| *id == agent) {
            return Ok(name.clone());
        }
        let name = store::agent_name(conn, self.workspace, agent).await?;
        self.known.push((agent, name.clone()));
        Ok(name)
    }
}

#[expect(clippy::too_many_arguments, reason = "one row with all its columns, built in one place")]
fn message(
    id: MessageId,
    at: &Conversation,
    held_by: &Holder,
    author: Actor,
    author_name: Option<String>,
    record: &Record,
    words: Words,
    facts: &Facts,
) -> Message {
    let kind = match record {
        Record::Noticed { .. } => MessageKind::Notice,
        Record::Noted { .. } => MessageKind::Note,
        Record::ReturnedToAi { .. } => MessageKind::ReturnNote,
        _ => MessageKind::Text,
    };
    let notice = match record {
        Record::Noticed { code, .. } => Some(code.as_str().to_owned()),
        _ => None,
    };
    let (turn, answers, incomplete) = match record {
        Record::AssistantAnswered { turn, answers, .. } => {
            (Some(*turn), *answers, answers.is_none() && held_by.turn().is_some())
        }
        _ => (None, None, false),
    };
    Message {
        id,
        seq: at.seq,
        public_seq: record.is_public().then_some(at.public_seq),
        kind,
        notice,
        author,
        author_name,
        text: words.text,
        citations: words.citations,
        client_id: words.client_id,
        turn,
        answers,
        incomplete,
        flags: words.flags,
        at: facts.now,
    }
}

fn message_of(event: &Event) -> Option<MessageId> {
    match event {
        Event::VisitorWrote { message, .. }
        | Event::AgentWrites { message, .. }
        | Event::AgentNotes { message, .. }
        | Event::ChannelEcho { message, .. } => Some(*message),
        Event::TurnAnswered { reply, .. } => Some(reply.message),
        Event::TurnFailed { released, .. } => *released,
        Event::AssignToAi { note, .. } => *note,
        _ => None,
    }
}
