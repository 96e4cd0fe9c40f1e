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
pub use fold::{contains_phrase, fold};

/// The longest quotation kept as evidence, in characters; the whole message is a click away.
const MAX_QUOTE_CHARS: usize = 500;

/// A business's takeover conditions, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// The visitor asks for a person in words.
    pub asks_for_person: bool,
    /// The knowledge does not answer.
    pub no_answer: bool,
    /// Several answers in a row failed.
    pub failed_answers: Counted,
    /// The AI has answered often enough.
    pub max_turns: Counted,
    /// The model gave no answer. Always on.
    pub model_failure: bool,
    /// Words that hand over wherever they occur.
    pub phrases: Vec<PhraseCondition>,
    /// Conditions in the business's own words, judged by a model.
    pub worded: Vec<WordedCondition>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            asks_for_person: true,
            no_answer: true,
            failed_answers: Counted { enabled: true, count: 2 },
            max_turns: Counted { enabled: false, count: 20 },
            model_failure: true,
            phrases: Vec::new(),
            worded: Vec::new(),
        }
    }
}

/// A condition on a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Whether it counts at all.
    pub enabled: bool,
    /// The number at which it fires.
    pub count: u32,
}

/// Words that hand over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhraseCondition {
    /// What agents call it.
    pub name: String,
    /// Whole words or phrases; case and accents do not matter.
    pub phrases: Vec<String>,
}

/// A condition in the business's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WordedCondition {
    /// What agents call it.
    pub name: String,
    /// What must be true.
    pub text: String,
}

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
    for condition in &conditions.phrases {
        for message in evidence() {
            for phrase in &condition.phrases {
                if let Some(quote) = contains_phrase(message.text(), phrase) {
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
