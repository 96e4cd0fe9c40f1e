//! A visitor's REST surface, as a page would use it.

use axum::http::Method;
use serde_json::{Value, json};

use crate::access::testing::send;
use crate::conversation::Event;
use crate::db::testing::databases;
use crate::ids::Ids;
use crate::live::testing::{SHOP, World, world};

async fn session(world: &World, token: Option<&str>) -> Value {
    let uri = format!("/api/v1/widget/{}/session", world.key);
    let body = json!({"token": token, "locale": "id-ID", "page": {"url": "https://shop.example/a", "title": "A"}});
    let answer = send(&world.app, Method::POST, &uri, &[("origin", SHOP)], body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_visitor_starts_writes_and_comes_back() {
    for db in databases().await {
        let world = world(db).await;
        let first = session(&world, None).await;
        assert_eq!(first["renewed"], false);
        assert_eq!(first["conversation"], Value::Null);
        assert_eq!(first["config"]["assistant"]["name"], "Kopi");
        assert_eq!(first["config"]["name"], "Test Shop");
        assert_eq!(first["config"]["locale"], "en", "the only language that Kopi speaks");
        assert_eq!(first["config"]["human_available"], false);
        let guest = world.guest().await;
        let body = json!({"client_id": "c-1", "text": "  Where is\u{0} my parcel? \r\n"});
        let one = world.visitor(&guest, Method::POST, "/widget/messages", body.clone()).await;
        assert_eq!(one.status, 200, "{}", one.body);
        assert_eq!(one.body["message"]["text"], "Where is my parcel?");
        assert_eq!(one.body["message"]["public_seq"], 1);
        assert_eq!(one.body["message"]["author"]["kind"], "visitor");
        let two = world.visitor(&guest, Method::POST, "/widget/messages", body).await;
        assert_eq!((two.status, &two.body), (one.status, &one.body), "the same answer again");
        let again = session(&world, Some(&guest.token)).await;
        assert_eq!(again["renewed"], true);
        assert_eq!(again["conversation"]["messages"].as_array().expect("messages").len(), 1);
        assert_eq!(again["conversation"]["state"], "assistant");
        assert_eq!(again["conversation"]["answering"]["name"], "Kopi");
        let stranger = session(&world, Some("nonsense")).await;
        assert_eq!(
            (&stranger["renewed"], &stranger["conversation"]),
            (&json!(false), &Value::Null)
        );
    }
}

#[tokio::test]
async fn bad_words_name_the_field() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        for (client_id, text, status, code, field) in [
            ("c", " \u{0} ", 400, "invalid", "text"),
            ("c", &"ä".repeat(8_001), 413, "too_large", "text"),
            ("", "hello", 400, "invalid", "client_id"),
            (&"c".repeat(65), "hello", 400, "invalid", "client_id"),
        ] {
            let body = json!({"client_id": client_id, "text": text});
            let answer = world.visitor(&guest, Method::POST, "/widget/messages", body).await;
            assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
            assert_eq!((answer.code(), answer.field()), (code, field));
        }
        let none = world.visitor(&guest, Method::GET, "/widget/conversation", Value::Null).await;
        assert_eq!((none.status.as_u16(), none.code()), (404, "not_found"));
    }
}

#[tokio::test]
async fn another_page_or_token_is_refused() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        let bearer = format!("Bearer {}", guest.token);
        let evil = [("authorization", bearer.as_str()), ("origin", "https://evil.example")];
        let body = json!({"client_id": "c", "text": "hello"});
        let uri = "/api/v1/widget/messages";
        let refused = send(&world.app, Method::POST, uri, &evil, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "origin"));
        let uri_session = format!("/api/v1/widget/{}/session", world.key);
        let headers = [("origin", "https://evil.example")];
        let refused =
            send(&world.app, Method::POST, &uri_session, &headers, json!({"locale": "en"})).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "origin"));
        let nobody = send(&world.app, Method::POST, uri, &[("origin", SHOP)], body.clone()).await;
        assert_eq!((nobody.status.as_u16(), nobody.code()), (401, "unauthenticated"));
        let fine = send(&world.app, Method::POST, uri, &[("authorization", &bearer)], body).await;
        assert_eq!(fine.status, 200, "without a page there is none to refuse");
        let preflight = [("origin", SHOP), ("access-control-request-method", "POST")];
        let allowed = send(&world.app, Method::OPTIONS, uri, &preflight, Value::Null).await;
        assert_eq!(allowed.status, 204);
        assert_eq!(allowed.headers["access-control-allow-origin"], SHOP);
    }
}

#[tokio::test]
async fn a_visitor_sees_no_note_no_id_and_no_internal_source() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        let first = world.writes(&guest, "Hello").await;
        let id = first.body["conversation_id"].as_str().expect("an id").to_owned();
        let noted = json!({"text": "secret of ours", "client_id": "n-1"});
        let note = world.post(&format!("/conversations/{id}/notes"), noted).await;
        assert_eq!(note.status, 200, "{}", note.body);
        let epoch = first.body["epoch"].as_u64().expect("an epoch");
        let said = json!({"text": "Good day", "client_id": "a-1", "expected_epoch": epoch});
        let wrote = world.post(&format!("/conversations/{id}/messages"), said).await;
        assert_eq!(wrote.status, 200, "{}", wrote.body);
        for path in ["/widget/conversation", "/widget/conversation?after=1"] {
            let seen = world.visitor(&guest, Method::GET, path, Value::Null).await;
            let text = seen.body.to_string();
            assert!(text.contains("Good day") && !text.contains("secret"), "{text}");
            assert!(!text.contains("agt_") && !text.contains("a-1"), "{text}");
            let numbers: Vec<_> = seen.body["messages"]
                .as_array()
                .expect("messages")
                .iter()
                .filter_map(|m| m["public_seq"].as_u64())
                .collect();
            let from = numbers[0];
            assert_eq!(numbers, (from..from + numbers.len() as u64).collect::<Vec<_>>());
        }
        let seen = world.visitor(&guest, Method::GET, "/widget/conversation", Value::Null).await;
        assert_eq!(seen.body["answering"]["kind"], "agent");
        assert_eq!(seen.body["answering"]["name"], "ana@example.com");
    }
}

#[tokio::test]
async fn asking_for_a_person_queues_and_closing_ends() {
    for db in databases().await {
        let world = world(db).await;
        let (one, two) = (world.guest().await, world.guest().await);
        let ask = json!({"client_id": "p-1"});
        let first = world.visitor(&one, Method::POST, "/widget/request-person", ask.clone()).await;
        assert_eq!(first.body["state"], "human", "{}", first.body);
        assert_eq!(first.body["queue"]["position"], 1);
        assert_eq!(first.body["answering"]["kind"], "queue");
        world.state.access.clock.advance(std::time::Duration::from_secs(1));
        let second = world.visitor(&two, Method::POST, "/widget/request-person", ask).await;
        assert_eq!(second.body["queue"]["position"], 2);
        let closed = world.visitor(&one, Method::POST, "/widget/close", Value::Null).await;
        assert_eq!(closed.body["state"], "closed", "{}", closed.body);
        let moved = world.visitor(&two, Method::GET, "/widget/conversation", Value::Null).await;
        assert_eq!(moved.body["queue"]["position"], 1);
        let contact = json!({"name": "Budi", "email": "budi@example.com"});
        let left = world.visitor(&two, Method::POST, "/widget/contact", contact).await;
        assert_eq!(left.status, 204);
        let rows = world.get("/conversations?view=unassigned").await;
        assert_eq!(rows.body["items"][0]["contact"]["name"], "Budi", "{}", rows.body);
    }
}

#[tokio::test]
async fn a_flood_of_messages_is_slowed_down() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        let mut statuses = Vec::new();
        for n in 0..11 {
            let body = json!({"client_id": format!("c-{n}"), "text": "hello"});
            let answer = world.visitor(&guest, Method::POST, "/widget/messages", body).await;
            statuses.push(answer.status.as_u16());
        }
        assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 10, "{statuses:?}");
        assert_eq!(statuses[10], 429);
    }
}

#[tokio::test]
async fn history_is_paged_backwards() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        let id = world.wrote(&guest, "1").await.conversation.id;
        for n in 2..=60 {
            world.wrote(&guest, &n.to_string()).await;
        }
        let by = crate::conversation::By { agent: world.agent.agent, expected_epoch: None };
        let wrote = Event::AgentWrites { by, message: Ids.fresh() };
        world.commit(id, wrote, "last").await;
        let last = world.visitor(&guest, Method::GET, "/widget/conversation", Value::Null).await;
        let messages = last.body["messages"].as_array().expect("messages");
        assert_eq!((messages.len(), &last.body["has_earlier"]), (50, &json!(true)));
        let first = messages[0]["public_seq"].as_u64().expect("a number");
        let path = format!("/widget/conversation?before={first}");
        let earlier = world.visitor(&guest, Method::GET, &path, Value::Null).await;
        let before = earlier.body["messages"].as_array().expect("messages");
        assert_eq!(before.len() as u64, first - 1);
        assert_eq!(earlier.body["has_earlier"], false);
    }
}

#[tokio::test]
async fn visitors_who_come_back_together_do_not_wait_for_each_other() {
    for db in databases().await {
        let world = world(db).await;
        let guest = world.guest().await;
        assert_eq!(world.writes(&guest, "Hello").await.status, 200);
        // As after a restart: more visitors than readers, and nobody's name is known yet.
        for _ in 0..3 {
            world.state.names.forget_all();
            let reads = (0..24)
                .map(|_| world.visitor(&guest, Method::GET, "/widget/conversation", Value::Null));
            for answer in futures_util::future::join_all(reads).await {
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
        }
    }
}
