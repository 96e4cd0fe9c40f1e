//! The door against real databases: once, in order, under the fence, replayable.

use std::sync::Arc;
use std::time::Duration;

use super::commit::{Command, CommitError, Conversations, TURN_LEASE, Target, TurnRecord, Words};
use super::record::{HandoffCode, Outcome, Record};
use super::state::{Column, Conversation, Fence, Policy};
use super::step::{By, Closer, Event, Reply};
use super::store::{self, Origin, Part, Span};
use super::{Actor, Cursor, Logged, MessageKind, Wire, lists};
use crate::clock::{Clock, Timestamp};
use crate::db::{Db, DbError, EngineKind, sql};
use crate::ids::{AgentId, AssistantId, ContactId, ConversationId, Ids, InboxId, WorkspaceId};

/// A workspace with an inbox, a published assistant, a contact and two agents.
pub(super) struct World {
    pub(super) door: Conversations,
    pub(super) clock: Clock,
    pub(super) workspace: WorkspaceId,
    inbox: InboxId,
    contact: ContactId,
    pub(super) ana: AgentId,
    budi: AgentId,
}

impl World {
    pub(super) async fn new(db: Db) -> Self {
        let ids = Ids;
        let clock = Clock::manual(Timestamp::from_millis(1_764_000_000_000));
        let world = Self {
            door: Conversations::new(db.clone(), clock.clone(), ids, Arc::new(Wire::default())),
            clock,
            workspace: ids.fresh(),
            inbox: ids.fresh(),
            contact: ids.fresh(),
            ana: ids.fresh(),
            budi: ids.fresh(),
        };
        let (ws, inbox, contact) = (world.workspace, world.inbox, world.contact);
        let people = [(world.ana, "Ana"), (world.budi, "Budi")];
        db.write(move |conn| {
            Box::pin(async move {
                let assistant: AssistantId = ids.fresh();
                sql("INSERT INTO workspace (id, name, created_at) VALUES ($1, 'Shop', 0)")
                    .bind(ws)
                    .execute(conn)
                    .await?;
                sql("INSERT INTO assistant (id, workspace, name, published, created_at) VALUES ($1, $2, 'Mira', 1, 0)")
                    .bind(assistant)
                    .bind(ws)
                    .execute(conn)
                    .await?;
                sql("INSERT INTO inbox (id, workspace, name, public_key, assistant, allowed_origins, settings, created_at)
                     VALUES ($1, $2, 'Web', $3, $4, '[]', '{}', 0)")
                    .bind(inbox)
                    .bind(ws)
                    .bind(inbox.to_string())
                    .bind(assistant)
                    .execute(conn)
                    .await?;
                sql("INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at) VALUES ($1, $2, 'en', '{}', 0, 0)")
                    .bind(contact)
                    .bind(ws)
                    .execute(conn)
                    .await?;
                for (agent, name) in people {
                    let account: crate::ids::AccountId = ids.fresh();
                    sql("INSERT INTO account (id, email, password_hash, created_at) VALUES ($1, $2, '', 0)")
                        .bind(account)
                        .bind(format!("{name}@{account}"))
                        .execute(conn)
                        .await?;
                    sql("INSERT INTO agent (id, workspace, account, name, role, created_at) VALUES ($1, $2, $3, $4, 'agent', 0)")
                        .bind(agent)
                        .bind(ws)
                        .bind(account)
                        .bind(name)
                        .execute(conn)
                        .await?;
                }
                Ok(())
            })
        })
        .await
        .expect("seeds");
        world
    }

    pub(super) fn says(&self, text: &str, client_id: &str) -> Command {
        Command {
            workspace: self.workspace,
            target: Target::Contact {
                inbox: self.inbox,
                contact: self.contact,
                origin: Origin { locale: "en".to_owned(), ..Origin::default() },
            },
            event: Event::VisitorWrote { message: Ids.fresh(), bare_thanks: false },
            words: Some(Words {
                text: text.to_owned(),
                client_id: Some(client_id.to_owned()),
                ..Words::default()
            }),
            evidence: None,
            turn_record: None,
        }
    }

    pub(super) fn command(&self, id: ConversationId, event: Event) -> Command {
        Command::new(self.workspace, id, event)
    }

    pub(super) async fn leased(&self, c: &Conversation) -> Fence {
        self.clock.advance(Duration::from_secs(1));
        let turn = c.holder.turn().expect("a turn is due").id;
        let committed = self
            .door
            .commit(self.command(c.id, Event::TurnLeased { turn, seen_attempt: 0 }))
            .await
            .expect("leases");
        assert!(matches!(committed.events[0].record, Record::TurnStarted { attempt: 1, .. }));
        Fence { epoch: committed.conversation.epoch, turn, attempt: 1 }
    }

    pub(super) fn answers(&self, c: &Conversation, fence: Fence) -> Command {
        let reply = Reply { message: Ids.fresh(), still_unanswered: false };
        self.command(c.id, Event::TurnAnswered { fence, reply })
            .with_words(Words { text: "Within two days.".to_owned(), ..Words::default() })
    }

    /// The log, folded again from nothing, is the state row; numbers have no gap.
    async fn assert_replays(&self, id: ConversationId) -> Conversation {
        let mut conn = self.door.db().read().await.expect("reads");
        let stored = store::load(&mut conn, self.workspace, id, None)
            .await
            .expect("loads")
            .expect("is there")
            .conversation;
        let log = store::timeline(&mut conn, self.workspace, id, Span::After(0), 10_000)
            .await
            .expect("reads the log");
        let start = log.first().expect("has a start").at;
        let mut replayed =
            Conversation::unborn(id, self.workspace, self.inbox, self.contact, start);
        for (number, logged) in (1..).zip(&log) {
            assert_eq!(logged.seq, number, "seq has a gap");
            replayed.apply(&logged.record, logged.at);
            assert_eq!(logged.epoch, replayed.epoch);
            let words = logged.record.message();
            assert_eq!(words.is_some(), logged.message.is_some(), "{:?}", logged.record);
        }
        assert_eq!(replayed, stored);
        let seen = store::messages(&mut conn, self.workspace, id, Part::PublicAfter(0), 10_000)
            .await
            .expect("reads");
        let numbers: Vec<u64> = seen.iter().filter_map(|m| m.public_seq).collect();
        assert_eq!(numbers, (1..=stored.public_seq).collect::<Vec<_>>(), "public_seq has a gap");
        stored
    }
}

async fn everywhere<F, Fut>(test: F)
where
    F: Fn(World) -> Fut,
    Fut: Future<Output = ()>,
{
    for db in crate::db::testing::databases().await {
        test(World::new(db).await).await;
    }
}

pub(super) fn by(agent: AgentId, c: &Conversation) -> By {
    By { agent, expected_epoch: Some(c.epoch) }
}

#[tokio::test]
async fn a_message_is_stored_once_and_a_turn_is_due() {
    everywhere(|w| async move {
        let first = w.door.commit(w.says("Where is my parcel?", "c1")).await.expect("commits");
        assert_eq!(first.conversation.holder.column(), Column::Assistant);
        assert!(first.conversation.holder.turn().is_some());
        let again = w.door.commit(w.says("Where is my parcel?", "c1")).await.expect("commits");
        assert!(again.duplicate);
        assert_eq!(again.message, first.message);
        let stored = w.assert_replays(first.conversation.id).await;
        assert_eq!(stored.public_seq, 1);
    })
    .await;
}

#[tokio::test]
async fn of_two_that_read_the_same_row_only_one_writes_it() {
    everywhere(|w| async move {
        let read = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let takes = Event::AgentTakesOver {
            by: By { agent: w.ana, expected_epoch: None },
            from_colleague: false,
        };
        w.door.commit(w.command(read.id, takes)).await.expect("takes over");
        let (id, now) = (read.id, w.clock.now());
        let late = w.door.db().write(move |conn| {
            let read = read.clone();
            Box::pin(async move {
                let mut next = read.clone();
                next.apply(&Record::Unsnoozed, now);
                store::update(conn, &read, &next, &Policy::default(), None, now).await
            })
        });
        let late = late.await;
        assert!(matches!(late, Err(DbError::Conflict)), "a row was overwritten unread: {late:?}");
        assert_eq!(w.assert_replays(id).await.holder.assignee(), Some(w.ana));
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_renewed_after_it_was_read_is_not_taken() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let held = w.leased(&c).await;
        let read = w.assert_replays(c.id).await;
        w.clock.advance(TURN_LEASE);
        // Another node has read that the lease is over; before it commits, the holder renews.
        let renewed = w.door.renew_lease(w.workspace, held.turn, held.attempt).await;
        assert!(renewed.expect("renews"), "nobody has taken it");
        let attempt = held.attempt + 1;
        let assistant: AssistantId = Ids.fresh();
        let record = Record::TurnStarted { turn: held.turn, assistant, attempt, through: read.seq };
        let take = || {
            let (read, record, now) = (read.clone(), record.clone(), w.clock.now());
            let lease = store::Lease { node: Ids.fresh(), until: now + TURN_LEASE };
            w.door.db().write(move |conn| {
                let (read, record) = (read.clone(), record.clone());
                Box::pin(async move {
                    let logged = Logged {
                        seq: read.seq + 1,
                        epoch: read.epoch,
                        at: now,
                        actor: Actor::System,
                        record,
                        message: None,
                        evidence: None,
                    };
                    store::project(conn, &read, &read, &logged, lease, now).await
                })
            })
        };
        let taken = take().await;
        assert!(matches!(taken, Err(DbError::Conflict)), "a held lease was taken: {taken:?}");
        w.clock.advance(TURN_LEASE);
        take().await.expect("it is over now");
        let late = w.door.renew_lease(w.workspace, held.turn, held.attempt).await;
        assert!(!late.expect("asks"), "a lease that was taken was renewed");
    })
    .await;
}

/// A conversation of somebody else in the same inbox.
async fn another_conversation(w: &World) -> ConversationId {
    let (workspace, contact): (_, ContactId) = (w.workspace, Ids.fresh());
    let made = w.door.db().write(move |conn| {
        Box::pin(async move {
            sql("INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at) VALUES ($1, $2, 'en', '{}', 0, 0)")
                .bind(contact)
                .bind(workspace)
                .execute(conn)
                .await
        })
    });
    made.await.expect("stores a contact");
    let mut says = w.says("Me too.", "other");
    if let Target::Contact { contact: from, .. } = &mut says.target {
        *from = contact;
    }
    w.door.commit(says).await.expect("commits").conversation.id
}

#[tokio::test]
async fn a_feed_that_is_resumed_skips_nothing_that_commits_late() {
    everywhere(|w| async move {
        let slow = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let fast = another_conversation(&w).await;
        let db = w.door.db().clone();
        let workspace = w.workspace;
        let read = async |after| {
            let mut conn = db.read().await.expect("reads");
            lists::feed_after(&mut conn, workspace, after, 100).await.expect("reads")
        };
        let mut seen = read(Cursor::default()).await;
        // SQLite has one writer: there nothing can overtake.
        let (written, has_written) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
        let mut once = Some((written, may_go_on));
        let id = slow.id;
        let holds = db.kind() == EngineKind::Postgres;
        let late = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |conn| {
                    let once = once.take();
                    Box::pin(async move {
                        sql("INSERT INTO event (workspace, conversation, seq, epoch, kind, actor_kind, data, at)
                             VALUES ($1, $2, 1000, 1, 'unsnoozed', 'system', '{}', 0)")
                            .bind(workspace)
                            .bind(id)
                            .execute(conn)
                            .await?;
                        if let Some((written, may_go_on)) = once.filter(|_| holds) {
                            written.send(()).map_err(|()| DbError::Closed)?;
                            may_go_on.await.map_err(|_| DbError::Closed)?;
                        }
                        Ok(())
                    })
                })
                .await
            }
        });
        if holds {
            has_written.await.expect("the late unit has written");
        }
        let closes = Event::Close {
            by: Closer::Agent(By { agent: w.ana, expected_epoch: None }),
            outcome: Outcome::Solved,
        };
        w.door.commit(w.command(fast, closes)).await.expect("lands first");
        let last = |seen: &[lists::Fed]| seen.last().map_or(Cursor::default(), |fed| fed.cursor);
        seen.extend(read(last(&seen)).await);
        if holds {
            go_on.send(()).expect("the late unit waits");
        }
        late.await.expect("does not panic").expect("writes");
        // The horizon may be held for a moment by whoever else is on the server.
        let mut stood = last(&seen);
        while !seen.iter().any(|fed| fed.conversation == fast && fed.seq > 5) {
            seen.extend(read(stood).await);
            stood = last(&seen);
            tokio::task::yield_now().await;
        }
        assert!(
            seen.iter().any(|fed| fed.conversation == slow.id && fed.seq == 1000),
            "the event that committed late was skipped: {seen:?}"
        );
        assert!(seen.is_sorted_by_key(|fed| fed.cursor), "out of order: {seen:?}");
    })
    .await;
}

#[tokio::test]
async fn a_burst_from_many_tabs_keeps_one_order_and_loses_nothing() {
    everywhere(|w| async move {
        let texts: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
        let sends = texts.iter().map(|text| {
            let (door, command) = (w.door.clone(), w.says(text, text));
            tokio::spawn(async move { door.commit(command).await })
        });
        let mut id = None;
        for sent in futures_util::future::join_all(sends).await {
            let committed = sent.expect("does not panic").expect("commits");
            assert!(id.is_none_or(|id| id == committed.conversation.id), "one conversation");
            id = Some(committed.conversation.id);
        }
        let stored = w.assert_replays(id.expect("started")).await;
        assert_eq!(stored.public_seq, 40);
    })
    .await;
}

#[tokio::test]
async fn after_a_takeover_no_word_of_the_assistant_is_committed() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let fence = w.leased(&c).await;
        let taken = w
            .door
            .commit(w.command(
                c.id,
                Event::AgentTakesOver {
                    by: By { agent: w.ana, expected_epoch: None },
                    from_colleague: false,
                },
            ))
            .await
            .expect("takes over");
        assert_eq!(taken.conversation.holder.assignee(), Some(w.ana));
        let late = w.door.commit(w.answers(&c, fence)).await.expect("is dropped");
        assert!(late.too_late);
        assert!(late.events.is_empty());
        let stored = w.assert_replays(c.id).await;
        let mut conn = w.door.db().read().await.expect("reads");
        let all = store::messages(&mut conn, w.workspace, c.id, Part::PublicAfter(0), 100)
            .await
            .expect("reads");
        assert!(all.iter().all(|m| !matches!(m.author, Actor::Assistant(_))), "{all:?}");
        let notice = all.last().expect("a notice");
        assert_eq!(notice.notice.as_deref(), Some("agent_joined"));
        assert!(notice.text.contains("Ana"), "{}", notice.text);
        assert!(stored.obligation.is_some());
    })
    .await;
}

#[tokio::test]
async fn what_was_released_of_a_broken_answer_is_kept_and_handed_off_in_one() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let fence = w.leased(&c).await;
        let reason = HandoffCode::ModelFailed;
        let broke_off = Event::TurnFailed { fence, reason, released: Some(Ids.fresh()) };
        let command = w.command(c.id, broke_off);
        let command = command.with_words(Words { text: "Within".to_owned(), ..Words::default() });
        let kept = w.door.commit(command).await.expect("commits").message.expect("a message");
        assert!(kept.incomplete && kept.answers.is_none(), "{kept:?}");
        let stored = w.assert_replays(c.id).await;
        assert_eq!(stored.holder.column(), Column::Queue);
        assert!(stored.obligation.is_some(), "the question still waits");
    })
    .await;
}

#[tokio::test]
async fn the_answer_and_the_takeover_race_to_exactly_one_outcome() {
    everywhere(|w| async move {
        for round in 0..12 {
            let c = w
                .door
                .commit(w.says("Hello?", &format!("r{round}")))
                .await
                .expect("commits")
                .conversation;
            let fence = w.leased(&c).await;
            let takes = Event::AgentTakesOver {
                by: By { agent: w.ana, expected_epoch: None },
                from_colleague: false,
            };
            let (door, take) = (w.door.clone(), w.command(c.id, takes));
            let taking = tokio::spawn(async move { door.commit(take).await });
            let answered = w.door.commit(w.answers(&c, fence)).await.expect("commits");
            let taken = taking.await.expect("does not panic").expect("takes over");
            let log = w.assert_replays(c.id).await;
            assert_eq!(log.holder.assignee(), Some(w.ana));
            if answered.too_late {
                assert!(
                    taken.events.iter().any(|e| matches!(e.record, Record::TurnCancelled { .. }))
                );
            } else {
                let answered_at = answered.events[0].seq;
                assert!(taken.events.iter().all(|e| e.seq > answered_at));
            }
            let back = Event::AssignToAi { by: by(w.ana, &taken.conversation), note: None };
            w.door.commit(w.command(c.id, back)).await.expect("hands back");
            let closes = Event::Close {
                by: Closer::Agent(By { agent: w.ana, expected_epoch: None }),
                outcome: Outcome::Solved,
            };
            w.door.commit(w.command(c.id, closes)).await.expect("closes");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stale_screen_is_told_who_holds_the_conversation() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let fence = w.leased(&c).await;
        let hands_off =
            w.command(c.id, Event::TurnHandsOff { fence, reason: HandoffCode::NoAnswer });
        let queued = w.door.commit(hands_off).await.expect("hands off").conversation;
        let writes = |agent, seen: &Conversation, text: &str| {
            w.command(c.id, Event::AgentWrites { by: by(agent, seen), message: Ids.fresh() })
                .with_words(Words { text: text.to_owned(), ..Words::default() })
        };
        let taken = w.door.commit(writes(w.ana, &queued, "Hi, Ana here.")).await.expect("writes");
        assert_eq!(taken.message.expect("has words").author_name.as_deref(), Some("Ana"));
        let refused = w.door.commit(writes(w.budi, &queued, "Hi, Budi here.")).await;
        let Err(CommitError::Stale { now }) = refused else { panic!("not refused: {refused:?}") };
        assert_eq!(now.holder.assignee(), Some(w.ana));
        w.assert_replays(c.id).await;
    })
    .await;
}

#[tokio::test]
async fn notes_and_return_notes_stay_private() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let note = Event::AgentNotes { agent: w.ana, message: Ids.fresh() };
        let noted = w
            .door
            .commit(
                w.command(c.id, note)
                    .with_words(Words { text: "VIP".to_owned(), ..Words::default() }),
            )
            .await
            .expect("notes")
            .message
            .expect("has words");
        assert_eq!((noted.kind, noted.public_seq), (MessageKind::Note, None));
        assert!(super::PublicMessage::of(&noted).is_none());
        w.assert_replays(c.id).await;
    })
    .await;
}

#[tokio::test]
async fn a_missed_promise_raises_alarms_up_to_the_owners() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let fence = w.leased(&c).await;
        let hands_off =
            w.command(c.id, Event::TurnHandsOff { fence, reason: HandoffCode::NoAnswer });
        w.door.commit(hands_off).await.expect("hands off");
        for expected in ["inbox", "owners"] {
            w.clock.advance(Duration::from_secs(601));
            w.door.fire_timers(w.workspace, c.id).await.expect("fires");
            let mut conn = w.door.db().read().await.expect("reads");
            let (recipient,): (String,) =
                sql("SELECT recipient FROM alarm WHERE workspace = $1 ORDER BY step DESC LIMIT 1")
                    .bind(w.workspace)
                    .one(&mut conn)
                    .await
                    .expect("an alarm");
            assert_eq!(recipient, expected);
        }
        w.assert_replays(c.id).await;
        let mut conn = w.door.db().read().await.expect("reads");
        let due = store::due_timers(&mut conn, w.clock.now(), 10).await.expect("reads");
        assert!(due.is_empty(), "the ladder is at its end");
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_another_workspace_is_not_there() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Hello?", "c1")).await.expect("commits").conversation;
        let closes = Event::Close {
            by: Closer::Agent(By { agent: w.ana, expected_epoch: None }),
            outcome: Outcome::Solved,
        };
        let refused = w.door.commit(Command::new(Ids.fresh(), c.id, closes)).await;
        assert!(matches!(refused, Err(CommitError::NotFound("conversation"))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn what_explains_a_result_is_not_overwritten_by_a_worker_that_never_heard_of_it() {
    everywhere(|w| async move {
        let c = w.door.commit(w.says("Where is it?", "c1")).await.expect("commits").conversation;
        let fence = w.leased(&c).await;
        let explained = |outcome: &str| TurnRecord { fence, json: outcome.to_owned() };
        let mut answers = w.answers(&c, fence);
        answers.turn_record = Some(explained("\"answered\""));
        assert!(!w.door.commit(answers.clone()).await.expect("commits").too_late);
        // COMMIT went through, its answer did not: the worker asks again and learns that it is too late.
        assert!(w.door.commit(answers).await.expect("commits").too_late);
        let late = explained("\"discarded\"");
        w.door.record_turn(w.workspace, c.id, late).await.expect("stored");
        let mut conn = w.door.db().read().await.expect("reads");
        let (stored,): (String,) = sql("SELECT record FROM turn_record WHERE turn = $1")
            .bind(fence.turn)
            .one(&mut conn)
            .await
            .expect("is there");
        assert_eq!(stored, "\"answered\"");
    })
    .await;
}
