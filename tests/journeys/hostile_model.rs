//! A model server that does everything wrong, at every task: each turn ends in an answer or at a human with the reason, within
//! the turn's budget; what the visitor has read is kept; help for agents is put together without a model.

use std::time::{Duration, Instant};

use baton::assistant::config::WordedCondition;
use baton::config::Config;
use baton::model::Task;
use baton::model::scripted::{Behaviour, Fault, Reply, Rule, Script};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::people::conversation_of;
use crate::support::world::millis;
use crate::support::{Engine, Setup, World, kind_is};

const FIRST: &str = "Refunds take five working days.";
const ANSWER: &str = "Refunds take five working days. The money goes back to the card you paid with. Ask me anything else.";
/// Behind the first sentence, in the second one.
const MIDDLE: usize = 8;
/// How long one reply may take in these journeys.
const BUDGET: Duration = Duration::from_secs(8);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(10);

/// Short patience, so that the journeys need none.
fn impatient(config: &mut Config) {
    config.turn.budget_ms = millis(8_000);
    config.turn.judge_deadline_ms = millis(2_000);
    for endpoint in config.models.endpoints.values_mut() {
        endpoint.timeout_ms = millis(1_500);
        endpoint.connect_timeout_ms = millis(500);
    }
}

/// What the visitor sees in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The whole answer.
    Answered,
    /// A person, and nothing of the AI's.
    Human,
    /// The first sentence, marked incomplete, and a person.
    Kept,
}

fn status(code: u16) -> Fault {
    Fault::Status {
        code,
        retry_after: None,
        body: json!({ "error": { "message": "no" } }).to_string(),
    }
}

fn raw(content_type: &str, body: &str) -> Fault {
    Fault::Raw { code: 200, content_type: content_type.to_owned(), body: body.to_owned() }
}

/// Every fault with how an answer ends that meets it at every try.
fn faults() -> Vec<(&'static str, Fault, Ends)> {
    let too_many =
        Fault::Status { code: 429, retry_after: Some("1".to_owned()), body: String::new() };
    let for_hours =
        Fault::Status { code: 429, retry_after: Some("7200".to_owned()), body: String::new() };
    vec![
        ("hang", Fault::Hang, Ends::Human),
        ("429", too_many, Ends::Human),
        ("429 for hours", for_hours, Ends::Human),
        ("500", status(500), Ends::Human),
        ("503", status(503), Ends::Human),
        ("401", status(401), Ends::Human),
        ("400", status(400), Ends::Human),
        ("web page", Fault::Html200, Ends::Human),
        ("plain JSON", Fault::PlainJsonToStream, Ends::Answered),
        ("cut at once", Fault::CutAfter(0), Ends::Human),
        ("cut in the middle", Fault::CutAfter(MIDDLE), Ends::Kept),
        ("reset at once", Fault::ResetAfter(0), Ends::Human),
        ("reset in the middle", Fault::ResetAfter(MIDDLE), Ends::Kept),
        ("stalled at once", Fault::StallAfter(0), Ends::Human),
        ("stalled in the middle", Fault::StallAfter(MIDDLE), Ends::Kept),
        ("error at once", Fault::ErrorInStream(0), Ends::Human),
        ("error in the middle", Fault::ErrorInStream(MIDDLE), Ends::Kept),
        ("tool calls", Fault::MalformedToolCall, Ends::Human),
        ("a megabyte", Fault::Huge(1_000_000), Ends::Human),
        ("an empty stream", Fault::EmptyStream, Ends::Human),
        ("an empty object", raw("application/json", "{}"), Ends::Human),
        (
            "broken events",
            raw("text/event-stream", "data: {\"choices\": [\n\ndata: nonsense\n\n"),
            Ends::Human,
        ),
        ("bytes", raw("text/event-stream", "\0\u{1}\u{2}data:\r\r\rdata: 1\n\n"), Ends::Human),
        ("nothing said", raw("text/event-stream", "data: [DONE]\n\n"), Ends::Human),
        ("no choices", raw("application/json", r#"{"choices": []}"#), Ends::Human),
    ]
}

/// One visitor whose question meets a fault, marked by a number in the question.
fn question(number: usize) -> String {
    format!("case-{number}-x: how long does a refund take?")
}

fn marker(number: usize) -> String {
    format!("case-{number}-x")
}

/// What came of one visitor's question.
struct Outcome {
    took: Duration,
    reason: Value,
    ai: Vec<Value>,
}

/// Asks and waits for whatever ends the turn.
async fn ask(world: &World, number: usize) -> Outcome {
    let visitor = world.visitor("somebody").await;
    let mut page = visitor.live().await;
    let asked = Instant::now();
    let id = conversation_of(&visitor.write(&question(number)).await);
    let ends = |frame: &Value| {
        let whole = frame["message"]["author"]["kind"] == "assistant"
            && frame["message"]["incomplete"] == false;
        whole || frame["message"]["notice"] == "handoff_nobody_online"
    };
    page.until(&format!("the end of case {number}"), ends).await;
    let took = asked.elapsed();
    let ai = visitor.messages().await.into_iter().filter(|m| m["author"]["kind"] == "assistant");
    let ai = ai.collect();
    let reason = world.agent("Ana").detail(&id).await["holder"]["queue"]["reason"]["code"].clone();
    Outcome { took, reason, ai }
}

/// What is wrong with an outcome, if anything.
fn judged(name: &str, outcome: &Outcome, wanted: Ends, reason: &str) -> Option<String> {
    let Outcome { took, reason: got, ai } = outcome;
    let seen = match (got.as_str(), ai.as_slice()) {
        (None, [answer]) if answer["text"] == ANSWER => Some(Ends::Answered),
        (Some(got), []) if got == reason => Some(Ends::Human),
        (Some(got), [kept])
            if got == reason && kept["incomplete"] == true && kept["text"] == FIRST =>
        {
            Some(Ends::Kept)
        }
        _ => None,
    };
    if seen != Some(wanted) {
        let ai: String = json!(ai).to_string().chars().take(500).collect();
        return Some(format!("{name}: wanted {wanted:?}, got reason {got} and {ai}"));
    }
    (*took > BUDGET + SLACK).then(|| format!("{name}: took {took:?}"))
}

async fn every_fault_of_the_answer_ends_well(engine: Engine) {
    let faults = faults();
    let mut script = Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER)));
    for (number, (_, fault, _)) in faults.iter().enumerate() {
        let behaviour = Behaviour::say(ANSWER).with_fault(fault.clone());
        script.add(Rule::on(Task::Answer, behaviour).when_said(&marker(number)));
    }
    let world = World::new(engine, Setup::default().script(script).config(impatient)).await;
    let outcomes = futures_util::future::join_all((0..faults.len()).map(|n| ask(&world, n))).await;
    let wrong: Vec<String> = faults
        .iter()
        .zip(&outcomes)
        .filter_map(|((name, _, wanted), outcome)| judged(name, outcome, *wanted, "model_failed"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The same questions with a healthy model: nothing is handed off.
    world.model.play(Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER))));
    let outcomes = futures_util::future::join_all((0..faults.len()).map(|n| ask(&world, n))).await;
    let wrong: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| judged("healthy", outcome, Ends::Answered, "none"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.end().await;
}

fn cancels() -> WordedCondition {
    WordedCondition {
        name: "Wants to cancel".to_owned(),
        text: "The visitor wants to cancel their subscription.".to_owned(),
    }
}

async fn every_fault_of_the_judge_ends_at_a_person(engine: Engine) {
    // A judge is not streamed: what breaks a stream only delays it or does nothing.
    let whole = |fault: &Fault| {
        matches!(
            fault,
            Fault::PlainJsonToStream
                | Fault::CutAfter(_)
                | Fault::ResetAfter(_)
                | Fault::StallAfter(_)
                | Fault::ErrorInStream(_)
                | Fault::EmptyStream
        )
    };
    let mut cases: Vec<(String, Behaviour, Ends)> = faults()
        .into_iter()
        .map(|(name, fault, _)| {
            let ends = if whole(&fault) { Ends::Answered } else { Ends::Human };
            (name.to_owned(), Behaviour::reply(Reply::ByTask).with_fault(fault), ends)
        })
        .collect();
    for (name, said) in [
        ("words", "Sure! None of them fired."),
        ("half of it", r#"{"verdicts":[{"condition":"#),
        ("another shape", r#"{"verdicts":"none"}"#),
        ("no verdict", r#"{"verdicts":[]}"#),
        ("unknown condition", r#"{"verdicts":[{"condition":"c9","fired":false,"evidence":""}]}"#),
    ] {
        cases.push((name.to_owned(), Behaviour::say(said), Ends::Human));
    }
    let mut script = Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER)));
    for (number, (_, behaviour, _)) in cases.iter().enumerate() {
        script.add(Rule::on(Task::Judge, behaviour.clone()).when_said(&marker(number)));
    }
    let setup = Setup::default()
        .script(script)
        .config(impatient)
        .assistant(|config| config.conditions.worded = vec![cancels()]);
    let world = World::new(engine, setup).await;
    let outcomes = futures_util::future::join_all((0..cases.len()).map(|n| ask(&world, n))).await;
    let wrong: Vec<String> = cases
        .iter()
        .zip(&outcomes)
        .filter_map(|((name, _, wanted), outcome)| judged(name, outcome, *wanted, "judge_failed"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A healthy judge lets the same questions through.
    world.model.play(Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER))));
    let outcomes = futures_util::future::join_all((0..cases.len()).map(|n| ask(&world, n))).await;
    for outcome in &outcomes {
        assert_eq!(judged("healthy", outcome, Ends::Answered, "none"), None);
    }
    world.end().await;
}

async fn help_for_agents_needs_no_model(engine: Engine) {
    let faults = faults();
    let world = World::new(engine, Setup::default().config(impatient)).await;
    let ana = world.agent("Ana");
    let mut desk = ana.live(None).await;
    let visitor = world.visitor("Rina").await;
    visitor.write("How long does a refund take?").await;
    let id = visitor.ask_for_person().await["id"].as_str().expect("an id").to_owned();
    for kind in ["brief", "suggestions"] {
        desk.help(&id, kind).await;
    }
    let mut wrong = Vec::new();
    for (name, fault, ends) in &faults {
        let mut script = Script::instant();
        for task in [Task::Brief, Task::Summary, Task::Suggest] {
            let behaviour = match fault {
                Fault::Huge(_) => Behaviour::reply(Reply::ByTask).with_fault(fault.clone()),
                _ => Behaviour::fail(fault.clone()),
            };
            script.add(Rule::on(task, behaviour));
        }
        world.model.play(script);
        // Not streamed either: what breaks a stream does nothing here.
        let only_streams = matches!(
            fault,
            Fault::CutAfter(_)
                | Fault::ResetAfter(_)
                | Fault::StallAfter(_)
                | Fault::ErrorInStream(_)
                | Fault::EmptyStream
        );
        let source = if *ends == Ends::Answered || only_streams { "model" } else { "extractive" };
        let asked = Instant::now();
        let mut waiting = Vec::new();
        for kind in ["brief", "summary", "suggestions"] {
            let path = format!("/conversations/{id}/assist");
            let artifact = ana.post(&path, json!({ "kind": kind })).await.ok();
            waiting.push(artifact["id"].clone());
        }
        for artifact in waiting {
            let is =
                |frame: &Value| kind_is(frame, "assist") && frame["artifact"]["id"] == artifact;
            let frame = desk.ever(&format!("help despite {name}"), is).await;
            let made = &frame["artifact"];
            if made["state"] != "ready" || made["source"] != source || made["content"].is_null() {
                wrong.push(format!("{name}: wanted {source}, got {made}"));
            }
        }
        if asked.elapsed() > BUDGET + SLACK {
            wrong.push(format!("{name}: took {:?}", asked.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(desk);
    world.end().await;
}

async fn another_model_takes_over(engine: Engine) {
    let faults = faults();
    let mut script = Script::instant();
    for (number, (_, fault, _)) in faults.iter().enumerate() {
        for task in [Task::Answer, Task::Judge] {
            let behaviour = match task {
                Task::Answer => Behaviour::say("From the first model.").with_fault(fault.clone()),
                _ => Behaviour::reply(Reply::ByTask).with_fault(fault.clone()),
            };
            script.add(Rule::on(task, behaviour).when_said(&marker(number)));
        }
    }
    let spare = Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER)));
    let setup = Setup::default()
        .script(script)
        .fallback(spare)
        .config(impatient)
        .assistant(|config| config.conditions.worded = vec![cancels()]);
    let world = World::new(engine, setup).await;
    // Before anything is released every fault is made good by the other model.
    let early: Vec<usize> = faults
        .iter()
        .enumerate()
        .filter(|(_, (_, _, ends))| *ends == Ends::Human)
        .map(|(number, _)| number)
        .collect();
    let outcomes = futures_util::future::join_all(early.iter().map(|n| ask(&world, *n))).await;
    let wrong: Vec<String> = early
        .iter()
        .zip(&outcomes)
        .filter_map(|(n, outcome)| judged(faults[*n].0, outcome, Ends::Answered, "none"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let asked = world.fallback.as_ref().map_or(0, |spare| spare.requests().len());
    assert!(asked >= early.len(), "the fallback was asked {asked} times");
    world.end().await;
}

async fn nobody_at_the_address(engine: Engine) {
    let setup = Setup::default().config(|config| {
        impatient(config);
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = port.expect("a free port");
        for endpoint in config.models.endpoints.values_mut() {
            endpoint.base_url = format!("http://{address}/v1");
        }
    });
    let world = World::new(engine, setup).await;
    let outcome = ask(&world, 1).await;
    assert_eq!(judged("nobody there", &outcome, Ends::Human, "model_failed"), None);
    world.end().await;
}

/// Marks, and text that looks like marks, in the answer; a control mark after a sentence was released.
async fn a_model_that_talks_nonsense(engine: Engine) {
    let cases: Vec<(&str, &str, Ends)> = vec![
        ("[[no_answer]]", "no_answer", Ends::Human),
        ("[[handoff]] the refund needs a person", "job_description", Ends::Human),
        ("[[handoff: the refund needs a person]]", "job_description", Ends::Human),
        ("", "model_failed", Ends::Human),
        ("   \n\n  ", "model_failed", Ends::Human),
        ("**", "model_failed", Ends::Human),
        ("[1]", "model_failed", Ends::Human),
        ("[[no_answer", "no_answer", Ends::Human),
        // What has been read stays, though the model thought better of it.
        ("Refunds take five working days. But [[no_answer]]", "no_answer", Ends::Kept),
        (
            "Refunds take five working days. Here [[handoff]] a refund",
            "job_description",
            Ends::Kept,
        ),
    ];
    let mut script = Script::instant();
    for (number, (said, ..)) in cases.iter().enumerate() {
        script.add(Rule::on(Task::Answer, Behaviour::say(said)).when_said(&marker(number)));
    }
    let world = World::new(engine, Setup::default().script(script).config(impatient)).await;
    let outcomes = futures_util::future::join_all((0..cases.len()).map(|n| ask(&world, n))).await;
    let wrong: Vec<String> = cases
        .iter()
        .zip(&outcomes)
        .filter_map(|((said, reason, ends), outcome)| {
            judged(&format!("“{said}”"), outcome, *ends, reason)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Citations of passages that were never given, and a script: the words stand, as words.
    let odd =
        "<script>alert(1)</script> costs nothing [99]. \u{202E}Reversed\u{202C} and \0 nothing.";
    world.model.play(Script::instant().with(Rule::on(Task::Answer, Behaviour::say(odd))));
    let visitor = world.visitor("Rina").await;
    let mut page = visitor.live().await;
    visitor.write("How long does a refund take?").await;
    let heard = page.until("an answer", |f| f["message"]["author"]["kind"] == "assistant").await;
    let text = heard["message"]["text"].as_str().unwrap_or_default();
    assert!(!text.contains("[99]") && !text.contains('\0'), "{text:?}");
    assert_eq!(heard["message"]["citations"], json!([]), "{heard}");
    drop(page);
    world.end().await;
}

on_both_engines!(
    every_fault_of_the_answer_ends_well,
    every_fault_of_the_judge_ends_at_a_person,
    help_for_agents_needs_no_model,
    another_model_takes_over,
    nobody_at_the_address,
    a_model_that_talks_nonsense,
);
