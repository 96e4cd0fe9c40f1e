//! Sockets against a real server.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::testing::{Ears, SHOP, world, world_with};
use crate::conversation::{By, Event, Record, RequestVia, TurnRecord};
use crate::db::testing::databases;
use crate::db::{EngineKind, sql};
use crate::ids::{ConversationId, Ids};
use crate::turn::Explained;

/// Whether a frame brings such an item.
fn holds(frame: &Value, wanted: impl Fn(&Value) -> bool) -> bool {
    frame["items"].as_array().is_some_and(|items| items.iter().any(wanted))
}

#[tokio::test]
async fn the_first_frame_must_come_and_be_good() {
    for db in databases().await {
        let world = world_with(db, |state| state.live.hello = Duration::from_millis(200)).await;
        let server = world.serve();
        let guest = world.guest().await;
        let mut silent = Ears::open(server, Some(SHOP)).await;
        assert_eq!(silent.closed().await, 4408, "no hello");
        for (origin, hello, code) in [
            (Some(SHOP), json!({"type": "hello", "token": "nonsense"}), 4401),
            (Some(SHOP), json!({"type": "hello"}), 4401),
            (Some("https://evil.example"), json!({"type": "hello", "token": guest.token}), 4403),
            (None, json!({"type": "hello", "ticket": "nonsense"}), 4401),
        ] {
            let mut ears = Ears::open(server, origin).await;
            ears.say(hello.clone()).await;
            assert_eq!(ears.closed().await, code, "{hello}");
        }
        let ticket = world.ticket(&world.agent).await;
        let hello = json!({"type": "hello", "ticket": ticket});
        let mut evil = Ears::open(server, Some("https://evil.example")).await;
        evil.say(hello.clone()).await;
        assert_eq!(evil.closed().await, 4403, "agents listen on our own page only");
        let ticket = world.ticket(&world.agent).await;
        let hello = json!({"type": "hello", "ticket": ticket});
        let mut first = Ears::open(server, Some(&format!("http://{server}"))).await;
        first.say(hello.clone()).await;
        assert_eq!(first.next().await["type"], "welcome");
        let mut second = Ears::open(server, None).await;
        second.say(hello).await;
        assert_eq!(second.closed().await, 4401, "a ticket is used once");
        first.say(json!({"type": "ping"})).await;
        first.until("pong").await;
    }
}

#[tokio::test]
async fn a_visitor_resumes_without_gap_or_double_while_others_write() {
    for db in databases().await {
        let world = std::sync::Arc::new(world(db).await);
        let server = world.serve();
        let guest = world.guest().await;
        world.wrote(&guest, "first").await;
        let mut writers = Vec::new();
        for writer in 0..4 {
            let (world, guest) = (std::sync::Arc::clone(&world), guest.clone());
            writers.push(tokio::spawn(async move {
                for n in 0..40 {
                    world.wrote(&guest, &format!("{writer}.{n}")).await;
                }
            }));
        }
        // Comes and goes while they write, each time from the last number it has.
        let mut have: Vec<u64> = Vec::new();
        while have.len() < 161 {
            let after = have.last().copied().unwrap_or(0);
            let mut ears = Ears::visitor(server, &guest, after).await;
            let welcome = ears.until("welcome").await;
            let messages = welcome["conversation"]["messages"].as_array().expect("messages");
            have.extend(messages.iter().filter_map(|m| m["public_seq"].as_u64()));
            let more = have.len() + 12;
            while have.len() < more && have.last() != Some(&161) {
                let frame = ears.until("message").await;
                have.extend(frame["message"]["public_seq"].as_u64());
            }
            if have.last() == Some(&161) {
                break;
            }
        }
        // Only the very first connection may start late: a new visitor gets the last 50.
        let from = have[0];
        let want: Vec<u64> = (from..=161).collect();
        assert_eq!(have, want);
        for writer in writers {
            writer.await.expect("writes");
        }
    }
}

#[tokio::test]
async fn a_visitor_in_the_middle_of_a_reply_sees_its_beginning_and_a_takeover_ends_it() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let c = world.wrote(&guest, "Where is my parcel?").await.conversation;
        let fence = world.turn_runs(&c).await;
        world.releases(&c, fence, 0, "It is on ");
        world.releases(&c, fence, 1, "its way. ");
        let mut ears = Ears::visitor(server, &guest, 0).await;
        let welcome = ears.until("welcome").await;
        assert_eq!(welcome["conversation"]["draft"]["text"], "It is on its way. ");
        world.releases(&c, fence, 2, "Tomorrow. ");
        let draft = ears.until("draft").await;
        assert_eq!((&draft["index"], &draft["text"]), (&json!(2), &json!("Tomorrow. ")));
        let path = format!("/conversations/{}/take-over", c.id);
        assert_eq!(world.post(&path, json!({})).await.status, 200);
        let dropped = ears.until("draft_dropped").await;
        assert_eq!(dropped["turn"], fence.turn.to_string());
        let joined = ears.until("message").await;
        assert_eq!(joined["message"]["notice"], "agent_joined");
        let state = ears.until("state").await;
        assert_eq!(state["conversation"]["answering"]["kind"], "agent");
        assert!(state["conversation"].get("messages").is_none());
        let late = world.answers(c.id, fence, "too late").await;
        assert!(late.too_late);
        let mut again = Ears::visitor(server, &guest, 0).await;
        let welcome = again.until("welcome").await;
        assert_eq!(welcome["conversation"]["draft"], Value::Null);
        assert!(!welcome.to_string().contains("too late"));
    }
}

#[tokio::test]
async fn a_reply_takes_the_place_of_its_draft() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let mut ears = Ears::visitor(server, &guest, 0).await;
        assert_eq!(ears.until("welcome").await["conversation"], Value::Null);
        let c = world.wrote(&guest, "Hello").await.conversation;
        assert_eq!(ears.until("message").await["message"]["text"], "Hello");
        assert_eq!(ears.until("state").await["conversation"]["state"], "assistant");
        let fence = world.turn_runs(&c).await;
        assert_eq!(
            ears.until("typing").await["author"],
            json!({"kind": "assistant", "name": "Kopi"})
        );
        world.releases(&c, fence, 0, "Hi. ");
        ears.until("draft").await;
        world.answers(c.id, fence, "Hi.").await;
        let frame = ears.next().await;
        assert_eq!((&frame["type"], &frame["message"]["text"]), (&json!("message"), &json!("Hi.")));
        assert_eq!(world.state.conversations.wire().drafts.of(c.id), None);
    }
}

#[tokio::test]
async fn a_note_never_reaches_the_visitor() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let c = world.wrote(&guest, "Hello").await.conversation;
        let mut visitor = Ears::visitor(server, &guest, 0).await;
        visitor.until("welcome").await;
        let mut agent = Ears::agent(&world, server, None, None).await;
        agent.until("welcome").await;
        let note = json!({"text": "secret", "client_id": "n"});
        world.post(&format!("/conversations/{}/notes", c.id), note).await;
        let noted = |item: &Value| item["message"]["text"] == "secret";
        while !holds(&agent.until("changed").await, noted) {}
        let said = json!({"text": "Good day", "client_id": "a", "expected_epoch": c.epoch});
        world.post(&format!("/conversations/{}/messages", c.id), said).await;
        loop {
            let frame = visitor.next().await;
            assert!(!frame.to_string().contains("secret"), "{frame}");
            if frame["message"]["text"] == "Good day" {
                assert!(!frame.to_string().contains("agt_"), "{frame}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn agents_hear_everything_from_their_cursor_on() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let mut ears = Ears::agent(&world, server, None, None).await;
        let mut cursor =
            ears.until("welcome").await["cursor"].as_str().expect("a cursor").to_owned();
        let mut seqs: Vec<u64> = Vec::new();
        let mut take = |frame: &Value, cursor: &mut String| {
            *cursor = frame["cursor"].as_str().expect("a cursor").to_owned();
            for item in frame["items"].as_array().expect("items") {
                seqs.push(item["seq"].as_u64().expect("a number"));
            }
            seqs.last().copied().unwrap_or(0)
        };
        let c = world.wrote(&guest, "one").await.conversation;
        while take(&ears.until("changed").await, &mut cursor) < c.seq {}
        drop(ears);
        // While nobody listens.
        let last = world.wrote(&guest, "two").await.conversation.seq;
        let mut ears = Ears::agent(&world, server, Some(&cursor), None).await;
        ears.until("welcome").await;
        let frame = ears.until("changed").await;
        assert_eq!(frame["row"]["unread"], 2, "{frame}");
        assert_eq!(frame["row"]["contact"]["id"], guest.contact.to_string());
        let mut have = take(&frame, &mut cursor);
        while have < last {
            have = take(&ears.until("changed").await, &mut cursor);
        }
        let last = world.wrote(&guest, "three").await.conversation.seq;
        while have < last {
            have = take(&ears.until("changed").await, &mut cursor);
        }
        // On PostgreSQL the cursor follows a little later, so an event may come twice; none may be missing.
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
        let mut odd = Ears::agent(&world, server, Some("nonsense"), None).await;
        odd.until("resync").await;
    }
}

#[tokio::test]
async fn an_agent_who_was_away_too_long_starts_over() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let mut ears = Ears::agent(&world, server, None, None).await;
        let cursor = ears.until("welcome").await["cursor"].as_str().expect("a cursor").to_owned();
        drop(ears);
        let mut seq = 0;
        while seq <= 501 {
            seq = world.wrote(&guest, "again").await.conversation.seq;
        }
        let mut ears = Ears::agent(&world, server, Some(&cursor), None).await;
        ears.until("welcome").await;
        assert_eq!(ears.next().await["type"], "resync");
    }
}

#[tokio::test]
async fn who_watches_sees_the_draft_and_the_other_viewers() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let c = world.wrote(&guest, "Hello").await.conversation;
        let fence = world.turn_runs(&c).await;
        world.releases(&c, fence, 0, "Hi. ");
        let mut ears = Ears::agent(&world, server, None, Some(c.id)).await;
        let draft = ears.until("draft").await;
        assert_eq!((&draft["text"], &draft["index"]), (&json!("Hi. "), &json!(0)));
        let viewers = ears.until("viewers").await;
        assert_eq!(viewers["agents"][0]["id"], world.agent.agent.to_string());
        world.releases(&c, fence, 1, "How are you? ");
        assert_eq!(ears.until("draft").await["index"], 1);
        ears.say(json!({"type": "watch", "conversation_id": null})).await;
        ears.say(json!({"type": "ping"})).await;
        ears.until("pong").await;
        world.releases(&c, fence, 2, "Not for you. ");
        world.answers(c.id, fence, "Hi.").await;
        loop {
            let frame = ears.next().await;
            assert_ne!(frame["type"], "draft", "{frame}");
            if holds(&frame, |item| item["kind"] == "assistant_answered") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn who_watches_a_takeover_hears_what_the_visitor_may_have_read() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let c = world.wrote(&guest, "Hello").await.conversation;
        let fence = world.turn_runs(&c).await;
        let mut ears = Ears::agent(&world, server, None, Some(c.id)).await;
        ears.until("welcome").await;
        world.post(&format!("/conversations/{}/take-over", c.id), json!({})).await;
        let cancelled = |item: &Value| item["kind"] == "turn_cancelled";
        while !holds(&ears.until("changed").await, cancelled) {}
        // The worker stops, and stores what it had released, only after the takeover was told.
        let released = Explained { released: Some("It is on ".to_owned()), ..Explained::default() };
        let record = TurnRecord { fence, json: released.to_json() };
        let stored = world.state.conversations.record_turn(c.workspace, c.id, record).await;
        stored.expect("stored");
        let read = |item: &Value| cancelled(item) && item["data"]["read_text"] == "It is on ";
        while !holds(&ears.until("changed").await, read) {}
    }
}

#[tokio::test]
async fn a_reader_who_sleeps_is_dropped_and_resumes() {
    for db in databases().await {
        let world = world_with(db, |state| state.live.write = Duration::from_millis(300)).await;
        let server = world.serve();
        let guest = world.guest().await;
        let ears = Ears::visitor(server, &guest, 0).await;
        let open = world.state.live.max_sockets - 1;
        // More than buffers on the way can hold, and nobody reads.
        let words = "x".repeat(8_000);
        let mut last = 0;
        while world.state.sockets.available_permits() <= open {
            last = world.wrote(&guest, &words).await.conversation.public_seq;
            tokio::task::yield_now().await;
        }
        drop(ears);
        let mut again = Ears::visitor(server, &guest, last - 1).await;
        let welcome = again.until("welcome").await;
        assert_eq!(welcome["conversation"]["messages"][0]["public_seq"], last);
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_session_its_token_and_the_process() {
    for db in databases().await {
        let world = world_with(db, |state| state.live.recheck = Duration::from_millis(50)).await;
        let server = world.serve();
        let guest = world.guest().await;
        let mut agent = Ears::agent(&world, server, None, None).await;
        agent.until("welcome").await;
        world.post("/auth/sign-out", Value::Null).await;
        assert_eq!(agent.closed().await, 4401);
        let mut visitor = Ears::visitor(server, &guest, 0).await;
        visitor.until("welcome").await;
        let (workspace, contact) = (world.agent.workspace, guest.contact);
        let revoked = world.state.access.db.write(move |conn| {
            Box::pin(async move { crate::access::visitor::revoke(conn, workspace, contact).await })
        });
        revoked.await.expect("revoked");
        assert_eq!(visitor.closed().await, 4401);
        let other = world.guest().await;
        let mut last = Ears::visitor(server, &other, 0).await;
        last.until("welcome").await;
        world.state.shutdown.cancel();
        assert_eq!(last.closed().await, 1001);
        world.state.tasks.close();
        world.state.tasks.wait().await;
    }
}

#[tokio::test]
async fn coming_and_going_is_told() {
    for db in databases().await {
        let world =
            world_with(db, |state| state.live.offline_grace = Duration::from_millis(20)).await;
        let server = world.serve();
        let guest = world.guest().await;
        let c = world.wrote(&guest, "Hello").await.conversation;
        world.post(&format!("/conversations/{}/take-over", c.id), json!({})).await;
        let bo = crate::access::testing::signed_in(
            &world.state.access,
            crate::access::Role::Supervisor,
            "bo@example.com",
        )
        .await;
        let mut boss = Ears::open(server, None).await;
        let ticket = world.ticket(&bo).await;
        boss.say(json!({"type": "hello", "ticket": ticket})).await;
        boss.until("welcome").await;
        let there = async || {
            let all = world.get("/agents").await.body;
            let items = all["items"].as_array().cloned().unwrap_or_default();
            let ana = items.into_iter().find(|a| a["id"] == world.agent.agent.to_string());
            ana.map(|ana| (ana["presence"].clone(), ana["open"].clone()))
        };
        assert_eq!(there().await, Some((json!("offline"), json!(1))), "no console is open");
        let mut ana = Ears::agent(&world, server, None, None).await;
        ana.until("welcome").await;
        assert_eq!(there().await, Some((json!("online"), json!(1))));
        loop {
            let told = boss.until("presence").await["agent"].clone();
            if told["id"] == world.agent.agent.to_string() && told["presence"] == "online" {
                break;
            }
        }
        let mut visitor = Ears::visitor(server, &guest, 0).await;
        visitor.until("welcome").await;
        while boss.until("changed").await["row"]["visitor_online"] != true {}
        let typing = world.visitor(&guest, Method::POST, "/widget/typing", Value::Null).await;
        assert_eq!(typing.status, 204);
        assert_eq!(boss.until("typing").await["author"]["kind"], "visitor");
        world.post(&format!("/conversations/{}/typing", c.id), Value::Null).await;
        let author = visitor.until("typing").await["author"].clone();
        assert_eq!(author, json!({"kind": "agent", "name": "ana@example.com"}));
        drop(visitor);
        while boss.until("changed").await["row"]["visitor_online"] != false {}
        drop(ana);
        assert_eq!(boss.until("presence").await["agent"]["presence"], "offline");
        loop {
            let frame = boss.until("changed").await;
            if holds(&frame, |item| item["kind"] == "went_offline") {
                break;
            }
        }
        let mut ana = Ears::agent(&world, server, None, None).await;
        ana.until("welcome").await;
        loop {
            let frame = boss.until("changed").await;
            if holds(&frame, |item| item["kind"] == "came_back") {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_handoff_in_the_queue_is_heard_by_both_sides() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let c = world.wrote(&guest, "Hello").await.conversation;
        let mut visitor = Ears::visitor(server, &guest, 0).await;
        visitor.until("welcome").await;
        let mut agent = Ears::agent(&world, server, None, None).await;
        agent.until("welcome").await;
        let asked = Event::VisitorAskedForPerson { via: RequestVia::Button };
        let done = world.commit(c.id, asked, "").await;
        assert!(done.events.iter().any(|e| matches!(e.record, Record::HandedOff { .. })));
        let state = visitor.until("state").await;
        assert_eq!(state["conversation"]["queue"]["position"], 1, "{state}");
        let code = |frame: &Value| frame["row"]["holder"]["queue"]["reason"]["code"].clone();
        while code(&agent.until("changed").await) != "asked_for_person" {}
        let by = By { agent: world.agent.agent, expected_epoch: None };
        world.commit(c.id, Event::AgentWrites { by, message: Ids.fresh() }, "I am here").await;
        loop {
            let frame = visitor.until("message").await;
            if frame["message"]["author"]["kind"] == "agent" {
                assert_eq!(frame["message"]["text"], "I am here");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_visitor_who_reads_late_still_gets_everything_once() {
    for db in databases().await {
        let world = world(db).await;
        let server = world.serve();
        let guest = world.guest().await;
        let mut ears = Ears::visitor(server, &guest, 0).await;
        ears.until("welcome").await;
        // More than buffers hold and more than the topic keeps: the server reads on from the log.
        let words = "x".repeat(8_000);
        let mut last = 0;
        while last < 400 {
            last = world.wrote(&guest, &words).await.conversation.public_seq;
        }
        let mut have = Vec::new();
        while have.last() != Some(&last) {
            have.extend(ears.until("message").await["message"]["public_seq"].as_u64());
        }
        assert_eq!(have, (1..=last).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_commits_late_or_elsewhere_is_heard_and_never_skipped() {
    for db in databases().await {
        if db.kind() == EngineKind::Sqlite {
            continue;
        }
        let world = world(db).await;
        let server = world.serve();
        let (one, two) = (world.guest().await, world.guest().await);
        let late = world.wrote(&one, "one").await.conversation;
        let mut ears = Ears::agent(&world, server, None, None).await;
        let cursor = ears.until("welcome").await["cursor"].as_str().expect("a cursor").to_owned();
        // A transaction begins, another overtakes it.
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go, may_go) = tokio::sync::oneshot::channel::<()>();
        let mut parts = Some((begun, may_go));
        let (workspace, id) = (late.workspace, late.id);
        let seq = late.seq + 1;
        let db = world.state.conversations.db().clone();
        let slow = tokio::spawn(async move {
            db.write(move |conn| {
                let (begun, may_go) = parts.take().expect("runs once");
                Box::pin(async move {
                    sql("INSERT INTO event (workspace, conversation, seq, epoch, kind, actor_kind, data, at)
                         VALUES ($1, $2, $3, 1, 'unsnoozed', 'system', '{}', 0)")
                        .bind(workspace)
                        .bind(id)
                        .bind(seq)
                        .execute(conn)
                        .await?;
                    begun.send(()).expect("the test listens");
                    may_go.await.expect("the test goes on");
                    Ok(())
                })
            })
            .await
        });
        has_begun.await.expect("begun");
        let fast = world.wrote(&two, "two").await.conversation;
        // What was committed just before may be told once more: on PostgreSQL the cursor follows a little later.
        let of = |frame: &Value, id: ConversationId| frame["row"]["id"] == id.to_string();
        let mut heard = ears.until("changed").await;
        while !of(&heard, fast.id) {
            heard = ears.until("changed").await;
        }
        let held = heard["cursor"].as_str().expect("a cursor").to_owned();
        let mut other = Ears::agent(&world, server, Some(&held), None).await;
        other.until("welcome").await;
        // Who comes back meanwhile gets what is committed, though its place in the feed is not settled yet.
        let mut back = Ears::agent(&world, server, Some(&cursor), None).await;
        back.until("welcome").await;
        while !of(&back.until("changed").await, fast.id) {}
        go.send(()).expect("it waits");
        slow.await.expect("ran").expect("committed");
        for ears in [&mut ears, &mut other] {
            loop {
                let frame = ears.until("changed").await;
                if of(&frame, late.id) && holds(&frame, |item| item["seq"] == seq) {
                    break;
                }
            }
        }
        let elsewhere = world.notes(&world.elsewhere(), fast.id).await.conversation.seq;
        loop {
            let frame = ears.until("changed").await;
            if of(&frame, fast.id) && holds(&frame, |item| item["seq"] == elsewhere) {
                break;
            }
        }
        let mut again = Ears::agent(&world, server, Some(&cursor), None).await;
        again.until("welcome").await;
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 2 {
            let frame = again.until("changed").await;
            for item in frame["items"].as_array().expect("items") {
                if item["kind"] == "unsnoozed" || item["kind"] == "noted" {
                    seen.insert((frame["row"]["id"].to_string(), item["seq"].as_u64()));
                }
            }
        }
    }
}

#[test]
fn the_document_names_every_route_and_no_schema_is_missing() {
    let document = serde_json::to_value(crate::app::document()).expect("JSON");
    let mut refs = Vec::new();
    references(&document, &mut refs);
    refs.retain(|reference| document.pointer(reference.trim_start_matches('#')).is_none());
    assert!(refs.is_empty(), "not there: {refs:?}");
    for path in [
        "/api/v1/conversations",
        "/api/v1/conversations/{id}/take-over",
        "/api/v1/turns/{id}",
        "/api/v1/widget/{key}/session",
        "/api/v1/widget/messages",
        "/api/v1/live",
    ] {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
    // Two shapes under one name would hide one of them.
    let message = &document["components"]["schemas"]["Message"]["properties"];
    assert!(message.get("public_seq").is_some(), "{message}");
}

fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(reference) if name == "$ref" => into.push(reference.clone()),
                    other => references(other, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}
