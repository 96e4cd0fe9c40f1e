//! How a conversation comes to people: by condition, by button, by reopening, and not again after a return.

use baton::assistant::config::{Counted, PhraseCondition};
use baton::model::Task;
use baton::model::scripted::{Gate, Rule};
use serde_json::{Value, json};

use super::{MINUTE, count, held, is_draft, with_worded};
use crate::on_both_engines;
use crate::support::people::conversation_of;
use crate::support::{Engine, Setup, World, eventually, kind_is};

async fn each_condition_hands_off_with_its_evidence(engine: Engine) {
    let setup = Setup::default().assistant(|config| {
        config.conditions.phrases = vec![PhraseCondition {
            name: "Legal".to_owned(),
            phrases: vec!["lawyer".to_owned(), "chargeback".to_owned()],
        }];
        config.conditions.max_turns = Counted { enabled: true, count: 2 };
    });
    let world = World::new(engine, setup).await;
    let ana = world.agent("Ana");
    for (words, code, condition, evidence) in [
        ("Can I talk to a human please?", "asked_for_person", Value::Null, "human"),
        ("Do you sell bicycles?", "no_answer", Value::Null, "Do you sell bicycles?"),
        ("My LAWYER will hear of this", "phrase", json!("Legal"), "LAWYER"),
    ] {
        let visitor = world.visitor("somebody").await;
        let mut page = visitor.live().await;
        let said = visitor.write(words).await;
        // Nobody has a socket open: the visitor is asked for an address.
        page.notice("handoff_nobody_online").await;
        let id = conversation_of(&said);
        let reason = ana.detail(&id).await["holder"]["queue"]["reason"].clone();
        assert_eq!(reason["code"], code, "{words}: {reason}");
        assert_eq!(reason["condition"], condition, "{words}: {reason}");
        assert_eq!(reason["message_id"], said["message"]["id"], "{words}: {reason}");
        let quote = reason["evidence"].as_str().unwrap_or_default();
        assert!(quote.contains(evidence), "{words}: {reason}");
    }
    let visitor = world.visitor("a talker").await;
    let mut page = visitor.live().await;
    for _ in 0..2 {
        visitor.write("How long does a refund take?").await;
        page.message("five working days").await;
    }
    let third = visitor.write("How long does a refund take, again?").await;
    page.notice("handoff_nobody_online").await;
    let reason = ana.detail(&conversation_of(&third)).await["holder"]["queue"]["reason"].clone();
    assert_eq!(reason["code"], "max_turns", "{reason}");
    drop(page);
    world.end().await;
}

async fn a_person_by_button(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let ana = world.agent("Ana");
    let mut desk = ana.live(None).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let gate = Gate::after(8);
    world.model.add(Rule::on(Task::Answer, held(&gate)).once());
    let id = conversation_of(&rina.write("Where does my refund go?").await);
    page.until("the first sentence", |f| is_draft(f, "five working days")).await;
    let state = rina.ask_for_person().await;
    assert_eq!(state["answering"]["kind"], "queue", "{state}");
    assert_eq!(state["queue"]["position"], 1, "{state}");
    page.until("draft_dropped", |f| kind_is(f, "draft_dropped")).await;
    page.notice("handoff_waiting").await;
    let (_, item) = desk.event(&id, "handed_off").await;
    assert_eq!(item["data"]["reason"]["code"], "asked_for_person", "{item}");
    gate.open();
    // Again at once: no second notice. Five minutes later: one.
    rina.ask_for_person().await;
    assert_eq!(count(&ana.kinds(&id).await, "noticed"), 1);
    world.pass(5 * MINUTE);
    rina.ask_for_person().await;
    page.notice("still_waiting").await;
    // A second visitor stands behind the first.
    let other = world.visitor("Tono").await;
    assert_eq!(other.ask_for_person().await["queue"]["position"], 2);
    // Asking for a person opens a closed conversation for people, whatever the inbox's policy.
    ana.take_over(&id).await;
    ana.command(&id, "close", json!({ "outcome": "unsolved" })).await.ok();
    page.notice("closed").await;
    let state = rina.ask_for_person().await;
    assert_eq!(state["answering"]["kind"], "queue", "{state}");
    page.notice("handoff_waiting").await;
    assert!(!rina.messages().await.iter().any(|m| m["author"]["kind"] == "assistant"));
    drop((desk, page));
    world.end().await;
}

async fn reopening_follows_the_inbox(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let (ana, sari) = (world.agent("Ana"), world.agent("Sari"));
    let mut desk = ana.live(None).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    page.message("five working days").await;
    ana.take_over(&id).await;
    let inbox = format!("/inboxes/{}", world.business.inbox);
    for (policy, holder, answering) in [
        ("assistant", "assistant", "assistant"),
        ("last_human", "human", "agent"),
        ("queue", "human", "queue"),
        ("last_human", "human", "queue"),
    ] {
        sari.patch(&inbox, json!({ "reopen_to": policy })).await.ok();
        ana.command(&id, "close", json!({ "outcome": "solved" })).await.ok();
        page.state("closed", |c| c["state"] == "closed").await;
        if answering == "queue" && policy == "last_human" {
            // The last person has gone home.
            drop(desk);
            eventually("Ana is away", || async {
                let detail = ana.get("/agents").await.ok();
                let here = world
                    .state
                    .conversations
                    .wire()
                    .presence
                    .anyone_available(world.business.workspace);
                if here { Err(detail.to_string()) } else { Ok(()) }
            })
            .await;
            desk = sari.live(None).await;
        }
        rina.write("How long does a refund take?").await;
        let state = page.state("open again", |c| c["state"] != "closed").await;
        assert_eq!(state["answering"]["kind"], answering, "{policy}: {state}");
        let detail = ana.detail(&id).await;
        assert_eq!(detail["holder"]["state"], holder, "{policy}: {detail}");
        if holder == "assistant" {
            page.message("five working days").await;
        } else if answering == "queue" {
            assert_eq!(detail["holder"]["queue"]["reason"]["code"], "reopened", "{detail}");
        }
        desk.event(&id, "reopened").await;
    }
    drop((desk, page));
    world.end().await;
}

async fn a_return_with_a_pending_question(engine: Engine) {
    let world = World::new(engine, with_worded()).await;
    let ana = world.agent("Ana");
    let mut desk = ana.live(None).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("I want to cancel my subscription").await);
    desk.event(&id, "handed_off").await;
    ana.take_over(&id).await;
    // What handed off before is input now, never evidence: the AI tries, and says so if it cannot.
    ana.command(&id, "assign-to-ai", json!({ "note": null })).await.ok();
    page.notice("returned_to_ai").await;
    let answer = page.until("an answer", |f| f["message"]["author"]["kind"] == "assistant").await;
    desk.event(&id, "assistant_answered").await;
    let kinds = ana.kinds(&id).await;
    assert_eq!(count(&kinds, "handed_off"), 1, "{kinds:?} {answer}");
    assert_eq!(ana.detail(&id).await["holder"]["state"], "assistant");
    // The same wish in new words is new evidence.
    rina.write("No. I want to cancel my subscription today.").await;
    page.notice("handoff_waiting").await;
    let reason = ana.detail(&id).await["holder"]["queue"]["reason"].clone();
    assert_eq!(reason["code"], "worded", "{reason}");
    // A question that no article answers, handed back unanswered: the fixed text, and no handoff.
    let tono = world.visitor("Tono").await;
    let mut page = tono.live().await;
    let id = conversation_of(&tono.write("Do you sell bicycles?").await);
    page.notice("handoff_waiting").await;
    ana.take_over(&id).await;
    ana.command(&id, "assign-to-ai", json!({})).await.ok();
    page.until("an answer", |f| f["message"]["author"]["kind"] == "assistant").await;
    let line = ana.timeline(&id).await;
    let answer = line.iter().find(|i| i["kind"] == "assistant_answered").expect("an answer");
    assert_eq!(answer["data"]["still_unanswered"], true, "{answer}");
    assert_eq!(answer["message"]["flags"], json!(["still_unanswered"]), "{answer}");
    drop((desk, page));
    world.end().await;
}

on_both_engines!(
    each_condition_hands_off_with_its_evidence,
    a_person_by_button,
    reopening_follows_the_inbox,
    a_return_with_a_pending_question,
);
