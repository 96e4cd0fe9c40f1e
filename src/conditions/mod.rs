//! When a human is needed: typed takeover conditions, decided without a model. Pure.
//!
//! Worded conditions are judged by a model (`turn::prompt::JudgePrompt`); everything else is decided here, from facts that
//! the caller gathered. Invariant: a message at or below `evidence_after` (the last return) is never evidence.

mod asks_for_person;
mod fold;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::conversation::{PublicMessage, Speaker};
use crate::ids::MessageId;

pub use asks_for_person::asks_for_person;
pub use fold::{Spoken, fold};

pub use crate::assistant::config::{Conditions, Counted, PhraseCondition, WordedCondition};

/// The longest quotation kept as evidence, in characters; the whole message is a click away.
const MAX_QUOTE_CHARS: usize = 500;

/// What the typed conditions are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Messages without an answer, oldest first.
    pub unanswered: &'a [PublicMessage],
    /// The sequence number of the last return; what was said up to it is never evidence. 0 = never returned.
    pub evidence_after: u64,
    /// Answers the assistant has committed since the conversation began or was last returned.
    pub ai_turns: u32,
    /// How many of its latest answers in a row said that they could not help.
    pub failed_answers: u32,
}

/// Which kind of condition fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FiredCode {
    /// The visitor asks for a person in words.
    AskedForPerson,
    /// A configured phrase.
    Phrase,
    /// Several answers in a row failed.
    FailedAnswers,
    /// The AI has answered often enough.
    MaxTurns,
}

impl FiredCode {
    /// The stable name, also the handoff reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AskedForPerson => "asked_for_person",
            Self::Phrase => "phrase",
            Self::FailedAnswers => "failed_answers",
            Self::MaxTurns => "max_turns",
        }
    }
}

/// A condition that has come true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Which kind.
    pub code: FiredCode,
    /// Its configured name; none for the built-in kinds.
    pub condition: Option<String>,
    /// The visitor's words that show it.
    pub evidence: Option<String>,
    /// The message they stand in.
    pub message_id: Option<MessageId>,
}

/// The first typed condition that has come true, if any: words before numbers.
#[must_use]
pub fn evaluate(conditions: &Conditions, facts: &Facts<'_>) -> Option<Fired> {
    let evidence = || {
        facts.unanswered.iter().filter(|message| {
            *message.speaker() == Speaker::Visitor && message.seq() > facts.evidence_after
        })
    };
    if conditions.asks_for_person {
        for message in evidence() {
            if let Some(quote) = asks_for_person(message.text()) {
                return Some(fired(FiredCode::AskedForPerson, None, Some(quote), Some(message)));
            }
        }
    }
    let spoken: Vec<_> = match conditions.phrases.as_slice() {
        [] => Vec::new(),
        _ => evidence().map(|message| (message, Spoken::of(message.text()))).collect(),
    };
    for condition in &conditions.phrases {
        for (message, spoken) in &spoken {
            for phrase in &condition.phrases {
                if let Some(quote) = spoken.phrase(phrase) {
                    let name = Some(condition.name.as_str());
                    return Some(fired(FiredCode::Phrase, name, Some(quote), Some(message)));
                }
            }
        }
    }
    // A count fires on what the visitor writes next, so it needs a message that is not yet dealt with.
    let last = evidence().next_back()?;
    let reached = |counted: Counted, now: u32| counted.enabled && now >= counted.count.max(1);
    if reached(conditions.failed_answers, facts.failed_answers) {
        return Some(fired(FiredCode::FailedAnswers, None, Some(last.text()), Some(last)));
    }
    if reached(conditions.max_turns, facts.ai_turns) {
        return Some(fired(FiredCode::MaxTurns, None, Some(last.text()), Some(last)));
    }
    None
}

fn fired(
    code: FiredCode,
    condition: Option<&str>,
    evidence: Option<&str>,
    message: Option<&PublicMessage>,
) -> Fired {
    Fired {
        code,
        condition: condition.map(str::to_owned),
        evidence: evidence.map(|words| words.trim().chars().take(MAX_QUOTE_CHARS).collect()),
        message_id: message.map(PublicMessage::id),
    }
}

#[cfg(test)]
mod tests;
