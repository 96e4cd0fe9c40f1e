//! The table of the architecture, cell by cell: what each event does in each column.
//!
//! A cell names how the conversation came to stand where it stands ([`Setup`]) and what comes of the event: `stays` with the
//! kinds of the records in order, `-> Column +n` with the epoch's rise, `no-op`, `late` (only the turn's own record is
//! closed) or `refused` with its code.

use std::collections::BTreeSet;

use super::table_agents::{ending, giving, stale, switches, taking};
use super::test_world::*;
use super::*;

pub struct Row {
    event: When,
    cells: &'static str,
}

pub fn row(event: When, cells: &'static str) -> Row {
    Row { event, cells }
}

impl Row {
    /// A line that opens with the name of a setup is a cell, any other goes on with the one above.
    fn cells(&self) -> Vec<(Setup, String)> {
        let mut cells: Vec<(Setup, String)> = Vec::new();
        for line in self.cells.lines().filter(|line| !line.trim().is_empty()) {
            let (first, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            match (Setup::named(first), cells.last_mut()) {
                (Some(setup), _) => cells.push((setup, rest.trim().to_owned())),
                (None, Some((_, outcome))) => *outcome += &format!(" {}", line.trim()),
                (None, None) => panic!("no setup is named {first}"),
            }
        }
        cells
    }
}

/// What comes of an event, in the words of the table.
fn outcome(before: &World, event: &Event) -> String {
    let mut after = before.clone();
    let (from, epoch) = (before.c.holder.column(), before.c.epoch);
    let step = match after.put(event) {
        Ok(step) => step,
        Err(refused) => {
            assert_eq!(refused.column, from);
            return format!("refused {}", refused.code);
        }
    };
    let (to, epochs) = (after.c.holder.column(), after.c.epoch - epoch);
    match (after.kinds_since(before.log.len()).as_str(), &step.effects[..]) {
        ("", [Effect::CloseTurn(_)]) => "late".to_owned(),
        ("", []) => "no-op".to_owned(),
        ("", effects) => format!("{effects:?}"),
        (records, _) if from == to && epochs == 0 => format!("stays {records}"),
        (records, _) => format!("-> {to:?} +{epochs} {records}"),
    }
}

fn check(setup: Setup, event: When, expected: &str) {
    let before = setup.world();
    let event = event(&before);
    assert_eq!(outcome(&before, &event), expected, "{setup:?} × {event:?}");
}

macro_rules! kinds {
    ($($kind:ident)*) => {
        const KINDS: &[&str] = &[$(stringify!($kind)),*];
        fn kind(event: &Event) -> &'static str {
            match event { $(Event::$kind { .. } => stringify!($kind),)* }
        }
    };
}

kinds! {
    VisitorStarted VisitorWrote VisitorAskedForPerson TurnLeased TurnAnswered TurnHandsOff TurnFailed AgentTakesOver
    AgentWrites AgentNotes Assign ReturnToQueue AssignToAi Snooze Close Reopen ChannelEcho SetAiMode BlockContact
    AssigneeRemoved AssigneePresence EraseContact TimerFired AcknowledgeAlarm
}

const COLUMNS: [Column; 4] = [Column::Assistant, Column::Queue, Column::Assigned, Column::Closed];

/// The whole table.
fn table() -> Vec<Row> {
    [visitor(), turns(), taking(), giving(), ending(), switches(), timers(), stale()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn every_cell_does_what_the_table_says() {
    for row in table() {
        for (setup, expected) in row.cells() {
            check(setup, row.event, &expected);
        }
    }
}

#[test]
fn no_cell_is_without_a_case() {
    let mut covered = BTreeSet::new();
    for row in table() {
        for (setup, _) in row.cells() {
            let world = setup.world();
            covered.insert((kind(&(row.event)(&world)), format!("{:?}", world.c.holder.column())));
        }
    }
    let missing: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| COLUMNS.map(|column| (*kind, format!("{column:?}"))))
        .filter(|cell| !covered.contains(cell))
        .collect();
    assert_eq!(missing, []);
}

fn visitor() -> Vec<Row> {
    vec![
        row(
            |_| Event::VisitorStarted,
            "
            Fresh           refused already_started
            Queue           refused already_started
            Assigned        refused already_started
            Closed          refused already_started
        ",
        ),
        row(
            wrote,
            "
            Fresh           stays visitor_wrote turn_due
            Answered        stays visitor_wrote turn_due
            Due             stays visitor_wrote turn_due
            Running         stays visitor_wrote turn_superseded turn_due
            Released        stays visitor_wrote
            SupersededTwice stays visitor_wrote
            SlowTurn        stays visitor_wrote
            Stopped         -> Queue +1 visitor_wrote turn_cancelled(ai_off)
                                handed_off(ai_unavailable) noticed(handoff_waiting)
                                obligation_opened
            Queue           stays visitor_wrote
            SnoozedQueue    stays visitor_wrote unsnoozed obligation_moved
            BlockedQueue    stays visitor_wrote exempted(blocked)
            Assigned        stays visitor_wrote
            Replied         stays visitor_wrote obligation_opened
            Snoozed         stays visitor_wrote unsnoozed obligation_moved
            BlockedAssigned stays visitor_wrote exempted(blocked)
            Closed          -> Assistant +1 reopened(assistant) visitor_wrote turn_due
            Blocked         stays visitor_wrote exempted(blocked)
        ",
        ),
        row(
            thanked,
            "
            Answered        stays visitor_wrote turn_due
            Replied         stays visitor_wrote obligation_opened
            Closed          stays visitor_wrote exempted(thanks)
            ClosedLong      -> Assistant +1 reopened(assistant) visitor_wrote turn_due
            Blocked         stays visitor_wrote exempted(blocked)
        ",
        ),
        row(
            asked,
            "
            Fresh           -> Queue +1 person_requested handed_off(asked_for_person)
                                noticed(handoff_waiting) obligation_opened
            Running         -> Queue +1 person_requested turn_cancelled(person)
                                handed_off(asked_for_person) noticed(handoff_waiting)
                                obligation_opened
            Queue           stays person_requested
            ToldLongAgo     stays person_requested noticed(still_waiting)
            SnoozedQueue    stays person_requested unsnoozed obligation_moved
            BlockedQueue    stays person_requested exempted(blocked)
            Assigned        stays person_requested
            Replied         stays person_requested obligation_opened
            Snoozed         stays person_requested unsnoozed obligation_moved
            BlockedAssigned stays person_requested exempted(blocked)
            Closed          -> Queue +1 reopened(queue) person_requested
                                noticed(handoff_waiting) obligation_opened
            Blocked         stays person_requested exempted(blocked)
        ",
        ),
    ]
}
fn turns() -> Vec<Row> {
    vec![
        row(
            leased,
            "
            Fresh           no-op
            Due             stays turn_started
            Running         no-op
            LeaseLost       stays turn_started
            DueStopped      -> Queue +1 turn_cancelled(ai_off) handed_off(ai_unavailable)
                                noticed(handoff_waiting) obligation_opened
            Queue           no-op
            Assigned        no-op
            Closed          no-op
        ",
        ),
        row(
            answered,
            "
            Due             late
            Running         stays assistant_answered
            Overtaken       stays assistant_answered turn_due
            Stopped         -> Queue +1 turn_cancelled(ai_off) handed_off(ai_unavailable)
                                noticed(handoff_waiting) obligation_opened
            Returned        stays assistant_answered
            Answered        late
            Queue           late
            Assigned        late
            Closed          late
        ",
        ),
        row(
            handed_off,
            "
            Due             late
            Running         -> Queue +1 handed_off(no_answer) noticed(handoff_waiting)
                                obligation_opened
            Stopped         -> Queue +1 handed_off(no_answer) noticed(handoff_waiting)
                                obligation_opened
            Queue           late
            Assigned        late
            Closed          late
        ",
        ),
        row(
            failed,
            "
            Due             late
            Running         -> Queue +1 handed_off(model_failed) noticed(handoff_waiting)
                                obligation_opened
            Queue           late
            Assigned        late
            Closed          late
        ",
        ),
        row(
            broke_off,
            "
            Released        -> Queue +1 assistant_answered handed_off(model_failed)
                                noticed(handoff_waiting) obligation_opened
            Stopped         -> Queue +1 assistant_answered handed_off(model_failed)
                                noticed(handoff_waiting) obligation_opened
            Queue           late
            Assigned        late
            Closed          late
        ",
        ),
    ]
}
fn timers() -> Vec<Row> {
    vec![
        row(
            |w| w.timer(TimerKind::AnswerDeadline),
            "
            Running         no-op
            Overdue         -> Queue +1 turn_cancelled(deadline) handed_off(deadline)
                                noticed(handoff_waiting) obligation_opened
            Returned        no-op
            QueueMissed     no-op
            Missed          no-op
            Closed          no-op
        ",
        ),
        row(
            |w| w.timer(TimerKind::IdleNudge),
            "
            Answered        no-op
            Quiet           stays noticed(idle_nudge)
            QueueMissed     no-op
            Missed          no-op
            ClosedLong      no-op
        ",
        ),
        row(
            |w| w.timer(TimerKind::IdleClose),
            "
            Quiet           no-op
            Silent          -> Closed +1 closed(timeout) noticed(closed)
            QueueMissed     no-op
            Missed          no-op
            ClosedLong      no-op
        ",
        ),
        row(
            |w| w.timer(TimerKind::Obligation),
            "
            Overdue         no-op
            Queue           no-op
            QueueMissed     stays alarm_raised(inbox) obligation_moved
            Assigned        no-op
            Missed          stays alarm_raised(assignee) obligation_moved
            ClosedLong      no-op
        ",
        ),
        row(
            |w| w.timer(TimerKind::Snooze),
            "
            Overdue         no-op
            SnoozedQueue    no-op
            Snoozed         no-op
            SnoozeOver      stays unsnoozed
            ClosedLong      no-op
        ",
        ),
        row(
            |w| w.timer(TimerKind::Offline),
            "
            Overdue         no-op
            QueueMissed     no-op
            Missed          no-op
            OfflineLong     -> Queue +1 queued(agent_offline) noticed(handoff_waiting)
            ClosedLong      no-op
        ",
        ),
    ]
}
