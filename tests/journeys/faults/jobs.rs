//! Jobs that fail at every try are parked after the last, and everybody else's go on.

use std::time::Duration;

use baton::db::sql;
use baton::ids::JobId;
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::{Engine, Setup, World, eventually};

/// More than the longest pause between two tries.
const LONG: Duration = Duration::from_secs(121);

async fn poison(world: &World, conversation: &str) -> JobId {
    let id: JobId = world.state.conversations.ids().fresh();
    let (workspace, conversation, now) =
        (world.business.workspace, conversation.to_owned(), world.now());
    let stored = world.state.conversations.db().write(move |conn| {
        let conversation = conversation.clone();
        Box::pin(async move {
            sql("INSERT INTO job (id, workspace, conversation, kind, payload, status, run_at, created_at)
                 VALUES ($1, $2, $3, 'poison', '{}', 'due', $4, $4)")
            .bind(id)
            .bind(workspace)
            .bind(&conversation)
            .bind(now)
            .execute(conn)
            .await
        })
    });
    stored.await.expect("stores the job");
    id
}

async fn job(world: &World, id: JobId) -> (String, i64, Option<String>) {
    let mut conn = world.state.conversations.db().read().await.expect("reads");
    sql("SELECT status, attempt, last_error FROM job WHERE id = $1")
        .bind(id)
        .one(&mut conn)
        .await
        .expect("it is there")
}

async fn a_poisoned_job_is_parked_and_told(engine: Engine) {
    let world = World::new(engine, Setup::default().standing_clock()).await;
    let visitor = world.visitor("Rina").await;
    let asked = visitor.ask_for_person().await;
    let id = asked["id"].as_str().expect("an id").to_owned();
    let poisoned = poison(&world, &id).await;
    world.pass(Duration::ZERO);
    for attempt in 1..=i64::from(baton::jobs::MAX_ATTEMPTS) {
        eventually("the next try", || async {
            let (status, tried, error) = job(&world, poisoned).await;
            let ended = tried == attempt && status != "running";
            if ended { Ok(()) } else { Err(format!("{status} {tried} {error:?}")) }
        })
        .await;
        // Others are done meanwhile.
        let other = world.visitor("Tono").await;
        let theirs = other.ask_for_person().await["id"].as_str().expect("an id").to_owned();
        world.agent("Ana").take_over(&theirs).await;
        eventually("a colleague's brief", || async {
            let briefed = world.agent("Ana").get(&format!("/conversations/{theirs}/assist")).await;
            if briefed.text.contains("\"ready\"") { Ok(()) } else { Err(briefed.text) }
        })
        .await;
        world.pass(LONG);
    }
    let (status, _, error) = job(&world, poisoned).await;
    assert_eq!((status.as_str(), error.as_deref()), ("failed", Some("unknown_kind")));
    let ready = world.http.get(format!("{}/ready", world.origin)).send().await.expect("answers");
    assert_eq!(ready.status().as_u16(), 200, "a parked job stops nobody");
    let body: Value = ready.json().await.expect("JSON");
    assert_eq!(body["jobs"]["parked"], json!(1), "{body}");
    assert_eq!(body["workers"]["jobs"]["state"], "ok", "{body}");
    world.end().await;
}

on_both_engines!(a_poisoned_job_is_parked_and_told);
