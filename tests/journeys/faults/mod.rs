//! Faults, for real: the service meets each and returns by itself.
//!
//! After each the same four things are looked at: the laws hold in everything that is stored, every acknowledged message is
//! there once, the service takes work again without a restart, and both the log (by its fields) and `/ready` have said what happened.

mod clock;
mod database;
mod disk;
mod jobs;
mod models;
mod panics;
mod peers;
mod slow_peers;

use serde_json::{Value, json};

use crate::support::{Process, Scene};

/// Whether `/ready` says that requests may come.
fn is_ready(status: u16, body: &Value) -> bool {
    status == 200 && body["ready"] == true
}

/// Waits until the process says that the database is in trouble, in the log and at `/ready`; returns what `/ready` said.
async fn database_is_away(scene: &Scene, process: &Process) -> Value {
    let what = "/ready without a database";
    let away = |status: u16, body: &Value| status == 503 && body["database"]["state"] == "failing";
    let body = process.becomes(&scene.http, what, away).await;
    assert_eq!(body["ready"], false, "{body}");
    assert!(body["database"]["since"].is_string(), "{body}");
    let says = [("message", json!("a part does not work")), ("part.kind", json!("database"))];
    process.says("the database is away", &says).await;
    body
}

/// Waits until the process says that it works again.
async fn database_is_back(scene: &Scene, process: &Process) {
    process.becomes(&scene.http, "/ready with its database again", is_ready).await;
    let says = [("message", json!("a part works again")), ("part.kind", json!("database"))];
    let line = process.says("the database is back", &says).await;
    assert!(line["away_ms"].is_u64(), "{line}");
}
