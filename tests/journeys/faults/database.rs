//! The database is restarted under the running process, or somebody holds it up.

use std::time::Instant;

use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule, Script};
use futures_util::future::join_all;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use super::{database_is_away, database_is_back};
use crate::on_both_engines;
use crate::support::people::fresh_client_id;
use crate::support::postgres::Cluster;
use crate::support::{
    Engine, Launch, PATIENCE, Place, Scene, Setup, engine, eventually, kind_is, say,
};

const ANSWER: &str =
    "Refunds take five working days. The money goes back to the card you paid with.";

/// A reply is half written, a colleague has just been acknowledged, and PostgreSQL crashes and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_restarted_in_the_middle_of_a_turn() {
    if !engine::has_postgres() {
        return;
    }
    let mut cluster = Cluster::start(&[]).await;
    let gate = Gate::after(8);
    let held = Behaviour::say(ANSWER).with_gate(gate.clone());
    let script = Script::instant().with(Rule::on(Task::Answer, held).once());
    let place = Place::given(Engine::Postgres, cluster.url());
    let launch = Launch::default().set("BATON_TURN__DEBOUNCE_MS", "0");
    let scene = Scene::at(place, script, launch, &Setup::default()).await;
    let process = scene.start().await;
    let (rina, tono) =
        (scene.visitor(&process, "Rina").await, scene.visitor(&process, "Tono").await);
    let ana = scene.agent(&process);
    let mut page = rina.live().await;
    scene.acknowledge(&rina.write("How long does a refund take?").await);
    page.until("the first sentence", |frame| kind_is(frame, "draft")).await;
    gate.arrived().await;
    let theirs = scene.acknowledge(&tono.write("I need a person.").await);
    ana.take_over(&theirs).await;
    scene.remember(&ana.write(&theirs, "Here is Ana.").await);

    cluster.crash().await;
    // The answer is whole while nobody can store it.
    gate.open();
    let refused = tono.write_as("while-it-was-away", "Are you there?").await;
    refused.refused(503, "unavailable");
    database_is_away(&scene, &process).await;
    let health = scene.http.get(format!("{}/health", process.origin)).send().await;
    assert_eq!(health.expect("it lives").status().as_u16(), 200);
    cluster.again(&[]).await;
    database_is_back(&scene, &process).await;

    eventually("the answer that nobody could store", || async {
        let said = rina.messages().await;
        let whole = |m: &&Value| m["author"]["kind"] == "assistant" && m["incomplete"] == false;
        match said.iter().filter(whole).count() {
            1 => Ok(()),
            _ => Err(format!("{said:?}")),
        }
    })
    .await;
    scene.acknowledge(&tono.write_as("while-it-was-away", "Are you there?").await.ok());
    let said = tono.messages().await;
    let again = said.iter().filter(|m| m["text"] == "Are you there?").count();
    assert_eq!(again, 1, "{said:?}");
    scene.end(process, "PostgreSQL was restarted in the middle of a turn").await;
    cluster.end().await;
}

/// Somebody else's session that holds what every write needs.
enum Holder {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Holder {
    async fn takes(place: &Place) -> Self {
        match place.engine {
            Engine::Sqlite => {
                let mut conn = SqliteConnection::connect(&place.url).await.expect("opens the file");
                conn.execute("BEGIN IMMEDIATE").await.expect("takes the lock");
                Self::Sqlite(conn)
            }
            Engine::Postgres => {
                let mut conn = PgConnection::connect(&place.url).await.expect("connects");
                let taken =
                    "BEGIN; LOCK TABLE conversation, job, write_probe IN ACCESS EXCLUSIVE MODE";
                conn.execute(taken).await.expect("takes the lock");
                Self::Postgres(conn)
            }
        }
    }

    async fn lets_go(self) {
        match self {
            Self::Sqlite(mut conn) => {
                conn.execute("ROLLBACK").await.expect("lets go");
                conn.close().await.expect("closes");
            }
            Self::Postgres(mut conn) => {
                conn.execute("ROLLBACK").await.expect("lets go");
                conn.close().await.expect("closes");
            }
        }
    }
}

/// More writers than connections wait for a database that answers nobody; each hears so in bounded time.
async fn somebody_holds_the_database_up(engine: Engine) {
    const WRITERS: usize = 40;
    let scene = Scene::new(engine, Script::instant(), Launch::default()).await;
    let process = scene.start().await;
    let visitors = join_all((0..WRITERS).map(|_| scene.visitor(&process, "Rina"))).await;
    let ids: Vec<String> = visitors.iter().map(|_| fresh_client_id()).collect();
    let holder = Holder::takes(&scene.place).await;
    let asked = Instant::now();
    let writing = visitors.iter().zip(&ids).map(|(visitor, id)| visitor.write_as(id, "Hello?"));
    let (answers, body) = tokio::join!(join_all(writing), database_is_away(&scene, &process));
    let took = asked.elapsed();
    for answer in answers {
        answer.refused(503, "unavailable");
    }
    assert!(took < PATIENCE, "refusals took {took:?}");
    holder.lets_go().await;
    let freed = Instant::now();
    database_is_back(&scene, &process).await;
    let code = &body["database"]["last_error"];
    say(&format!(
        "{engine:?}: {WRITERS} writers were refused within {took:?} ({code}), back {:?} after the lock went",
        freed.elapsed()
    ));
    for (visitor, id) in visitors.iter().zip(&ids) {
        scene.acknowledge(&visitor.write_as(id, "Hello?").await.ok());
        let said = visitor.messages().await;
        assert_eq!(said.iter().filter(|m| m["text"] == "Hello?").count(), 1, "{said:?}");
    }
    scene.end(process, "somebody held the database up").await;
}

on_both_engines!(somebody_holds_the_database_up);
