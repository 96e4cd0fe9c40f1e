//! Asking a model for structured help: one deadline, one more try, then nothing. The caller has something else to show.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::model::prompt::PromptError;
use crate::model::{ChatModel, ChatRequest, ModelError, ModelKind, ModelSet, Task};

/// How long a model may take in all: an agent who has just taken over reads the built-in help rather than wait longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What a model made of a task; none if it failed or there is none. A failed try is repeated once, on the fallback if
/// there is one.
pub(super) async fn ask<T>(
    set: &ModelSet,
    task: Task,
    deadline: Duration,
    request: impl Fn(&dyn ChatModel) -> Result<ChatRequest, PromptError>,
    parse: impl Fn(&str) -> Result<T, ModelError>,
) -> Option<T> {
    let deadline = Instant::now() + deadline;
    let first = set.for_task(task);
    let second = set.fallback.as_ref();
    let mut tries: Vec<&Arc<dyn ChatModel>> = vec![first, second.unwrap_or(first)];
    tries.retain(|model| model.kind() != ModelKind::BuiltIn);
    for (number, model) in tries.iter().enumerate() {
        let error = match once(model.as_ref(), task, &request, &parse, deadline).await {
            Ok(made) => return Some(made),
            Err(error) => error,
        };
        tracing::warn!(
            task = task.as_str(),
            model.name = model.name(),
            error.code = error.code(),
            "a model did not help"
        );
        let same_next = tries.get(number + 1).is_some_and(|next| Arc::ptr_eq(next, model));
        if same_next && !error.is_retryable() {
            break;
        }
    }
    None
}

async fn once<T>(
    model: &dyn ChatModel,
    task: Task,
    request: &impl Fn(&dyn ChatModel) -> Result<ChatRequest, PromptError>,
    parse: &impl Fn(&str) -> Result<T, ModelError>,
    deadline: Instant,
) -> Result<T, ModelError> {
    let request = request(model).map_err(|error| {
        tracing::error!(%error, "a prompt cannot be rendered");
        ModelError::BadResponse { why: "the prompt cannot be rendered" }
    })?;
    let started = Instant::now();
    let asked = timeout_at(deadline, model.complete(&request));
    let Ok(answer) = asked.await else {
        model.kept_waiting(task);
        return Err(ModelError::Timeout);
    };
    let answer = answer?;
    let usage = answer.usage.unwrap_or_default();
    tracing::info!(task = task.as_str(), model.name = %answer.model,
        duration_ms = started.elapsed().as_millis(), tokens.prompt = usage.prompt_tokens,
        tokens.completion = usage.completion_tokens, "a model helped");
    parse(&answer.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assist::testing::Canned;
    use crate::model::builtin::BuiltIn;
    use crate::model::{Material, json};

    #[derive(serde::Deserialize)]
    struct Number {
        n: u32,
    }

    async fn check(set: &ModelSet, expected: Option<u32>) {
        assert_eq!(within(DEADLINE, set).await, expected);
    }

    async fn within(deadline: Duration, set: &ModelSet) -> Option<u32> {
        let request = |_: &dyn ChatModel| {
            Ok(ChatRequest {
                task: Task::Brief,
                messages: Vec::new(),
                schema: None,
                max_output_tokens: 10,
                temperature: 0.0,
                material: Arc::new(Material::default()),
            })
        };
        let parse = |text: &str| json::parse_object::<Number>(text).map(|made| made.n);
        ask(set, Task::Brief, deadline, request, parse).await
    }

    #[expect(clippy::needless_pass_by_value, reason = "the tests read better")]
    fn set(first: Arc<dyn ChatModel>, fallback: Option<Arc<dyn ChatModel>>) -> ModelSet {
        ModelSet { fallback, ..ModelSet::of_one(&first) }
    }

    #[tokio::test]
    async fn fences_are_read_and_nonsense_is_asked_for_again_once() {
        check(&set(Canned::says(["```json\n{\"n\":1}\n```"]), None), Some(1)).await;
        check(&set(Canned::says(["Sorry?", "{\"n\":2}"]), None), Some(2)).await;
        let stubborn = Canned::says(["no", "no", "{\"n\":3}"]);
        check(&set(stubborn.clone(), None), None).await;
        assert_eq!(stubborn.asked(), 2);
    }

    #[tokio::test]
    async fn the_fallback_is_asked_even_after_a_final_no() {
        let refuses = Canned::fails(ModelError::Unauthorized);
        check(&set(refuses.clone(), Some(Canned::says(["{\"n\":4}"]))), Some(4)).await;
        assert_eq!(refuses.asked(), 1);
        let refuses = Canned::fails(ModelError::Unauthorized);
        check(&set(refuses.clone(), None), None).await;
        assert_eq!(refuses.asked(), 1, "the same again is refused again");
    }

    #[tokio::test]
    async fn the_built_in_answerer_is_not_asked() {
        check(&set(Arc::new(BuiltIn), None), None).await;
    }

    #[tokio::test]
    async fn a_model_that_hangs_costs_one_deadline() {
        let hangs = Canned::hangs();
        assert_eq!(within(Duration::ZERO, &set(hangs.clone(), None)).await, None);
        assert!(hangs.asked() > 0);
    }
}
