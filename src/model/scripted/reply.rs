//! What the scripted model says.

use serde_json::{Value, json};

use super::Asked;
use crate::model::Task;
use crate::model::builtin::{self, Voice};
use crate::model::extract::informative;
use crate::text;

/// What to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// What fits the task: an answer from the passages, verdicts by shared words, a brief, a summary, suggestions.
    ByTask,
    /// These words.
    Say(String),
    /// An answer composed of the passages in the prompt, with marks.
    FromPassages,
    /// Conditions whose text contains one of these words have come true, with the visitor's words as evidence.
    Fire(Vec<String>),
    /// This JSON.
    Json(Value),
}

impl Reply {
    /// The words of the answer.
    #[must_use]
    pub fn text(&self, asked: &Asked) -> String {
        match self {
            Self::Say(text) => text.clone(),
            Self::Json(value) => value.to_string(),
            Self::FromPassages => builtin::answer(&asked.material, Voice::Chatty),
            Self::Fire(words) => verdicts(asked, |condition, _| {
                let condition = condition.to_lowercase();
                words.iter().any(|word| condition.contains(&word.to_lowercase()))
            }),
            Self::ByTask => match asked.task {
                Some(Task::Answer) | None => builtin::answer(&asked.material, Voice::Chatty),
                Some(Task::Judge) => verdicts(asked, has_come_true),
                Some(task @ (Task::Brief | Task::Summary | Task::Suggest)) => {
                    builtin::assist(task, &asked.material)
                }
            },
        }
    }
}

fn verdicts(asked: &Asked, fires: impl Fn(&str, &str) -> bool) -> String {
    let verdicts: Vec<Value> = asked
        .conditions
        .iter()
        .map(|(key, text)| {
            let fired = fires(text, &asked.words);
            let evidence = if fired { evidence(text, &asked.words) } else { String::new() };
            json!({ "condition": key, "fired": fired, "evidence": evidence })
        })
        .collect();
    json!({ "verdicts": verdicts }).to_string()
}

/// Words of conditions that say nothing about the case.
const FRAME: &str = "visitor customer user person someone contact wants want asks ask says say mentions mention reports \
    report describes describe complains complain expresses shows threatens problem issue about something pengunjung \
    pelanggan orang meminta minta menyebut melaporkan tentang";

/// The words of a condition that say what the case is.
fn telling(condition: &str) -> Vec<text::Term> {
    let frame = |term: &text::Term| FRAME.split_whitespace().any(|word| word == term.word);
    informative(condition, "en").into_iter().filter(|term| !frame(term)).collect()
}

/// A condition comes true if at least half of its telling words, and two if it has two, are said; or all of one of its
/// alternatives.
fn has_come_true(condition: &str, words: &str) -> bool {
    let said = informative(words, "en");
    let is_said = |term: &text::Term| {
        said.iter().any(|said| said.forms.iter().any(|form| term.forms.contains(form)))
    };
    let whole = telling(condition);
    let found = whole.iter().filter(|term| is_said(term)).count();
    let enough = whole.len().div_ceil(2).max(whole.len().min(2));
    let alternatives = condition.replace(" atau ", " or ");
    let an_alternative = || {
        let mut parts = alternatives.split(" or ").flat_map(|part| part.split([',', ';', '.']));
        parts.any(|part| {
            let part = telling(part);
            part.len() >= 2 && part.iter().all(is_said)
        })
    };
    (!whole.is_empty() && found >= enough) || an_alternative()
}

/// The visitor's sentence that shares most with the condition.
fn evidence(condition: &str, words: &str) -> String {
    let telling = telling(condition);
    let shared = |sentence: &str| {
        let said = informative(sentence, "en");
        telling
            .iter()
            .filter(|t| said.iter().any(|s| s.forms.iter().any(|f| t.forms.contains(f))))
            .count()
    };
    let mut best: (usize, String) = (0, String::new());
    for line in words.lines() {
        for sentence in text::sentences(line) {
            let count = shared(&sentence);
            if count > best.0 || best.1.is_empty() {
                best = (count, sentence.trim().to_owned());
            }
        }
    }
    best.1
}
