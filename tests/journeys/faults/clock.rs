//! The machine's clock is ten seconds off, and jumps while the process runs (the real process under libfaketime).

use std::path::{Path, PathBuf};

use baton::clock::{Clock, Timestamp};
use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule, Script};
use serde_json::{Value, json};

use super::is_ready;
use crate::on_both_engines;
use crate::support::{Engine, Launch, Process, Scene, Visitor, kind_is};

const ANSWER: &str =
    "Refunds take five working days. The money goes back to the card you paid with.";
/// How far a time may be from ours on a busy machine.
const NEAR_MS: i64 = 4_000;

/// Where libfaketime is.
fn library() -> PathBuf {
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let files = folders.iter().map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
    files.into_iter().find(|file| file.exists()).expect("libfaketime (tools/install-test-tools)")
}

/// Sets the process's clock this many seconds off, while it runs too.
fn off_by(file: &Path, seconds: i64) {
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{seconds:+}\n")).expect("writes the offset");
    std::fs::rename(&next, file).expect("puts it in its place");
}

/// How far the process's idea of now is from ours: by the time of a message it has just stored.
async fn lead_ms(scene: &Scene, visitor: &Visitor) -> i64 {
    let before = Clock::system().now();
    let answer = visitor.write("What is the time?").await;
    scene.acknowledge(&answer);
    let at: Timestamp = serde_json::from_value(answer["message"]["at"].clone()).expect("a time");
    at.millis() - before.millis()
}

/// A reply is begun, the clock jumps, the reply ends; then a person takes over and is answered.
async fn a_turn_across_a_jump(
    scene: &Scene,
    process: &Process,
    file: &Path,
    (number, seconds): (usize, i64),
) {
    let marker = format!("jump number {number}:");
    let gate = Gate::after(8);
    let held = Behaviour::say(ANSWER).with_gate(gate.clone());
    scene.model.add(Rule::on(Task::Answer, held).when_said(&marker).once());
    let visitor = scene.visitor(process, "Rina").await;
    let mut page = visitor.live().await;
    let words = format!("{marker} how long does a refund take?");
    let id = scene.acknowledge(&visitor.write(&words).await);
    page.until("the first sentence", |frame| kind_is(frame, "draft")).await;
    gate.arrived().await;
    off_by(file, seconds);
    gate.open();
    let whole = |frame: &Value| frame["message"]["text"] == ANSWER;
    page.until("the whole answer", whole).await;
    assert_eq!(scene.asked(&words), 1, "the jump made a second try of the turn");
    let ana = scene.agent(process);
    ana.take_over(&id).await;
    scene.remember(&ana.write(&id, "Here is Ana.").await);
    page.message("Here is Ana.").await;
    scene.acknowledge(&visitor.write("Thank you, and one more thing.").await);
    let detail = ana.detail(&id).await;
    assert!(detail["waiting_since"].is_string(), "the promise is open: {detail}");
}

async fn the_clock_jumps_both_ways(engine: Engine) {
    let folder = tempfile::tempdir().expect("makes a temporary folder");
    let file = folder.path().join("offset");
    off_by(&file, 10);
    let launch = Launch::default()
        .set("LD_PRELOAD", &library().display().to_string())
        .set("FAKETIME_TIMESTAMP_FILE", &file.display().to_string())
        .set("FAKETIME_NO_CACHE", "1")
        .set("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .set("BATON_TURN__DEBOUNCE_MS", "0");
    let scene = Scene::new(engine, Script::instant(), launch).await;
    let process = scene.start().await;
    let visitor = scene.visitor(&process, "Tono").await;
    scene.agent(&process).take_over(&scene.acknowledge(&visitor.write("Hello.").await)).await;
    let lead = lead_ms(&scene, &visitor).await;
    match engine {
        Engine::Sqlite => assert!((lead - 10_000).abs() < NEAR_MS, "libfaketime works: {lead}"),
        // Every node follows the database's clock.
        Engine::Postgres => assert!(lead.abs() < NEAR_MS, "{lead} ms from the database"),
    }
    for jump in [0, 10, -10, 10].into_iter().enumerate() {
        Box::pin(a_turn_across_a_jump(&scene, &process, &file, jump)).await;
    }
    off_by(&file, -10);
    if engine == Engine::Postgres {
        let says = "this machine's clock and the database's have moved apart";
        let line = process.says("the clock jumped", &[("message", json!(says))]).await;
        assert!(line["clock.lead_ms"].is_i64(), "{line}");
        crate::support::eventually("the database's time", || async {
            let lead = lead_ms(&scene, &visitor).await;
            if lead.abs() < NEAR_MS { Ok(()) } else { Err(format!("{lead} ms")) }
        })
        .await;
    }
    process.becomes(&scene.http, "/ready after the jumps", is_ready).await;
    scene.end(process, "the clock jumped by 10 and by 20 seconds, both ways").await;
}

on_both_engines!(the_clock_jumps_both_ways);
