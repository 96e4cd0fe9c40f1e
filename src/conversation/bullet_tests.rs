//! The bullets below the table of the architecture, one by one.

use std::time::Duration;

use super::test_world::*;
use super::*;

/// Runs the story and compares what it logged from the last `after`-mark on. Reads: given, when, then.
fn check(given: World, when: impl Fn(&World) -> Event, expected: &str) -> World {
    let mark = given.log.len();
    let after = given.then(when);
    assert_eq!(after.kinds_since(mark), expected);
    after
}

fn seqs(range: Option<(u64, u64)>, world: &World) -> Vec<&'static str> {
    let (from, to) = range.expect("a range");
    let kinds = world.log.iter().enumerate().map(|(i, (_, record, _))| (i as u64 + 1, record));
    kinds
        .filter(|(seq, _)| (from..=to).contains(seq))
        .filter_map(|(_, record)| {
            matches!(record, Record::VisitorWrote { .. }).then_some("visitor")
        })
        .collect()
}

fn last_answers(world: &World) -> Option<(u64, u64)> {
    world.log.iter().rev().find_map(|(_, record, _)| match record {
        Record::AssistantAnswered { answers, .. } => Some(*answers),
        _ => None,
    })?
}

mod start {
    use super::*;

    #[track_caller]
    fn check(blocked: bool, assistant: bool, expected: (Column, &str, &[Effect])) {
        let (world, step) = World::start(blocked, assistant.then(robot));
        let (column, records, effects) = expected;
        assert_eq!(world.c.holder.column(), column);
        assert_eq!(world.kinds_since(0), records);
        assert_eq!(step.effects, effects);
        assert_eq!((world.c.seq, world.c.episode), (world.log.len() as u64, 1));
    }

    #[test]
    fn the_assistant_gets_it_else_the_queue() {
        check(false, true, (Column::Assistant, "started(assistant)", &[]));
        check(
            false,
            false,
            (Column::Queue, "started(queue) noticed(handoff_waiting)", &[Effect::OrderBrief]),
        );
        check(true, true, (Column::Queue, "started(queue) contact_blocked", &[]));
    }
}

mod reopening {
    use super::*;

    fn check(to: ReopenTo, change: fn(&mut Facts), expected: &str) {
        let closed = Setup::ClosedLong.world().with(|f| f.policy.reopen_to = to).with(change);
        super::check(closed, wrote, expected);
    }

    #[test]
    fn goes_to_whom_the_policy_names_or_to_the_queue() {
        let to_queue = "reopened(queue) visitor_wrote noticed(handoff_waiting) obligation_opened";
        check(ReopenTo::Assistant, |_| {}, "reopened(assistant) visitor_wrote turn_due");
        check(ReopenTo::Assistant, |f| f.assistant = None, to_queue);
        check(ReopenTo::LastHuman, |_| {}, "reopened(agent) visitor_wrote obligation_opened");
        check(ReopenTo::LastHuman, |f| f.last_human_available = false, to_queue);
        check(ReopenTo::Queue, |_| {}, to_queue);
    }

    #[test]
    fn without_a_last_human_goes_to_the_queue() {
        let never_human = Setup::Answered.world().then(anna_closes).after(11 * MINUTE);
        let policy = never_human.with(|f| f.policy.reopen_to = ReopenTo::LastHuman);
        assert_eq!(policy.c.last_human, None);
        let after = policy.then(wrote);
        assert_eq!(after.c.holder.column(), Column::Queue);
    }

    #[test]
    fn starts_a_new_episode() {
        let after = Setup::ClosedLong.world().then(wrote);
        assert_eq!((after.c.episode, after.c.ai_turns), (2, 0));
    }
}

mod thanks {
    use super::*;

    #[test]
    fn count_as_such_for_ten_minutes_to_the_millisecond() {
        let closed = || Setup::Closed.world();
        check(closed().after(10 * MINUTE), thanked, "visitor_wrote exempted(thanks)");
        let reopened = "reopened(assistant) visitor_wrote turn_due";
        check(closed().after(10 * MINUTE + 1), thanked, reopened);
        check(closed(), wrote, reopened);
    }

    #[test]
    fn are_not_in_the_range_of_a_later_answer() {
        let after =
            Setup::Closed.world().then(thanked).then(wrote).after(400).then(leased).then(answered);
        assert_eq!(seqs(last_answers(&after), &after), ["visitor"]);
    }
}

mod notices {
    use super::*;

    #[test]
    fn again_at_most_every_five_minutes() {
        let asked_once = Setup::Queue.world().after(5 * MINUTE - 1).then(asked);
        let twice = check(asked_once.after(1), asked, "person_requested noticed(still_waiting)");
        let thrice = check(twice.after(5 * MINUTE - 1), asked, "person_requested");
        check(thrice.after(1), asked, "person_requested noticed(still_waiting)");
    }

    #[test]
    fn say_that_nobody_is_here() {
        let nobody = |setup: Setup| setup.world().with(|f| f.anyone_online = false);
        let expected = "handed_off(no_answer) noticed(handoff_nobody_online) obligation_opened";
        check(nobody(Setup::Running), handed_off, expected);
        let expected = "person_requested noticed(handoff_nobody_online)";
        check(nobody(Setup::ToldLongAgo), asked, expected);
    }

    #[test]
    fn every_entry_into_the_queue_orders_the_brief() {
        let entries: [(Setup, When); 6] = [
            (Setup::Running, handed_off),
            (Setup::Running, asked),
            (Setup::Overdue, |w| w.timer(TimerKind::AnswerDeadline)),
            (Setup::Assigned, |w| Event::ReturnToQueue { by: w.by(anna()) }),
            (Setup::Assigned, to_support),
            (Setup::Closed, asked),
        ];
        for (setup, event) in entries {
            let mut world = setup.world();
            let event = event(&world);
            let step = world.put(&event).expect("accepted");
            assert_eq!(step.next.holder.column(), Column::Queue, "{event:?}");
            assert!(step.effects.contains(&Effect::OrderBrief), "{event:?}");
        }
    }
}

mod drafts {
    use super::*;

    #[test]
    fn are_suggested_for_every_visitor_message() {
        for setup in [Setup::Queue, Setup::Assigned, Setup::ClosedLong] {
            let mut world =
                setup.world().then(|w| Event::SetAiMode { by: w.by(anna()), mode: AiMode::Draft });
            let event = wrote(&world);
            let step = world.put(&event).expect("accepted");
            assert!(step.next.holder.is_human());
            assert!(step.effects.contains(&Effect::OrderSuggestions), "{setup:?}");
        }
    }
}

mod superseding {
    use super::*;

    #[test]
    fn is_counted_since_the_last_commit_of_the_assistant() {
        let spent = Setup::SupersededTwice.world();
        let answered = check(spent, wrote, "visitor_wrote").then(answered).after(400).then(leased);
        check(answered, wrote, "visitor_wrote turn_superseded turn_due");
    }

    #[test]
    fn ends_fifteen_seconds_after_the_oldest_unanswered_message() {
        let early = Setup::Running.world().after(14_599);
        check(early, wrote, "visitor_wrote turn_superseded turn_due");
        check(Setup::SlowTurn.world(), wrote, "visitor_wrote");
    }

    #[test]
    fn drops_the_words_of_the_old_turn() {
        let old = answered(&Setup::Running.world());
        let world = Setup::Running.world().then(wrote);
        check(world, |_| old.clone(), "");
    }

    #[test]
    fn debounces_a_due_turn_but_not_for_ever() {
        let due = Setup::Due.world().then(wrote);
        let Some(Turn { phase: Phase::Due { run_at }, .. }) = due.c.holder.turn() else {
            panic!("a due turn")
        };
        assert_eq!(*run_at, due.facts.now + Duration::from_millis(400));
        check(Setup::Due.world().after(14_600), wrote, "visitor_wrote");
    }
}

mod leases {
    use super::*;

    #[test]
    fn a_lost_one_makes_the_first_try_late() {
        let first_try = answered(&Setup::LeaseLost.world());
        let again = Setup::LeaseLost.world().then(leased);
        check(again.clone(), |_| first_try.clone(), "");
        check(again, answered, "assistant_answered");
    }

    #[test]
    fn each_part_of_the_fence_counts() {
        let running = Setup::Running.world();
        let right = running.fence();
        let wrong = [
            Fence { epoch: right.epoch + 1, ..right },
            Fence { turn: id(0xDEAD), ..right },
            Fence { attempt: right.attempt + 1, ..right },
        ];
        for fence in wrong {
            let reply = Reply { message: running.message(), still_unanswered: false };
            let mut world = running.clone();
            let step = world.put(&Event::TurnAnswered { fence, reply }).expect("not refused");
            assert_eq!(step.effects, [Effect::CloseTurn(fence)]);
            assert_eq!(world.c, running.c);
        }
    }

    #[test]
    fn two_workers_cannot_both_have_it() {
        let same = leased(&Setup::LeaseLost.world());
        let once = Setup::LeaseLost.world().then(leased);
        check(once, |_| same.clone(), "");
    }

    #[test]
    fn not_before_its_time() {
        check(World::new().then(wrote).after(399), leased, "");
    }
}

mod answers {
    use super::*;

    #[test]
    fn cover_what_was_read_and_leave_what_came_later() {
        let after = Setup::Overtaken.world().then(answered);
        assert_eq!(seqs(last_answers(&after), &after), ["visitor"]);
        let second = after.after(400).then(leased).then(answered);
        assert_eq!(seqs(last_answers(&second), &second), ["visitor"]);
        assert_eq!(second.c.unanswered, None);
    }

    #[test]
    fn a_broken_off_one_is_kept_and_answers_nothing() {
        let after = Setup::Released.world().then(broke_off);
        assert_eq!(last_answers(&after), None);
        let open = after.c.obligation.expect("an obligation");
        assert_eq!(after.c.unanswered.map(|m| m.seq), Some(open.anchor));
    }

    #[test]
    fn are_signed_by_who_wrote_them() {
        let swapped = Setup::Released.world().with(|f| f.assistant = Some(id(0xA9)));
        let stopped = Setup::Stopped.world();
        for (world, event) in
            [(swapped.clone(), answered(&swapped)), (stopped.clone(), broke_off(&stopped))]
        {
            let mark = world.log.len();
            let after = world.then(|_| event.clone());
            let (author, record, _) = &after.log[mark];
            assert!(matches!(record, Record::AssistantAnswered { .. }));
            assert_eq!(*author, Actor::Assistant(robot()));
        }
    }
}

mod obligation {
    use super::*;

    #[test]
    fn lasts_through_hands_until_a_reply() {
        let opened = Setup::Queue.world().c.obligation;
        let mut world = Setup::Queue.world().after(MINUTE).then(anna_takes_over).then(wrote);
        world = world.then(to_support).then(asked).then(anna_takes_over);
        assert_eq!(world.c.obligation, opened, "the same promise in other hands");
        let replied = check(world, anna_writes, "agent_wrote obligation_ended(reply)");
        assert_eq!((replied.c.obligation, replied.c.waiting), (None, None));
    }

    #[test]
    fn climbs_its_ladder_once() {
        let fires = |w: &World| w.timer(TimerKind::Obligation);
        let missed = Setup::QueueMissed.world();
        let first = check(missed, fires, "alarm_raised(inbox) obligation_moved");
        let again = check(first, fires, "");
        let second =
            check(again.after(10 * MINUTE), fires, "alarm_raised(owners) obligation_moved");
        assert_eq!(second.due_in(TimerKind::Obligation), None);
        assert!(second.c.obligation.is_some(), "an alarm does not end it");
    }

    #[test]
    fn an_assignee_who_misses_it_may_lose_it() {
        let fires = |w: &World| w.timer(TimerKind::Obligation);
        let missed = |to| Setup::Missed.world().with(move |f| f.policy.assignee_missed = to);
        check(
            missed(AssigneeMissed::ReturnToQueue),
            fires,
            "alarm_raised(inbox) obligation_moved queued(missed) noticed(handoff_waiting)",
        );
        let to_ai = check(
            missed(AssigneeMissed::ReturnToAi),
            fires,
            "alarm_raised(inbox) obligation_moved returned_to_ai noticed(returned_to_ai) turn_due \
             obligation_ended(return)",
        );
        assert_eq!(to_ai.c.holder.column(), Column::Assistant);
        check(
            missed(AssigneeMissed::ReturnToAi).with(|f| f.assistant = None),
            fires,
            "alarm_raised(inbox) obligation_moved queued(missed) noticed(handoff_waiting)",
        );
    }

    #[test]
    fn goes_up_to_the_owners_when_it_comes_back_unanswered() {
        let fires = |w: &World| w.timer(TimerKind::Obligation);
        let missed =
            Setup::Missed.world().with(|f| f.policy.assignee_missed = AssigneeMissed::ReturnToAi);
        let again =
            missed.then(fires).after(400).then(leased).then(handed_off).then(anna_takes_over);
        check(again.after(10 * MINUTE), fires, "alarm_raised(owners) obligation_moved");
    }

    #[test]
    fn of_a_request_without_a_message() {
        let world = World::new().then(asked);
        let open = world.c.obligation.expect("an obligation");
        assert_eq!(world.c.waiting.map(|m| m.seq), Some(open.anchor));
        check(
            world,
            anna_returns,
            "returned_to_ai noticed(returned_to_ai) obligation_ended(return)",
        );
    }
}

mod snooze {
    use super::*;

    #[test]
    fn moves_the_deadline_to_its_end() {
        let world = Setup::Snoozed.world();
        assert_eq!(world.due_in(TimerKind::Obligation), Some(60 * MINUTE));
        let over = Setup::SnoozeOver.world().then(|w| w.timer(TimerKind::Snooze));
        check(over, |w| w.timer(TimerKind::Obligation), "alarm_raised(assignee) obligation_moved");
    }

    #[test]
    fn over_a_turn_moves_the_deadline_too() {
        let world = Setup::Running.world().then(anna_snoozes);
        assert_eq!(world.due_in(TimerKind::Obligation), Some(60 * MINUTE));
    }

    #[test]
    fn a_short_one_does_not_bring_the_deadline_forward() {
        let a_minute = |w: &World| {
            let until = w.facts.now + Duration::from_millis(MINUTE);
            Event::Snooze { by: w.by(anna()), until }
        };
        let world = check(Setup::Assigned.world(), a_minute, "snoozed");
        assert_eq!(world.due_in(TimerKind::Obligation), Some(10 * MINUTE));
    }

    #[test]
    fn that_ends_early_gives_the_deadline_back() {
        let ends: [When; 4] = [
            wrote,
            asked,
            |w| Event::ReturnToQueue { by: w.by(anna()) },
            |w| Event::Assign { by: w.by(anna()), agent: Some(bert()), team: None },
        ];
        for end in ends {
            let world = Setup::Snoozed.world().after(MINUTE).then(end);
            assert_eq!(world.c.holder.snooze(), None);
            assert_eq!(world.due_in(TimerKind::Obligation), Some(10 * MINUTE));
        }
    }

    #[test]
    fn its_timer_is_stale_once_it_is_set_anew() {
        let old = Setup::Snoozed.world().timer(TimerKind::Snooze);
        let anew = Setup::Snoozed.world().then(anna_snoozes).after(60 * MINUTE);
        check(anew.clone(), |_| old.clone(), "");
        check(anew, |w| w.timer(TimerKind::Snooze), "unsnoozed");
    }
}

mod timers {
    use super::*;

    #[test]
    fn are_stale_only_when_their_anchor_changed() {
        let deadline = Setup::Running.world().timer(TimerKind::AnswerDeadline);
        let more_words = Setup::Running.world().then(wrote).after(MINUTE);
        let expected = "turn_cancelled(deadline) handed_off(deadline) noticed(handoff_waiting) obligation_opened";
        check(more_words, |_| deadline.clone(), expected);
        let answered_between = Setup::Answered.world().then(wrote).after(MINUTE - 1);
        check(answered_between, |_| deadline.clone(), "");
    }

    #[test]
    fn do_not_fire_early() {
        check(
            Setup::Running.world().after(MINUTE - 401),
            |w| w.timer(TimerKind::AnswerDeadline),
            "",
        );
    }

    #[test]
    fn the_nudge_comes_once_and_a_notice_is_no_word() {
        let nudged =
            check(Setup::Quiet.world(), |w| w.timer(TimerKind::IdleNudge), "noticed(idle_nudge)");
        assert_eq!(nudged.due_in(TimerKind::IdleNudge), None);
        assert_eq!(nudged.due_in(TimerKind::IdleClose), Some(45 * MINUTE));
    }

    #[test]
    fn zero_switches_idle_timers_off() {
        let never = |f: &mut Facts| (f.policy.idle_nudge_ms, f.policy.idle_close_ms) = (0, 0);
        let world = Setup::Silent.world().with(never);
        assert_eq!(world.c.next_timer_at(&world.facts.policy), None);
    }

    #[test]
    fn an_offline_assignee_keeps_what_is_answered() {
        let world = Setup::Replied.world().then(anna_goes).after(60 * MINUTE);
        assert_eq!(world.due_in(TimerKind::Offline), None);
        let waiting = world.then(wrote);
        check(
            waiting,
            |w| w.timer(TimerKind::Offline),
            "queued(agent_offline) noticed(handoff_waiting)",
        );
    }
}

mod returns {
    use super::*;

    #[test]
    fn give_the_assistant_its_full_time() {
        let returned = Setup::Assigned.world().after(9 * MINUTE).then(anna_returns);
        assert_eq!(returned.due_in(TimerKind::AnswerDeadline), Some(MINUTE));
        let reopened = Setup::Closed.world().after(600 * MINUTE).then(anna_returns);
        assert_eq!(reopened.due_in(TimerKind::IdleNudge), Some(15 * MINUTE));
        assert_eq!(reopened.due_in(TimerKind::IdleClose), Some(60 * MINUTE));
    }

    #[test]
    fn what_was_said_before_is_no_evidence() {
        let world = Setup::Returned.world();
        let last = world.c.last_visitor.expect("a message").seq;
        assert!(world.c.evidence_after() >= last);
        let later = world.then(wrote);
        assert!(later.c.evidence_after() < later.c.last_visitor.expect("a message").seq);
    }

    #[test]
    fn keep_the_note_with_the_return() {
        let note = id(0x707E);
        let world = Setup::Replied
            .world()
            .then(|w| Event::AssignToAi { by: w.by(anna()), note: Some(note) });
        let returned = world.c.returned.expect("a return");
        assert_eq!((returned.note, returned.by), (Some(note), anna()));
    }

    #[test]
    fn forget_the_note_once_a_person_has_dealt_with_it() {
        let note = id(0x707E);
        let w = Setup::Assigned
            .world()
            .then(|w| Event::AssignToAi { by: w.by(anna()), note: Some(note) })
            .then(anna_takes_over);
        let returned = w.c.returned.expect("a return");
        assert_eq!(returned.note, None, "what she told the AI before is hers to say anew");
        let w = w.then(anna_writes).then(anna_closes).after(11 * MINUTE).then(wrote);
        assert_eq!(w.c.holder.column(), Column::Assistant);
        assert_eq!(w.c.evidence_after(), returned.seq, "the place of the return stays");
    }

    #[test]
    fn forget_a_request_but_not_a_message() {
        let world = Setup::Queue.world().then(asked).then(anna_returns);
        assert_eq!((world.c.waiting, world.c.asked), (world.c.unanswered, None));
        assert!(world.c.unanswered.is_some());
    }
}

mod late_echo {
    use super::*;

    fn sent_ago(millis: u64) -> impl Fn(&World) -> Event {
        move |w| Event::ChannelEcho {
            owner: bert(),
            message: w.message(),
            sent_at: w.facts.now - Duration::from_millis(millis),
        }
    }

    #[test]
    fn cancels_the_turn_and_orders_a_new_one_for_what_it_leaves() {
        let asked_more = Setup::Returned.world().with(|f| f.turn_released = true).then(wrote);
        let after =
            check(asked_more, sent_ago(MINUTE), "turn_cancelled(late_echo) late_echo turn_due");
        assert_eq!(after.c.unanswered, after.c.last_visitor);
        assert_eq!(after.c.holder.column(), Column::Assistant);
    }

    #[test]
    fn answers_no_question_that_is_newer() {
        let world = Setup::QueueAgain.world().then(wrote);
        let after =
            check(world, sent_ago(MINUTE), "late_echo obligation_ended(reply) obligation_opened");
        assert_eq!(after.c.obligation.map(|o| o.anchor), after.c.last_visitor.map(|m| m.seq));
        let request = Setup::QueueAgain.world().then(asked).then(sent_ago(MINUTE));
        assert_eq!(request.c.obligation.map(|o| o.anchor), request.c.asked.map(|m| m.seq));
    }

    #[test]
    fn takes_the_baton_from_nobody() {
        for setup in [Setup::Returned, Setup::QueueAgain, Setup::AssignedAgain, Setup::ClosedAgain]
        {
            let before = setup.world();
            let after = before.clone().then(sent_ago(MINUTE));
            assert_eq!(after.c.epoch, before.c.epoch, "{setup:?}");
            assert_eq!(after.c.holder.column(), before.c.holder.column(), "{setup:?}");
        }
    }

    #[test]
    fn one_sent_after_the_return_is_a_takeover() {
        let world = Setup::Returned.world().after(MINUTE).then(sent_ago(MINUTE));
        assert_eq!(world.c.holder.assignee(), Some(bert()));
    }
}

mod exemptions {
    use super::*;

    #[test]
    fn of_a_blocked_contact_leave_nothing_open() {
        for event in [wrote, asked] {
            let world = Setup::BlockedAssigned.world().then(event);
            assert_eq!((world.c.waiting, world.c.asked, world.c.obligation), (None, None, None));
            let unblocked = world.then(|_| Event::BlockContact { blocked: false });
            assert_eq!(unblocked.c.obligation, None);
            check(unblocked, wrote, "visitor_wrote obligation_opened");
        }
    }
}

mod colleagues {
    use super::*;

    #[test]
    fn who_write_take_part_and_the_assignee_keeps_it() {
        let bert_writes = |w: &World| Event::AgentWrites { by: w.by(bert()), message: w.message() };
        let world = Setup::Assigned.world().then(bert_writes);
        assert_eq!(world.c.holder.assignee(), Some(anna()));
        assert!(world.c.participants.contains(&bert()));
        assert!(!world.then(anna_writes).c.participants.contains(&anna()));
    }

    #[test]
    fn of_the_same_team_keep_the_team() {
        let world = Setup::TeamQueue.world().then(anna_takes_over);
        let same_team = |w: &World| Event::Assign {
            by: w.by(anna()),
            agent: Some(anna()),
            team: Some(support()),
        };
        let other_team = |w: &World| Event::Assign {
            by: w.by(anna()),
            agent: Some(anna()),
            team: Some(sales()),
        };
        check(check(world, same_team, ""), other_team, "assigned");
    }
}
