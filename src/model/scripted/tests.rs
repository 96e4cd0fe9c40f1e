//! The scripted model reads our prompts as they are rendered, and answers them in their protocol.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::fence;
use crate::model::{Task, Tone};

fn body(task: Task, system: &str, blocks: &[String]) -> Value {
    json!({
        "messages": [
            { "role": "system", "content": format!("Task: {}\n{system}", task.as_str()) },
            { "role": "user", "content": blocks.join("\n") },
        ],
        "stream": true,
    })
}

fn passage() -> String {
    fence::write(
        "passage",
        &[("number", "3"), ("title", "Refunds")],
        "Refunds take five working days.",
    )
}

fn unanswered(text: &str) -> String {
    fence::write("unanswered", &[("by", "visitor")], text)
}

fn say(body: &Value) -> String {
    let (asked, behaviour) = Script::demo().decide(body);
    behaviour.reply.text(&asked)
}

#[test]
fn a_request_is_read_back_from_its_prompt() {
    let said =
        fence::write("said", &[("by", "assistant"), ("name", "Mira"), ("sources", "A; B")], "Hi");
    let system = "- Formal and polite; address the visitor formally.\nin the language `id`.";
    let asked = Asked::of(&body(
        Task::Answer,
        system,
        &[passage(), said, unanswered("x1?"), unanswered("x2")],
    ));
    assert_eq!(asked.task, Some(Task::Answer));
    assert!(asked.streaming);
    assert_eq!(asked.words, "x1?\nx2");
    assert_eq!(asked.material.passages[0].number, 3);
    assert_eq!(asked.material.tone, Tone::Formal);
    assert_eq!(asked.material.locale, "id");
    assert_eq!(asked.material.transcript[0].sources, ["A", "B"]);
    assert_eq!(asked.material.transcript.len(), 3);
    let by_schema = json!({ "response_format": { "json_schema": { "name": "brief" } } });
    assert_eq!(Asked::of(&by_schema).task, Some(Task::Brief));
    assert_eq!(Asked::of(&json!({})).task, None);
}

#[test]
fn answers_cite_the_passages_of_the_prompt() {
    let said = say(&body(Task::Answer, "", &[passage(), unanswered("When is my refund here?")]));
    assert!(said.contains("Refunds take five working days. [3]"), "{said}");
    let none = say(&body(Task::Answer, "", &[passage(), unanswered("Do you sell bicycles?")]));
    assert_eq!(none, "[[no_answer]]");
    let indonesian =
        say(&body(Task::Answer, "", &[passage(), unanswered("kapan refund saya masuk?")]));
    assert!(indonesian.ends_with("ya."), "{indonesian}");
    let note = fence::write("return_note", &[], "Refund approved by Sari");
    let noted = say(&body(Task::Answer, "", &[note, unanswered("What about my refund?")]));
    assert!(noted.contains("Refund approved by Sari"), "{noted}");
}

fn verdict(condition: &str, said: &str) -> (bool, String) {
    let condition = fence::write("condition", &[("key", "c1")], condition);
    let earlier = fence::write("said", &[("by", "visitor")], "I want to cancel my subscription");
    let text = say(&body(Task::Judge, "", &[condition, earlier, unanswered(said)]));
    let read: Value = serde_json::from_str(&text).expect("JSON");
    let verdict = &read["verdicts"][0];
    (verdict["fired"] == true, verdict["evidence"].as_str().unwrap_or("").to_owned())
}

#[test]
fn conditions_come_true_by_the_words_they_share() {
    let cancel = "The visitor wants to cancel a subscription";
    assert_eq!(
        verdict(cancel, "Hello. I'd like to cancel my subscription. Thanks"),
        (true, "I'd like to cancel my subscription.".into())
    );
    assert!(!verdict(cancel, "How does the subscription work?").0);
    assert!(!verdict(cancel, "ok").0, "what was said before is no evidence");
    let allergy = "The visitor reports an allergic reaction or a problem with food safety";
    assert!(verdict(allergy, "I had an allergic reaction after the latte").0);
    assert!(!verdict(allergy, "Is the food vegan?").0);
    assert!(verdict("Visitor mentions a lawyer", "My lawyers will call you").0);
}

#[test]
fn rules_match_on_task_and_words_and_wear_out() {
    let mut script = Script::instant()
        .with(Rule::on(Task::Answer, Behaviour::say("refund rule")).when_said("REFUND"))
        .with(Rule::always(Behaviour::say("first")).once());
    let mut say = |task, words: &str| {
        let (asked, behaviour) = script.decide(&body(task, "", &[unanswered(words)]));
        behaviour.reply.text(&asked)
    };
    assert_eq!(say(Task::Judge, "x"), "first");
    assert_eq!(say(Task::Answer, "my refund"), "refund rule");
    assert_eq!(say(Task::Answer, "hello"), "Hello! How can I help you?");
    assert_eq!(say(Task::Judge, "refund"), r#"{"verdicts":[]}"#);
}

#[test]
fn a_stream_is_a_list_of_steps() {
    use super::steps::{Step, stream, tokens};
    assert_eq!(tokens("One two\nextraordinarily"), ["One ", "two\n", "extraordinar", "ily"]);
    let gate = Gate::after(1);
    let paced = Behaviour::say("a b")
        .with_delays(Duration::from_millis(1), Duration::from_millis(2))
        .with_gate(gate);
    let kinds: Vec<&str> = stream("a b", &paced, &Value::Null)
        .iter()
        .map(|step| match step {
            Step::Send(_) => "send",
            Step::Wait(_) => "wait",
            Step::Gate(_) => "gate",
            Step::Stall => "stall",
            Step::Reset => "reset",
        })
        .collect();
    assert_eq!(
        kinds,
        ["wait", "send", "send", "gate", "wait", "send", "send", "send", "send"],
        "role, a, gate, b, reason, usage, done"
    );
}

#[tokio::test]
async fn a_gate_holds_each_stream_until_it_is_let_through() {
    let gate = Gate::after(0);
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.pass().await }
    });
    gate.arrived().await;
    assert!(!waiting.is_finished());
    gate.let_one_pass();
    waiting.await.expect("passes");
    gate.open();
    gate.pass().await;
}
