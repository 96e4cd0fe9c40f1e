//! The only door through which a conversation changes.
//!
//! Every change, whoever asks (visitor, agent, turn, timer, echo, API, another node), is one [`Event`] handed to
//! [`Conversations::commit`], which loads, steps the pure machine, checks the fence, and stores state, messages, events and
//! due work in one transaction. Fan-out comes after COMMIT; only the gate of a stopped turn is shut before it.

use std::sync::Arc;
use std::time::Duration;

use super::desk::Seat;
use super::events::Wire;
use super::message::Actor;
use super::others::Item;
use super::record::Record;
use super::state::{Conversation, Pace};
use super::step::{Effect, Event, Facts, Fresh, Refused, Step, start, step};
use super::store::{self, Loaded, TurnFacts};
use crate::clock::Clock;
use crate::db::{Conn, Db, DbError, sql};
use crate::guard::Guard;
use crate::ids::{ConversationId, Ids, NodeId, WorkspaceId};
use crate::metrics;

mod command;
mod turns;
mod write;

pub use command::{Command, CommitError, Committed, Target, TurnRecord, Words};

/// How long a turn may run without a sign of life before another worker may take it, unless the installation says otherwise.
pub const TURN_LEASE: Duration = Duration::from_secs(15);

/// Conversations of one process. Cheap to clone.
#[derive(Clone)]
pub struct Conversations {
    db: Db,
    clock: Clock,
    ids: Ids,
    wire: Arc<Wire>,
    node: NodeId,
    pace: Option<Pace>,
    turn_lease: Duration,
}

type Outcome = Result<Committed, CommitError>;

impl Conversations {
    /// The door to the conversations in `db`, for this process.
    #[must_use]
    pub fn new(db: Db, clock: Clock, ids: Ids, wire: Arc<Wire>) -> Self {
        let node = ids.fresh();
        Self { db, clock, ids, wire, node, pace: None, turn_lease: TURN_LEASE }
    }

    /// With the installation's pace of turns instead of the standard one.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// With the installation's lease of a turn instead of the standard one.
    #[must_use]
    pub fn with_turn_lease(mut self, lease: Duration) -> Self {
        self.turn_lease = lease;
        self
    }

    /// How long a turn may run without a sign of life before another worker may take it.
    #[must_use]
    pub fn turn_lease(&self) -> Duration {
        self.turn_lease
    }

    /// Everything live.
    #[must_use]
    pub fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// The database, for reading.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where ids come from.
    #[must_use]
    pub fn ids(&self) -> Ids {
        self.ids
    }

    /// This process.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Commits one change; durable when it returns.
    ///
    /// # Errors
    /// [`CommitError`]; nothing has changed then.
    pub async fn commit(&self, command: Command) -> Outcome {
        let door = self.clone();
        let stale = matches!(&command.event, Event::TurnAnswered { .. });
        let committed = self
            .db
            .write(move |conn| {
                let door = door.clone();
                let command = command.clone();
                Box::pin(async move {
                    match door.unit(conn, command).await {
                        Err(CommitError::Db(error)) => Err(raced(error)),
                        decided => Ok(decided),
                    }
                })
            })
            .await?;
        if stale && committed.as_ref().is_ok_and(|c| c.too_late) {
            tracing::debug!("a turn's result came too late and was dropped");
        }
        committed
    }

    /// Fires every timer of a conversation that is due.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn fire_timers(
        &self,
        workspace: WorkspaceId,
        id: ConversationId,
    ) -> Result<(), CommitError> {
        let mut conn = self.db.read().await?;
        let Some(loaded) = store::load(&mut conn, workspace, id, None).await? else {
            return Ok(());
        };
        drop(conn);
        let now = self.clock.now();
        let mut due = loaded.conversation.timers(&loaded.policy);
        due.retain(|timer| timer.due_at <= now);
        due.sort_by_key(|timer| timer.due_at);
        for timer in due {
            metrics::get().work.timer_late.record(now.since(timer.due_at));
            let event = Event::TimerFired { kind: timer.kind, anchor: timer.anchor };
            self.commit(Command::new(workspace, id, event)).await?;
        }
        // A policy that changed since leaves an old time behind.
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let Some(l) = store::load(conn, workspace, id, None).await? else { return Ok(()) };
                    sql("UPDATE conversation SET next_timer_at = $3 WHERE workspace = $1 AND id = $2 AND seq = $4")
                        .bind(workspace)
                        .bind(id)
                        .bind(l.conversation.next_timer_at(&l.policy))
                        .bind(l.conversation.seq)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    async fn unit(&self, conn: &mut Conn, command: Command) -> Outcome {
        let workspace = command.workspace;
        let (loaded, is_new) = self.find(conn, &command).await?;
        let before = loaded.conversation.clone();
        if let Some(store::Sent { author_kind, client_id }) = command.sent()
            && loaded.sent_before
            && !Guard::ClientId.is_broken()
        {
            let id = before.id;
            let stored =
                store::message_by_client_id(conn, workspace, id, author_kind, client_id).await?;
            if let Some(message) = stored {
                return Ok(Committed {
                    conversation: before,
                    events: Vec::new(),
                    message: Some(message),
                    duplicate: true,
                    too_late: false,
                });
            }
        }
        let blocked = match &command.target {
            Target::Contact { contact, .. } if is_new => {
                store::contact_blocked(conn, workspace, *contact)
                    .await?
                    .ok_or(CommitError::NotFound("contact"))?
            }
            Target::Contact { .. } | Target::Conversation(_) => before.blocked,
        };
        let (facts, stepped) = loop {
            let facts = self.facts(&loaded);
            let stepped = if is_new {
                first(before.clone(), blocked, &command.event, &facts)?
            } else {
                step(&before, &command.event, &facts).map_err(|refused| stale(refused, &before))?
            };
            // A sentence that slips out between the look and the stop makes the step another one; it happens once a turn.
            if self.stop_turns(&stepped, &facts) {
                break (facts, stepped);
            }
        };
        let too_late = stepped.effects.iter().any(|e| matches!(e, Effect::CloseTurn(_)));
        let (stepped, taken) = self.taken_at_once(stepped, &loaded, &facts);
        if stepped.records.is_empty() {
            return Ok(Committed {
                conversation: before,
                events: Vec::new(),
                message: None,
                duplicate: false,
                too_late,
            });
        }
        self.write(conn, command, loaded, is_new, stepped, &facts, taken).await
    }

    /// Leases a turn that this step has made due and that need not wait, if a worker of this node has a place for it.
    fn taken_at_once(
        &self,
        stepped: Step,
        loaded: &Loaded,
        facts: &Facts,
    ) -> (Step, Option<(TurnFacts, Seat)>) {
        let made_due = stepped.records.iter().rev().find_map(|(_, record)| match record {
            Record::TurnDue { turn, run_at } if *run_at <= facts.now => Some(*turn),
            _ => None,
        });
        let current = stepped.next.holder.turn().filter(|turn| Some(turn.id) == made_due);
        let (Some(turn), Some(asked)) = (current.copied(), TurnFacts::of(loaded)) else {
            return (stepped, None);
        };
        let Some(seat) = self.wire.desk.seat(&self.wire.gates, turn.id, turn.attempt + 1) else {
            return (stepped, None);
        };
        let event = Event::TurnLeased { turn: turn.id, seen_attempt: turn.attempt };
        match step(&stepped.next, &event, facts) {
            Ok(leased) if leased.next.holder.turn().is_some_and(|t| t.id == turn.id) => {
                let mut both = stepped;
                both.records.extend(leased.records);
                both.effects.extend(leased.effects);
                (Step { next: leased.next, ..both }, Some((asked, seat)))
            }
            // Whoever leases it later hears why not.
            Ok(_) | Err(_) => (stepped, None),
        }
    }

    async fn find(
        &self,
        conn: &mut Conn,
        command: &Command,
    ) -> Result<(Loaded, bool), CommitError> {
        let workspace = command.workspace;
        let (inbox, contact, origin) = match &command.target {
            Target::Conversation(id) => {
                store::wait_for_turn(conn, workspace, *id).await?;
                let loaded = store::load(conn, workspace, *id, command.sent()).await?;
                return Ok((loaded.ok_or(CommitError::NotFound("conversation"))?, false));
            }
            Target::Contact { inbox, contact, origin } => (inbox, contact, origin),
        };
        store::wait_for_turn_of_contact(conn, workspace, *inbox, *contact).await?;
        let loaded =
            store::load_of_contact(conn, workspace, *inbox, *contact, command.sent()).await?;
        if let Some(loaded) = loaded {
            return Ok((loaded, false));
        }
        let opening = store::load_inbox(conn, workspace, *inbox)
            .await?
            .ok_or(CommitError::NotFound("inbox"))?;
        let conversation =
            Conversation::unborn(self.ids.fresh(), workspace, *inbox, *contact, self.clock.now());
        let locale = origin.locale.clone();
        let store::Opening { policy, assistant, published } = opening;
        let loaded = Loaded {
            conversation,
            policy,
            assistant,
            published,
            locale,
            lease_until: None,
            sent_before: false,
        };
        Ok((loaded, true))
    }

    fn facts(&self, loaded: &Loaded) -> Facts {
        let c = &loaded.conversation;
        let now = self.clock.now();
        let presence = &self.wire.presence;
        Facts {
            now,
            assistant: loaded.assistant.as_ref().map(|(id, _)| *id),
            last_human_available: c
                .last_human
                .is_some_and(|agent| presence.is_available(c.workspace, agent)),
            anyone_online: presence.anyone_available(c.workspace),
            turn_released: c
                .holder
                .turn()
                .is_some_and(|turn| self.wire.gates.may_have_released(turn.id, turn.attempt)),
            lease_expired: loaded.lease_until.is_none_or(|until| until <= now),
            policy: match self.pace {
                Some(pace) => loaded.policy.clone().at(pace),
                None => loaded.policy.clone(),
            },
            fresh: Fresh {
                turn: self.ids.fresh(),
                notices: [self.ids.fresh(), self.ids.fresh()],
                alarm: self.ids.fresh(),
            },
        }
    }

    /// Shuts the gates of the turns that a step stops, before its COMMIT. `false` if one has just released a sentence of
    /// which the step did not know.
    fn stop_turns(&self, stepped: &Step, facts: &Facts) -> bool {
        stepped.effects.iter().all(|effect| match effect {
            Effect::StopTurn(turn) => {
                self.wire.others.tell(|| Item::Stops(*turn));
                self.wire.gates.shut(*turn, facts.turn_released)
            }
            _ => true,
        })
    }
}

/// Starts a conversation and takes its first event.
fn first(
    unborn: Conversation,
    blocked: bool,
    event: &Event,
    facts: &Facts,
) -> Result<Step, CommitError> {
    let visitor = Actor::Visitor(unborn.contact);
    let mut started = start(unborn, visitor, blocked, facts);
    if matches!(event, Event::VisitorStarted) {
        return Ok(started);
    }
    let then = step(&started.next, event, facts)?;
    started.records.extend(then.records);
    started.effects.extend(then.effects);
    Ok(Step { next: then.next, ..started })
}

/// A mismatch of epochs is told with who holds the conversation now.
fn stale(refused: Refused, now: &Conversation) -> CommitError {
    if refused.code == "stale_epoch" {
        CommitError::Stale { now: Box::new(now.clone()) }
    } else {
        CommitError::Refused(refused)
    }
}

/// Two that meet at a unique index have raced: the unit runs again and finds the other's row.
fn raced(error: DbError) -> DbError {
    let indexes = [
        "conversation_contact_unique",
        "message_client_unique",
        "event_seq_unique",
        "message_seq_unique",
    ];
    if indexes.iter().any(|index| error.is_unique(index)) { DbError::Conflict } else { error }
}
