//! A model that cannot be reached, says nothing, or falls silent in the middle: the visitor gets a person within the turn's budget.

use std::time::{Duration, Instant};

use baton::model::Task;
use baton::model::scripted::{Behaviour, Fault, Rule, Script};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use super::is_ready;
use crate::support::people::conversation_of;
use crate::support::{Engine, Launch, Process, Scene, eventually, prompts, say};

const ANSWER: &str =
    "Refunds take five working days. The money goes back to the card you paid with.";
const FIRST: &str = "Refunds take five working days.";
const BUDGET: Duration = Duration::from_secs(3);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(10);

fn impatient() -> Launch {
    Launch::default()
        .set("BATON_TURN__BUDGET_MS", "3000")
        .set("BATON_TURN__JUDGE_DEADLINE_MS", "1000")
        .set("BATON_TURN__DEBOUNCE_MS", "0")
}

/// Asks, and returns the conversation and what of the AI's the visitor reads once a person is promised.
async fn gets_a_person(scene: &Scene, process: &Process, what: &str) -> (String, Vec<Value>) {
    let visitor = scene.visitor(process, "Rina").await;
    let mut page = visitor.live().await;
    let asked = Instant::now();
    let answer = visitor.write(&format!("{what}: how long does a refund take?")).await;
    scene.acknowledge(&answer);
    let promised = |frame: &Value| frame["message"]["notice"] == "handoff_nobody_online";
    page.until("a person", promised).await;
    let took = asked.elapsed();
    assert!(took < BUDGET + SLACK, "{what}: a person after {took:?}");
    say(&format!("model {what}: a person after {took:?}, budget {BUDGET:?}"));
    let id = conversation_of(&answer);
    let detail = scene.agent(process).detail(&id).await;
    assert_eq!(detail["holder"]["queue"]["reason"]["code"], "model_failed", "{detail}");
    let all = visitor.messages().await;
    (id, all.into_iter().filter(|m| m["author"]["kind"] == "assistant").collect())
}

/// The same endpoint does something else well: the person who takes over finds the model's brief.
async fn brief_is_written(scene: &Scene, process: &Process, id: &str) {
    eventually("the brief", || async {
        let help = scene.agent(process).get(&format!("/conversations/{id}/assist")).await;
        if help.text.contains("\"ready\"") { Ok(()) } else { Err(help.text) }
    })
    .await;
    assert!(!prompts(&scene.model, Task::Brief).is_empty(), "the model wrote it");
}

/// `/ready` and the log name the endpoint, at what it fails, why and since when; the node stays ready.
///
/// The brief for the person who takes over is written meanwhile, well or not: it hides nothing.
async fn is_told(scene: &Scene, process: &Process, codes: &[&str]) {
    let (status, body) = process.ready(&scene.http).await;
    assert!(is_ready(status, &body), "people still answer: {body}");
    let model = &body["models"]["main"];
    assert_eq!(model["state"], "failing", "{body}");
    assert!(model["since"].is_string() && model["last_error_at"].is_string(), "{body}");
    let tasks = model["tasks"].as_array().cloned().unwrap_or_default();
    assert!(tasks.contains(&json!("answer")), "{body}");
    let code = model["last_error"].as_str().unwrap_or_default();
    assert!(codes.contains(&code), "{body}");
    let says = [
        ("message", json!("a part does not work")),
        ("part.kind", json!("model")),
        ("part.name", json!("main")),
        ("part.task", json!("answer")),
    ];
    process.says("the model fails", &says).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_model_costs_the_visitor_no_more_than_the_budget() {
    let scene = Scene::new(Engine::Sqlite, Script::instant(), impatient()).await;
    let process = scene.start().await;
    let fails = |fault| {
        Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER).with_fault(fault)))
    };
    scene.model.play(fails(Fault::Hang));
    let (id, said) = gets_a_person(&scene, &process, "accepts and says nothing").await;
    assert_eq!(said, Vec::<Value>::new());
    is_told(&scene, &process, &["timeout"]).await;
    brief_is_written(&scene, &process, &id).await;
    is_told(&scene, &process, &["timeout"]).await;
    scene.model.play(fails(Fault::StallAfter(8)));
    let (_, kept) = gets_a_person(&scene, &process, "falls silent in the middle").await;
    assert_eq!((&kept[0]["text"], &kept[0]["incomplete"]), (&json!(FIRST), &json!(true)));
    is_told(&scene, &process, &["timeout"]).await;
    scene.model.play(Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER))));
    let visitor = scene.visitor(&process, "Tono").await;
    let mut page = visitor.live().await;
    scene.acknowledge(&visitor.write("How long does a refund take?").await);
    page.message(ANSWER).await;
    let well = |_: u16, body: &Value| body["models"]["main"]["state"] == "ok";
    process.becomes(&scene.http, "/ready with its model again", well).await;
    let says = [("message", json!("a part works again")), ("part.kind", json!("model"))];
    process.says("the model is back", &says).await;
    scene.end(process, "the model was silent").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_cannot_be_reached_costs_no_more_either() {
    // Nobody accepts here, and the queue of those who wait is full: the next one's knock is dropped.
    let deaf = TcpSocket::new_v4().expect("a socket");
    deaf.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = deaf.listen(1).expect("listens");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let scene = Scene::new(Engine::Sqlite, Script::instant(), impatient()).await;
    let url = format!("http://{address}/v1");
    let process = Process::start(&scene.place, &url, &scene.launch).await;
    let (_, said) = gets_a_person(&scene, &process, "cannot be reached").await;
    assert_eq!(said, Vec::<Value>::new());
    is_told(&scene, &process, &["timeout", "connect"]).await;
    scene.end(process, "the model could not be reached").await;
    drop((listener, waiting));
}
