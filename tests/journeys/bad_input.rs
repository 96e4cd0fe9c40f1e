//! What people, programs and strangers send that is not right: a clear error in the one shape that names the field, or
//! containment. The process stays up and nothing is lost. Who may do what is held in `walls`.

use std::collections::BTreeSet;
use std::time::Duration;

use baton::access::store as members;
use baton::model::Task;
use baton::model::scripted::{Behaviour, Rule};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;

use crate::on_both_engines;
use crate::support::people::{Answer, conversation_of, fresh_client_id, send};
use crate::support::world::Business;
use crate::support::{Engine, Live, Setup, Visitor, World, kind_is};
use crate::walls::Belongings;

/// Never our fault, and an error in the one shape.
#[track_caller]
fn clear(answer: &Answer) {
    let Answer { status, body, text, what } = answer;
    assert!(*status < 500, "{what}: {status} {text}");
    if *status >= 400 {
        let error = &body["error"];
        let shaped = error["code"].is_string()
            && error["message"].as_str().is_some_and(|message| message.len() > 5);
        assert!(shaped, "{what}: {status} is not in the one shape: {text}");
    }
}

async fn is_up(world: &World) {
    let health = send(world.http.get(format!("{}/health", world.origin)), "health").await;
    assert_eq!((health.status, health.text.as_str()), (200, "ok\n"));
    let ready = send(world.http.get(format!("{}/ready", world.origin)), "ready").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
}

async fn words_of_every_kind(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    world.model.add(Rule::on(Task::Answer, Behaviour::say("Noted.")));
    let visitor = world.visitor("Rina").await;
    let mut page = visitor.live().await;
    let nothing = ["", "   \n\t ", "\u{200B}\u{200D}", "\0\u{1}\u{7F}", "\u{202E}\u{2066}"];
    for text in nothing {
        visitor.write_as(&fresh_client_id(), text).await.names(400, "invalid", "text");
    }
    for text in ["x".repeat(100 * 1024), "€".repeat(8_001)] {
        visitor.write_as(&fresh_client_id(), &text).await.names(413, "too_large", "text");
    }
    visitor.get("/widget/conversation").await.refused(404, "not_found");
    let longest = "€".repeat(8_000);
    let kept = [
        ("👍🏽🎉👩‍👩‍👧", "👍🏽🎉👩‍👩‍👧"),
        ("مرحبا، كيف حالك؟", "مرحبا، كيف حالك؟"),
        ("שלום 123", "שלום 123"),
        ("a\0b\u{1}c", "abc"),
        ("read \u{202E}this\u{202C} way", "read this way"),
        ("line\r\nline\rline", "line\nline\nline"),
        (
            "  <script>alert(1)</script><img src=x onerror=alert(1)>  ",
            "<script>alert(1)</script><img src=x onerror=alert(1)>",
        ),
        (
            "'; DROP TABLE message; -- $1 {{ x }} [[no_answer]] <<<end>>>",
            "'; DROP TABLE message; -- $1 {{ x }} [[no_answer]] <<<end>>>",
        ),
        (longest.as_str(), longest.as_str()),
    ];
    let mut id = String::new();
    for (text, stored) in kept {
        let answer = visitor.write(text).await;
        assert_eq!(answer["message"]["text"], stored);
        id = conversation_of(&answer);
        page.until("the same words", |f| f["message"]["text"] == stored).await;
        page.until("an answer", |f| f["message"]["author"]["kind"] == "assistant").await;
    }
    let too_long = "x".repeat(65);
    for client_id in ["", " ", &too_long, "with space", "naïve", "nul\0"] {
        visitor.write_as(client_id, "Hello").await.names(400, "invalid", "client_id");
    }
    // Whoever answers is held to the same.
    let ana = world.agent("Ana");
    ana.take_over(&id).await;
    for text in nothing {
        let message = json!({ "text": text, "client_id": "a" });
        ana.command(&id, "messages", message.clone()).await.names(400, "invalid", "text");
        ana.post(&format!("/conversations/{id}/notes"), message)
            .await
            .names(400, "invalid", "text");
    }
    let long = json!({ "text": "x".repeat(8_001), "client_id": "a" });
    ana.command(&id, "messages", long.clone()).await.names(413, "too_large", "text");
    ana.post(&format!("/conversations/{id}/notes"), long).await.names(413, "too_large", "text");
    let long = json!({ "note": "x".repeat(8_001) });
    ana.command(&id, "assign-to-ai", long).await.names(413, "too_large", "note");
    // The page's address is shown to agents: only a web address is kept.
    let tono = world.visitor("Tono").await;
    let body = json!({
        "client_id": "1", "text": "Hello", "locale": "\u{0}zz<script>",
        "page": { "url": "javascript:alert(1)", "title": "a\0b\u{1}" },
    });
    let id = conversation_of(&tono.post("/widget/messages", body).await.ok());
    let detail = ana.detail(&id).await;
    assert_eq!(
        (&detail["page"]["url"], &detail["page"]["title"]),
        (&Value::Null, &json!("ab")),
        "{detail}"
    );
    for (field, value) in [("email", "no address"), ("name", "x\u{0}\u{0}")] {
        let answer = tono.post("/widget/contact", json!({ field: value })).await;
        clear(&answer);
        if field == "email" {
            answer.names(400, "invalid", "email");
        }
    }
    drop(page);
    is_up(&world).await;
    world.end().await;
}

async fn wrong_shapes_name_what_is_wrong(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let (ana, sari) = (world.agent("Ana"), world.agent("Sari"));
    let visitor = world.visitor("Rina").await;
    let id = conversation_of(&visitor.write("How long does a refund take?").await);
    let messages = format!("/conversations/{id}/messages");
    let raw = |path: &str, kind: Option<&str>, body: &str| {
        let mut request = ana.request(Method::POST, path).body(body.to_owned());
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        send(request, format!("{body:.40} as {kind:?} to {path}"))
    };
    let json_kind = Some("application/json");
    for body in ["", "{", "nonsense", "{\"text\":", "\0", "{}}", "[]", "1", "null"] {
        raw(&messages, json_kind, body).await.refused(400, "invalid");
    }
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data"),
    ] {
        raw(&messages, kind, "{}").await.refused(415, "unsupported_media_type");
    }
    raw(&messages, json_kind, &"[".repeat(200_000)).await.refused(400, "invalid");
    let huge = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20));
    raw(&messages, json_kind, &huge).await.refused(413, "too_large");
    for (body, field) in [
        (json!({}), "text"),
        (json!({ "text": 1, "client_id": "a", "expected_epoch": 1 }), "text"),
        (json!({ "text": "a", "client_id": ["a"], "expected_epoch": 1 }), "client_id"),
        (json!({ "text": "a", "client_id": "a", "expected_epoch": -1 }), "expected_epoch"),
        (json!({ "text": "a", "client_id": "a", "expected_epoch": 1.5 }), "expected_epoch"),
        (json!({ "text": "a", "client_id": "a", "expected_epoch": "1" }), "expected_epoch"),
        (json!({ "text": "a", "client_id": "a", "expected_epoch": 1, "extra": 1 }), "extra"),
        (
            json!({ "text": "a", "client_id": "a", "expected_epoch": 1, "suggestion": { "artifact_id": "x", "index": 0 } }),
            "suggestion.artifact_id",
        ),
    ] {
        ana.post(&messages, body).await.names(400, "invalid", field);
    }
    for (command, body, field) in [
        ("close", json!({ "outcome": "timeout", "expected_epoch": 1 }), "outcome"),
        ("snooze", json!({ "until": "tomorrow", "expected_epoch": 1 }), "until"),
        ("assign", json!({ "agent_id": "Ana", "expected_epoch": 1 }), "agent_id"),
        ("ai-mode", json!({ "mode": "loud", "expected_epoch": 1 }), "mode"),
        ("assist", json!({ "kind": "poem" }), "kind"),
        ("read", json!({ "seq": -1 }), "seq"),
    ] {
        ana.post(&format!("/conversations/{id}/{command}"), body)
            .await
            .names(400, "invalid", field);
    }
    // Addresses and queries.
    for (path, field) in [
        ("/conversations/conv_1", "id"),
        ("/conversations/%00", "id"),
        ("/conversations?limit=0", "limit"),
        ("/conversations?limit=101", "limit"),
        ("/conversations?limit=x", "limit"),
        ("/conversations?view=theirs", "view"),
        ("/conversations?state=asleep", "state"),
        ("/conversations?inbox=shop", "inbox"),
        ("/conversations?cursor=%00", "cursor"),
        ("/turns/turn_zz", "id"),
    ] {
        ana.get(path).await.names(400, "invalid", field);
    }
    for path in [
        "/conversations/conv_00000000000000000000000000000000",
        "/conversations/conv_00000000000000000000000000000000/timeline",
        "/conversations/conv_00000000000000000000000000000000/assist",
        "/turns/turn_00000000000000000000000000000000",
        "/contacts/con_00000000000000000000000000000000",
        "/nowhere",
    ] {
        ana.get(path).await.refused(404, "not_found");
    }
    let timeline = format!("/conversations/{id}/timeline");
    for query in ["after=1&before=2", "after=x", "limit=501", "before=-1"] {
        let answer = ana.get(&format!("{timeline}?{query}")).await;
        clear(&answer);
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
    send(ana.request(Method::DELETE, "/conversations"), "delete")
        .await
        .refused(405, "method_not_allowed");
    visitor.get("/widget/conversation?after=1&before=2").await.names(400, "invalid", "before");
    visitor.get("/widget/conversation?after=x").await.names(400, "invalid", "after");
    visitor.post("/widget/seen", json!({ "public_seq": 99 })).await.names(
        400,
        "invalid",
        "public_seq",
    );
    // What no database of text can hold.
    let base = world.business.base;
    for path in [
        format!("/knowledge-bases/{base}/articles?q=%00"),
        format!("/knowledge-bases/{base}/articles?q=%FF"),
        format!("/knowledge-bases/{base}/search?q=%00refund"),
        format!("/knowledge-bases/{base}/articles?cursor=%00"),
    ] {
        clear(&sari.get(&path).await);
    }
    let strange = visitor.post("/widget/%00/session", json!({ "locale": "en" })).await;
    strange.refused(404, "not_found");
    let contact = ana.detail(&id).await["contact"]["id"].as_str().expect("an id").to_owned();
    let nul = "a\0b";
    for (method, path, body) in [
        (Method::PATCH, format!("/contacts/{contact}"), json!({ "name": nul })),
        (Method::PATCH, "/auth/me".to_owned(), json!({ "name": nul })),
        (Method::PATCH, format!("/inboxes/{}", world.business.inbox), json!({ "name": nul })),
        (Method::POST, "/assistants".to_owned(), json!({ "name": nul })),
        (Method::POST, "/knowledge-bases".to_owned(), json!({ "name": nul })),
        (
            Method::POST,
            format!("/knowledge-bases/{base}/articles"),
            json!({ "source": "text", "title": nul, "body": nul, "audience": "public", "locale": "en" }),
        ),
        (
            Method::POST,
            format!("/knowledge-bases/{base}/articles"),
            json!({ "source": "qa", "question": nul, "answer": nul, "audience": "public", "locale": nul }),
        ),
        (
            Method::POST,
            format!("/assistants/{}/ask", world.business.assistant),
            json!({ "messages": [{ "role": "visitor", "text": "Hello\0" }], "locale": nul }),
        ),
    ] {
        clear(&send(sari.request(method, &path).json(&body), format!("{path} {body}")).await);
    }
    is_up(&world).await;
    world.end().await;
}

/// Every operation of the document: method and path.
async fn operations(world: &World) -> Vec<(Method, String)> {
    let address = format!("{}/api/v1/openapi.json", world.origin);
    let document = send(world.http.get(address), "the document").await.ok();
    let paths = document["paths"].as_object().expect("paths");
    let mut all = Vec::new();
    for (path, operations) in paths {
        for name in operations.as_object().expect("operations").keys() {
            if let Ok(method) = name.to_uppercase().parse::<Method>()
                && ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str())
            {
                all.push((method, path.trim_start_matches("/api/v1").to_owned()));
            }
        }
    }
    assert!(all.len() > 40, "only {} operations", all.len());
    all
}

async fn ones_own_things_are_not_tied_to_anothers(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let a = Belongings::of(&world, &world.business, "a").await;
    let other: Business = world.another_business("Kopi Lain").await;
    let b = other.agent("Sari", &world.http, &world.origin);
    let own = b.get(&format!("/assistants/{}", other.assistant)).await.ok();
    let inbox = format!("/inboxes/{}", other.inbox);
    b.patch(&inbox, json!({ "assistant_id": a.assistant })).await.names(
        400,
        "invalid",
        "assistant_id",
    );
    let mut config = own["config"].clone();
    config["knowledge_bases"] = json!([a.base]);
    let save = json!({ "version": own["version"], "config": config });
    b.put(&format!("/assistants/{}", other.assistant), save).await.names(
        400,
        "invalid",
        "config.knowledge_bases",
    );
    let theirs = Visitor::arrive("Wati", &world.http, &world.origin, &other.key).await;
    let own_conversation = conversation_of(&theirs.write("Hello").await);
    let to_a = json!({ "agent_id": a.agent });
    b.command(&own_conversation, "assign", to_a).await.refused(404, "not_found");
    let foreign = format!("/conversations/{own_conversation}/suggestions/{}/0", a.artifact);
    b.post(&foreign, json!({ "fate": "inserted" })).await.refused(404, "not_found");
    // Nor looked at over a socket.
    let mut looks = b.live(Some(&a.conversation)).await;
    let rina = world.visitor("Rina").await;
    rina.write("How long does a refund take?").await;
    world
        .agent("Ana")
        .post(&format!("/conversations/{}/typing", a.conversation), json!({}))
        .await
        .ok();
    theirs.write("Hello again").await;
    looks.event(&own_conversation, "visitor_wrote").await;
    looks.settle().await;
    for frame in looks.heard() {
        let text = frame.to_string();
        let hidden = a.private.iter().chain(&a.personal);
        assert!(!hidden.clone().any(|id| text.contains(id)), "B's socket heard {text}");
    }
    // A visitor's token is for one inbox.
    let session = format!("/widget/{}/session", other.key);
    let answer = rina.post(&session, json!({ "token": rina.token, "locale": "en" })).await.ok();
    assert_eq!(
        (&answer["renewed"], &answer["conversation"]),
        (&json!(false), &Value::Null),
        "{answer}"
    );
    drop(looks);
    world.end().await;
}

async fn what_has_ended_is_over(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let ana = world.agent("Ana");
    let visitor = world.visitor("Rina").await;
    visitor.write("Hello").await;
    passwords(&world).await;
    // Time passes: tokens end, and what was said stays.
    let ticket = ana.post("/live/ticket", json!({})).await.ok();
    world.pass(Duration::from_secs(31));
    let mut late = Live::open("Ana", &world.origin, None).await.expect("opens");
    late.say(&json!({ "type": "hello", "ticket": ticket["ticket"] })).await;
    assert_eq!(late.closed("the ticket is too old").await, Some(4401));
    world.pass(Duration::from_hours(91 * 24));
    visitor.get("/widget/conversation").await.refused(401, "unauthenticated");
    visitor.write_as("late", "Hello").await.refused(401, "unauthenticated");
    let again = visitor.session(Some(&visitor.token)).await.ok();
    assert_eq!(
        (&again["renewed"], &again["conversation"]),
        (&json!(false), &Value::Null),
        "{again}"
    );
    let mut page = Live::open("Rina", &world.origin, None).await.expect("opens");
    page.say(&json!({ "type": "hello", "token": visitor.token, "after": 0 })).await;
    assert_eq!(page.closed("the token is too old").await, Some(4401));
    ana.get("/auth/me").await.refused(401, "unauthenticated");
    is_up(&world).await;
    world.end().await;
}

async fn passwords(world: &World) {
    let access = &world.state.access;
    let email = format!("ana@{}.example", world.business.workspace);
    let hash = access.passwords.hash("a long enough password").await.expect("hashes");
    let stored = email.clone();
    let set = access.db.write(move |conn| {
        let (email, hash) = (stored.clone(), hash.clone());
        Box::pin(async move { members::set_password(conn, &email, &hash).await })
    });
    set.await.expect("sets a password");
    let sign_in = |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        let request = world.http.post(format!("{}/api/v1/auth/sign-in", world.origin)).json(&body);
        send(request, format!("signing in as {email:.40}"))
    };
    sign_in(&email, "a wrong password").await.refused(401, "bad_credentials");
    sign_in("nobody@nowhere.example", "a wrong password").await.refused(401, "bad_credentials");
    sign_in("a\0@b.example", "x").await.refused(401, "bad_credentials");
    sign_in(&"x".repeat(20_000), "x").await.refused(401, "bad_credentials");
    sign_in(&email, &"x".repeat(20_000)).await.refused(401, "bad_credentials");
    let me = sign_in(&email.to_uppercase(), "a long enough password").await.ok();
    assert_eq!(me["agent"]["name"], "Ana", "{me}");
    assert!(me["csrf"].is_string() && !me.to_string().contains("password"), "{me}");
    for _ in 0..20 {
        let answer = sign_in(&email, "a wrong password").await;
        clear(&answer);
        if answer.status == 429 {
            answer.refused(429, "rate_limited");
            return;
        }
    }
    panic!("twenty wrong passwords in a row were all looked at");
}

async fn sockets_that_misbehave(engine: Engine) {
    let setup = Setup::default().config(|config| {
        config.limits.max_sockets = std::num::NonZeroUsize::new(6).expect("six");
    });
    let setup = setup.live(|live| live.hello = Duration::from_millis(400));
    let world = World::new(engine, setup).await;
    let visitor = world.visitor("Rina").await;
    let hello = json!({ "type": "hello", "token": visitor.token, "after": 0 });
    let open = || async { Live::open("a stranger", &world.origin, None).await.expect("opens") };
    // Before the hello.
    assert_eq!(open().await.closed("no hello").await, Some(4408));
    let big = "x".repeat(64 * 1024);
    for (what, frame, code) in [
        ("garbage", Message::text("garbage"), Some(1007)),
        ("bytes", Message::binary(vec![0_u8, 159, 146, 150]), Some(1007)),
        ("no token", Message::text(r#"{"type":"hello"}"#), Some(4401)),
        ("a bad token", Message::text(r#"{"type":"hello","token":"x"}"#), Some(4401)),
        ("a bad ticket", Message::text(r#"{"type":"hello","ticket":"x"}"#), Some(4401)),
        ("another frame", Message::text(r#"{"type":"watch"}"#), Some(4408)),
        ("no object", Message::text("[1,2]"), Some(4408)),
        ("a wrong type", Message::text(r#"{"type":"hello","token":7}"#), Some(4408)),
    ] {
        let mut socket = open().await;
        socket.say_raw(frame).await;
        assert_eq!(socket.closed(what).await, code, "{what}");
    }
    let mut socket = open().await;
    socket.say_raw(Message::text(big.clone())).await;
    socket.closed("a frame that is too large").await;
    // From a page that may not.
    assert_eq!(Live::open("a file", &world.origin, Some("null")).await.err(), Some(403));
    let mut evil =
        Live::open("a page", &world.origin, Some("https://evil.example")).await.expect("opens");
    evil.say(&hello).await;
    assert_eq!(evil.closed("a foreign page").await, Some(4403));
    let ticket = world.agent("Ana").post("/live/ticket", json!({})).await.ok();
    let as_agent = json!({ "type": "hello", "ticket": ticket["ticket"] });
    let mut evil =
        Live::open("a page", &world.origin, Some("https://shop.example")).await.expect("opens");
    evil.say(&as_agent).await;
    assert_eq!(evil.closed("agents come from our own page").await, Some(4403));
    // A ticket is for once.
    let ticket = world.agent("Ana").post("/live/ticket", json!({})).await.ok();
    let as_agent = json!({ "type": "hello", "ticket": ticket["ticket"] });
    let first = Live::hello("Ana", &world.origin, &as_agent, None).await;
    let mut second = open().await;
    second.say(&as_agent).await;
    assert_eq!(second.closed("a used ticket").await, Some(4401));
    drop(first);
    // After the hello: unknown frames are another version's, garbage is not, and a flood ends.
    let mut page = visitor.live().await;
    page.say(&json!({ "type": "dance" })).await;
    page.settle().await;
    page.say_raw(Message::text("{")).await;
    assert_eq!(page.closed("garbage after the hello").await, Some(1007));
    let mut page = visitor.live().await;
    for _ in 0..130 {
        page.say(&json!({ "type": "ping" })).await;
    }
    assert_eq!(page.closed("a flood").await, Some(4429));
    // No more than there is room for; who leaves makes room.
    let mut held = Vec::new();
    let full = loop {
        match Live::open("one of many", &world.origin, None).await {
            Ok(mut live) => {
                live.say(&hello).await;
                live.until("the welcome", |frame| kind_is(frame, "welcome")).await;
                held.push(live);
            }
            Err(status) => break status,
        }
        assert!(held.len() <= 6, "a seventh socket was opened");
    };
    assert_eq!(full, 503);
    drop(held);
    crate::support::eventually("room for a socket", || async {
        Live::open("the next", &world.origin, None).await.map(drop).map_err(|s| s.to_string())
    })
    .await;
    is_up(&world).await;
    world.end().await;
}

async fn a_socket_that_never_reads_is_dropped_and_resumes(engine: Engine) {
    let setup = Setup::default().live(|live| live.write = Duration::from_millis(300));
    let world = World::new(engine, setup).await;
    let ana = world.agent("Ana");
    let slow = world.visitor("Slow").await;
    let id = slow.ask_for_person().await["id"].as_str().expect("an id").to_owned();
    ana.take_over(&id).await;
    // A connection with a small window that says hello and never reads.
    let address = world.origin.trim_start_matches("http://").parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
    let stream = socket.connect(address).await.expect("connects");
    let url = format!("{}/api/v1/live", world.origin.replacen("http", "ws", 1));
    let (mut silent, _) = tokio_tungstenite::client_async(url, stream).await.expect("opens");
    let hello = json!({ "type": "hello", "token": slow.token, "after": 0 }).to_string();
    futures_util::SinkExt::send(&mut silent, Message::text(hello)).await.expect("says hello");
    let presence = || async { Ok::<_, String>(ana.detail(&id).await["visitor_online"] == true) };
    let online = |wanted: bool| {
        let presence = &presence;
        async move {
            crate::support::eventually("the visitor's coming or going", || async {
                let seen = presence().await?;
                if seen == wanted { Ok(()) } else { Err(format!("online: {seen}")) }
            })
            .await;
        }
    };
    online(true).await;
    // Far more than every buffer on the way.
    let words = "€".repeat(8_000);
    let mut sent = 0;
    while ana.detail(&id).await["visitor_online"] == true {
        assert!(sent < 2_000, "{sent} long messages to somebody who does not read");
        for _ in 0..20 {
            ana.write(&id, &words).await;
            sent += 1;
        }
    }
    // Everybody else is served as ever, and nothing was lost.
    let other = world.visitor("Rina").await;
    let mut page = other.live().await;
    other.write("How long does a refund take?").await;
    page.message("five working days").await;
    let mut back = slow.live_after(1).await;
    let last = u64::from(u32::try_from(sent).expect("not that many")) + 2;
    let mut numbers: BTreeSet<u64> = BTreeSet::new();
    let of = |frame: &Value| -> Vec<u64> {
        let all = frame["conversation"]["messages"].as_array().cloned().unwrap_or_default();
        let single = frame["message"].clone();
        all.iter().chain([&single]).filter_map(|m| m["public_seq"].as_u64()).collect()
    };
    numbers.extend(back.heard().iter().flat_map(of));
    while numbers.last() != Some(&last) {
        let frame = back.until("the rest", |frame| kind_is(frame, "message")).await;
        numbers.extend(of(&frame));
    }
    assert_eq!(numbers, (2..=last).collect::<BTreeSet<u64>>());
    drop((page, back, silent));
    world.end().await;
}

/// Any JSON at any door: never our fault.
async fn anything_at_every_door(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let a = Belongings::of(&world, &world.business, "a").await;
    let sari = world.agent("Sari");
    let visitor = world.visitor("Rina").await;
    visitor.write("Hello").await;
    let bodies = [
        "null",
        "[]",
        "{}",
        "\"x\"",
        "0",
        "-1",
        "1e999",
        "[[[[[[[[]]]]]]]]",
        "{\"\":{}}",
        r#"{"text":"\ud800","client_id":"\ud800"}"#,
        r#"{"messages":[],"config":{},"version":9223372036854775808,"expected_epoch":18446744073709551615,"seq":18446744073709551615,"public_seq":18446744073709551615}"#,
        r#"{"text":{},"client_id":{},"note":{},"agent_id":{},"until":{},"mode":{},"kind":{},"name":{},"email":{}}"#,
        r#"{"until":"9999-12-31T23:59:59Z","expected_epoch":0,"outcome":"solved","mode":"on","kind":"brief","fate":"inserted"}"#,
        r#"{"name":"","email":"","presence":"gone","locale":"xx-YY-zz-11","token":"","password":""}"#,
    ];
    let mut asked = 0;
    for (method, path) in operations(&world).await {
        if path == "/live" || path == "/auth/sign-out" || path == "/widget/close" {
            continue;
        }
        let Some(filled) = a.fill(&path).or_else(|| (!path.contains('{')).then(|| path.clone()))
        else {
            continue;
        };
        let bodies: &[&str] = if method == Method::GET { &["null"] } else { &bodies };
        for body in bodies {
            let request = match path.starts_with("/widget/") {
                true => visitor.request(method.clone(), &filled),
                false => sari.request(method.clone(), &filled),
            };
            let request =
                request.header("content-type", "application/json").body((*body).to_owned());
            clear(&send(request, format!("{method} {path} {body}")).await);
            asked += 1;
        }
    }
    assert!(asked > 300, "only {asked} requests");
    is_up(&world).await;
    world.end().await;
}

on_both_engines!(
    words_of_every_kind,
    wrong_shapes_name_what_is_wrong,
    ones_own_things_are_not_tied_to_anothers,
    what_has_ended_is_over,
    sockets_that_misbehave,
    a_socket_that_never_reads_is_dropped_and_resumes,
    anything_at_every_door,
);
