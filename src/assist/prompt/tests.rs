//! The prompts for agents, and the reading of what comes back.

use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::conversation::{Actor, MessageKind};
use crate::knowledge::Audience;
use crate::model::fence;
use crate::model::prompt::snapshot;
use crate::model::tokens::{Calibration, count};

fn message(seq: u64, kind: MessageKind, author: Actor, text: &str) -> Message {
    Message {
        public_seq: (kind == MessageKind::Text).then_some(seq),
        kind,
        ..Message::said(
            Uuid::from_u128(seq.into()).into(),
            seq,
            author,
            text,
            Timestamp::from_millis(0),
        )
    }
}

fn passage(audience: Audience) -> Passage {
    Passage {
        chunk_id: Uuid::from_u128(1).into(),
        article_id: Uuid::from_u128(1).into(),
        title: "Refunds".into(),
        section: None,
        url: None,
        audience,
        text: "Five days.".into(),
        score: 1.0,
        kept: true,
        why: String::new(),
    }
}

fn thread() -> Vec<Message> {
    let visitor = Actor::Visitor(Uuid::from_u128(1).into());
    let assistant = Actor::Assistant(Uuid::from_u128(2).into());
    let agent = Actor::Agent(Uuid::from_u128(3).into());
    vec![
        message(1, MessageKind::Text, visitor, "Where is my order?"),
        message(2, MessageKind::Text, assistant, "On its way."),
        message(3, MessageKind::Notice, Actor::System, "A person will answer."),
        message(4, MessageKind::Text, visitor, "It is late!"),
        message(5, MessageKind::Note, agent, "He is a regular."),
        message(6, MessageKind::Text, visitor, "Hello?"),
    ]
}

fn budget(limit: usize) -> TokenBudget {
    // Exact from here on, so that what is shed does not depend on when the tokeniser is loaded.
    let _ = count("");
    TokenBudget::new(limit, &Calibration::starting_at(1.0))
}

fn prompts() -> Prompts {
    Prompts::embedded().expect("parse")
}

#[test]
fn every_sample_renders_as_recorded() {
    check(&prompts()).expect("samples render");
    snapshot::<input::BriefView>();
    snapshot::<input::SummaryView>();
    snapshot::<input::SuggestView>();
}

#[test]
fn a_brief_shows_notes_apart_and_what_is_unanswered() {
    let prompt = BriefPrompt::new("en", &thread()).with_reason(Some("asked for a person".into()));
    let request = prompt.request(&prompts(), &budget(10_000)).expect("renders");
    let kinds: Vec<String> =
        fence::blocks(&request.messages[1].content).into_iter().map(|block| block.kind).collect();
    assert_eq!(kinds, ["said", "said", "unanswered", "note", "unanswered"]);
    assert_eq!(request.material.question, "It is late!\nHello?");
    assert_eq!(request.schema.as_ref().map(|schema| schema.name), Some("brief"));
}

#[test]
fn a_long_conversation_keeps_its_newest_messages() {
    let visitor = Actor::Visitor(Uuid::from_u128(1).into());
    let filler = "word ".repeat(100);
    let messages: Vec<Message> = (1..=50)
        .map(|seq| message(seq, MessageKind::Text, visitor, &format!("{seq} {filler}")))
        .collect();
    let prompt = SuggestPrompt::new("en", Tone::Friendly, &messages).with_passages(vec![
        passage(
            Audience::Public
        );
        3
    ]);
    let request = prompt.request(&prompts(), &budget(2_000)).expect("renders");
    let context = &request.messages[1].content;
    assert!(context.contains("\n50 word") && !context.contains("\n1 word"));
    let texts: Vec<&str> = request.messages.iter().map(|m| m.content.as_str()).collect();
    assert!(budget(2_000).fits(&texts));
}

#[test]
fn a_brief_is_read_leniently_but_not_empty() {
    let prompt = BriefPrompt::new("en", &thread());
    let whole = r#"{"wants":"order","tried":["told"],"mood":"angry","open_question":"?","next_step":"call"}"#;
    assert_eq!(prompt.parse(whole).expect("parses").mood, Mood::Angry);
    assert_eq!(prompt.parse(r#"{"wants":"order"}"#).expect("parses").mood, Mood::Calm);
    assert!(prompt.parse(r#"{"wants":" "}"#).is_err());
    assert!(prompt.parse("Sorry, I cannot.").is_err());
    assert!(SummaryPrompt::new("en", &thread()).parse(r#"{"text":""}"#).is_err());
}

#[test]
fn suggestions_from_internal_knowledge_are_marked() {
    let prompt = SuggestPrompt::new("en", Tone::Neutral, &thread())
        .with_passages(vec![passage(Audience::Public), passage(Audience::Internal)]);
    let read = prompt
        .parse(
            r#"{"replies":[{"text":"a","sources":[1,9]},{"text":"b","sources":[2]},{"text":"a","sources":[]},{"text":" "},{"text":"c"},{"text":"d"}]}"#,
        )
        .expect("parses");
    let texts: Vec<&str> = read.replies.iter().map(|reply| reply.text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(read.replies[0].sources, [1]);
    assert!(!read.replies[0].internal && read.replies[1].internal);
    assert!(prompt.parse(r#"{"replies":[]}"#).is_err());
}
