//! What a visitor-facing model is told, and how its answer is read.
//!
//! Law 7 (walls): [`AnswerPrompt`] and [`JudgePrompt`] are built from `PublicMessage`, `ReturnNote` and
//! `PublicPassage` alone; there is no other way to put words of a conversation or an article into them. Private notes,
//! internal knowledge and agents' summaries do not compile.
//!
//! Prompts are assembled by priority under a token budget: rules and job description, the visitor's last words, the return
//! note, passages by rank, recent history, a digest of what is older. What did not fit is told in [`Shed`].

mod answer;
mod fit;
mod judge;
mod parser;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::conversation::{PublicMessage, Speaker};
use crate::ids::MessageId;
use crate::model::prompt::{PromptError, Prompts};
use crate::model::{Line, Tone};

pub use answer::{ANSWER_TOKENS, AnswerPrompt};
pub use judge::{JUDGE_TOKENS, JudgePrompt, Verdict};
pub use parser::{AnswerParser, Outcome};

/// The assistant's own settings, as configured by the business.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Persona {
    /// What it is called.
    pub name: String,
    /// How it speaks.
    pub tone: Tone,
    /// Role, tasks, limits.
    pub job_description: String,
    /// The languages it offers.
    pub languages: Vec<String>,
}

/// When and in which language a turn happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    locale: String,
    today: String,
}

impl Scene {
    /// A turn in a conversation of that language, at that moment (UTC).
    #[must_use]
    pub fn new(locale: &str, now: Timestamp) -> Self {
        let today = jiff::Timestamp::from_millisecond(now.millis())
            .map(|at| at.strftime("%A, %-d %B %Y").to_string())
            .unwrap_or_default();
        Self { locale: locale.to_owned(), today }
    }
}

/// What did not fit into a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Shed {
    /// Numbers of the passages left out (1 = the best).
    pub passages: Vec<usize>,
    /// The earlier messages left out or shown only in the digest.
    pub messages: Vec<MessageId>,
    /// The visitor's own words had to be cut in the middle.
    pub truncated: bool,
}

impl Shed {
    /// Whether everything fitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passages.is_empty() && self.messages.is_empty() && !self.truncated
    }
}

/// Renders the turn's prompts with every sample, so that a broken override is found at start.
///
/// # Errors
/// [`PromptError`] naming file and line.
pub fn check(prompts: &Prompts) -> Result<(), PromptError> {
    prompts.check::<answer::AnswerView>()?;
    prompts.check::<judge::JudgeView>()
}

/// A message as a prompt shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Said {
    speaker: &'static str,
    name: Option<String>,
    text: String,
}

impl Said {
    fn of(message: &PublicMessage) -> Self {
        Self {
            speaker: speaker(message.speaker()),
            name: message.name().map(str::to_owned),
            text: message.text().to_owned(),
        }
    }

    /// For samples.
    fn sample(speaker: &'static str, name: Option<&str>, text: &str) -> Self {
        Self { speaker, name: name.map(str::to_owned), text: text.to_owned() }
    }
}

fn line(message: &PublicMessage, unanswered: bool) -> Line {
    Line {
        speaker: speaker(message.speaker()),
        name: message.name().map(str::to_owned),
        text: message.text().to_owned(),
        message: Some(message.id()),
        unanswered,
        sources: Vec::new(),
    }
}

fn speaker(speaker: &Speaker) -> &'static str {
    match speaker {
        Speaker::Visitor => "visitor",
        Speaker::Assistant => "assistant",
        Speaker::Agent => "agent",
    }
}

fn newest_first(said: &[Said]) -> impl Iterator<Item = &str> {
    said.iter().rev().map(|said| said.text.as_str())
}

/// The visitor's words, one message a line.
fn question(unanswered: &[PublicMessage]) -> String {
    let words: Vec<&str> = unanswered.iter().map(PublicMessage::text).collect();
    words.join("\n")
}

#[cfg(test)]
mod tests;
