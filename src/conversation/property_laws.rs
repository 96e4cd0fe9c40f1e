//! The laws as checks: of one step, and of a whole log.

use std::collections::BTreeSet;
use std::time::Duration;

use super::property_model::{Held, Log};
use super::test_world::*;
use super::*;
use crate::ids::{AgentId, TeamId};

/// Within this time an alarm follows, by the default policy.
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// How a conversation stood when an event came.
pub struct Before {
    world: World,
    event: Event,
    held: Held,
    right_fence: Option<bool>,
}

impl Before {
    pub fn of(world: &World, event: &Event) -> Self {
        let log = Log(&world.log);
        let right_fence = match event {
            Event::TurnAnswered { fence, .. }
            | Event::TurnHandsOff { fence, .. }
            | Event::TurnFailed { fence, .. } => Some(
                log.running() == Some((fence.turn, fence.attempt)) && fence.epoch == world.c.epoch,
            ),
            _ => None,
        };
        Self { world: world.clone(), event: event.clone(), held: log.held(), right_fence }
    }

    /// How long the log was.
    pub fn logged(&self) -> usize {
        self.world.log.len()
    }

    /// Whether it is an agent's command under an old epoch, where that has to match.
    fn stale_command(&self) -> bool {
        let by = match &self.event {
            Event::AgentTakesOver { by, .. } if self.held.by == Column::Assigned => by,
            Event::AgentWrites { by, .. }
            | Event::Assign { by, .. }
            | Event::ReturnToQueue { by }
            | Event::AssignToAi { by, .. }
            | Event::Snooze { by, .. }
            | Event::Close { by: Closer::Agent(by), .. }
            | Event::Reopen { by }
            | Event::SetAiMode { by, .. } => by,
            _ => return false,
        };
        by.expected_epoch != Some(self.world.c.epoch)
    }
}

/// All that the epoch stands for.
fn baton(c: &Conversation) -> (Column, Option<AgentId>, Option<TeamId>, AiMode, bool, bool, u32) {
    let (column, assignee) = (c.holder.column(), c.holder.assignee());
    (column, assignee, c.team(), c.ai_mode, c.blocked, c.erased, c.episode)
}

pub fn check_step(before: &Before, result: &Result<Step, Refused>, after: &World) {
    let (old, new) = (&before.world.c, &after.c);
    let Ok(step) = result else {
        assert_eq!(old, new, "a refused event changed something");
        assert!(
            !matches!(
                before.event,
                Event::VisitorWrote { .. } | Event::VisitorAskedForPerson { .. }
            ),
            "what a visitor says is never refused"
        );
        return;
    };
    let records: Vec<&Record> = step.records.iter().map(|(_, record)| record).collect();
    let has = |is: fn(&Record) -> bool| records.iter().any(|record| is(record));
    if records.is_empty() {
        assert_eq!(old, new, "a change without a record");
    }
    numbers(old, new, &records);
    assert!(new.epoch >= old.epoch, "the epoch fell");
    assert_eq!(new.epoch != old.epoch, baton(new) != baton(old), "epoch and baton move together");
    if before.right_fence == Some(false) {
        assert!(records.is_empty(), "a stale fence left records");
        assert!(matches!(step.effects[..], [Effect::CloseTurn(_)]), "its turn is closed");
    }
    if before.stale_command() {
        assert!(records.is_empty(), "a stale command left records");
    }
    said(before, &records, after);
    let assistants = |(actor, _): &&(Actor, Record)| matches!(actor, Actor::Assistant(_));
    if let Some((_, record)) = step.records.iter().find(assistants) {
        let leased = matches!(record, Record::TurnStarted { .. });
        assert!(
            leased || before.right_fence == Some(true),
            "the assistant acts under its fence only"
        );
    }
    if has(|r| matches!(r, Record::HandedOff { .. } | Record::Queued { .. })) {
        assert!(has(told_of_waiting), "an entry into the queue without its notice");
        assert!(
            step.effects.contains(&Effect::OrderBrief),
            "an entry into the queue without a brief"
        );
    }
    if old.holder.column() != Column::Assistant && new.holder.column() == Column::Assistant {
        assert!(after.facts.assistant.is_some(), "the AI got it though none may hold");
        let armed = new.timers(&after.facts.policy);
        assert!(armed.iter().all(|t| t.due_at > after.facts.now), "the AI got no time: {armed:?}");
    }
    if let Event::TimerFired { .. } = before.event {
        let again = step_again(before, after);
        assert!(
            again.records.is_empty(),
            "a timer fired twice on the same anchor: {:?}",
            again.records
        );
    }
    promises(old, &records);
}

fn told_of_waiting(record: &Record) -> bool {
    matches!(record, Record::Noticed { code, .. } if code.tells_of_waiting())
}

fn step_again(before: &Before, after: &World) -> Step {
    after.clone().put(&before.event).expect("timers are not refused")
}

/// Law 5: both numbers are gap-free.
fn numbers(old: &Conversation, new: &Conversation, records: &[&Record]) {
    let count = |n: usize| u64::try_from(n).expect("fits");
    assert_eq!(new.seq, old.seq + count(records.len()));
    let public = records.iter().filter(|record| {
        let private = matches!(record, Record::Noted { .. } | Record::ReturnedToAi { .. });
        record.message().is_some() && !private
    });
    assert_eq!(new.public_seq, old.public_seq + count(public.count()));
}

/// What was accepted is in the log, once.
fn said(before: &Before, records: &[&Record], after: &World) {
    let count = |is: &dyn Fn(&Record) -> bool| records.iter().filter(|r| is(r)).count();
    let wrote = count(&|r| matches!(r, Record::VisitorWrote { .. }));
    assert_eq!(wrote, usize::from(matches!(before.event, Event::VisitorWrote { .. })));
    let asked = count(&|r| matches!(r, Record::PersonRequested { .. }));
    assert_eq!(asked, usize::from(matches!(before.event, Event::VisitorAskedForPerson { .. })));
    let agents = count(&|r| matches!(r, Record::AgentWrote { .. } | Record::LateEcho { .. }));
    let writes = matches!(before.event, Event::AgentWrites { .. } | Event::ChannelEcho { .. });
    assert_eq!(agents, usize::from(writes));
    let replies = count(&|r| matches!(r, Record::AssistantAnswered { .. }));
    let answers = match before.event {
        Event::TurnAnswered { .. } => after.facts.assistant.is_some(),
        Event::TurnFailed { released, .. } => released.is_some(),
        _ => false,
    };
    assert_eq!(replies, usize::from(answers && before.right_fence == Some(true)));
    if let Event::ChannelEcho { sent_at, .. } = before.event
        && Log(&before.world.log).returned_at().is_some_and(|at| sent_at < at)
    {
        assert_eq!(
            count(&|r| matches!(r, Record::LateEcho { .. })),
            1,
            "a late echo is told apart"
        );
        assert_eq!(baton(&before.world.c), baton(&after.c), "a late echo took the baton");
    }
    if let Event::AgentTakesOver { by, .. } = &before.event {
        assert_eq!(after.c.holder.assignee(), Some(by.agent), "who takes over has it");
    }
}

/// Law 8: a promise ends by what its end names, in the same step; it is opened once.
fn promises(old: &Conversation, records: &[&Record]) {
    let has = |is: fn(&Record) -> bool| records.iter().any(|record| is(record));
    let mut open = old.obligation.is_some();
    for record in records {
        match record {
            Record::ObligationOpened { .. } => {
                assert!(!open, "two obligations");
                open = true;
            }
            Record::ObligationMoved { .. } => assert!(open, "no obligation to move"),
            Record::ObligationEnded { by } => {
                assert!(open, "no obligation to end");
                open = false;
                assert!(match by {
                    EndedBy::Reply =>
                        has(|r| matches!(r, Record::AgentWrote { .. } | Record::LateEcho { .. })),
                    EndedBy::Close => has(|r| matches!(r, Record::Closed { .. })),
                    EndedBy::Return => has(|r| matches!(r, Record::ReturnedToAi { .. })),
                    EndedBy::Ticket => false,
                });
            }
            _ => {}
        }
    }
}

/// What holds of every log and the state that stands on it; its first `checked` entries were looked at before.
pub fn check_log(world: &World, checked: usize) {
    let (c, log) = (&world.c, Log(&world.log));
    replays(world, checked);
    one_voice(world, checked);
    let held = log.held();
    assert_eq!((held.by, held.assignee), (c.holder.column(), c.holder.assignee()));
    nothing_is_lost(world);
    once(log);
    alarms(log);
    let running = c.holder.turn().filter(|turn| matches!(turn.phase, Phase::Running { .. }));
    assert_eq!(running.map(|turn| (turn.id, turn.attempt)), log.running(), "one running turn");
    if held.by == Column::Assistant {
        assert_eq!((c.ai_mode, c.blocked), (AiMode::On, false), "the assistant may not hold");
    }
    let kinds = c.timers(&world.facts.policy);
    for timer in &kinds {
        assert!(timer.anchor >= 1 && timer.anchor <= c.seq, "a timer hangs on an event");
        assert_eq!(kinds.iter().filter(|t| t.kind == timer.kind).count(), 1);
    }
}

/// The state is the fold of its log, and both survive storage.
fn replays(world: &World, checked: usize) {
    let mut replayed = world.unborn.clone();
    for (_, record, at) in &world.log {
        replayed.apply(record, *at);
    }
    assert_eq!(replayed, world.c, "replaying gives another state");
    let text = serde_json::to_string(&world.c).expect("serialises");
    assert_eq!(serde_json::from_str::<Conversation>(&text).expect("parses"), world.c);
    for (_, record, _) in &world.log[checked..] {
        let text = serde_json::to_string(record).expect("serialises");
        assert_eq!(&serde_json::from_str::<Record>(&text).expect("parses"), record);
    }
}

/// Law 1: the author's kind of every public message equals the holder at its number.
fn one_voice(world: &World, checked: usize) {
    for (seq, (author, record, _)) in (1..).zip(&world.log).skip(checked) {
        let held = Log(&world.log).before(seq).held().by;
        match record {
            Record::VisitorWrote { .. } => assert!(matches!(author, Actor::Visitor(_))),
            Record::AssistantAnswered { .. } => {
                assert!(matches!(author, Actor::Assistant(_)), "an answer signed by {author:?}");
                assert_eq!(Some(*author), Log(&world.log).before(seq).leased_by(), "by another");
                assert_eq!(held, Column::Assistant, "the assistant spoke out of turn");
            }
            Record::AgentWrote { .. } => {
                assert!(matches!(author, Actor::Agent(_)));
                assert_eq!(held, Column::Assigned, "a person spoke without holding it");
            }
            Record::LateEcho { .. } => assert!(matches!(author, Actor::Agent(_))),
            Record::Noticed { .. } => assert_eq!(*author, Actor::System),
            _ => assert!(!record.is_public()),
        }
    }
}

/// Law 3: what is open is with someone who will be reminded of it.
fn nothing_is_lost(world: &World) {
    let (c, log) = (&world.c, Log(&world.log));
    let open = log.open();
    let message = open.iter().find(|open| !open.request).map(|open| open.seq);
    let oldest = open.first().map(|open| open.seq);
    assert_eq!(c.unanswered.is_some(), message.is_some(), "unanswered: {open:?}");
    assert_eq!(c.waiting.is_some(), oldest.is_some(), "waiting: {open:?}");
    if !log.any(|record| matches!(record, Record::LateEcho { .. })) {
        assert_eq!(c.unanswered.map(|mark| mark.seq), message);
        assert_eq!(c.waiting.map(|mark| mark.seq), oldest);
    }
    let timers = c.timers(&world.facts.policy);
    let pending = |kind| timers.iter().any(|timer| timer.kind == kind);
    match c.holder.column() {
        Column::Assistant => {
            assert_eq!(c.holder.turn().is_some(), message.is_some(), "a turn iff one is needed");
            assert_eq!(pending(TimerKind::AnswerDeadline), message.is_some());
            assert_eq!(oldest, message, "a request is with people");
        }
        Column::Queue | Column::Assigned => {
            let alarmed = |anchor| {
                log.any(|r| matches!(r, Record::AlarmRaised { anchor: a, .. } if *a == anchor))
            };
            if let Some(promise) = c.obligation {
                assert!(pending(TimerKind::Obligation) || alarmed(promise.anchor), "no alarm path");
                let latest = world.facts.now + TEN_MINUTES;
                let in_time = promise.due_at.is_none_or(|due_at| due_at <= latest);
                assert!(in_time || c.holder.snooze().is_some(), "the alarm is far away");
            }
        }
        Column::Closed => assert_eq!(open, [], "closed over something open"),
    }
    let promise = c.waiting.filter(|_| c.holder.is_human()).map(|mark| mark.seq);
    assert_eq!(c.obligation.map(|open| open.anchor), promise, "exactly one obligation");
    assert_eq!(log.promised(), promise, "the log knows it too");
}

/// Law 8: a step of a message's ladder is climbed once.
fn alarms(log: Log<'_>) {
    let alarms = log.alarms();
    let unique: BTreeSet<_> = alarms.iter().collect();
    assert_eq!(unique.len(), alarms.len(), "an alarm twice: {alarms:?}");
}

/// Law 4: ranges begin and end with visitor messages that were open, and never overlap.
fn once(log: Log<'_>) {
    let mut last = 0;
    for (from, through) in log.ranges() {
        assert!(last < from && from <= through, "ranges overlap: {:?}", log.ranges());
        assert!(log.is_visitor_message(from) && log.is_visitor_message(through));
        last = through;
    }
}
