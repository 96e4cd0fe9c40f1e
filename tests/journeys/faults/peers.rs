//! A peer that vanishes without a word: its connection stays open and nothing ever comes again.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::on_both_engines;
use crate::support::proxy::Wire;
use crate::support::{Engine, Setup, World, eventually, kind_is, say};

/// Between two pings; a peer that is silent for two of them is gone at the third.
const PING: Duration = Duration::from_secs(2);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(5);

async fn who_vanishes_is_noticed(engine: Engine) {
    let setup = Setup::default().live(|live| {
        live.ping = PING;
        live.offline_grace = Duration::from_millis(50);
    });
    let world = World::new(engine, setup).await;
    let places = world.state.sockets.available_permits();
    let wire = Wire::before(&world.origin).await;
    let mut visitor = world.visitor("Rina").await;
    let answer = visitor.ask_for_person().await;
    let id = answer["id"].as_str().expect("an id").to_owned();
    world.agent("Ana").take_over(&id).await;
    visitor = visitor.at(&wire.origin);
    let mut ana = world.agent("Ana");
    ana.origin.clone_from(&wire.origin);
    let mut boss = world.agent("Citra").live(None).await;
    let page = visitor.live().await;
    let console = ana.live(None).await;
    boss.ever("the visitor is here", |f| f["row"]["visitor_online"] == true).await;
    wire.dies();
    let died = Instant::now();
    boss.until("the visitor is gone", |f| f["row"]["visitor_online"] == false).await;
    let gone = |frame: &serde_json::Value| {
        kind_is(frame, "presence")
            && frame["agent"]["id"] == ana.id
            && frame["agent"]["presence"] == "offline"
    };
    boss.ever("the colleague is gone", gone).await;
    let took = died.elapsed();
    assert!(took < PING * 3 + SLACK, "noticed after {took:?}");
    say(&format!("{engine:?}: a peer without FIN is noticed after {took:?}, pings every {PING:?}"));
    // Nothing of them is left: only the boss's socket has a place.
    eventually("the places of the vanished", || async {
        let free = world.state.sockets.available_permits();
        if free == places - 1 { Ok(()) } else { Err(format!("{free} of {places}")) }
    })
    .await;
    drop((page, console));
    // They come back on another wire and miss nothing.
    let detail = world.agent("Citra").detail(&id).await;
    let wrote = json!({
        "text": "Here is Citra.", "client_id": "c-1", "expected_epoch": detail["epoch"],
    });
    world.agent("Citra").post(&format!("/conversations/{id}/messages"), wrote).await.ok();
    let said = visitor.at(&world.origin).messages().await;
    assert!(said.iter().any(|m| m["text"] == "Here is Citra."), "{said:?}");
    world.end().await;
}

on_both_engines!(who_vanishes_is_noticed);
