//! What models write, and what is written to them.

use super::{chopped, in_two, text};
use crate::assist::prompt::{BriefPrompt, SuggestPrompt, SummaryPrompt};
use crate::conditions::WordedCondition;
use crate::model::{Tone, fence, openai};
use crate::turn::prompt::{AnswerParser, JudgePrompt, Outcome, Scene};

/// How many passages the answers may cite.
const PASSAGES: usize = 4;

/// However an answer arrives, it means the same; no mark is shown; nothing that was released is taken back.
pub(super) fn answer(bytes: &[u8]) {
    let text = text(bytes);
    let (whole, released) = read(&[&text]);
    let (parts, streamed) = read(&chopped(&text));
    assert_eq!(parts, whole, "an answer does not depend on how it was cut");
    if let Outcome::Answer { text, cited } = whole {
        assert!(text.starts_with(&released) && text.starts_with(&streamed));
        assert!(cited.iter().all(|n| (1..=PASSAGES).contains(n)));
        assert!(cited.is_sorted_by(|a, b| a < b));
        for mark in ["[[handoff", "[[no_answer"] {
            let after = text.split(mark).skip(1);
            assert!(after.into_iter().all(|rest| rest.starts_with(char::is_alphabetic)), "{text}");
        }
    }
}

fn read(pieces: &[&str]) -> (Outcome, String) {
    let mut parser = AnswerParser::new(PASSAGES);
    let mut released = String::new();
    for piece in pieces {
        released.extend(parser.push(piece));
    }
    assert_eq!(parser.released(), released);
    let (last, outcome) = parser.finish();
    if let Outcome::Answer { text, .. } = &outcome {
        assert_eq!(*text, format!("{released}{}", last.unwrap_or_default()));
    }
    (outcome, released)
}

/// One verdict for each condition, or an error; one that has not fired has no evidence.
pub(super) fn verdicts(bytes: &[u8]) {
    let text = text(bytes);
    let worded = |name: &str| WordedCondition { name: name.to_owned(), text: "…".to_owned() };
    let conditions = vec![worded("first"), worded("second")];
    let scene = Scene::new("en", crate::clock::Timestamp::from_millis(0));
    let prompt = JudgePrompt::new(scene, conditions, Vec::new());
    if let Ok(verdicts) = prompt.parse(&text) {
        let names: Vec<&str> = verdicts.iter().map(|v| v.condition.as_str()).collect();
        assert_eq!(names, ["first", "second"]);
        assert!(verdicts.iter().all(|v| v.fired || v.evidence.is_none()));
        assert!(verdicts.iter().all(|v| !v.evidence_verified), "there was nothing to quote");
    }
}

/// Briefs, summaries and suggestions have content, or are errors.
pub(super) fn help(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(brief) = BriefPrompt::new("en", &[]).parse(&text) {
        assert!(!brief.wants.trim().is_empty());
    }
    if let Ok(summary) = SummaryPrompt::new("en", &[]).parse(&text) {
        assert!(!summary.text.trim().is_empty());
    }
    if let Ok(suggestions) = SuggestPrompt::new("en", Tone::default(), &[]).parse(&text) {
        assert!((1..=3).contains(&suggestions.replies.len()));
    }
}

/// Whole answers, events of a stream and error bodies of any server.
pub(super) fn completion(bytes: &[u8]) {
    openai::read_anything(bytes);
}

/// Words in a fence stay in it, whatever they are.
pub(super) fn prompt(bytes: &[u8]) {
    let text = text(bytes);
    let (value, words) = in_two(&text);
    let written = fence::write("said", &[("name", value), ("seq", "7")], words);
    let blocks = fence::blocks(&written);
    assert_eq!(blocks.len(), 1, "one block was written");
    assert_eq!(blocks[0].kind, "said");
    assert_eq!(blocks[0].attribute("seq"), Some("7"), "a value cannot write another");
    let two = format!("{written}\n{}", fence::write("passage", &[], "known"));
    let kinds: Vec<String> = fence::blocks(&two).into_iter().map(|block| block.kind).collect();
    assert_eq!(kinds, ["said", "passage"]);
}
