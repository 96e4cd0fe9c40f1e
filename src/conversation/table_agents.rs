//! The rows of the table about people: what agents do, what is switched, who is blocked or erased. Read by `table_tests`.

use super::table_tests::{Row, row};
use super::test_world::*;
use super::*;

fn bert_takes(w: &World) -> Event {
    Event::AgentTakesOver { by: w.by(bert()), from_colleague: true }
}
fn bert_writes(w: &World) -> Event {
    Event::AgentWrites { by: w.by(bert()), message: w.message() }
}
pub fn taking() -> Vec<Row> {
    vec![
        row(
            anna_takes_over,
            "
            Fresh           -> Assigned +1 took_over noticed(agent_joined)
            Running         -> Assigned +1 turn_cancelled(takeover) took_over
                                noticed(agent_joined) obligation_opened
            Queue           -> Assigned +1 took_over noticed(agent_joined)
            SnoozedQueue    -> Assigned +1 took_over noticed(agent_joined) obligation_moved
            Assigned        no-op
            Closed          refused closed
        ",
        ),
        row(
            |w| Event::AgentTakesOver { by: w.by(bert()), from_colleague: false },
            "
            Assigned        refused held_by_colleague
        ",
        ),
        row(
            bert_takes,
            "
            Running         -> Assigned +1 turn_cancelled(takeover) took_over
                                noticed(agent_joined) obligation_opened
            Queue           -> Assigned +1 took_over noticed(agent_joined)
            Assigned        -> Assigned +1 took_over noticed(agent_joined)
            Closed          refused closed
        ",
        ),
        row(
            anna_writes,
            "
            Fresh           -> Assigned +1 took_over noticed(agent_joined) agent_wrote
            Running         -> Assigned +1 turn_cancelled(takeover) took_over
                                noticed(agent_joined) agent_wrote
            Queue           -> Assigned +1 took_over noticed(agent_joined) agent_wrote
                                obligation_ended(reply)
            Assigned        stays agent_wrote obligation_ended(reply)
            Replied         stays agent_wrote
            Closed          refused closed
        ",
        ),
        row(
            bert_writes,
            "
            Assigned        stays agent_wrote obligation_ended(reply)
        ",
        ),
        row(
            |w| Event::AgentNotes { agent: bert(), message: w.message() },
            "
            Running         stays noted
            Queue           stays noted
            Assigned        stays noted
            Closed          stays noted
        ",
        ),
        row(
            echo,
            "
            Running         -> Assigned +1 turn_cancelled(takeover) took_over
                                noticed(agent_joined) agent_wrote
            Returned        stays turn_cancelled(late_echo) late_echo
            Queue           -> Assigned +1 assigned agent_wrote obligation_ended(reply)
            QueueAgain      stays late_echo obligation_ended(reply)
            Assigned        stays agent_wrote obligation_ended(reply)
            AssignedAgain   stays late_echo obligation_ended(reply)
            Closed          -> Assigned +1 reopened(agent) agent_wrote
            ClosedAgain     stays late_echo
        ",
        ),
    ]
}
fn assign(w: &World, agent: Option<crate::ids::AgentId>, to_team: bool) -> Event {
    Event::Assign { by: w.by(anna()), agent, team: to_team.then(support) }
}
pub fn giving() -> Vec<Row> {
    vec![
        row(
            |w| assign(w, Some(bert()), false),
            "
            Running         -> Assigned +1 turn_cancelled(takeover) assigned
                                noticed(agent_joined) obligation_opened
            Queue           -> Assigned +1 assigned noticed(agent_joined)
            Assigned        -> Assigned +1 assigned noticed(agent_joined)
            Snoozed         -> Assigned +1 assigned noticed(agent_joined) obligation_moved
            Closed          refused closed
        ",
        ),
        row(
            to_support,
            "
            Running         -> Queue +1 turn_cancelled(takeover) queued(assigned)
                                noticed(handoff_waiting) obligation_opened
            Queue           -> Queue +1 queued(assigned) noticed(handoff_waiting)
            TeamQueue       no-op
            Assigned        -> Queue +1 queued(assigned) noticed(handoff_waiting)
            Closed          refused closed
        ",
        ),
        row(
            |w| assign(w, Some(bert()), true),
            "
            Running         -> Assigned +1 turn_cancelled(takeover) assigned
                                noticed(agent_joined) obligation_opened
            Assigned        -> Assigned +1 assigned noticed(agent_joined)
        ",
        ),
        row(
            |w| assign(w, Some(anna()), false),
            "
            Assigned        no-op
        ",
        ),
        row(
            |w| assign(w, Some(anna()), true),
            "
            Assigned        -> Assigned +1 assigned
        ",
        ),
        row(
            |w| assign(w, None, false),
            "
            Running         refused nobody_named
            Queue           refused nobody_named
            Assigned        refused nobody_named
        ",
        ),
        row(
            |w| Event::Assign { by: w.by(bert()), agent: Some(bert()), team: None },
            "
            Queue           -> Assigned +1 assigned noticed(agent_joined)
            Assigned        refused held_by_colleague
        ",
        ),
        row(
            |w| Event::ReturnToQueue { by: w.by(anna()) },
            "
            Running         refused held_by_ai
            Queue           no-op
            Assigned        -> Queue +1 queued(returned) noticed(handoff_waiting)
            Replied         -> Queue +1 queued(returned) noticed(handoff_waiting)
            Snoozed         -> Queue +1 queued(returned) noticed(handoff_waiting)
                                obligation_moved
            Closed          refused closed
        ",
        ),
        row(
            anna_returns,
            "
            Running         no-op
            Queue           -> Assistant +1 returned_to_ai noticed(returned_to_ai) turn_due
                                obligation_ended(return)
            BlockedQueue    refused ai_unavailable
            Assigned        -> Assistant +1 returned_to_ai noticed(returned_to_ai) turn_due
                                obligation_ended(return)
            Replied         -> Assistant +1 returned_to_ai noticed(returned_to_ai)
            BlockedAssigned refused ai_unavailable
            Closed          -> Assistant +2 reopened(assistant) returned_to_ai
                                noticed(returned_to_ai)
            Blocked         refused ai_unavailable
        ",
        ),
        row(
            anna_snoozes,
            "
            Running         -> Assigned +1 turn_cancelled(takeover) took_over
                                noticed(agent_joined) obligation_opened snoozed obligation_moved
            Answered        -> Assigned +1 took_over noticed(agent_joined) snoozed
            Queue           stays snoozed obligation_moved
            Assigned        stays snoozed obligation_moved
            Replied         stays snoozed
            Closed          refused closed
        ",
        ),
        row(
            |w| Event::Snooze { by: w.by(anna()), until: w.facts.now },
            "
            Assigned        refused in_the_past
        ",
        ),
    ]
}
pub fn ending() -> Vec<Row> {
    vec![
        row(
            anna_closes,
            "
            Answered        -> Closed +1 closed(solved) noticed(closed)
            Running         -> Closed +1 turn_cancelled(closed) exempted(closed) closed(solved)
                                noticed(closed)
            Queue           -> Closed +1 exempted(closed) closed(solved) noticed(closed)
                                obligation_ended(close)
            Assigned        -> Closed +1 exempted(closed) closed(solved) noticed(closed)
                                obligation_ended(close)
            Replied         -> Closed +1 closed(solved) noticed(closed)
            Closed          no-op
        ",
        ),
        row(
            |w| Event::Close { by: Closer::Visitor(w.c.contact), outcome: Outcome::Solved },
            "
            Answered        -> Closed +1 closed(solved) noticed(closed)
            Queue           -> Closed +1 exempted(closed) closed(solved) noticed(closed)
                                obligation_ended(close)
            Replied         -> Closed +1 closed(solved) noticed(closed)
            Closed          no-op
        ",
        ),
        row(
            anna_reopens,
            "
            Running         refused not_closed
            Queue           refused not_closed
            Assigned        refused not_closed
            Closed          -> Assigned +1 reopened(agent)
            Blocked         -> Assigned +1 reopened(agent)
        ",
        ),
        row(
            blocked,
            "
            Running         -> Closed +2 turn_cancelled(closed) exempted(closed) closed(spam)
                                noticed(closed) contact_blocked
            Queue           -> Closed +2 exempted(closed) closed(spam) noticed(closed)
                                contact_blocked obligation_ended(close)
            Assigned        -> Closed +2 exempted(closed) closed(spam) noticed(closed)
                                contact_blocked obligation_ended(close)
            Closed          -> Closed +1 contact_blocked
            Blocked         no-op
        ",
        ),
        row(
            |_| Event::BlockContact { blocked: false },
            "
            Running         no-op
            Queue           no-op
            BlockedQueue    -> Queue +1 contact_unblocked
            Assigned        no-op
            BlockedAssigned -> Assigned +1 contact_unblocked
            Closed          no-op
            Blocked         -> Closed +1 contact_unblocked
        ",
        ),
        row(
            |_| Event::EraseContact,
            "
            Running         -> Closed +2 turn_cancelled(closed) exempted(closed)
                                closed(unsolved) noticed(closed) erased
            Queue           -> Closed +2 exempted(closed) closed(unsolved) noticed(closed)
                                erased obligation_ended(close)
            Replied         -> Closed +2 closed(unsolved) noticed(closed) erased
            Closed          -> Closed +1 erased
            Erased          no-op
        ",
        ),
    ]
}
fn switch(w: &World, mode: AiMode) -> Event {
    Event::SetAiMode { by: w.by(anna()), mode }
}
pub fn switches() -> Vec<Row> {
    vec![
        row(
            |w| switch(w, AiMode::Off),
            "
            Running         -> Assigned +2 turn_cancelled(ai_off) ai_mode_set assigned
                                noticed(agent_joined) obligation_opened
            Answered        -> Assigned +2 ai_mode_set assigned noticed(agent_joined)
            Queue           -> Queue +1 ai_mode_set
            Assigned        -> Assigned +1 ai_mode_set
            Closed          -> Closed +1 ai_mode_set
        ",
        ),
        row(
            |w| switch(w, AiMode::Draft),
            "
            Answered        -> Assigned +2 ai_mode_set assigned noticed(agent_joined)
            Assigned        -> Assigned +1 ai_mode_set
        ",
        ),
        row(
            |w| switch(w, AiMode::On),
            "
            Running         no-op
            Queue           no-op
            Assigned        no-op
            Closed          no-op
        ",
        ),
        row(
            |_| Event::AssigneeRemoved { agent: anna() },
            "
            Running         no-op
            Queue           no-op
            Assigned        -> Queue +1 queued(agent_removed) noticed(handoff_waiting)
            Closed          no-op
        ",
        ),
        row(
            |_| Event::AssigneeRemoved { agent: bert() },
            "
            Assigned        no-op
        ",
        ),
        row(
            anna_goes,
            "
            Running         no-op
            Queue           no-op
            Assigned        stays went_offline
            Offline         no-op
            Closed          no-op
        ",
        ),
        row(
            |_| Event::AssigneePresence { agent: anna(), online: true },
            "
            Assigned        no-op
            Offline         stays came_back
        ",
        ),
        row(
            |_| Event::AssigneePresence { agent: bert(), online: false },
            "
            Assigned        no-op
        ",
        ),
        row(
            |_| Event::AcknowledgeAlarm { alarm: id(7), agent: anna() },
            "
            Running         stays alarm_acknowledged
            Queue           stays alarm_acknowledged
            Assigned        stays alarm_acknowledged
            Closed          stays alarm_acknowledged
        ",
        ),
    ]
}
/// An agent's command under an old epoch is refused; *take over* alone needs no match unless a colleague holds it.
pub fn stale() -> Vec<Row> {
    vec![
        row(
            |w| Event::AgentTakesOver { by: w.stale(bert()), from_colleague: true },
            "
            Fresh           -> Assigned +1 took_over noticed(agent_joined)
            Queue           -> Assigned +1 took_over noticed(agent_joined)
            Assigned        refused stale_epoch
        ",
        ),
        row(
            |w| Event::AgentWrites { by: w.stale(bert()), message: w.message() },
            "
            Running         refused stale_epoch
            Queue           refused stale_epoch
            Assigned        refused stale_epoch
        ",
        ),
        row(
            |w| Event::Assign { by: w.stale(anna()), agent: Some(bert()), team: None },
            "
            Running         refused stale_epoch
            Queue           refused stale_epoch
            Assigned        refused stale_epoch
        ",
        ),
        row(
            |w| Event::ReturnToQueue { by: w.stale(anna()) },
            "
            Assigned        refused stale_epoch
        ",
        ),
        row(
            |w| Event::AssignToAi { by: w.stale(anna()), note: None },
            "
            Queue           refused stale_epoch
            Assigned        refused stale_epoch
            Closed          refused stale_epoch
        ",
        ),
        row(
            |w| Event::Snooze { by: w.stale(anna()), until: w.facts.now },
            "
            Running         refused stale_epoch
            Queue           refused stale_epoch
            Assigned        refused stale_epoch
        ",
        ),
        row(
            |w| {
                let by = Closer::Agent(w.stale(anna()));
                Event::Close { by, outcome: Outcome::Solved }
            },
            "
            Running         refused stale_epoch
            Queue           refused stale_epoch
            Assigned        refused stale_epoch
        ",
        ),
        row(
            |w| Event::Reopen { by: w.stale(anna()) },
            "
            Closed          refused stale_epoch
        ",
        ),
        row(
            |w| Event::SetAiMode { by: w.stale(anna()), mode: AiMode::Off },
            "
            Running         refused stale_epoch
            Queue           refused stale_epoch
            Assigned        refused stale_epoch
        ",
        ),
    ]
}
