//! The shapes of a model's help for agents.

pub use crate::text::Mood;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::MAX_SUGGESTIONS;
use crate::knowledge::{Audience, Passage};

/// What an agent must know before taking over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Brief {
    /// What the visitor wants.
    pub wants: String,
    /// What was told or done already, newest last.
    #[serde(default)]
    pub tried: Vec<String>,
    /// How the visitor feels.
    #[serde(default)]
    pub mood: Mood,
    /// The question that waits for an answer; empty if none.
    #[serde(default)]
    pub open_question: String,
    /// The most useful next action.
    #[serde(default)]
    pub next_step: String,
}

/// A conversation in a few sentences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// The words.
    pub text: String,
}

/// Replies that an agent could send, the best one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suggestions {
    /// At most three.
    pub replies: Vec<Suggestion>,
}

/// A reply that an agent could send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suggestion {
    /// The words, ready to send.
    pub text: String,
    /// Numbers of the passages it rests on (1 = the first).
    pub sources: Vec<usize>,
    /// It rests on knowledge that is for agents only: shown apart, to be checked before it is sent.
    pub internal: bool,
}

#[derive(Deserialize)]
pub(super) struct WireSuggestions {
    replies: Vec<WireSuggestion>,
}

#[derive(Deserialize)]
struct WireSuggestion {
    text: String,
    #[serde(default)]
    sources: Vec<usize>,
}

impl Suggestions {
    pub(super) fn of(wire: WireSuggestions, passages: &[Passage]) -> Self {
        let mut replies: Vec<Suggestion> = Vec::new();
        for reply in wire.replies {
            let text = reply.text.trim().to_owned();
            if text.is_empty() || replies.iter().any(|other| other.text == text) {
                continue;
            }
            let mut sources = reply.sources;
            sources.retain(|number| (1..=passages.len()).contains(number));
            sources.dedup();
            let internal = sources.iter().any(|number| {
                passages.get(number - 1).is_some_and(|found| found.audience == Audience::Internal)
            });
            replies.push(Suggestion { text, sources, internal });
        }
        replies.truncate(MAX_SUGGESTIONS);
        Self { replies }
    }
}
