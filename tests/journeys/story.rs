//! The main job, end to end: the AI answers, people take over, hand back, close, and the visitor comes again.

use std::time::Duration;

use baton::assistant::config::{Counted, PhraseCondition, WordedCondition};
use baton::db::sql;
use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::people::{conversation_of, fresh_client_id};
use crate::support::{Agent, Engine, Live, Setup, World, eventually, kind_is, prompts};

const MINUTE: Duration = Duration::from_secs(60);
const NOTE: &str = "PRIVATE-7731 she is a friend of the owner";
const RETURN_NOTE: &str = "Offer her one free bag of Gayo if she stays";

fn cancels() -> WordedCondition {
    WordedCondition {
        name: "Wants to cancel".to_owned(),
        text: "The visitor wants to cancel their subscription.".to_owned(),
    }
}

fn with_worded() -> Setup {
    Setup::default().assistant(|config| config.conditions.worded = vec![cancels()])
}

/// Says so many sentences and stops in the second one until the gate opens.
fn held(gate: &Gate) -> Behaviour {
    Behaviour::say(
        "Refunds take five working days. The money goes back to the card you paid with. Ask me anything else.",
    )
    .with_gate(gate.clone())
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|k| *k == kind).count()
}

fn is_draft(frame: &Value, words: &str) -> bool {
    kind_is(frame, "draft") && frame["text"].as_str().is_some_and(|text| text.contains(words))
}

async fn the_whole_story(engine: Engine) {
    let world = World::new(engine, with_worded()).await;
    let (ana, budi) = (world.agent("Ana"), world.agent("Budi"));
    let mut desk = ana.live(None).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;

    // The AI answers from the help centre and says where it has that from.
    let asked = rina.write("How long does a refund take?").await;
    let id = conversation_of(&asked);
    assert_eq!(asked["message"]["public_seq"], 1, "{asked}");
    let answer = page.message("five working days").await;
    assert_eq!(answer["author"]["kind"], "assistant", "{answer}");
    assert_eq!(answer["author"]["name"], "Mira", "{answer}");
    assert_eq!(answer["citations"][0]["title"], "Refunds", "{answer}");
    assert_eq!(answer["public_seq"], 2, "{answer}");
    let (frame, _) = desk.event(&id, "assistant_answered").await;
    assert_eq!(frame["row"]["holder"]["state"], "assistant", "{frame}");

    // A worded condition hands off, with evidence; everybody hears of it.
    let cancel = rina.write("I want to cancel my subscription").await;
    page.notice("handoff_waiting").await;
    let state = page.state("the queue", |c| c["answering"]["kind"] == "queue").await;
    assert_eq!(state["queue"]["position"], 1, "{state}");
    let (frame, item) = desk.event(&id, "handed_off").await;
    for reason in [&item["data"]["reason"], &frame["row"]["holder"]["queue"]["reason"]] {
        assert_eq!(reason["code"], "worded", "{frame}");
        assert_eq!(reason["condition"], "Wants to cancel", "{frame}");
        assert_eq!(reason["evidence"], "I want to cancel my subscription", "{frame}");
        assert_eq!(reason["message_id"], cancel["message"]["id"], "{frame}");
    }
    assert_eq!(ana.get("/counts").await.ok()["unassigned"], 1);
    let brief = desk.help(&id, "brief").await;
    assert_eq!((&brief["state"], &brief["source"]), (&json!("ready"), &json!("model")), "{brief}");
    assert!(!brief["content"]["wants"].as_str().unwrap_or_default().is_empty(), "{brief}");
    let suggestions = desk.help(&id, "suggestions").await;
    assert_eq!(suggestions["state"], "ready", "{suggestions}");

    // Ana takes over and sends a suggestion.
    let taken = ana.take_over(&id).await;
    assert_eq!(taken["holder"]["agent"]["name"], "Ana", "{taken}");
    page.notice("agent_joined").await;
    page.state("Ana", |c| c["answering"]["name"] == "Ana").await;
    let colleagues = ana.get("/agents").await.ok();
    let open =
        colleagues["items"].as_array().and_then(|all| all.iter().find(|a| a["name"] == "Ana"));
    assert_eq!(open.map(|a| a["open"].clone()), Some(json!(1)), "{colleagues}");
    use_a_suggestion(&world, &ana, &id, &mut page).await;

    // A private note, then back to the AI with a note for it.
    ana.command(&id, "notes", json!({ "text": NOTE, "client_id": "n1", "expected_epoch": null }))
        .await
        .names(400, "invalid", "expected_epoch");
    let notes = format!("/conversations/{id}/notes");
    ana.post(&notes, json!({ "text": NOTE, "client_id": "n1" })).await.ok();
    ana.command(&id, "assign-to-ai", json!({ "note": RETURN_NOTE })).await.ok();
    page.notice("returned_to_ai").await;
    page.state("the AI", |c| c["answering"]["kind"] == "assistant").await;
    let briefly = Behaviour::say("Within five working days, as I said. [1]");
    world.model.add(Rule::on(Task::Answer, briefly).when_said("and how long").once());
    rina.write("And how long does the refund take?").await;
    page.message("as I said").await;
    let last = prompts(&world.model, Task::Answer).pop().expect("an answer was asked for");
    assert!(last.contains("Two bags, as a suggestion said"), "the human's words: {last}");
    assert!(last.contains(RETURN_NOTE), "the note for the AI: {last}");
    let kinds = ana.kinds(&id).await;
    assert_eq!(count(&kinds, "handed_off"), 1, "old evidence fired again: {kinds:?}");

    budi_takes_over_while_the_ai_streams(&world, &budi, &id, &rina, &mut page).await;

    // The end, a summary, thanks, and the visitor comes again.
    budi.command(&id, "close", json!({ "outcome": "solved" })).await.ok();
    page.notice("closed").await;
    page.state("closed", |c| c["state"] == "closed").await;
    desk.event(&id, "closed").await;
    let summary = desk.help(&id, "summary").await;
    assert_eq!(summary["state"], "ready", "{summary}");
    let stored = ana.get(&format!("/conversations/{id}/assist")).await.ok();
    assert!(
        !stored["summary"]["content"]["text"].as_str().unwrap_or_default().is_empty(),
        "{stored}"
    );
    rina.write("Thanks a lot!").await;
    let after_thanks = ana.detail(&id).await;
    assert_eq!(after_thanks["holder"]["state"], "closed", "{after_thanks}");
    rina.write("How long does a parcel to Jakarta take?").await;
    page.message("two days").await;
    let last = prompts(&world.model, Task::Answer).pop().unwrap_or_default();
    assert!(!last.contains(RETURN_NOTE), "a note that a person has dealt with: {last}");
    let reopened = ana.detail(&id).await;
    assert_eq!(reopened["holder"]["state"], "assistant", "{reopened}");
    assert_eq!(reopened["episode"], 2, "{reopened}");

    // What was private stayed private.
    for task in [Task::Answer, Task::Judge] {
        for prompt in prompts(&world.model, task) {
            assert!(!prompt.contains("PRIVATE-7731"), "{task:?} was told a private note: {prompt}");
            assert!(
                !prompt.contains("approved by Sari"),
                "{task:?} was told internal knowledge: {prompt}"
            );
        }
    }
    rina.conversation().await;
    for words in ["PRIVATE-7731", RETURN_NOTE, "approved by Sari"] {
        assert!(!rina.has_seen(words), "the visitor was sent “{words}”");
    }
    drop((desk, page));
    world.end().await;
}

async fn use_a_suggestion(world: &World, ana: &Agent, id: &str, page: &mut Live) {
    let assist = ana.get(&format!("/conversations/{id}/assist")).await.ok();
    let artifact = assist["suggestions"]["id"].as_str().expect("suggestions").to_owned();
    assert!(assist["suggestions"]["content"]["replies"][0]["text"].is_string(), "{assist}");
    let fate = format!("/conversations/{id}/suggestions/{artifact}/0");
    ana.post(&fate, json!({ "fate": "inserted" })).await.ok();
    let reply = json!({
        "text": "Two bags, as a suggestion said.", "client_id": "reply-1",
        "suggestion": { "artifact_id": artifact, "index": 0 },
    });
    let sent = ana.command(id, "messages", reply.clone()).await.ok();
    assert_eq!(ana.command(id, "messages", reply).await.ok()["id"], sent["id"], "sent twice");
    let heard = page.message("Two bags").await;
    assert_eq!(heard["author"]["name"], "Ana", "{heard}");
    let mut conn = world.state.conversations.db().read().await.expect("a connection");
    let (fates,): (String,) = sql("SELECT fates FROM artifact WHERE id = $1")
        .bind(artifact.as_str())
        .one(&mut conn)
        .await
        .expect("the suggestion's row");
    let fates: Value = serde_json::from_str(&fates).expect("JSON");
    assert_eq!(fates["0"], json!({ "inserted": 1, "sent": 1 }));
}

async fn budi_takes_over_while_the_ai_streams(
    world: &World,
    budi: &Agent,
    id: &str,
    rina: &crate::support::Visitor,
    page: &mut Live,
) {
    let gate = Gate::after(8);
    world.model.add(Rule::on(Task::Answer, held(&gate)).when_said("which card").once());
    let mut looks = budi.live(Some(id)).await;
    rina.write("To which card does the refund go?").await;
    let draft = page.until("the first sentence", |f| is_draft(f, "five working days")).await;
    looks.until("the first sentence", |f| is_draft(f, "five working days")).await;
    gate.arrived().await;
    let taken = budi.take_over(id).await;
    let dropped = page.until("draft_dropped", |f| kind_is(f, "draft_dropped")).await;
    assert_eq!(dropped["turn"], draft["turn"]);
    assert_eq!(dropped["epoch"], taken["epoch"], "{dropped}");
    looks.until("draft_dropped", |f| kind_is(f, "draft_dropped")).await;
    page.notice("agent_joined").await;
    world.model.cancelled().await;
    let seq = budi.detail(id).await["seq"].clone();
    gate.open();
    let turn = draft["turn"].as_str().expect("a turn").to_owned();
    let explained = eventually("the record of the cancelled turn", || async {
        let turn = budi.get(&format!("/turns/{turn}")).await.ok();
        if turn["released"].is_string() { Ok(turn) } else { Err(turn.to_string()) }
    });
    let explained = explained.await;
    assert_eq!(explained["status"], "cancelled", "{explained}");
    let line = budi.timeline(id).await;
    let cancelled =
        line.iter().find(|item| item["kind"] == "turn_cancelled").expect("a cancelled turn");
    assert_eq!(cancelled["data"]["reason"], "takeover", "{cancelled}");
    let read = cancelled["data"]["read_text"].as_str().unwrap_or_default();
    assert!(read.contains("five working days"), "what may have been read: {cancelled}");
    assert_eq!(budi.detail(id).await["seq"], seq, "opening the gate changed something");
    budi.write(id, "It is Budi now. It goes to the card you paid with.").await;
    page.message("It is Budi now").await;
    page.settle().await;
    let said = rina.messages().await;
    let after: Vec<&Value> =
        said.iter().skip_while(|m| m["text"] != "To which card does the refund go?").collect();
    let authors: Vec<&str> = after.iter().filter_map(|m| m["author"]["kind"].as_str()).collect();
    assert_eq!(authors, ["visitor", "system", "agent"], "{after:?}");
}

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

async fn a_stale_screen_changes_nothing(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let (ana, budi) = (world.agent("Ana"), world.agent("Budi"));
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    page.message("five working days").await;
    let old = ana.epoch(&id).await;
    budi.take_over(&id).await;
    let before = ana.detail(&id).await;
    for (command, mut fields) in [
        ("messages", json!({ "text": "from an old screen", "client_id": "stale" })),
        ("assign", json!({ "agent_id": budi_of(&before) })),
        ("return-to-queue", json!({})),
        ("assign-to-ai", json!({})),
        ("close", json!({ "outcome": "solved" })),
        ("snooze", json!({ "until": "2199-01-01T00:00:00Z" })),
        ("ai-mode", json!({ "mode": "off" })),
    ] {
        if command == "assign" {
            fields["agent_id"] = json!(ana.id);
        }
        fields["expected_epoch"] = json!(old);
        let path = format!("/conversations/{id}/{command}");
        let answer = if command == "assign" { world.agent("Citra") } else { ana.clone() };
        let error = answer.post(&path, fields).await.refused(409, "stale_epoch");
        assert_eq!(error["detail"]["epoch"], before["epoch"], "{command}: {error}");
        assert_eq!(error["detail"]["holder"]["agent"]["name"], "Budi", "{command}: {error}");
    }
    let after = ana.detail(&id).await;
    assert_eq!((&after["seq"], &after["epoch"]), (&before["seq"], &before["epoch"]));
    assert!(!rina.messages().await.iter().any(|m| m["text"] == "from an old screen"));
    // Taking over needs no epoch, whatever the AI or the queue did in that second.
    budi.command(&id, "return-to-queue", json!({})).await.ok();
    let stale = json!({ "expected_epoch": old });
    let taken = ana.post(&format!("/conversations/{id}/take-over"), stale).await.ok();
    assert_eq!(taken["holder"]["agent"]["name"], "Ana", "{taken}");
    // The same agent again: nothing happens.
    let again = ana.take_over(&id).await;
    assert_eq!(again["seq"], taken["seq"]);
    drop(page);
    world.end().await;
}

fn budi_of(detail: &Value) -> Value {
    detail["holder"]["agent"]["id"].clone()
}

async fn taking_from_a_colleague_is_a_right(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let (ana, budi, citra) = (world.agent("Ana"), world.agent("Budi"), world.agent("Citra"));
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = rina.ask_for_person().await["id"].as_str().expect("an id").to_owned();
    ana.take_over(&id).await;
    page.notice("agent_joined").await;
    let path = format!("/conversations/{id}/take-over");
    let error = budi.post(&path, json!({})).await.refused(409, "refused");
    assert_eq!(error["detail"]["offer"], "take_from_colleague", "{error}");
    let epoch = budi.epoch(&id).await;
    let on_purpose = json!({ "from_colleague": true, "expected_epoch": epoch });
    budi.post(&path, on_purpose.clone()).await.refused(403, "forbidden");
    let to_self = json!({ "agent_id": budi.id });
    budi.command(&id, "assign", to_self).await.refused(403, "forbidden");
    assert_eq!(ana.detail(&id).await["holder"]["agent"]["name"], "Ana");
    citra.post(&path, json!({ "from_colleague": true })).await.names(
        400,
        "invalid",
        "expected_epoch",
    );
    let stale = json!({ "from_colleague": true, "expected_epoch": epoch - 1 });
    citra.post(&path, stale).await.refused(409, "stale_epoch");
    let taken = citra.post(&path, on_purpose).await.ok();
    assert_eq!(taken["holder"]["agent"]["name"], "Citra", "{taken}");
    page.state("Citra", |c| c["answering"]["name"] == "Citra").await;
    // Ana, who writes on, is a participant; the conversation stays with Citra.
    ana.write(&id, "I had promised to call.").await;
    assert_eq!(ana.detail(&id).await["holder"]["agent"]["name"], "Citra");
    page.message("promised to call").await;
    drop(page);
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

async fn snoozes_switches_and_hands_to_colleagues(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let (ana, budi) = (world.agent("Ana"), world.agent("Budi"));
    let mut desk = ana.live(None).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    page.message("five working days").await;
    // A snooze of what the AI holds is a takeover first; it ends by itself, or when the visitor writes.
    let until = (world.now() + 30 * MINUTE).to_string();
    let snoozed = ana.command(&id, "snooze", json!({ "until": until })).await.ok();
    assert_eq!(snoozed["holder"]["agent"]["name"], "Ana", "{snoozed}");
    assert_eq!(snoozed["holder"]["snoozed_until"], until, "{snoozed}");
    ana.command(&id, "snooze", json!({ "until": "2001-01-01T00:00:00Z" }))
        .await
        .names(400, "invalid", "until");
    world.pass(30 * MINUTE);
    desk.event(&id, "unsnoozed").await;
    ana.command(&id, "snooze", json!({ "until": (world.now() + 30 * MINUTE).to_string() }))
        .await
        .ok();
    rina.write("Hello?").await;
    desk.event(&id, "unsnoozed").await;
    // To a colleague, back to the queue.
    let given = ana.command(&id, "assign", json!({ "agent_id": budi.id })).await.ok();
    assert_eq!(given["holder"]["agent"]["name"], "Budi", "{given}");
    let queued = budi.command(&id, "return-to-queue", json!({})).await.ok();
    assert_eq!(queued["holder"]["queue"]["reason"]["code"], "returned", "{queued}");
    // Drafts only: the AI suggests for every message and sends nothing.
    ana.take_over(&id).await;
    ana.command(&id, "ai-mode", json!({ "mode": "draft" })).await.ok();
    ana.command(&id, "assign-to-ai", json!({})).await.refused(409, "refused");
    let before = prompts(&world.model, Task::Answer).len();
    desk.settle().await;
    let heard = desk.heard().len();
    rina.write("How long does a parcel to Papua take?").await;
    let made = desk.until("suggestions", |f| {
        kind_is(f, "assist")
            && f["artifact"]["kind"] == "suggestions"
            && f["artifact"]["state"] == "ready"
    });
    made.await;
    assert!(desk.heard().len() > heard);
    assert_eq!(prompts(&world.model, Task::Answer).len(), before, "the AI answered in draft mode");
    ana.command(&id, "ai-mode", json!({ "mode": "on" })).await.ok();
    ana.command(&id, "assign-to-ai", json!({})).await.ok();
    page.message("nine days").await;
    // Off while it holds: the one who did it has it now.
    let off = budi.command(&id, "ai-mode", json!({ "mode": "off" })).await.ok();
    assert_eq!(off["holder"]["agent"]["name"], "Budi", "{off}");
    let closed = rina.post("/widget/close", json!({})).await.ok();
    assert_eq!(closed["state"], "closed", "{closed}");
    rina.write("I am back").await;
    page.state("the queue, as the AI is off", |c| c["answering"]["kind"] == "queue").await;
    drop((desk, page));
    world.end().await;
}

on_both_engines!(
    the_whole_story,
    each_condition_hands_off_with_its_evidence,
    a_person_by_button,
    reopening_follows_the_inbox,
    a_burst_is_answered_once,
    newer_words_supersede_an_answer_that_nobody_has_read,
    a_broken_promise_climbs_the_ladder,
    promises_and_replies_outlive_a_restart,
    a_quiet_visitor_is_asked_then_the_conversation_closes,
    a_question_the_ai_leaves_for_a_minute_goes_to_people,
    a_stale_screen_changes_nothing,
    taking_from_a_colleague_is_a_right,
    a_return_with_a_pending_question,
    the_same_words_sent_twice_are_stored_once,
    sockets_resume_without_gaps,
    snoozes_switches_and_hands_to_colleagues,
);
