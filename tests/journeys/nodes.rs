//! Two servers on one PostgreSQL: whatever one of them knows, people on the other see. No request needs to come to the node that
//! the one before it came to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use baton::conversation::{Actor, Heard, Live as Told, Record};
use baton::db::sql;
use baton::ids::{AgentId, ContactId, ConversationId, Ids, NodeId};
use baton::live::LiveSettings;
use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgListener};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

use crate::on_both_engines;
use crate::support::engine::has_postgres;
use crate::support::people::{conversation_of, fresh_client_id};
use crate::support::world::Node;
use crate::support::{Agent, Engine, Live, PATIENCE, Setup, World, eventually, kind_is};

/// A takeover on one node silences the other within this.
const SILENT_WITHIN: Duration = Duration::from_millis(100);

/// A world of two nodes, if there is a server for them.
async fn two_nodes(setup: Setup) -> Option<(World, Node)> {
    if !has_postgres() {
        return None;
    }
    let a = World::new(Engine::Postgres, setup).await;
    let b = a.another_node().await;
    for origin in [&a.origin, &b.origin] {
        eventually("both nodes to know each other", || async {
            let ready = ready(&a, origin).await;
            let fine = ready["bridge"] == "ok" && ready["other_nodes"] == 1;
            if fine { Ok(()) } else { Err(ready.to_string()) }
        })
        .await;
    }
    Some((a, b))
}

async fn ready(world: &World, origin: &str) -> Value {
    let answer = world.http.get(format!("{origin}/ready")).send().await.expect("answers");
    answer.json().await.expect("JSON")
}

/// The same person at another node.
fn at(agent: &Agent, node: &Node) -> Agent {
    Agent { origin: node.origin.clone(), ..agent.clone() }
}

/// Waits until a node says this of a colleague.
async fn is_seen(by: &Agent, who: &Agent, presence: &str) {
    eventually("a colleague's presence", || async {
        let all = by.get("/agents").await.ok();
        let items = all["items"].as_array().cloned().unwrap_or_default();
        let seen = items.iter().find(|a| a["id"] == who.id.as_str()).map(|a| a["presence"].clone());
        if seen == Some(json!(presence)) { Ok(()) } else { Err(all.to_string()) }
    })
    .await;
}

fn is_draft(frame: &Value, words: &str) -> bool {
    kind_is(frame, "draft") && frame["text"].as_str().is_some_and(|text| text.contains(words))
}

/// Says so many sentences and stops in the second one until the gate opens.
fn held(gate: &Gate) -> Behaviour {
    Behaviour::say(
        "Refunds take five working days. The money goes back to the card you paid with. Ask me anything else.",
    )
    .with_gate(gate.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_story_crosses_nodes() {
    let Some((a, b)) = Box::pin(two_nodes(Setup::default())).await else { return };
    let (ana, budi) = (at(&a.agent("Ana"), &b), a.agent("Budi"));
    let mut desk = ana.live(None).await;
    let rina = a.visitor("Rina").await;
    let rina_b = rina.at(&b.origin);
    let mut page = rina.live().await;
    // Presence: who is at the desk on B is there for the visitor on A.
    is_seen(&budi, &ana, "online").await;
    let started = rina_b.session(Some(&rina.token)).await.ok();
    assert_eq!(started["config"]["human_available"], true, "{started}");

    let asked = rina.write("How long does a refund take?").await;
    let id = conversation_of(&asked);
    page.message("five working days").await;
    desk.event(&id, "assistant_answered").await;

    // The visitor's next words come in through B and are read on A, once and in order.
    rina_b.ask_for_person().await;
    page.notice("handoff_waiting").await;
    page.state("the queue", |c| c["answering"]["kind"] == "queue").await;
    desk.event(&id, "handed_off").await;
    let taken = ana.take_over(&id).await;
    page.notice("agent_joined").await;
    page.state("Ana", |c| c["answering"]["name"] == "Ana").await;
    // An old screen on A is told who holds it now, though that was decided on B.
    let old = json!({ "text": "Me too", "client_id": fresh_client_id(), "expected_epoch": 1 });
    let refused = budi.post(&format!("/conversations/{id}/messages"), old).await;
    let refused = refused.refused(409, "stale_epoch");
    assert_eq!(refused["detail"]["epoch"], taken["epoch"], "{refused}");

    // Both see the other type, and each other's windows.
    ana.post(&format!("/conversations/{id}/typing"), json!({})).await.ok();
    page.until("Ana typing", |f| kind_is(f, "typing") && f["author"]["name"] == "Ana").await;
    rina.post("/widget/typing", json!({})).await.ok();
    desk.until("the visitor typing", |f| kind_is(f, "typing") && f["author"]["kind"] == "visitor")
        .await;
    let mut looks = budi.live(Some(&id)).await;
    let mut desk_looks = ana.live(Some(&id)).await;
    looks
        .ever("both look", |f| {
            kind_is(f, "viewers") && f["agents"].as_array().is_some_and(|all| all.len() == 2)
        })
        .await;

    ana.write(&id, "It is Ana. What else?").await;
    page.message("It is Ana").await;
    ana.command(&id, "assign-to-ai", json!({ "note": "Be brief" })).await.ok();
    page.notice("returned_to_ai").await;

    // The turn runs on B, its words are seen on A; Budi on A takes over.
    let gate = Gate::after(8);
    a.model.add(Rule::on(Task::Answer, held(&gate)).when_said("which card").once());
    rina_b.write("To which card does the refund go?").await;
    let draft = page.until("the first sentence", |f| is_draft(f, "five working days")).await;
    looks.until("the first sentence", |f| is_draft(f, "five working days")).await;
    desk_looks.until("the first sentence", |f| is_draft(f, "five working days")).await;
    gate.arrived().await;
    let taken = budi.take_over(&id).await;
    for socket in [&mut page, &mut looks, &mut desk_looks] {
        let gone = socket.until("draft_dropped", |f| kind_is(f, "draft_dropped")).await;
        assert_eq!((&gone["turn"], &gone["epoch"]), (&draft["turn"], &taken["epoch"]));
    }
    a.model.cancelled().await;
    gate.open();
    desk.event(&id, "turn_cancelled").await;
    budi.write(&id, "It is Budi now.").await;
    page.message("It is Budi now").await;
    budi.command(&id, "close", json!({ "outcome": "solved" })).await.ok();
    page.notice("closed").await;
    desk.event(&id, "closed").await;

    // Coming back by number works anywhere.
    let said = rina.messages().await;
    let numbers: Vec<u64> = said.iter().filter_map(|m| m["public_seq"].as_u64()).collect();
    assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<_>>());
    let half = numbers.len() as u64 / 2;
    for origin in [&a.origin, &b.origin] {
        let again = rina.at(origin).live_after(half).await;
        let messages = again.heard()[0]["conversation"]["messages"].as_array().cloned();
        assert_eq!(messages.as_deref(), said.get(numbers.len() / 2..), "{origin}");
    }
    heard_once_and_in_order(&page);
    drop((desk, page, looks, desk_looks));
    b.stop().await;
    a.end().await;
}

/// Every message that a visitor's socket brought, by number.
#[track_caller]
fn heard_once_and_in_order(page: &Live) {
    let numbers: Vec<u64> = page
        .heard()
        .iter()
        .filter(|frame| kind_is(frame, "message"))
        .filter_map(|frame| frame["message"]["public_seq"].as_u64())
        .collect();
    let first = numbers.first().copied().unwrap_or(1);
    assert_eq!(numbers, (first..).take(numbers.len()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_from_one_node_opens_one_socket_on_the_other() {
    let Some((a, b)) = Box::pin(two_nodes(Setup::default())).await else { return };
    let ticket = a.agent("Ana").post("/live/ticket", json!({})).await.ok();
    let hello = json!({ "type": "hello", "ticket": ticket["ticket"] });
    let first = Live::hello("Ana", &b.origin, &hello, None).await;
    for origin in [&a.origin, &b.origin] {
        let mut again = Live::open("Ana", origin, None).await.expect("opens");
        again.say(&hello).await;
        assert_eq!(again.closed("used twice").await, Some(4401));
    }
    drop(first);
    b.stop().await;
    a.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_and_words_about_oneself_cross_nodes() {
    let Some((a, b)) = Box::pin(two_nodes(Setup::default())).await else { return };
    let (ana, budi) = (a.agent("Ana"), a.agent("Budi"));
    let mut desk = at(&ana, &b).live(None).await;
    let mut colleague = budi.live(None).await;
    is_seen(&budi, &ana, "online").await;
    // Said on A, heard by the socket on B, seen on A again.
    ana.patch("/auth/me", json!({ "presence": "away" })).await.ok();
    colleague
        .until("Ana away", |f| {
            kind_is(f, "presence")
                && f["agent"]["id"] == ana.id.as_str()
                && f["agent"]["presence"] == "away"
        })
        .await;
    // Signed out on A: the socket on B ends.
    ana.post("/auth/sign-out", json!({})).await.ok();
    assert_eq!(desk.closed("signed out elsewhere").await, Some(4401));
    is_seen(&budi, &ana, "offline").await;
    drop(colleague);
    b.stop().await;
    a.end().await;
}

/// Ends the connections on which nodes listen. Returns how many.
async fn cut_the_listeners(world: &World) -> i64 {
    let mut conn = world.state.conversations.db().read().await.expect("a connection");
    let (cut,): (i64,) = sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = 'baton listens' AND datname = current_database()")
    .one(&mut conn)
    .await
    .expect("cuts");
    cut
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_cut_off_misses_nothing() {
    let Some((a, b)) = Box::pin(two_nodes(Setup::default())).await else { return };
    let rina = a.visitor("Rina").await;
    let mut page = rina.live().await;
    let asked = rina.write("How long does a refund take?").await;
    let id = conversation_of(&asked);
    page.message("five working days").await;
    let (budi, ana) = (a.agent("Budi"), at(&a.agent("Ana"), &b));
    let mut desk = budi.live(None).await;
    ana.take_over(&id).await;
    page.notice("agent_joined").await;
    let mut wanted = Vec::new();
    for round in 0..5 {
        let cut = cut_the_listeners(&a).await;
        assert!(cut >= 1, "round {round}: nobody listened");
        for n in 0..4 {
            let words = format!("word {round}.{n}");
            ana.write(&id, &words).await;
            wanted.push(words);
        }
        page.message(&format!("word {round}.3")).await;
        eventually("both nodes to hear again", || async {
            for origin in [&a.origin, &b.origin] {
                let ready = ready(&a, origin).await;
                if ready["bridge"] != "ok" || ready["ready"] != true {
                    return Err(ready.to_string());
                }
            }
            Ok(())
        })
        .await;
    }
    let text = |frame: &Value| frame["message"]["text"].as_str().map(str::to_owned);
    let heard: Vec<String> = page.heard().iter().filter_map(text).collect();
    let heard: Vec<&String> = heard.iter().filter(|text| text.starts_with("word")).collect();
    assert_eq!(heard, wanted.iter().collect::<Vec<_>>());
    heard_once_and_in_order(&page);
    let last = ana.write(&id, "the last word").await;
    let is_last = |frame: &Value| {
        let items = frame["items"].as_array().cloned().unwrap_or_default();
        items.iter().any(|item| item["message"]["id"] == last["id"])
    };
    desk.ever("the last word", is_last).await;
    let mut seen: Vec<u64> = Vec::new();
    for frame in desk.heard().iter().filter(|f| f["row"]["id"] == id.as_str()) {
        let items = frame["items"].as_array().cloned().unwrap_or_default();
        seen.extend(items.iter().filter_map(|item| item["seq"].as_u64()));
    }
    let first = seen.first().copied().unwrap_or(1);
    assert_eq!(seen, (first..).take(seen.len()).collect::<Vec<_>>(), "once and in order");
    drop((page, desk));
    b.stop().await;
    a.end().await;
}

async fn a_restart_within_the_grace_does_not_lose_that_an_agent_left(engine: Engine) {
    let world = World::new(engine, Setup::default().live(impatient)).await;
    let rina = world.visitor("Rina").await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    let ana = world.agent("Ana");
    let desk = ana.live(None).await;
    is_seen(&ana, &ana, "online").await;
    ana.take_over(&id).await;
    kept(&world).await;
    drop(desk);
    // The server stops before the grace is over, with or without having seen her go.
    let world = Box::pin(world.restart()).await;
    let budi = world.agent("Budi");
    let went = |kinds: &[String]| kinds.iter().filter(|kind| *kind == "went_offline").count();
    eventually("her going to be recorded", || async {
        let kinds = budi.kinds(&id).await;
        if went(&kinds) == 1 { Ok(()) } else { Err(format!("{kinds:?}")) }
    })
    .await;
    // And her coming back, after which nobody misses her.
    let desk = world.agent("Ana").live(None).await;
    eventually("her coming back to be recorded", || async {
        let kinds = budi.kinds(&id).await;
        if kinds.iter().any(|kind| kind == "came_back") {
            Ok(())
        } else {
            Err(format!("{kinds:?}"))
        }
    })
    .await;
    drop(desk);
    world.end().await;
}

/// Waits until the row that says an agent is here is stored.
async fn kept(world: &World) {
    eventually("the row of who is here", || async {
        let mut conn = world.state.conversations.db().read().await.expect("a connection");
        let (rows,): (i64,) = sql("SELECT count(*) FROM agent_presence WHERE left_at IS NULL")
            .one(&mut conn)
            .await
            .expect("counts");
        if rows > 0 { Ok(()) } else { Err("no row".to_owned()) }
    })
    .await;
}

on_both_engines!(a_restart_within_the_grace_does_not_lose_that_an_agent_left);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_left_is_taken_over() {
    // The lease is longer than anybody waits here: only a node's death can end it.
    let setup = Setup::default().live(impatient).config(|config| {
        config.turn.lease_ms = crate::support::world::millis(600_000);
    });
    let Some((a, b)) = Box::pin(two_nodes(setup)).await else { return };
    let (ana, budi) = (a.agent("Ana"), a.agent("Budi"));
    let rina = a.visitor("Rina").await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    ana.take_over(&id).await;
    // A try hangs, and then the rows say that it hung on a node that has ended, with Ana's console.
    let gate = Gate::after(8);
    a.model.add(Rule::on(Task::Answer, held(&gate)).when_said("papua").once());
    let joko = a.visitor("Joko").await;
    let mut page = joko.live().await;
    let turned = conversation_of(&joko.write("How long does a parcel to Papua take?").await);
    gate.arrived().await;
    let (dead, agent): (NodeId, AgentId) = (Ids.fresh(), ana.id.parse().expect("an id"));
    let (workspace, now) = (a.business.workspace, a.now());
    let turned: ConversationId = turned.parse().expect("an id");
    let died = a.state.conversations.db().write(move |conn| {
        Box::pin(async move {
            sql("INSERT INTO node (id, started_at, expires_at) VALUES ($1, 0, $2)")
                .bind(dead)
                .bind(now)
                .execute(conn)
                .await?;
            sql("INSERT INTO agent_presence (node, workspace, agent, says) VALUES ($1, $2, $3, 'online')")
                .bind(dead)
                .bind(workspace)
                .bind(agent)
                .execute(conn)
                .await?;
            sql("UPDATE turn SET node = $1 WHERE conversation = $2 AND status = 'running'")
                .bind(dead)
                .bind(turned)
                .execute(conn)
                .await
        })
    });
    assert_eq!(died.await.expect("stored"), 1, "the turn runs");
    // The other node takes the turn; the try that hung is stopped where it hung.
    page.message("nine days").await;
    a.model.cancelled().await;
    eventually("her absence to be recorded", || async {
        let kinds = budi.kinds(&id).await;
        if kinds.iter().any(|kind| kind == "went_offline") {
            Ok(())
        } else {
            Err(format!("{kinds:?}"))
        }
    })
    .await;
    eventually("the dead node's row to go", || async {
        let mut conn = a.state.conversations.db().read().await.expect("a connection");
        let rows = sql("SELECT count(*) FROM node WHERE id = $1").bind(dead);
        let (rows,): (i64,) = rows.one(&mut conn).await.expect("counts");
        if rows == 0 { Ok(()) } else { Err("still there".to_owned()) }
    })
    .await;
    gate.open();
    drop(page);
    b.stop().await;
    a.end().await;
}

/// Missed soon.
fn impatient(live: &mut LiveSettings) {
    live.offline_grace = Duration::from_secs(1);
    live.node_life = Duration::from_secs(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_databases_clock_is_followed_while_running() {
    let Some((a, b)) = Box::pin(two_nodes(Setup::default())).await else { return };
    for step in [10_000, -25_000] {
        // What a step of the machine's clock looks like from inside.
        a.state.conversations.clock().follow(step);
        eventually("the clocks to agree", || async {
            let apart = a.now().millis() - b.state.conversations.clock().now().millis();
            if apart.abs() < 1_000 { Ok(()) } else { Err(format!("{apart} ms apart")) }
        })
        .await;
    }
    b.stop().await;
    a.end().await;
}

/// How many takeovers are measured.
fn takeovers() -> usize {
    let given = std::env::var("BATON_TEST_TAKEOVERS").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(50)
}

/// A takeover's commit on B against the last sentence enqueued on A: how much later it was, if at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_silences_the_node_that_writes() {
    let Some((a, b)) = Box::pin(two_nodes(Setup::default())).await else { return };
    // Short sentences without end, each released by itself.
    let endless = "Well, yes. ".repeat(3_000);
    let talk = Behaviour::say(&endless).with_delays(Duration::ZERO, Duration::from_millis(1));
    a.model.add(Rule::on(Task::Answer, talk));
    let ana = at(&a.agent("Ana"), &b);
    let workspace = a.business.workspace;
    let inbox = a.business.inbox;
    let mut late: Vec<Duration> = Vec::new();
    // How late the latest was, less what a bare notification took in the same moment.
    let mut worst = Duration::ZERO;
    let bare = Bare::start(a.url()).await;
    let mut sentences = 0;
    for round in 0..takeovers() {
        let visitor = a.visitor("Rina").await;
        let acknowledged = visitor.write(&format!("Talk to me, {round}")).await;
        let id = conversation_of(&acknowledged);
        let contact = contact_of(&a, &id).await;
        let mut on_a = a.state.conversations.wire().visitors.subscribe((inbox, contact));
        let mut on_b = b.state.conversations.wire().agents.subscribe(workspace);
        let drafts: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let heard = Arc::clone(&drafts);
        // A's own socket topic: what stands in it is on its way to the visitor.
        let (first, has_first) = tokio::sync::oneshot::channel();
        let listens = tokio::spawn(async move {
            let mut first = Some(first);
            loop {
                match on_a.recv().await {
                    Ok(Told::Draft(_)) => {
                        heard.lock().expect("not poisoned").push(Instant::now());
                        if let Some(first) = first.take() {
                            first.send(()).expect("the test waits");
                        }
                    }
                    Ok(Told::Typing { actor: Actor::System, .. }) => return,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => panic!("the topic has ended"),
                }
            }
        });
        let commits = tokio::spawn(async move {
            loop {
                if let Ok(Heard::Changed(change)) = on_b.recv().await
                    && change.events.iter().any(|e| matches!(e.record, Record::TookOver { .. }))
                {
                    return Instant::now();
                }
            }
        });
        tokio::time::timeout(PATIENCE, has_first).await.expect("a sentence").expect("one");
        ana.take_over(&id).await;
        let committed = commits.await.expect("committed");
        // The try has let go of its model: nothing more can come. Everything before this mark has been heard.
        a.model.cancelled().await;
        let mark = Told::Typing {
            conversation: id.parse().expect("an id"),
            actor: Actor::System,
            name: None,
        };
        a.state.conversations.wire().visitors.publish(&(inbox, contact), mark);
        tokio::time::timeout(PATIENCE, listens).await.expect("silence").expect("heard");
        let drafts = drafts.lock().expect("not poisoned").clone();
        sentences += drafts.len();
        let last = drafts.last().copied().unwrap_or(committed);
        let by = last.saturating_duration_since(committed);
        worst = worst.max(by.saturating_sub(bare.longest(committed, last)));
        late.push(by);
    }
    late.sort_unstable();
    let part = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    say(&format!(
        "{} takeovers, {sentences} sentences before them; the last sentence on the other node came after the commit by \
         p50 {:?}, p90 {:?}, p99 {:?}, at most {:?}; at most {worst:?} with a bare notification's time taken out",
        late.len(),
        part(0.5),
        part(0.9),
        part(0.99),
        part(1.0),
    ));
    assert!(worst <= SILENT_WITHIN, "{worst:?} after the takeover's commit");
    drop(bare);
    b.stop().await;
    a.end().await;
}

/// What a bare notification takes on this machine in these moments: sent and heard over and over on a channel of its own.
struct Bare {
    /// When one was sent, and when it was heard.
    heard: Arc<Mutex<Vec<(Instant, Instant)>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Bare {
    async fn start(url: &str) -> Self {
        let mut listener = PgListener::connect(url).await.expect("connects");
        listener.listen("bare").await.expect("listens");
        let mut conn = PgConnection::connect(url).await.expect("connects");
        let begun = Instant::now();
        let heard: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
        let writes = Arc::clone(&heard);
        let hears = tokio::spawn(async move {
            while let Ok(said) = listener.recv().await {
                let sent = Duration::from_micros(said.payload().parse().expect("a number"));
                writes.lock().expect("not poisoned").push((begun + sent, Instant::now()));
            }
        });
        let says = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(10));
            loop {
                every.tick().await;
                let sent = begun.elapsed().as_micros().to_string();
                let said = sqlx::query("SELECT pg_notify('bare', $1)").bind(sent);
                said.execute(&mut conn).await.expect("says");
            }
        });
        Self { heard, _tasks: [hears, says].map(AbortOnDropHandle::new) }
    }

    /// The longest of those that were under way between two moments.
    fn longest(&self, from: Instant, to: Instant) -> Duration {
        let heard = self.heard.lock().expect("not poisoned");
        let meets = heard.iter().filter(|(sent, at)| *sent <= to && *at >= from);
        meets.map(|(sent, at)| *at - *sent).max().unwrap_or_default()
    }
}

async fn contact_of(world: &World, id: &str) -> ContactId {
    let mut conn = world.state.conversations.db().read().await.expect("a connection");
    let row = sql("SELECT contact FROM conversation WHERE id = $1").bind(id);
    let (contact,): (String,) = row.one(&mut conn).await.expect("it is there");
    contact.parse().expect("an id")
}

#[expect(clippy::print_stderr, reason = "numbers for whoever reads the test's output")]
fn say(line: &str) {
    eprintln!("nodes: {line}");
}
