//! Whoever loses their place loses their socket: signed out, deactivated, expired; and a changed role counts at once.

use std::time::Duration;

use baton::access::visitor;
use baton::db::sql;
use baton::ids::{AgentId, ContactId};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Agent, Engine, Setup, World, kind_is};

/// How often sockets look again in these journeys.
const RECHECK: Duration = Duration::from_millis(50);

fn setup() -> Setup {
    Setup::default().standing_clock().live(|live| live.recheck = RECHECK)
}

async fn set(world: &World, agent: &Agent, text: &'static str, value: &str) {
    let id: AgentId = agent.id.parse().expect("an agent's id");
    let value = value.to_owned();
    let now = world.now();
    let done = world.state.access.db.write(move |conn| {
        let value = value.clone();
        Box::pin(async move {
            let query = sql(text).bind(id);
            let query = if value.is_empty() { query.bind(now) } else { query.bind(value) };
            query.execute(conn).await
        })
    });
    assert_eq!(done.await.expect("writes"), 1);
}

const DEACTIVATE: &str = "UPDATE agent SET disabled_at = $2 WHERE id = $1";
const ROLE: &str = "UPDATE agent SET role = $2 WHERE id = $1";

async fn sockets_end_with_what_they_rest_on(engine: Engine) {
    // Signing out tells the sockets: no waiting for the next look.
    let patient = Setup::default().live(|live| live.recheck = Duration::from_secs(3_600));
    let world = World::new(engine, patient).await;
    let ana = world.agent("Ana");
    let mut desk = ana.live(None).await;
    let mut colleague = world.agent("Budi").live(None).await;
    assert_eq!(ana.post("/auth/sign-out", json!({})).await.status, 204);
    assert_eq!(desk.closed("signed out").await, Some(4401));
    colleague.settle().await;
    ana.get("/auth/me").await.refused(401, "unauthenticated");
    drop(colleague);
    world.end().await;

    let world = World::new(engine, setup()).await;
    let budi = world.agent("Budi");
    let mut desk = budi.live(None).await;
    set(&world, &budi, DEACTIVATE, "").await;
    assert_eq!(desk.closed("deactivated").await, Some(4401));
    budi.get("/conversations").await.refused(401, "unauthenticated");
    budi.post("/live/ticket", json!({})).await.refused(401, "unauthenticated");

    let citra = world.agent("Citra");
    let mut desk = citra.live(None).await;
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    rina.write("Hello").await;
    let contact = world.agent("Sari").get("/conversations").await.ok();
    let contact = contact["items"][0]["contact"]["id"].as_str().expect("an id").to_owned();
    let contact: ContactId = contact.parse().expect("a contact's id");
    let workspace = world.business.workspace;
    let ended = world.state.access.db.write(move |conn| {
        Box::pin(async move { visitor::revoke(conn, workspace, contact).await })
    });
    assert_eq!(ended.await.expect("revokes"), 1);
    assert_eq!(page.closed("revoked").await, Some(4401));
    rina.get("/widget/conversation").await.refused(401, "unauthenticated");

    // Time ends both kinds.
    let tono = world.visitor("Tono").await;
    let mut page = tono.live().await;
    world.pass(Duration::from_hours(91 * 24));
    assert_eq!(desk.closed("expired").await, Some(4401));
    assert_eq!(page.closed("expired").await, Some(4401));
    world.end().await;
}

/// The alarms for owners reach whoever may set things up: from the moment they may, and not a moment longer.
async fn a_role_counts_from_the_moment_it_changes(engine: Engine) {
    let world = World::new(engine, setup()).await;
    let (ana, dewi) = (world.agent("Ana"), world.agent("Dewi"));
    let (mut agent, mut admin) = (ana.live(None).await, dewi.live(None).await);
    // Ana may from now on what Dewi may not any longer, on sockets that stay open.
    set(&world, &ana, ROLE, "admin").await;
    set(&world, &dewi, ROLE, "agent").await;
    ana.get("/assistants").await.ok();
    dewi.get("/assistants").await.refused(403, "forbidden");
    world.agent("Sari").patch("/auth/me", json!({ "name": "Sari" })).await.ok();
    agent.settle().await;
    admin.settle().await;
    let rina = world.visitor("Rina").await;
    let id = rina.ask_for_person().await["id"].as_str().expect("an id").to_owned();
    agent.event(&id, "person_requested").await;
    for step in 0..2 {
        world.pass(Duration::from_secs(601));
        let of = |frame: &serde_json::Value| {
            kind_is(frame, "alarm") && frame["alarm"]["step"].as_u64() > Some(step)
        };
        agent.until("an alarm", of).await;
    }
    admin.settle().await;
    let alarms =
        |heard: &[serde_json::Value]| heard.iter().filter(|frame| kind_is(frame, "alarm")).count();
    assert_eq!((alarms(agent.heard()), alarms(admin.heard())), (2, 1));
    // Nor can who is not told of an alarm silence it.
    let all = ana.get("/alarms").await.ok();
    let ids: Vec<String> = all["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|alarm| alarm["id"].as_str().map(str::to_owned))
        .collect();
    let mine = dewi.get("/alarms").await.ok().to_string();
    let hidden: Vec<&String> = ids.iter().filter(|id| !mine.contains(id.as_str())).collect();
    assert_eq!(hidden.len(), 1, "{all} {mine}");
    let path = format!("/alarms/{}/acknowledge", hidden[0]);
    dewi.post(&path, json!({})).await.refused(404, "not_found");
    assert_eq!(ana.get("/alarms").await.ok()["items"].as_array().map(Vec::len), Some(ids.len()));
    assert_eq!(ana.post(&path, json!({})).await.status, 204);
    drop((agent, admin));
    world.end().await;
}

on_both_engines!(sockets_end_with_what_they_rest_on, a_role_counts_from_the_moment_it_changes);
