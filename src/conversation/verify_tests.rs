//! The checker finds nothing in honest logs, and finds each lie.

use super::super::test_world::*;
use super::super::{Evidence, NoticeCode};
use super::*;

const SETUPS: &str = "Fresh Due Running Released LeaseLost SupersededTwice SlowTurn Overtaken Answered Returned Overdue \
    Quiet Silent Queue ToldLongAgo SnoozedQueue QueueAgain QueueMissed TeamQueue BlockedQueue Assigned Replied Snoozed \
    SnoozeOver Offline OfflineLong AssignedAgain Missed BlockedAssigned Closed ClosedLong ClosedAgain Blocked Erased";

#[test]
fn honest_logs_are_good() {
    for name in SETUPS.split_whitespace() {
        let world = Setup::named(name).expect(name).world();
        assert_eq!(verify(&world.c, &world.stored()), [], "{name}");
    }
    let world = Setup::Released.world().then(broke_off).then(anna_takes_over).then(anna_writes);
    assert_eq!(verify(&world.c, &world.stored()), [], "an answer that broke off");
}

/// Which laws a log breaks after it was tampered with.
fn laws(world: &World, tamper: impl FnOnce(&mut Vec<Logged>)) -> Vec<Law> {
    let mut log = world.stored();
    tamper(&mut log);
    let laws: BTreeSet<Law> = verify(&world.c, &log).into_iter().map(|v| v.kind.law()).collect();
    laws.into_iter().collect()
}

fn place(log: &[Logged], is: fn(&Record) -> bool) -> usize {
    log.iter().position(|logged| is(&logged.record)).expect("such a record")
}

fn is_answer(record: &Record) -> bool {
    matches!(record, Record::AssistantAnswered { .. })
}

#[test]
fn an_empty_or_cut_log_is_found() {
    let world = Setup::Answered.world();
    assert_eq!(laws(&world, Vec::clear), [Law::OneOrder]);
    assert!(laws(&world, |log| drop(log.remove(1))).contains(&Law::OneOrder));
    assert!(laws(&world, |log| drop(log.pop())).contains(&Law::OneOrder));
}

#[test]
fn a_word_of_the_ai_after_a_takeover_is_found() {
    let answer = Setup::Answered.world().stored();
    let answer = answer[place(&answer, is_answer)].clone();
    let world = Setup::Assigned.world();
    let late = |log: &mut Vec<Logged>| {
        let (seq, epoch) = (world.c.seq + 1, world.c.epoch);
        log.push(Logged { seq, epoch, ..answer.clone() });
    };
    let found = laws(&world, late);
    assert!(found.contains(&Law::OneVoice) && found.contains(&Law::Silence), "{found:?}");
}

#[test]
fn a_message_that_is_gone_or_misnumbered_is_found() {
    let world = Setup::Replied.world();
    assert_eq!(laws(&world, |log| log[1].message = None), [Law::NothingLost]);
    let renumbered = |log: &mut Vec<Logged>| {
        log[1].message.as_mut().expect("a message").public_seq = Some(7);
    };
    assert_eq!(laws(&world, renumbered), [Law::OneOrder]);
    let erased = Setup::Erased.world();
    assert_eq!(laws(&erased, |log| log[1].message = None), [], "an erased one may be gone");
}

#[test]
fn overlapping_ranges_and_second_copies_are_found() {
    let world = Setup::Answered.world().then(wrote).after(400).then(leased).then(answered);
    let overlap = |log: &mut Vec<Logged>| {
        let last = log.iter_mut().rev().find(|logged| is_answer(&logged.record));
        let last = last.expect("two answers");
        if let Record::AssistantAnswered { answers, .. } = &mut last.record {
            *answers = answers.map(|(_, through)| (2, through));
        }
        if let Some(message) = &mut last.message {
            message.answers = message.answers.map(|(_, through)| (2, through));
        }
    };
    assert_eq!(laws(&world, overlap), [Law::Once]);
    let twice = |log: &mut Vec<Logged>| {
        for logged in log.iter_mut().filter(|l| matches!(l.record, Record::VisitorWrote { .. })) {
            logged.message.as_mut().expect("a message").client_id = Some("same".to_owned());
        }
    };
    assert_eq!(laws(&world, twice), [Law::Once]);
}

#[test]
fn the_same_evidence_twice_and_evidence_from_before_a_return_are_found() {
    let world = Setup::QueueAgain.world();
    let with_evidence = |log: &mut Vec<Logged>| {
        let said = log[1].record.message();
        for logged in log.iter_mut().filter(|l| matches!(l.record, Record::HandedOff { .. })) {
            let evidence = Evidence { condition: None, quote: None, message: said };
            logged.evidence = Some(evidence);
        }
    };
    let mut log = world.stored();
    with_evidence(&mut log);
    let found = verify(&world.c, &log);
    assert!(found.iter().all(|violation| violation.kind.law() == Law::Triggers), "{found:?}");
    assert!(!found.is_empty());
    let once = Setup::Queue.world();
    assert_eq!(laws(&once, with_evidence), [], "once is right");
}

#[test]
fn a_promise_that_ends_by_itself_is_found() {
    let world = Setup::Queue.world();
    let ends = |log: &mut Vec<Logged>| {
        let (seq, epoch) = (world.c.seq + 1, world.c.epoch);
        let record = Record::ObligationEnded { by: EndedBy::Reply };
        log.push(Logged {
            seq,
            epoch,
            at: world.facts.now + std::time::Duration::from_secs(1),
            actor: Actor::System,
            record,
            message: None,
            evidence: None,
        });
    };
    let found = laws(&world, ends);
    assert!(found.contains(&Law::Promises), "{found:?}");
}

#[test]
fn a_notice_signed_by_a_person_is_found() {
    let world = Setup::Queue.world();
    let signed = |log: &mut Vec<Logged>| {
        let notice = place(log, |record| {
            matches!(record, Record::Noticed { code: NoticeCode::HandoffWaiting, .. })
        });
        log[notice].actor = Actor::Agent(anna());
    };
    assert_eq!(laws(&world, signed), [Law::OneVoice]);
}

#[test]
fn violations_read_as_sentences() {
    let violation = Violation { kind: Kind::Promise, seq: Some(7), what: "no promise".to_owned() };
    assert_eq!(violation.to_string(), "law 8 (promise) at seq 7: no promise");
}
