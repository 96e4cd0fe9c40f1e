//! What a model is told so that it helps agents, and the shapes of its help.
//!
//! These prompts are for the business's own people: unlike a visitor-facing prompt (`turn::prompt`) they may hold private
//! notes and internal passages, marked as such. What comes out of them never goes to a visitor but through an agent.

mod input;
mod output;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::conversation::Message;
use crate::knowledge::Passage;
use crate::model::prompt::{PromptError, Prompts};
use crate::model::tokens::TokenBudget;
use crate::model::{ChatRequest, Material, ModelError, Task, Tone, json};

use input::{Transcript, View};
pub use output::{Brief, Mood, Suggestion, Suggestions, Summary};

/// How many tokens a brief, a summary or a set of suggestions may have; models that think first pay from it too.
pub const ASSIST_TOKENS: u32 = 2_500;

/// How many replies are suggested at most.
pub const MAX_SUGGESTIONS: usize = 3;

/// Renders the prompts for agents with every sample, so that a broken override is found at start.
///
/// # Errors
/// [`PromptError`] naming file and line.
pub fn check(prompts: &Prompts) -> Result<(), PromptError> {
    prompts.check::<input::BriefView>()?;
    prompts.check::<input::SummaryView>()?;
    prompts.check::<input::SuggestView>()
}

/// Asks for a brief of a conversation for the agent who takes it over.
#[derive(Debug, Clone)]
pub struct BriefPrompt {
    locale: String,
    reason: Option<String>,
    transcript: Transcript,
}

impl BriefPrompt {
    /// Of these messages, oldest first, notes included, in the agents' language.
    #[must_use]
    pub fn new(locale: &str, messages: &[Message]) -> Self {
        Self { locale: locale.to_owned(), reason: None, transcript: Transcript::of(messages) }
    }

    /// Why the conversation was handed over, in words.
    #[must_use]
    pub fn with_reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// The request, the oldest messages left out if it must be.
    ///
    /// # Errors
    /// [`PromptError`] if an overridden template cannot render this.
    pub fn request(
        &self,
        prompts: &Prompts,
        budget: &TokenBudget,
    ) -> Result<ChatRequest, PromptError> {
        let view = input::BriefView::new(&self.locale, self.reason.as_deref());
        request(prompts, budget, view, &self.transcript, &self.locale, &[])
    }

    /// Reads the brief.
    ///
    /// # Errors
    /// [`ModelError::BadResponse`] if the text is anything else.
    pub fn parse(&self, text: &str) -> Result<Brief, ModelError> {
        let brief: Brief = json::parse_object(text)?;
        if brief.wants.trim().is_empty() {
            return Err(ModelError::BadResponse { why: "a brief without content" });
        }
        Ok(brief)
    }
}

/// Asks for a summary of a conversation.
#[derive(Debug, Clone)]
pub struct SummaryPrompt {
    locale: String,
    transcript: Transcript,
}

impl SummaryPrompt {
    /// Of these messages, oldest first, notes included, in the agents' language.
    #[must_use]
    pub fn new(locale: &str, messages: &[Message]) -> Self {
        Self { locale: locale.to_owned(), transcript: Transcript::of(messages) }
    }

    /// The request, the oldest messages left out if it must be.
    ///
    /// # Errors
    /// [`PromptError`] if an overridden template cannot render this.
    pub fn request(
        &self,
        prompts: &Prompts,
        budget: &TokenBudget,
    ) -> Result<ChatRequest, PromptError> {
        let view = input::SummaryView::new(&self.locale);
        request(prompts, budget, view, &self.transcript, &self.locale, &[])
    }

    /// Reads the summary.
    ///
    /// # Errors
    /// [`ModelError::BadResponse`] if the text is anything else.
    pub fn parse(&self, text: &str) -> Result<Summary, ModelError> {
        let summary: Summary = json::parse_object(text)?;
        if summary.text.trim().is_empty() {
            return Err(ModelError::BadResponse { why: "a summary without content" });
        }
        Ok(summary)
    }
}

/// Asks for replies that an agent could send.
#[derive(Debug, Clone)]
pub struct SuggestPrompt {
    locale: String,
    tone: Tone,
    agent: Option<String>,
    transcript: Transcript,
    passages: Vec<Passage>,
}

impl SuggestPrompt {
    /// To these messages, oldest first, notes included; in the visitor's language.
    #[must_use]
    pub fn new(locale: &str, tone: Tone, messages: &[Message]) -> Self {
        Self {
            locale: locale.to_owned(),
            tone,
            agent: None,
            transcript: Transcript::of(messages),
            passages: Vec::new(),
        }
    }

    /// The agent who will send them.
    #[must_use]
    pub fn with_agent(mut self, name: Option<String>) -> Self {
        self.agent = name;
        self
    }

    /// What was found, best first, public and internal.
    #[must_use]
    pub fn with_passages(mut self, passages: Vec<Passage>) -> Self {
        self.passages = passages;
        self
    }

    /// The passages, in the order of their numbers (the first is 1).
    #[must_use]
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// The request, the last passages and the oldest messages left out if it must be.
    ///
    /// # Errors
    /// [`PromptError`] if an overridden template cannot render this.
    pub fn request(
        &self,
        prompts: &Prompts,
        budget: &TokenBudget,
    ) -> Result<ChatRequest, PromptError> {
        let view = input::SuggestView::new(&self.locale, self.tone, self.agent.as_deref());
        request(prompts, budget, view, &self.transcript, &self.locale, &self.passages)
    }

    /// Reads the suggestions: at most three, empty and repeated ones dropped, sources that do not exist dropped.
    ///
    /// # Errors
    /// [`ModelError::BadResponse`] if the text is anything else or no reply is left.
    pub fn parse(&self, text: &str) -> Result<Suggestions, ModelError> {
        let wire: output::WireSuggestions = json::parse_object(text)?;
        let suggestions = Suggestions::of(wire, &self.passages);
        if suggestions.replies.is_empty() {
            return Err(ModelError::BadResponse { why: "no reply suggested" });
        }
        Ok(suggestions)
    }
}

fn request<V: View>(
    prompts: &Prompts,
    budget: &TokenBudget,
    view: V,
    transcript: &Transcript,
    locale: &str,
    passages: &[Passage],
) -> Result<ChatRequest, PromptError> {
    let view = input::fitted(prompts, budget, view, transcript, passages)?;
    let material = Material {
        question: transcript.question(),
        locale: locale.to_owned(),
        passages: input::material_passages(passages),
        transcript: transcript.lines.clone(),
        ..Material::default()
    };
    let task = V::TASK;
    Ok(ChatRequest {
        task,
        messages: prompts.render(&view)?.into_messages(),
        schema: prompts.schema(task),
        max_output_tokens: ASSIST_TOKENS,
        temperature: if task == Task::Suggest { 0.5 } else { 0.0 },
        material: Arc::new(material),
    })
}
