//! What the visitor writes is answered once, and what was said reaches every screen.

use std::time::Duration;

use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule};
use serde_json::{Value, json};

use super::{count, held, is_draft};
use crate::on_both_engines;
use crate::support::people::{conversation_of, fresh_client_id};
use crate::support::{Engine, Setup, World, kind_is, prompts};

async fn a_burst_is_answered_once(engine: Engine) {
    let setup = Setup::default().standing_clock().config(|config| config.turn.debounce_ms = 400);
    let world = World::new(engine, setup).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let mut id = String::new();
    for words in ["Hi", "I have a question", "about my refund", "how long", "does the refund take?"]
    {
        id = conversation_of(&rina.write(words).await);
    }
    world.pass(Duration::from_millis(400));
    page.message("five working days").await;
    let asked = prompts(&world.model, Task::Answer);
    assert_eq!(asked.len(), 1, "asked {} times", asked.len());
    for words in ["Hi", "I have a question", "about my refund", "how long", "does the refund take?"]
    {
        assert!(asked[0].contains(words), "“{words}” is missing in {}", asked[0]);
    }
    let line = world.agent("Ana").timeline(&id).await;
    let answers: Vec<&Value> = line.iter().filter(|i| i["kind"] == "assistant_answered").collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let wrote: Vec<&Value> = line.iter().filter(|i| i["kind"] == "visitor_wrote").collect();
    let range = json!([wrote[0]["seq"], wrote[4]["seq"]]);
    assert_eq!(answers[0]["data"]["answers"], range, "{answers:?}");
    drop(page);
    world.end().await;
}

async fn newer_words_supersede_an_answer_that_nobody_has_read(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let gate = Gate::after(0);
    let says =
        |words: &str, text: &str| Rule::on(Task::Answer, Behaviour::say(text)).when_said(words);
    world.model.add(says("i mean", "It takes five working days after approval. [1]"));
    world.model.add(says("to jakarta", "A parcel to Jakarta takes two days. [1]"));
    world.model.add(Rule::on(Task::Answer, held(&gate)).once());
    rina.write("Where is my parcel?").await;
    gate.arrived().await;
    let id = conversation_of(&rina.write("I mean: how long does a refund take?").await);
    world.model.cancelled().await;
    page.message("five working days after").await;
    gate.open();
    page.settle().await;
    let ana = world.agent("Ana");
    let kinds = ana.kinds(&id).await;
    assert_eq!(count(&kinds, "turn_superseded"), 1, "{kinds:?}");
    assert_eq!(count(&kinds, "assistant_answered"), 1, "{kinds:?}");
    let last = prompts(&world.model, Task::Answer).pop().unwrap_or_default();
    assert!(last.contains("Where is my parcel?") && last.contains("I mean"), "{last}");

    // What somebody has read is not taken back: the rest is answered by a turn of its own.
    let gate = Gate::after(8);
    world.model.add(Rule::on(Task::Answer, held(&gate)).once());
    rina.write("To which card?").await;
    page.until("the first sentence", |f| is_draft(f, "five working days")).await;
    rina.write("And how long does a parcel to Jakarta take?").await;
    gate.open();
    page.message("The money goes back").await;
    page.message("two days").await;
    let kinds = ana.kinds(&id).await;
    assert_eq!(count(&kinds, "turn_superseded"), 1, "{kinds:?}");
    assert_eq!(count(&kinds, "assistant_answered"), 3, "{kinds:?}");
    drop(page);
    world.end().await;
}

async fn the_same_words_sent_twice_are_stored_once(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let rina = world.visitor("Rina").await;
    let client_id = fresh_client_id();
    let sends = (0..6).map(|_| rina.write_as(&client_id, "How long does a refund take?"));
    let answers = futures_util::future::join_all(sends).await;
    let first = answers[0].clone().ok();
    for answer in answers {
        let again = answer.ok();
        assert_eq!(again["message"], first["message"]);
    }
    let other = rina.write_as(&client_id, "other words under the same id").await.ok();
    assert_eq!(other["message"], first["message"]);
    let wrote =
        |messages: &[Value]| messages.iter().filter(|m| m["author"]["kind"] == "visitor").count();
    assert_eq!(wrote(&rina.messages().await), 1);
    // Another visitor may use the same id.
    let tono = world.visitor("Tono").await;
    let his = tono.write_as(&client_id, "Hello").await.ok();
    assert_ne!(his["message"]["id"], first["message"]["id"]);
    world.end().await;
}

async fn sockets_resume_without_gaps(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let ana = world.agent("Ana");
    let mut desk = ana.live(None).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    let answer = page.message("five working days").await;
    let (frame, _) = desk.event(&id, "assistant_answered").await;
    let cursor = frame["cursor"].as_str().expect("a cursor").to_owned();
    let seen = answer["public_seq"].as_u64().expect("a number");
    let known = frame["row"]["seq"].as_u64().expect("a number");
    drop((desk, page));
    rina.ask_for_person().await;
    ana.write(&id, "Here is Ana.").await;
    ana.command(&id, "close", json!({ "outcome": "solved" })).await.ok();
    let mut page = rina.live_after(seen).await;
    page.settle().await;
    let welcome = &page.heard()[0];
    let numbers = |messages: &Value| -> Vec<u64> {
        let all = messages.as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().filter_map(|m| m["public_seq"].as_u64()).collect()
    };
    let got = numbers(&welcome["conversation"]["messages"]);
    let all = numbers(&json!(rina.messages().await));
    let wanted: Vec<u64> = all.into_iter().filter(|n| *n > seen).collect();
    assert_eq!(got, wanted, "{welcome}");
    let mut desk = ana.live_from(Some(&cursor), None).await;
    let last = ana.detail(&id).await["seq"].as_u64().expect("a number");
    let mut items: Vec<u64> = Vec::new();
    while items.last() != Some(&last) {
        let frame =
            desk.until("what was missed", |f| kind_is(f, "changed") || kind_is(f, "resync")).await;
        assert!(kind_is(&frame, "changed"), "{frame}");
        items.extend(
            frame["items"].as_array().into_iter().flatten().filter_map(|i| i["seq"].as_u64()),
        );
    }
    // On PostgreSQL the feed may repeat what it had told before the cursor moved; it never skips.
    items.retain(|seq| *seq > known);
    assert_eq!(items, (known + 1..=last).collect::<Vec<_>>());
    drop((desk, page));
    world.end().await;
}

on_both_engines!(
    a_burst_is_answered_once,
    newer_words_supersede_an_answer_that_nobody_has_read,
    the_same_words_sent_twice_are_stored_once,
    sockets_resume_without_gaps,
);
