//! The laws, read off everything that a journey has stored, as `baton verify-log` reads them.

use std::process::Stdio;

use baton::conversation::audit;
use baton::db::{Db, sql};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::command::{Ended, baton};
use crate::support::{Engine, Setup, World};

/// Fails with everything that is wrong in a database.
pub async fn assert_lawful(url: &str) {
    let db = Db::open_to_read(url).await.expect("opens what the server left");
    let found = audit::findings(&db).await;
    db.close().await;
    let found = found.expect("reads what the server left");
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "the laws are broken:\n{}", shown.join("\n"));
}

async fn verify_log(url: &str, more: &[&str]) -> Ended {
    let mut command = baton(&["verify-log", "--database", url]);
    Ended::of(command.args(more).stdin(Stdio::null())).await
}

async fn operators_read_the_laws_beside_a_running_server(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let visitor = world.visitor("Rina").await;
    let mut hears = visitor.live().await;
    visitor.write("How long does a refund take?").await;
    hears.message("five working days").await;
    let ended = verify_log(world.url(), &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.output.starts_with("1 conversations, "), "{ended:?}");
    assert!(ended.output.trim_end().ends_with("; 0 findings"), "{ended:?}");

    let db = world.state.conversations.db().clone();
    let damage = "UPDATE event SET actor_kind = 'system' WHERE kind = 'assistant_answered'";
    let done = db.write(move |conn| Box::pin(async move { sql(damage).execute(conn).await }));
    assert_eq!(done.await.expect("damages"), 1);
    let ended = verify_log(world.url(), &["--json"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let lines: Vec<Value> =
        ended.output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["voice", "voice", "signature"], "{lines:#?}");
    assert_eq!(lines[0]["law"], json!(1));
    assert_eq!(lines[3]["read"]["findings"], json!(3));
    let text = verify_log(world.url(), &[]).await.output;
    assert!(!text.contains("refund") && !text.contains("working days"), "words are told: {text}");

    let other = verify_log(world.url(), &["--workspace", "ws_00000000000000000000000000000000"]);
    assert_eq!(other.await.code, Some(0), "another workspace has no findings");
    let nowhere = verify_log("sqlite:/no/such/baton.db", &[]).await;
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(nowhere.errors.contains("no file"), "{nowhere:?}");
}

on_both_engines!(operators_read_the_laws_beside_a_running_server);
