//! The typed conditions, and how well asking for a person is heard.

use std::path::Path;

use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::conversation::{Actor, Message};

fn said(seq: u64, author: Actor, text: &str) -> PublicMessage {
    let message = Message::said(
        Uuid::from_u128(seq.into()).into(),
        seq,
        author,
        text,
        Timestamp::from_millis(0),
    );
    PublicMessage::of(&message).expect("public")
}

fn visitor(seq: u64, text: &str) -> PublicMessage {
    said(seq, Actor::Visitor(Uuid::from_u128(1).into()), text)
}

fn facts(unanswered: &[PublicMessage]) -> Facts<'_> {
    Facts { unanswered, evidence_after: 0, ai_turns: 0, failed_answers: 0 }
}

fn code(conditions: &Conditions, facts: &Facts<'_>) -> Option<&'static str> {
    evaluate(conditions, facts).map(|fired| fired.code.as_str())
}

#[test]
fn the_configuration_is_the_contract_s_json() {
    let json = r#"{"asks_for_person":true,"no_answer":true,"failed_answers":{"enabled":true,"count":2},
        "max_turns":{"enabled":false,"count":20},"model_failure":true,
        "phrases":[{"name":"Legal","phrases":["lawyer","chargeback"]}],
        "worded":[{"name":"Cancel","text":"The visitor wants to cancel a subscription"}]}"#;
    let read: Conditions = serde_json::from_str(json).expect("parses");
    assert_eq!(read.phrases[0].phrases[1], "chargeback");
    assert_eq!(serde_json::from_str::<Conditions>("{}").expect("parses"), Conditions::default());
    assert!(serde_json::from_str::<Conditions>(r#"{"asks_for_persons":true}"#).is_err());
    let written = serde_json::to_value(&read).expect("writes");
    assert_eq!(written["max_turns"]["count"], 20);
}

#[test]
fn words_fire_before_numbers_and_are_quoted() {
    let mut conditions = Conditions {
        max_turns: Counted { enabled: true, count: 3 },
        phrases: vec![PhraseCondition { name: "Legal".into(), phrases: vec!["my lawyer".into()] }],
        ..Conditions::default()
    };
    let messages = [visitor(4, "Hm."), visitor(5, "I will call MY lawyer. Now.")];
    let counted = Facts { ai_turns: 9, failed_answers: 9, ..facts(&messages) };
    let fired = evaluate(&conditions, &counted).expect("fires");
    assert_eq!(fired.code, FiredCode::Phrase);
    assert_eq!(fired.condition.as_deref(), Some("Legal"));
    assert_eq!(fired.evidence.as_deref(), Some("MY lawyer"));
    assert_eq!(fired.message_id, Some(messages[1].id()));

    let person = [visitor(4, "My lawyer and a human, please!"), visitor(5, "Real person please")];
    assert_eq!(code(&conditions, &facts(&person)), Some("asked_for_person"));
    conditions.asks_for_person = false;
    assert_eq!(code(&conditions, &facts(&person)), Some("phrase"));
}

#[test]
fn what_was_said_before_the_return_is_no_evidence() {
    let conditions = Conditions::default();
    let messages = [visitor(4, "I want to talk to a human"), visitor(9, "ok")];
    assert_eq!(code(&conditions, &facts(&messages)), Some("asked_for_person"));
    let returned = Facts { evidence_after: 4, ..facts(&messages) };
    assert_eq!(code(&conditions, &returned), None);
    let counted = Facts { evidence_after: 9, failed_answers: 5, ..facts(&messages) };
    assert_eq!(code(&conditions, &counted), None, "nothing new to hand over for");
    let agent = [said(5, Actor::Agent(Uuid::from_u128(2).into()), "talk to a human")];
    assert_eq!(code(&conditions, &facts(&agent)), None, "only the visitor's words count");
}

#[test]
fn numbers_fire_when_reached_and_enabled() {
    let conditions = Conditions::default();
    let messages = [visitor(4, "How long?")];
    let failed = |failed_answers| Facts { failed_answers, ..facts(&messages) };
    assert_eq!(code(&conditions, &failed(1)), None);
    assert_eq!(code(&conditions, &failed(2)), Some("failed_answers"));
    let turns = |ai_turns| Facts { ai_turns, ..facts(&messages) };
    assert_eq!(code(&conditions, &turns(50)), None);
    let capped =
        Conditions { max_turns: Counted { enabled: true, count: 3 }, ..Conditions::default() };
    assert_eq!(code(&capped, &turns(2)), None);
    let fired = evaluate(&capped, &turns(3)).expect("fires");
    assert_eq!(fired.code.as_str(), "max_turns");
    assert_eq!(fired.evidence.as_deref(), Some("How long?"));
}

#[derive(serde::Deserialize)]
struct Row {
    lang: String,
    asks: bool,
    text: String,
}

/// Precision at least 0.95, recall at least 0.85, in each language of our own list.
#[test]
fn asking_for_a_person_is_heard_and_nothing_else_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/asks-for-person.jsonl");
    let rows: Vec<Row> = std::fs::read_to_string(path)
        .expect("the list")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect();
    for lang in ["en", "id"] {
        let (mut hits, mut misses, mut alarms) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| row.lang == lang) {
            match (row.asks, asks_for_person(&row.text).is_some()) {
                (true, true) => hits.push(&row.text),
                (true, false) => misses.push(&row.text),
                (false, true) => alarms.push(&row.text),
                (false, false) => {}
            }
        }
        let told = format!("{lang}: {} heard, missed {misses:#?}, false {alarms:#?}", hits.len());
        assert!(hits.len() * 100 >= (hits.len() + misses.len()) * 85, "recall: {told}");
        assert!(hits.len() * 100 >= (hits.len() + alarms.len()) * 95, "precision: {told}");
    }
}
