//! What the built-in answerer says.

use std::sync::Arc;

use futures_util::TryStreamExt;

use super::*;
use crate::model::{Line, MaterialPassage};

fn material(locale: &str, question: &str) -> Material {
    Material {
        question: question.into(),
        locale: locale.into(),
        passages: vec![
            MaterialPassage {
                number: 1,
                title: "Refund times".into(),
                text: "Refunds take five working days. Weekends do not count.".into(),
                ..MaterialPassage::default()
            },
            MaterialPassage {
                number: 2,
                title: "Shipping".into(),
                text: "Parcels to Bali take four days.".into(),
                ..MaterialPassage::default()
            },
        ],
        ..Material::default()
    }
}

fn line(speaker: &'static str, text: &str, unanswered: bool) -> Line {
    Line { speaker, text: text.into(), unanswered, ..Line::default() }
}

fn request(task: Task, material: Material) -> ChatRequest {
    ChatRequest {
        task,
        messages: Vec::new(),
        schema: None,
        max_output_tokens: 100,
        temperature: 0.0,
        material: Arc::new(material),
    }
}

#[test]
fn answers_quote_the_best_passage_with_its_number() {
    let said = answer(&material("en", "When will I get my refund?"), Voice::Plain);
    assert_eq!(said, "Refunds take five working days. Weekends do not count. [1]");
}

#[test]
fn without_passages_there_is_no_answer_but_small_talk_is_returned() {
    let bare = |question: &str, locale: &str| {
        answer(&Material { passages: Vec::new(), ..material(locale, question) }, Voice::Plain)
    };
    assert_eq!(bare("Do you sell tea?", "en"), "[[no_answer]]");
    assert_eq!(bare("Hello!", "en"), "Hello! How can I help you?");
    assert_eq!(bare("selamat siang kak", "id"), "Halo! Ada yang bisa saya bantu?");
    assert!(bare("Terima kasih banyak ya", "id").starts_with("Sama-sama!"));
    assert!(bare("hi\nthanks a lot", "en").starts_with("You're welcome!"));
    assert_eq!(bare("hi\nwhere is my order", "en"), "[[no_answer]]");
    assert_eq!(bare("", "en"), "[[no_answer]]");
}

#[test]
fn the_chatty_voice_minds_the_return_note() {
    let noted = Material {
        note: Some("Refund approved, Rp250.000.".into()),
        ..material("en", "And my refund?")
    };
    let said = answer(&noted, Voice::Chatty);
    assert!(
        said.starts_with("I have an update from my colleague: Refund approved, Rp250.000.\n\n"),
        "{said}"
    );
    let other =
        Material { note: noted.note.clone(), ..material("en", "How long to Bali by parcel?") };
    assert!(!answer(&other, Voice::Chatty).contains("approved"));
}

#[tokio::test]
async fn it_streams_sentence_by_sentence_and_ends() {
    let request = request(Task::Answer, material("en", "refund?"));
    let deltas: Vec<Delta> =
        BuiltIn.stream(&request).await.expect("streams").try_collect().await.expect("no error");
    assert!(deltas.len() >= 2, "{deltas:?}");
    assert_eq!(deltas.last(), Some(&Delta::Done { usage: None, model: NAME.into() }));
    assert_eq!(deltas[0], Delta::Text("Refunds take five working days. ".into()));
}

#[tokio::test]
async fn it_judges_nothing_and_says_so() {
    let keys = Material { conditions: vec!["c1".into()], ..Material::default() };
    let said = BuiltIn.complete(&request(Task::Judge, keys)).await.expect("answers").text;
    let read: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(read["verdicts"][0]["judged"], false);
    assert_eq!(read["verdicts"][0]["fired"], false);
}

#[test]
fn a_brief_is_made_of_what_was_said() {
    let thread = Material {
        transcript: vec![
            line("visitor", "Hi", false),
            line("visitor", "Where is my order 1042?", false),
            Line {
                sources: vec!["Order status".into()],
                ..line("assistant", "It left on Monday.", false)
            },
            line("visitor", "It is still not here, this is ridiculous!!", true),
            line("visitor", "Can I get my money back?", true),
            line("visitor", "thanks", true),
        ],
        locale: "en".into(),
        ..Material::default()
    };
    let brief = assist::brief(&thread);
    assert_eq!(brief["wants"], "It is still not here, this is ridiculous!!");
    assert_eq!(brief["tried"][0], "AI agent: It left on Monday. (Order status)");
    assert_eq!(brief["open_question"], "Can I get my money back?");
    assert_eq!(brief["mood"], "calm");
    let summary = assist::summary(&Material { locale: "id".into(), ..thread });
    assert!(summary["text"].as_str().is_some_and(|text| text.contains("Masih terbuka")));
    let empty = assist::brief(&Material::default());
    assert_eq!(empty["open_question"], "");
}

#[test]
fn suggestions_name_their_sources() {
    let made = assist::suggestions(&material("en", "When is my refund?"));
    assert_eq!(made["replies"][0]["sources"][0], 1);
    assert_eq!(made["replies"].as_array().map(Vec::len), Some(2));
    let none = assist::suggestions(&Material { passages: Vec::new(), ..material("id", "apa?") });
    assert_eq!(none["replies"].as_array().map(Vec::len), Some(1));
}
