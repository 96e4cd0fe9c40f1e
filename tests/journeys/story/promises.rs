//! What is promised to a visitor is kept in mind: alarms, deadlines, a restart between.

use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule};
use serde_json::{Value, json};

use super::{MINUTE, count, held, is_draft};
use crate::on_both_engines;
use crate::support::people::conversation_of;
use crate::support::{Agent, Engine, Setup, World, kind_is};

async fn a_broken_promise_climbs_the_ladder(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let (ana, budi, sari) = (world.agent("Ana"), world.agent("Budi"), world.agent("Sari"));
    let (mut ana_hears, mut budi_hears) = (ana.live(None).await, budi.live(None).await);
    let mut sari_hears = sari.live(None).await;
    let rina = world.visitor("Rina").await;
    rina.write("Hello").await;
    let id = rina.ask_for_person().await["id"].as_str().expect("an id").to_owned();
    ana_hears.event(&id, "obligation_opened").await;
    let of = |id: &str, step: u64| {
        let id = id.to_owned();
        move |frame: &Value| {
            kind_is(frame, "alarm")
                && frame["alarm"]["conversation_id"] == id.as_str()
                && frame["alarm"]["step"] == step
        }
    };

    // Nobody answers for ten minutes: everybody of the inbox hears.
    world.pass(10 * MINUTE);
    for hears in [&mut ana_hears, &mut budi_hears, &mut sari_hears] {
        hears.ever("the alarm", of(&id, 1)).await;
    }
    assert_eq!(ana.detail(&id).await["alarm"], true);
    // Ten more: the owner.
    world.pass(10 * MINUTE);
    let alarm = sari_hears.until("the owners' alarm", of(&id, 2)).await["alarm"].clone();
    ana_hears.event(&id, "alarm_raised").await;
    ana_hears.settle().await;
    assert!(!ana_hears.heard().iter().any(of(&id, 2)), "an agent heard the owners' alarm");
    let alarms = |agent: Agent| async move {
        let list = agent.get("/alarms").await.ok();
        list["items"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((alarms(sari.clone()).await, alarms(ana.clone()).await), (2, 1));
    let alarm_id = alarm["id"].as_str().expect("an id");
    sari.post(&format!("/alarms/{alarm_id}/acknowledge"), json!({})).await.ok();
    sari.post(&format!("/alarms/{alarm_id}/acknowledge"), json!({})).await.ok();
    sari_hears.event(&id, "alarm_acknowledged").await;
    assert_eq!(count(&ana.kinds(&id).await, "alarm_acknowledged"), 1);
    assert_eq!(alarms(sari.clone()).await, 1);
    // A reply keeps the promise, and takes every alarm away.
    ana.write(&id, "Sorry for the wait, here I am.").await;
    let detail = ana.detail(&id).await;
    assert_eq!(
        (&detail["obligation"], &detail["alarm"]),
        (&Value::Null, &json!(false)),
        "{detail}"
    );
    assert_eq!((alarms(sari.clone()).await, alarms(ana.clone()).await), (0, 0));

    // What an assignee owes is told to the assignee first.
    rina.write("And what now?").await;
    ana_hears.event(&id, "obligation_opened").await;
    world.pass(10 * MINUTE);
    ana_hears.until("the alarm to the assignee", |f| kind_is(f, "alarm")).await;
    // The owners' came before it.
    budi_hears.event(&id, "alarm_raised").await;
    budi_hears.event(&id, "alarm_raised").await;
    budi_hears.settle().await;
    let alarms = budi_hears.heard().iter().filter(|f| kind_is(f, "alarm")).count();
    assert_eq!(alarms, 1, "Budi heard an alarm that was for Ana");
    drop((ana_hears, budi_hears, sari_hears));
    world.end().await;
}

async fn promises_and_replies_outlive_a_restart(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let waits = world.visitor("Rina").await;
    let promised = waits.ask_for_person().await["id"].as_str().expect("an id").to_owned();
    let gate = Gate::after(8);
    world.model.add(Rule::on(Task::Answer, held(&gate)).once());
    let reads = world.visitor("Tono").await;
    let mut page = reads.live().await;
    let id = conversation_of(&reads.write("Where does my refund go?").await);
    page.until("the first sentence", |f| is_draft(f, "five working days")).await;
    let briefly = Behaviour::say("Back to your card. [1]");
    world.model.add(Rule::on(Task::Answer, briefly).when_said("where does my refund go").once());
    let (world, closed) = tokio::join!(world.restart(), page.closed("the server stops"));
    assert_eq!(closed, Some(1001));
    // The reply that was being written is written by the next process, once.
    let (waits, reads, ana) =
        (waits.at(&world.origin), reads.at(&world.origin), world.agent("Ana"));
    let mut page = reads.live().await;
    let is_answer = |m: &Value| m["author"]["kind"] == "assistant";
    page.ever("the answer", |f| {
        let all = f["conversation"]["messages"].as_array();
        is_answer(&f["message"]) || all.is_some_and(|all| all.iter().any(is_answer))
    })
    .await;
    gate.open();
    let kinds = ana.kinds(&id).await;
    assert_eq!(count(&kinds, "assistant_answered"), 1, "{kinds:?}");
    assert_eq!(count(&kinds, "turn_started"), 2, "{kinds:?}");
    let said: Vec<Value> = reads.messages().await;
    assert_eq!(said.iter().filter(|m| m["text"] == "Back to your card.").count(), 1, "{said:?}");
    // The promise made before is kept in mind after.
    let mut desk = ana.live(None).await;
    world.pass(10 * MINUTE);
    let (_, alarm) = desk.event(&promised, "alarm_raised").await;
    assert_eq!(alarm["data"]["recipient"], "inbox", "{alarm}");
    ana.write(&promised, "Here I am.").await;
    let detail = ana.detail(&promised).await;
    assert_eq!(detail["obligation"], Value::Null, "{detail}");
    let heard = waits.messages().await;
    assert_eq!(heard.last().map(|m| m["text"].clone()), Some(json!("Here I am.")), "{heard:?}");
    drop((desk, page));
    world.end().await;
}

async fn a_quiet_visitor_is_asked_then_the_conversation_closes(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    page.message("five working days").await;
    world.pass(15 * MINUTE);
    page.notice("idle_nudge").await;
    world.pass(45 * MINUTE);
    page.notice("closed").await;
    let detail = world.agent("Ana").detail(&id).await;
    assert_eq!(detail["holder"]["outcome"], "timeout", "{detail}");
    let kinds = world.agent("Ana").kinds(&id).await;
    assert_eq!(count(&kinds, "noticed"), 2, "{kinds:?}");
    drop(page);
    world.end().await;
}

async fn a_question_the_ai_leaves_for_a_minute_goes_to_people(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let gate = Gate::after(0);
    world.model.add(Rule::on(Task::Answer, held(&gate)).once());
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    gate.arrived().await;
    world.pass(MINUTE);
    page.notice("handoff_nobody_online").await;
    world.model.cancelled().await;
    gate.open();
    let ana = world.agent("Ana");
    let detail = ana.detail(&id).await;
    assert_eq!(detail["holder"]["queue"]["reason"]["code"], "deadline", "{detail}");
    assert_eq!(detail["obligation"]["step"], 0, "{detail}");
    drop(page);
    world.end().await;
}

on_both_engines!(
    a_broken_promise_climbs_the_ladder,
    promises_and_replies_outlive_a_restart,
    a_quiet_visitor_is_asked_then_the_conversation_closes,
    a_question_the_ai_leaves_for_a_minute_goes_to_people,
);
