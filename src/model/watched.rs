//! A model whose successes and failures are reported and counted: the operator sees which endpoint fails, why, since when,
//! and what it costs.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::tokens::TokenBudget;
use super::{
    ChatModel, ChatRequest, ChatStream, Completion, Delta, ModelError, ModelKind, Task, Usage,
};
use crate::health::Part;
use crate::metrics::{self, Call};

/// A model and its place in the report.
pub struct Watched {
    model: Arc<dyn ChatModel>,
    part: Part,
}

impl Watched {
    /// Reports how `model` does as `part`.
    #[must_use]
    pub fn new(model: Arc<dyn ChatModel>, part: Part) -> Self {
        metrics::get().models.knows(part.name());
        Self { model, part }
    }
}

/// A refusal of what was asked says nothing about whether the endpoint works.
fn report<T>(part: &Part, call: &mut Call, outcome: &Result<T, ModelError>) {
    call.ended(outcome.as_ref().err().map_or("ok", ModelError::code));
    match outcome {
        Ok(_) => part.works(),
        Err(ModelError::Rejected { .. } | ModelError::Filtered | ModelError::TooLong) => {}
        Err(error) => part.fails(error.code()),
    }
}

fn count(part: &Part, usage: Option<Usage>) {
    if let Some(usage) = usage {
        metrics::get().models.cost(part.name(), usage.prompt_tokens, usage.completion_tokens);
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
        let mut call = metrics::get().models.begin(self.part.name());
        let outcome = self.model.complete(request).await;
        let part = self.part.task(request.task.as_str());
        report(&part, &mut call, &outcome);
        if let Ok(completion) = &outcome {
            count(&part, completion.usage);
        }
        outcome
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        let part = self.part.task(request.task.as_str());
        let mut call = metrics::get().models.begin(self.part.name());
        let opened = self.model.stream(request).await;
        if opened.is_err() {
            report(&part, &mut call, &opened);
        }
        Ok(opened?
            .inspect(move |delta| match delta {
                // Words alone are no success: a stream may still stall or break off.
                Ok(Delta::Text(_)) => {}
                Ok(Delta::Done { usage, .. }) => {
                    report(&part, &mut call, delta);
                    count(&part, *usage);
                }
                Err(_) => report(&part, &mut call, delta),
            })
            .boxed())
    }

    fn kept_waiting(&self, task: Task) {
        self.part.task(task.as_str()).fails("timeout");
        self.model.kept_waiting(task);
    }
}
