//! The built-in answerer: works without any model, at once, from the material alone.
//!
//! It quotes: answers are sentences of passages, briefs and summaries are sentences of the conversation. It never judges
//! worded conditions and says so. What it makes has the same shape as what a model is asked for, so that nothing behind it
//! needs to know which of the two answered.

mod assist;
mod compose;
mod phrases;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{
    ChatModel, ChatRequest, ChatStream, Completion, Delta, Material, ModelError, ModelKind, Task,
};
use crate::text;

pub use compose::{Voice, answer};

/// What records call it.
pub const NAME: &str = "built-in";

/// Answers without a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltIn;

impl BuiltIn {
    fn text(request: &ChatRequest) -> String {
        let material = &request.material;
        match request.task {
            Task::Answer => answer(material, Voice::Plain),
            Task::Judge => unjudged(&material.conditions),
            Task::Brief | Task::Summary | Task::Suggest => assist(request.task, material),
        }
    }
}

/// What agents are helped with, as JSON: a brief, a summary or suggestions.
#[must_use]
pub fn assist(task: Task, material: &Material) -> String {
    match task {
        Task::Brief => assist::brief(material).to_string(),
        Task::Summary => assist::summary(material).to_string(),
        _ => assist::suggestions(material).to_string(),
    }
}

/// Nothing fired, because nothing was judged.
fn unjudged(conditions: &[String]) -> String {
    let verdicts: Vec<_> = conditions
        .iter()
        .map(|key| json!({ "condition": key, "fired": false, "evidence": "", "judged": false }))
        .collect();
    json!({ "verdicts": verdicts }).to_string()
}

#[async_trait]
impl ChatModel for BuiltIn {
    fn name(&self) -> &str {
        NAME
    }

    fn kind(&self) -> ModelKind {
        ModelKind::BuiltIn
    }

    fn context_tokens(&self) -> usize {
        // It reads the material and not the prompt; this only keeps prompts in records short.
        16_000
    }

    async fn complete(&self, request: &ChatRequest) -> Result<Completion, ModelError> {
        Ok(Completion { text: Self::text(request), usage: None, model: NAME.to_owned() })
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        let sentences = text::sentences(&Self::text(request));
        let deltas = sentences.into_iter().map(|sentence| Ok(Delta::Text(sentence)));
        let done = Ok(Delta::Done { usage: None, model: NAME.to_owned() });
        Ok(stream::iter(deltas.chain([done])).boxed())
    }
}

#[cfg(test)]
mod tests;
