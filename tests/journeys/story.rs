//! The main job, end to end: the AI answers, people take over, hand back, close, and the visitor comes again.

use std::time::Duration;

use baton::assistant::config::WordedCondition;
use baton::db::sql;
use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::people::conversation_of;
use crate::support::{Agent, Engine, Live, Setup, World, eventually, kind_is, prompts};

mod desk;
mod handoffs;
mod promises;
mod words;

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

on_both_engines!(the_whole_story,);
