//! What an admin sets for an AI agent, and what is good enough to be published. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::field::{self, Invalid};
use crate::ids::KnowledgeBaseId;
use crate::model::Tone;

/// Languages an AI agent may be set to, by their ISO 639-1 codes.
pub const LANGUAGES: [&str; 24] = [
    "ar", "cs", "da", "de", "en", "es", "fi", "fr", "hi", "id", "it", "ja", "ko", "ms", "nl", "pl",
    "pt", "ru", "sv", "th", "tr", "uk", "vi", "zh",
];

const NAME_MAX: usize = 60;
/// An emoji with its modifiers is several characters.
const AVATAR_MAX: usize = 16;
const GREETING_MAX: usize = 500;
const JOB_DESCRIPTION_MAX: usize = 20_000;
const KNOWLEDGE_BASES_MAX: usize = 20;
const CONDITION_NAME_MAX: usize = 80;
const PHRASE_GROUPS_MAX: usize = 50;
const PHRASES_MAX: usize = 100;
const PHRASE_CHARS_MAX: usize = 100;
/// Each is a question to the judge on every turn.
const WORDED_MAX: usize = 20;
const WORDED_CHARS_MAX: usize = 500;

/// Everything about an AI agent that a version holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssistantConfig {
    /// Who it is.
    pub identity: Identity,
    /// What it knows.
    pub knowledge_bases: Vec<KnowledgeBaseId>,
    /// What it is to do, in Markdown.
    pub job_description: String,
    /// `default` (as the server is set), `built-in`, `scripted` or the name of an endpoint.
    pub model: String,
    /// When a person is needed.
    pub conditions: Conditions,
}

/// Who an AI agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Shown to visitors.
    pub name: String,
    /// An emoji, or nothing.
    pub avatar: String,
    /// How it speaks.
    pub tone: Tone,
    /// What it speaks; the first is used when nothing else is known.
    pub languages: Vec<String>,
    /// The first words, by language.
    pub greeting: BTreeMap<String, String>,
    /// That it is an AI, by language.
    pub disclosure: BTreeMap<String, String>,
}

/// When a person is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// The visitor asks for one.
    pub asks_for_person: bool,
    /// The knowledge has no answer.
    pub no_answer: bool,
    /// Several answers in a row did not help.
    pub failed_answers: Counted,
    /// The conversation has gone on for long.
    pub max_turns: Counted,
    /// The model fails; always on.
    pub model_failure: bool,
    /// The visitor says one of these.
    pub phrases: Vec<PhraseCondition>,
    /// What is written here is the case.
    pub worded: Vec<WordedCondition>,
}

/// A condition with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Whether it counts at all.
    pub enabled: bool,
    /// From how many on.
    pub count: u32,
}

/// Words that call a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhraseCondition {
    /// Shown to agents as the reason.
    pub name: String,
    /// The words.
    pub phrases: Vec<String>,
}

/// A case, in the admin's words, that calls a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WordedCondition {
    /// Shown to agents as the reason.
    pub name: String,
    /// The case.
    pub text: String,
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

impl AssistantConfig {
    /// What a new AI agent starts with: English, careful, without knowledge.
    #[must_use]
    pub fn fresh(name: &str) -> Self {
        let english = |text: String| BTreeMap::from([("en".to_owned(), text)]);
        Self {
            identity: Identity {
                name: name.to_owned(),
                avatar: "🤖".to_owned(),
                tone: Tone::Friendly,
                languages: vec!["en".to_owned()],
                greeting: english(format!("Hi! I'm {name}. How can I help?")),
                disclosure: english(
                    "I'm an AI agent. You can ask for a person at any time.".to_owned(),
                ),
            },
            knowledge_bases: Vec::new(),
            job_description: String::new(),
            model: "default".to_owned(),
            conditions: Conditions::default(),
        }
    }

    /// Trimmed and checked; `models` are the names that may be chosen.
    ///
    /// # Errors
    /// The first field that is not right, and what would do.
    pub fn validated(self, models: &[&str]) -> Result<Self, Invalid> {
        if self.knowledge_bases.len() > KNOWLEDGE_BASES_MAX {
            return Err(too_many("knowledge_bases", KNOWLEDGE_BASES_MAX));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.knowledge_bases.iter().find(|id| !seen.insert(**id)) {
            return Err(Invalid::new("knowledge_bases", format!("Names {twice} twice.")));
        }
        if !models.contains(&self.model.as_str()) {
            let message = format!("Must be one of {}.", models.join(", "));
            return Err(Invalid::new("model", message));
        }
        Ok(Self {
            identity: self.identity.validated()?,
            job_description: field::text(
                "job_description",
                &self.job_description,
                JOB_DESCRIPTION_MAX,
            )?,
            conditions: self.conditions.validated()?,
            ..self
        })
    }
}

fn too_many(field: impl Into<String>, max: usize) -> Invalid {
    Invalid::new(field, format!("Must have at most {max} entries."))
}

impl Identity {
    fn validated(self) -> Result<Self, Invalid> {
        if self.languages.is_empty() || self.languages.len() > LANGUAGES.len() {
            return Err(Invalid::new("identity.languages", "Must name at least one language."));
        }
        let mut seen = BTreeSet::new();
        for (index, language) in self.languages.iter().enumerate() {
            known_language(&format!("identity.languages[{index}]"), language)?;
            if !seen.insert(language) {
                return Err(Invalid::new("identity.languages", format!("Names {language} twice.")));
            }
        }
        let avatar = self.avatar.trim();
        if avatar.chars().count() > AVATAR_MAX || avatar.chars().any(char::is_control) {
            return Err(Invalid::new("identity.avatar", "Must be one emoji, or empty."));
        }
        Ok(Self {
            name: field::line("identity.name", &self.name, NAME_MAX)?,
            avatar: avatar.to_owned(),
            greeting: by_language("identity.greeting", &self.greeting, &self.languages)?,
            disclosure: by_language("identity.disclosure", &self.disclosure, &self.languages)?,
            ..self
        })
    }
}

fn known_language(field: &str, code: &str) -> Result<(), Invalid> {
    if LANGUAGES.contains(&code) {
        return Ok(());
    }
    let message =
        format!("`{code}` is not a language we know; use one of {}.", LANGUAGES.join(", "));
    Err(Invalid::new(field, message))
}

/// A text for each language that is spoken; texts of languages that were switched off are kept.
fn by_language(
    field: &str,
    texts: &BTreeMap<String, String>,
    spoken: &[String],
) -> Result<BTreeMap<String, String>, Invalid> {
    if let Some(missing) = spoken.iter().find(|code| !texts.contains_key(*code)) {
        let message = format!("Is missing for the language {missing}.");
        return Err(Invalid::new(format!("{field}.{missing}"), message));
    }
    let mut checked = BTreeMap::new();
    for (code, text) in texts {
        let field = format!("{field}.{code}");
        known_language(&field, code)?;
        let text = field::text(&field, text, GREETING_MAX)?;
        if text.is_empty() && spoken.contains(code) {
            return Err(Invalid::new(field, "Must not be empty."));
        }
        checked.insert(code.clone(), text);
    }
    Ok(checked)
}

impl Conditions {
    fn validated(self) -> Result<Self, Invalid> {
        let at = |part: &str| format!("conditions.{part}");
        if !self.model_failure {
            let message = "Is always on: when the model fails, a person must be asked.";
            return Err(Invalid::new(at("model_failure"), message));
        }
        for (part, counted, max) in
            [("failed_answers", self.failed_answers, 10), ("max_turns", self.max_turns, 200)]
        {
            if !(1..=max).contains(&counted.count) {
                let message = format!("Must be between 1 and {max}.");
                return Err(Invalid::new(at(&format!("{part}.count")), message));
            }
        }
        if self.phrases.len() > PHRASE_GROUPS_MAX {
            return Err(too_many(at("phrases"), PHRASE_GROUPS_MAX));
        }
        if self.worded.len() > WORDED_MAX {
            return Err(too_many(at("worded"), WORDED_MAX));
        }
        let mut names = BTreeSet::new();
        let mut name = |field: String, name: &str| {
            let name = field::line(&field, name, CONDITION_NAME_MAX)?;
            if names.insert(name.to_lowercase()) {
                return Ok(name);
            }
            Err(Invalid::new(field, "Is used twice: agents see the name as the reason."))
        };
        let mut phrases = Vec::with_capacity(self.phrases.len());
        for (index, group) in self.phrases.iter().enumerate() {
            let at = at(&format!("phrases[{index}]"));
            let name = name(format!("{at}.name"), &group.name)?;
            phrases.push(PhraseCondition {
                name,
                phrases: words(&format!("{at}.phrases"), &group.phrases)?,
            });
        }
        let mut worded = Vec::with_capacity(self.worded.len());
        for (index, condition) in self.worded.iter().enumerate() {
            let at = at(&format!("worded[{index}]"));
            let name = name(format!("{at}.name"), &condition.name)?;
            let field = format!("{at}.text");
            let text = field::text(&field, &condition.text, WORDED_CHARS_MAX)?;
            if text.is_empty() {
                return Err(Invalid::new(field, "Must say when a person is needed."));
            }
            worded.push(WordedCondition { name, text });
        }
        Ok(Self { phrases, worded, ..self })
    }
}

fn words(field: &str, list: &[String]) -> Result<Vec<String>, Invalid> {
    if list.is_empty() {
        return Err(Invalid::new(field, "Must have at least one phrase."));
    }
    if list.len() > PHRASES_MAX {
        return Err(too_many(field, PHRASES_MAX));
    }
    list.iter()
        .enumerate()
        .map(|(index, phrase)| field::line(&format!("{field}[{index}]"), phrase, PHRASE_CHARS_MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes a good configuration and says which field is refused, if any.
    fn check(change: impl FnOnce(&mut AssistantConfig), want: Option<&str>) {
        let mut config = AssistantConfig::fresh("Ada");
        change(&mut config);
        let got = config.validated(&["default", "built-in"]).err().map(|invalid| invalid.field);
        assert_eq!(got.as_deref(), want);
    }

    fn phrases(name: &str, phrases: &[&str]) -> PhraseCondition {
        PhraseCondition {
            name: name.to_owned(),
            phrases: phrases.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_fresh_configuration_is_good() {
        check(|_| {}, None);
    }

    #[test]
    fn identities_are_checked_for_every_language() {
        check(|c| c.identity.name = " ".into(), Some("identity.name"));
        check(|c| c.identity.name = "x".repeat(61), Some("identity.name"));
        check(|c| c.identity.avatar = "not an emoji at all".into(), Some("identity.avatar"));
        check(|c| c.identity.languages.clear(), Some("identity.languages"));
        check(|c| c.identity.languages = vec!["xx".into()], Some("identity.languages[0]"));
        check(|c| c.identity.languages.push("en".into()), Some("identity.languages"));
        check(|c| c.identity.languages.push("id".into()), Some("identity.greeting.id"));
        check(
            |c| {
                c.identity.languages.push("id".into());
                c.identity.greeting.insert("id".into(), "Halo!".into());
            },
            Some("identity.disclosure.id"),
        );
        check(
            |c| drop(c.identity.disclosure.insert("en".into(), " ".into())),
            Some("identity.disclosure.en"),
        );
        check(|c| drop(c.identity.greeting.insert("id".into(), String::new())), None);
    }

    #[test]
    fn conditions_are_checked() {
        check(|c| c.conditions.model_failure = false, Some("conditions.model_failure"));
        check(|c| c.conditions.failed_answers.count = 0, Some("conditions.failed_answers.count"));
        check(|c| c.conditions.max_turns.count = 201, Some("conditions.max_turns.count"));
        check(|c| c.conditions.phrases = vec![phrases("law", &["lawyer", " chargeback "])], None);
        check(
            |c| c.conditions.phrases = vec![phrases("law", &[])],
            Some("conditions.phrases[0].phrases"),
        );
        check(
            |c| c.conditions.phrases = vec![phrases("law", &["x", ""])],
            Some("conditions.phrases[0].phrases[1]"),
        );
        check(
            |c| c.conditions.phrases = vec![phrases("", &["x"])],
            Some("conditions.phrases[0].name"),
        );
        let worded =
            |name: &str, text: &str| WordedCondition { name: name.into(), text: text.into() };
        check(|c| c.conditions.worded = vec![worded("a", "")], Some("conditions.worded[0].text"));
        check(
            |c| c.conditions.worded = vec![worded("a", "x"), worded("A", "y")],
            Some("conditions.worded[1].name"),
        );
        check(
            |c| c.conditions.worded = (0..21).map(|i| worded(&i.to_string(), "x")).collect(),
            Some("conditions.worded"),
        );
    }

    #[test]
    fn the_rest_is_checked() {
        check(|c| c.model = "gpt".into(), Some("model"));
        check(|c| c.job_description = "x".repeat(20_001), Some("job_description"));
        let base: KnowledgeBaseId = crate::ids::Ids.fresh();
        check(|c| c.knowledge_bases = vec![base, base], Some("knowledge_bases"));
    }

    #[test]
    fn the_wire_form_is_the_contract_s() {
        let json = serde_json::json!({
            "identity": {"name": "Ada", "avatar": "", "tone": "formal", "languages": ["en"],
                "greeting": {"en": "Hi"}, "disclosure": {"en": "AI"}},
            "knowledge_bases": [], "job_description": "x", "model": "default",
            "conditions": {"asks_for_person": true, "no_answer": true,
                "failed_answers": {"enabled": true, "count": 2}, "max_turns": {"enabled": false, "count": 20},
                "model_failure": true, "phrases": [{"name": "law", "phrases": ["lawyer"]}],
                "worded": [{"name": "cancel", "text": "The visitor wants to cancel"}]},
        });
        let config: AssistantConfig = serde_json::from_value(json.clone()).expect("reads");
        assert_eq!(serde_json::to_value(config).expect("writes"), json);
    }
}
