//! What people may do with a conversation, and what a stale screen may not.

use baton::model::Task;
use serde_json::{Value, json};

use super::MINUTE;
use crate::on_both_engines;
use crate::support::people::conversation_of;
use crate::support::{Engine, Setup, World, kind_is, prompts};

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
    a_stale_screen_changes_nothing,
    taking_from_a_colleague_is_a_right,
    snoozes_switches_and_hands_to_colleagues,
);
