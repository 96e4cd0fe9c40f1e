//! A model whose successes and failures are reported: the operator sees which endpoint fails, why and since when.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::tokens::TokenBudget;
use super::{ChatModel, ChatRequest, ChatStream, Completion, Delta, ModelError, ModelKind, Task};
use crate::health::Part;

/// A model and its place in the report.
pub struct Watched {
    model: Arc<dyn ChatModel>,
    part: Part,
}

impl Watched {
    /// Reports how `model` does as `part`.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, part: Part) -> Self {
        Self { model, part }
    }
}

/// A refusal of what was asked says nothing about whether the endpoint works.
fn report<T>(part: &Part, outcome: &Result<T, ModelError>) {
    match outcome {
        Ok(_) => part.works(),
        Err(ModelError::Rejected { .. } | ModelError::Filtered | ModelError::TooLong) => {}
        Err(error) => part.fails(error.code()),
    }
}

#[async_trait]
impl ChatModel for Watched {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn kind(&self) -> ModelKind {
        self.model.kind()
    }

    fn context_tokens(&self) -> usize {
        self.model.context_tokens()
    }

    fn prompt_budget(&self, max_output_tokens: u32) -> TokenBudget {
        self.model.prompt_budget(max_output_tokens)
    }

    async fn complete(&self, request: &ChatRequest) -> Result<Completion, ModelError> {
        let outcome = self.model.complete(request).await;
        report(&self.part.task(request.task.as_str()), &outcome);
        outcome
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        let part = self.part.task(request.task.as_str());
        let opened = self.model.stream(request).await;
        if opened.is_err() {
            report(&part, &opened);
        }
        Ok(opened?
            .inspect(move |delta| match delta {
                // Words alone are no success: a stream may still stall or break off.
                Ok(Delta::Text(_)) => {}
                outcome @ (Ok(Delta::Done { .. }) | Err(_)) => report(&part, outcome),
            })
            .boxed())
    }

    fn kept_waiting(&self, task: Task) {
        self.part.task(task.as_str()).fails("timeout");
        self.model.kept_waiting(task);
    }
}
