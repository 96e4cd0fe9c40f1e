//! Every frame of both sockets: who may say it, and who ever hears it.
//!
//! Everybody listens while everything happens in one conversation. Nobody hears a kind of frame, or a word, that the table
//! does not let them hear; and whatever it lets them hear has been heard by them at least once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule};
use serde_json::{Value, json};

use super::Belongings;
use super::callers::{self, Caller, Credentials};
use super::table::{self, Cell, Row};
use crate::on_both_engines;
use crate::support::people::{conversation_of, fresh_client_id};
use crate::support::{Engine, Live, Setup, World, kind_is};

/// The kinds of an enum of frames, as its source has them.
fn kinds(source: &str, name: &str) -> Vec<String> {
    let (_, after) = source
        .split_once(&format!("enum {name}<'a> {{"))
        .or_else(|| source.split_once(&format!("enum {name} {{")))
        .unwrap_or_else(|| panic!("no enum {name}"));
    let (body, _) = after.split_once("\n}").expect("its end");
    let variant = |line: &str| {
        let line = line.strip_prefix("    ")?;
        let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| snake(&name))
    };
    body.lines().filter_map(variant).collect()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A new frame without a row fails, and so does a row without a frame.
#[test]
fn every_frame_has_its_row() {
    let console = include_str!("../../../src/inbox/live.rs");
    let widget = include_str!("../../../src/widget/live.rs");
    let mut frames: BTreeSet<String> = BTreeSet::new();
    for hello in kinds(include_str!("../../../src/live.rs"), "Hello") {
        frames.extend(["console", "widget"].map(|socket| format!("socket {socket} says {hello}")));
    }
    for (socket, source) in [("console", console), ("widget", widget)] {
        let says = kinds(source, "Said").into_iter().map(|kind| format!("says {kind}"));
        let hears = kinds(source, "Frame").into_iter().map(|kind| format!("hears {kind}"));
        frames.extend(says.chain(hears).map(|frame| format!("socket {socket} {frame}")));
    }
    let listed: BTreeSet<String> =
        table::read().into_keys().filter(|call| call.starts_with("socket ")).collect();
    assert_eq!(frames, listed, "tests/walls/table.tsv and the frames of the sockets differ");
}

/// Which socket somebody's credentials open.
fn socket_of(caller: &Caller) -> &'static str {
    if caller.agent.is_some() { "console" } else { "widget" }
}

/// The first frame of a caller at a socket: agents get a ticket, everybody else shows what they have.
async fn hello(world: &World, caller: &Caller, socket: &str) -> Value {
    if socket == "console" && caller.agent.is_some() {
        let request = world.http.post(format!("{}/api/v1/live/ticket", world.origin));
        let ticket = caller.shows(request).send().await.expect("an answer");
        let ticket: Value = ticket.json().await.expect("a ticket");
        return json!({ "type": "hello", "ticket": ticket["ticket"] });
    }
    let shown = match &caller.credentials {
        Credentials::Nothing => Value::Null,
        Credentials::Cookie { token, .. } | Credentials::Bearer(token) => json!(token),
    };
    let field = if socket == "console" { "ticket" } else { "token" };
    json!({ "type": "hello", field: shown, "after": 0 })
}

/// Somebody who listens.
struct Listener {
    caller: Caller,
    live: Live,
}

/// Opens a socket as everybody: whoever may not is told so with the close code of the table.
async fn greet(
    world: &World,
    rows: &BTreeMap<String, Row>,
    everybody: &[Caller],
    tried: &mut usize,
) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let token = |caller: &Caller| match &caller.credentials {
        Credentials::Nothing => String::new(),
        Credentials::Cookie { token, .. } | Credentials::Bearer(token) => token.clone(),
    };
    let visitors: Vec<String> =
        everybody.iter().filter(|c| c.kind == "visitor").map(token).collect();
    for caller in everybody {
        for socket in ["console", "widget"] {
            // A good token is bad only where it is shown as something else.
            if caller.kind == "unsigned" && socket == "widget" && visitors.contains(&token(caller))
            {
                continue;
            }
            *tried += 1;
            let cell = caller.cell(&rows[&format!("socket {socket} says hello")]);
            let mut live = Live::open(&caller.who, &world.origin, None).await.expect("opens");
            live.say(&hello(world, caller, socket).await).await;
            match cell {
                Cell::Refused(code) => {
                    let closed = live.closed("a refusal").await;
                    assert_eq!(closed, Some(code), "{} at the {socket} socket", caller.who);
                    assert!(live.heard().is_empty(), "{}: {:?}", caller.who, live.heard());
                }
                _ => {
                    live.until("the welcome", |frame| kind_is(frame, "welcome")).await;
                    assert_eq!(socket, socket_of(caller));
                    listeners.push(Listener { caller: caller.clone(), live });
                }
            }
        }
    }
    listeners
}

/// Everything that a conversation can show happens in it.
async fn everything_happens(world: &World, home: &Belongings, gate: &Gate, said: &str) {
    let (ana, budi) = (home.person("Ana"), home.person("Budi"));
    let id = home.conversation.as_str();
    let visitor = &home.visitor;
    let mut page = visitor.live().await;
    let mut desk = ana.live(Some(id)).await;
    // The AI answers half, Ana takes over, both type, a note, help is made, a promise is broken.
    let note = json!({ "note": format!("private-{said}") });
    ana.command(id, "assign-to-ai", note).await.ok();
    assert_eq!(conversation_of(&visitor.write("How long does a refund take?").await), id);
    page.until("half an answer", |frame| kind_is(frame, "draft")).await;
    assert_eq!(visitor.post("/widget/typing", json!({})).await.status, 204);
    ana.take_over(id).await;
    page.until("its end", |frame| kind_is(frame, "draft_dropped")).await;
    gate.open();
    ana.post(&format!("/conversations/{id}/typing"), json!({})).await;
    page.until("Ana types", |frame| kind_is(frame, "typing")).await;
    budi.post(&format!("/conversations/{id}/typing"), json!({})).await;
    let note = json!({ "text": format!("private-{said}"), "client_id": fresh_client_id() });
    ana.post(&format!("/conversations/{id}/notes"), note).await.ok();
    let made = ana.post(&format!("/conversations/{id}/assist"), json!({ "kind": "summary" })).await;
    let made = made.ok()["id"].clone();
    let is = |frame: &Value| kind_is(frame, "assist") && frame["artifact"]["id"] == made;
    desk.until("the summary", is).await;
    ana.write(id, "One moment please.").await;
    visitor.write("Thank you, but when?").await;
    ana.command(id, "return-to-queue", json!({})).await.ok();
    world.pass(Duration::from_secs(601));
    desk.until("an alarm", |frame| kind_is(frame, "alarm")).await;
    page.settle().await;
    desk.settle().await;
}

/// Whether a frame is about the conversation in which everything happened, or shows something of the business.
fn concerns(frame: &Value, home: &Belongings) -> bool {
    let text = frame.to_string();
    home.private.iter().chain(&home.personal).any(|words| text.contains(words.as_str()))
}

async fn everybody_hears_what_is_theirs(engine: Engine) {
    let gate = Gate::after(9);
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let other = world.another_business("Kopi Lain").await;
    let home = Belongings::of(&world, &world.business, "home7f3a").await;
    let away = Belongings::of(&world, &other, "away91bc").await;
    let everybody = callers::everybody(&world, &world.business, &home, &away).await;
    let rows = table::read();
    let mut tried = 0;
    let mut listeners = greet(&world, &rows, &everybody, &mut tried).await;
    // Everybody says every frame there is; those of another socket or workspace do nothing.
    for listener in &mut listeners {
        let watch = json!({ "type": "watch", "conversation_id": home.conversation });
        listener.live.say(&watch).await;
        listener.live.settle().await;
        tried += 2;
    }
    let two = Behaviour::say("A refund takes five days. [1] It goes to your card. [1]");
    world.model.add(Rule::on(Task::Answer, two.with_gate(gate.clone())).once());
    everything_happens(&world, &home, &gate, "home7f3a").await;
    // Who comes back from a place that is no place starts over.
    for listener in &mut listeners {
        if socket_of(&listener.caller) == "console" {
            let mut hello = hello(&world, &listener.caller, "console").await;
            hello["cursor"] = json!("nowhere");
            let mut back =
                Live::open(&listener.caller.who, &world.origin, None).await.expect("opens");
            back.say(&hello).await;
            back.until("to start over", |frame| kind_is(frame, "resync")).await;
            tried += 1;
        }
    }
    let mut wrong = Vec::new();
    for listener in &mut listeners {
        listener.live.settle().await;
        wrong.extend(judge(listener, &rows, &home, &away, &mut tried));
    }
    super::report(&format!(
        "walls: {} listeners, {tried} frames looked at as the table says",
        listeners.len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(listeners);
    world.end().await;
}

/// What somebody heard that is not theirs, and what they should have heard and did not.
fn judge(
    listener: &Listener,
    rows: &BTreeMap<String, Row>,
    home: &Belongings,
    away: &Belongings,
    tried: &mut usize,
) -> Vec<String> {
    let Listener { caller, live } = listener;
    let socket = socket_of(caller);
    let mut wrong = Vec::new();
    let mut heard: BTreeSet<String> = BTreeSet::new();
    for frame in live.heard() {
        *tried += 1;
        let kind = frame["type"].as_str().unwrap_or_default().to_owned();
        let name = format!("socket {socket} hears {kind}");
        let cell = rows.get(&name).map(|row| caller.cell(row));
        let theirs = if caller.at_home { away } else { home };
        if concerns(frame, theirs) {
            wrong.push(format!("{} heard of another workspace: {frame}", caller.who));
        }
        if cell != Some(Cell::Allow) && concerns(frame, home) {
            wrong.push(format!("{} heard {frame}", caller.who));
        }
        if caller.agent.is_none() && frame.to_string().contains("private-") {
            wrong.push(format!("{} heard what is private: {frame}", caller.who));
        }
        heard.insert(kind);
    }
    for (name, row) in rows {
        let Some(kind) = name.strip_prefix(&format!("socket {socket} hears ")) else { continue };
        // Only when there is something to start over from: looked at above.
        if caller.cell(row) == Cell::Allow && !heard.contains(kind) && kind != "resync" {
            wrong.push(format!("{} never heard {kind}", caller.who));
        }
    }
    wrong
}

/// A ticket is for one socket, for half a minute, and for as long as its session.
async fn tickets_are_bound(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let ana = world.agent("Ana");
    let ticket = async || {
        let ticket = ana.post("/live/ticket", json!({})).await.ok();
        json!({ "type": "hello", "ticket": ticket["ticket"] })
    };
    let refused = async |hello: &Value, page: Option<&str>, code: u16| {
        let mut live = Live::open("a thief", &world.origin, page).await.expect("opens");
        live.say(hello).await;
        assert_eq!(live.closed("a refusal").await, Some(code), "{hello}");
    };
    let used = ticket().await;
    let first = Live::hello("Ana", &world.origin, &used, None).await;
    refused(&used, None, 4401).await;
    drop(first);
    // A page of somebody else's cannot use one, and what it tried is used up.
    let stolen = ticket().await;
    refused(&stolen, Some("https://shop.example"), 4403).await;
    let late = ticket().await;
    world.pass(Duration::from_secs(30));
    refused(&late, None, 4401).await;
    let orphan = ticket().await;
    assert_eq!(ana.post("/auth/sign-out", json!({})).await.status, 204);
    refused(&orphan, None, 4401).await;
    // What is no web page opens no socket at all.
    for origin in ["null", "file://", "chrome-extension://abc", "https://evil.example/path"] {
        assert_eq!(
            Live::open("a page", &world.origin, Some(origin)).await.err(),
            Some(403),
            "{origin}"
        );
    }
    let rina = world.visitor("Rina").await;
    let hello = json!({ "type": "hello", "token": rina.token, "after": 0 });
    for origin in ["https://evil.example", "http://shop.example", "https://shop.example:444"] {
        refused(&hello, Some(origin), 4403).await;
    }
    let own = world.origin.clone();
    for origin in ["https://shop.example", "https://SHOP.example:443", own.as_str()] {
        let mut live = Live::open("Rina", &world.origin, Some(origin)).await.expect("opens");
        live.say(&hello).await;
        let welcome = live.next().await;
        assert!(matches!(&welcome, Ok(f) if kind_is(f, "welcome")), "{origin}: {welcome:?}");
    }
    world.end().await;
}

on_both_engines!(everybody_hears_what_is_theirs, tickets_are_bound);
