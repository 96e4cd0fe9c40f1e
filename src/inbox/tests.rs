//! What agents see and do over HTTP.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use crate::access::Role;
use crate::access::testing::signed_in;
use crate::conversation::{CancelReason, Event, HandoffCode, Record, RequestVia, TurnRecord};
use crate::db::testing::databases;
use crate::ids::{ConversationId, Ids};
use crate::live::testing::{World, world};
use crate::turn::Explained;

async fn conversation(world: &World) -> (ConversationId, u64) {
    let guest = world.guest().await;
    let c = world.wrote(&guest, "Where is my parcel?").await.conversation;
    (c.id, c.epoch)
}

#[tokio::test]
async fn lists_are_filtered_paged_and_counted() {
    for db in databases().await {
        let world = world(db).await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(conversation(&world).await.0);
            world.state.access.clock.advance(Duration::from_secs(1));
        }
        let asked = Event::VisitorAskedForPerson { via: RequestVia::Button };
        world.commit(ids[0], asked, "").await;
        let mine = world.post(&format!("/conversations/{}/take-over", ids[1]), Value::Null).await;
        assert_eq!(mine.status, 200, "{}", mine.body);
        let close = json!({"outcome": "solved", "expected_epoch": 1});
        let closed = world.post(&format!("/conversations/{}/close", ids[2]), close).await;
        assert_eq!(closed.body["holder"]["outcome"], "solved", "{}", closed.body);
        for (query, want) in [
            ("", 5),
            ("?state=open", 4),
            ("?state=assistant", 2),
            ("?state=human", 2),
            ("?state=closed", 1),
            ("?view=unassigned", 1),
            ("?view=mine", 1),
            ("?view=mine&state=closed", 0),
        ] {
            let rows = world.get(&format!("/conversations{query}")).await;
            let got = rows.body["items"].as_array().map(Vec::len);
            assert_eq!(got, Some(want), "{query} {}", rows.body);
        }
        let other = format!("/conversations?inbox={}", Ids.fresh::<crate::ids::InboxId>());
        assert_eq!(world.get(&other).await.body["items"], json!([]));
        let mut seen = Vec::new();
        let mut path = "/conversations?limit=2".to_owned();
        loop {
            let page = world.get(&path).await;
            for row in page.body["items"].as_array().expect("rows") {
                seen.push(row["id"].as_str().expect("an id").to_owned());
            }
            let Some(cursor) = page.body["next_cursor"].as_str() else { break };
            path = format!("/conversations?limit=2&cursor={cursor}");
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!((seen.len(), unique.len()), (5, 5), "{seen:?}");
        let counts = world.get("/counts").await.body;
        let want =
            json!({"all": {"open": 4}, "unassigned": 1, "mine": 1, "unread": 2, "alarms": 0});
        assert_eq!(counts, want);
        let read =
            world.post(&format!("/conversations/{}/read", ids[1]), json!({"seq": 999})).await;
        assert_eq!(read.status, 204);
        assert_eq!(world.get("/counts").await.body["unread"], 1);
        let row = world.get(&format!("/conversations/{}", ids[1])).await.body;
        assert_eq!((&row["unread"], &row["last_read_seq"]), (&json!(0), &row["seq"]));
    }
}

#[tokio::test]
async fn a_stale_epoch_is_told_with_who_holds_it() {
    for db in databases().await {
        let world = world(db).await;
        let (id, epoch) = conversation(&world).await;
        let path = format!("/conversations/{id}/messages");
        let stale = json!({"text": "hi", "client_id": "a", "expected_epoch": epoch + 7});
        let answer = world.post(&path, stale).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (409, "stale_epoch"));
        let detail = &answer.body["error"]["detail"];
        assert_eq!(detail["epoch"], epoch);
        assert_eq!(detail["holder"]["state"], "assistant");
        assert_eq!(detail["holder"]["assistant"]["name"], "Kopi");
        let missing = world.post(&path, json!({"text": "hi", "client_id": "a"})).await;
        assert_eq!((missing.status.as_u16(), missing.field()), (400, "expected_epoch"));
        for (command, body) in [
            ("assign", json!({"agent_id": world.agent.agent})),
            ("assign-to-ai", json!({})),
            ("close", json!({"outcome": "solved"})),
            ("reopen", json!({})),
            ("snooze", json!({"until": "2030-01-01T00:00:00Z"})),
            ("ai-mode", json!({"mode": "off"})),
            ("return-to-queue", json!({})),
        ] {
            let answer = world.post(&format!("/conversations/{id}/{command}"), body).await;
            let got = (answer.status.as_u16(), answer.field());
            assert_eq!(got, (400, "expected_epoch"), "{command} {}", answer.body);
        }
        let fresh = json!({"text": "hi", "client_id": "a", "expected_epoch": epoch});
        let wrote = world.post(&path, fresh.clone()).await;
        assert_eq!(wrote.status, 200, "{}", wrote.body);
        assert_eq!(wrote.body["author"]["name"], "ana@example.com");
        let again = world.post(&path, fresh).await;
        assert_eq!(again.body["id"], wrote.body["id"], "the old epoch does not matter to a replay");
    }
}

#[tokio::test]
async fn refusals_say_what_can_be_done_instead() {
    for db in databases().await {
        let world = world(db).await;
        let (id, _) = conversation(&world).await;
        let take = format!("/conversations/{id}/take-over");
        let boss = signed_in(&world.state.access, Role::Supervisor, "bo@example.com").await;
        let app = &world.app;
        let taken = boss.send(app, Method::POST, &format!("/api/v1{take}"), Value::Null).await;
        assert_eq!(taken.body["holder"]["agent"]["name"], "bo@example.com", "{}", taken.body);
        let epoch = taken.body["epoch"].clone();
        let held = world.post(&take, json!({})).await;
        assert_eq!((held.status.as_u16(), held.code()), (409, "refused"));
        let want = json!({"state": "human", "event": "take_over", "reason": "held_by_colleague", "offer": "take_from_colleague"});
        assert_eq!(held.body["error"]["detail"], want);
        let force = json!({"from_colleague": true, "expected_epoch": epoch});
        let may_not = world.post(&take, force).await;
        assert_eq!((may_not.status.as_u16(), may_not.code()), (403, "forbidden"));
        let close = json!({"outcome": "solved", "expected_epoch": epoch});
        // No other command takes it from them either.
        let path = format!("/conversations/{id}/close");
        let may_not = world.post(&path, close.clone()).await;
        assert_eq!((may_not.status.as_u16(), may_not.code()), (403, "forbidden"));
        let closed = boss.send(app, Method::POST, &format!("/api/v1{path}"), close).await;
        assert_eq!(closed.status, 200, "{}", closed.body);
        let epoch = closed.body["epoch"].clone();
        let late = json!({"text": "hi", "client_id": "b", "expected_epoch": epoch});
        let late = world.post(&format!("/conversations/{id}/messages"), late).await;
        let want = json!({"state": "closed", "event": "write", "reason": "closed", "offer": "reopen_and_send"});
        assert_eq!(late.body["error"]["detail"], want);
        let past = json!({"until": "2001-01-01T00:00:00Z", "expected_epoch": epoch});
        let reopened = world
            .post(&format!("/conversations/{id}/reopen"), json!({"expected_epoch": epoch}))
            .await;
        assert_eq!(reopened.body["holder"]["agent"]["name"], "ana@example.com");
        let mut past = past;
        past["expected_epoch"] = reopened.body["epoch"].clone();
        let past = world.post(&format!("/conversations/{id}/snooze"), past).await;
        assert_eq!((past.status.as_u16(), past.field()), (400, "until"), "{}", past.body);
        let back =
            json!({"note": "refund is on its way", "expected_epoch": reopened.body["epoch"]});
        let back = world.post(&format!("/conversations/{id}/assign-to-ai"), back).await;
        assert_eq!(back.body["holder"]["state"], "assistant", "{}", back.body);
    }
}

#[tokio::test]
async fn another_workspace_sees_nothing() {
    for db in databases().await {
        let world = world(db).await;
        let (id, epoch) = conversation(&world).await;
        let eve = world.stranger().await;
        let expected = json!({"expected_epoch": epoch});
        for (method, path, body) in [
            (Method::GET, format!("/conversations/{id}"), Value::Null),
            (Method::GET, format!("/conversations/{id}/timeline"), Value::Null),
            (Method::POST, format!("/conversations/{id}/read"), json!({"seq": 1})),
            (Method::POST, format!("/conversations/{id}/take-over"), json!({})),
            (Method::POST, format!("/conversations/{id}/reopen"), expected.clone()),
            (Method::POST, format!("/conversations/{id}/return-to-queue"), expected),
            (Method::POST, format!("/conversations/{id}/typing"), Value::Null),
            (
                Method::POST,
                format!("/conversations/{id}/notes"),
                json!({"text": "x", "client_id": "c"}),
            ),
            (
                Method::POST,
                format!("/conversations/{id}/assign"),
                json!({"agent_id": eve.agent, "expected_epoch": epoch}),
            ),
        ] {
            let answer = eve.send(&world.app, method, &format!("/api/v1{path}"), body).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{path}");
        }
        let rows = eve.send(&world.app, Method::GET, "/api/v1/conversations", Value::Null).await;
        assert_eq!(rows.body["items"], json!([]));
        let assign = json!({"agent_id": eve.agent, "expected_epoch": epoch});
        let abroad = world.post(&format!("/conversations/{id}/assign"), assign).await;
        assert_eq!(abroad.status, 404, "an agent of another workspace: {}", abroad.body);
    }
}

#[tokio::test]
async fn the_timeline_tells_what_happened_and_what_may_have_been_read() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        let c = world.wrote(&guest, "Where is my parcel?").await.conversation;
        let fence = world.turn_runs(&c).await;
        let taken = world.post(&format!("/conversations/{}/take-over", c.id), json!({})).await;
        assert_eq!(taken.status, 200, "{}", taken.body);
        let explained =
            Explained { released: Some("It is on ".to_owned()), ..Explained::default() };
        let json = serde_json::to_string(&explained).expect("JSON");
        let record = TurnRecord { fence, json };
        let conversations = &world.state.conversations;
        conversations.record_turn(c.workspace, c.id, record).await.expect("stored");
        let timeline = world.get(&format!("/conversations/{}/timeline", c.id)).await.body;
        let items = timeline["items"].as_array().expect("items");
        let kinds: Vec<_> = items.iter().filter_map(|i| i["kind"].as_str()).collect();
        assert_eq!(kinds[..3], ["started", "visitor_wrote", "turn_due"], "{kinds:?}");
        let numbers: Vec<_> = items.iter().filter_map(|i| i["seq"].as_u64()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let cancelled = items.iter().find(|i| i["kind"] == "turn_cancelled").expect("cancelled");
        assert_eq!(cancelled["data"]["read_text"], "It is on ");
        assert_eq!(cancelled["data"]["reason"], CancelReason::Takeover.as_str());
        assert_eq!(cancelled["actor"]["name"], "ana@example.com");
        let page = world.get(&format!("/conversations/{}/timeline?after=1&limit=2", c.id)).await;
        assert_eq!(page.body["has_more"], true);
        assert_eq!(page.body["items"][0]["seq"], 2);
        let before = world.get(&format!("/conversations/{}/timeline?before=3", c.id)).await;
        assert_eq!(
            (&before.body["has_more"], &before.body["items"][1]["seq"]),
            (&json!(false), &json!(2))
        );
        let turn = world.get(&format!("/turns/{}", fence.turn)).await;
        assert_eq!(
            (&turn.body["status"], &turn.body["released"]),
            (&json!("cancelled"), &json!("It is on "))
        );
        let eve = world.stranger().await;
        let path = format!("/api/v1/turns/{}", fence.turn);
        assert_eq!(eve.send(&world.app, Method::GET, &path, Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn a_handoff_carries_its_reason_and_a_missed_promise_its_alarm() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        let c = world.wrote(&guest, "I call my lawyer").await.conversation;
        let fence = world.turn_runs(&c).await;
        let event = Event::TurnHandsOff { fence, reason: HandoffCode::Phrase };
        let mut command = crate::conversation::Command::new(c.workspace, c.id, event);
        command.evidence = Some(crate::conversation::Evidence {
            condition: Some("Legal".to_owned()),
            quote: Some("my lawyer".to_owned()),
            message: None,
        });
        let done = world.state.conversations.commit(command).await.expect("commits");
        assert!(done.events.iter().any(|e| matches!(e.record, Record::HandedOff { .. })));
        let rows = world.get("/conversations?view=unassigned").await.body;
        let queue = &rows["items"][0]["holder"]["queue"];
        assert_eq!(
            (&queue["reason"]["code"], &queue["reason"]["condition"]),
            (&json!("phrase"), &json!("Legal"))
        );
        let detail = world.get(&format!("/conversations/{}", c.id)).await.body;
        assert_eq!(detail["holder"]["queue"]["position"], 1);
        assert!(detail["obligation"]["due_at"].is_string(), "{detail}");
        world.state.access.clock.advance(Duration::from_mins(11));
        world.state.conversations.fire_timers(c.workspace, c.id).await.expect("fires");
        let alarms = world.get("/alarms").await.body;
        assert_eq!(alarms["items"][0]["conversation_id"], c.id.to_string(), "{alarms}");
        assert_eq!(world.get("/counts").await.body["alarms"], 1);
        let id = alarms["items"][0]["id"].as_str().expect("an id").to_owned();
        let eve = world.stranger().await;
        let path = format!("/alarms/{id}/acknowledge");
        let abroad =
            eve.send(&world.app, Method::POST, &format!("/api/v1{path}"), Value::Null).await;
        assert_eq!(abroad.status, 404);
        assert_eq!(world.post(&path, Value::Null).await.status, 204);
        assert_eq!(world.post(&path, Value::Null).await.status, 204, "twice is fine");
        assert_eq!(world.get("/alarms").await.body["items"], json!([]));
    }
}
