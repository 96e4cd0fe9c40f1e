//! The answer: written by the first model that can, read as it comes, let go sentence by sentence once the judge has spoken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Producer, Release};
use crate::knowledge::PublicPassage;
use crate::model::{
    ChatMessage, ChatModel, ChatRequest, Delta, ModelError, ModelKind, ModelSet, Task, Usage,
};
use crate::turn::plan::Plan;
use crate::turn::prompt::{ANSWER_TOKENS, AnswerParser, AnswerPrompt, Outcome as Parsed, Scene};
use crate::turn::record::{ExplainedCall, ExplainedShed, millis};

/// Tries of the answer on the first model before the fallback is asked.
const TRIES: u32 = 2;
/// Wait before the second try, unless the server names a time.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// The longest wait for a rate-limited server within a turn; one that asks for more is not asked again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3);
/// The longest silence of a stream before it counts as stalled.
const STALL: Duration = Duration::from_secs(10);

/// How the writing of an answer ended.
pub(super) enum Written {
    Done(Parsed),
    Failed(ModelError),
    Stopped,
    /// The judge decided otherwise.
    Moot,
}

/// An answer being written.
pub(super) struct Writing {
    parser: AnswerParser,
    waiting: Vec<String>,
    index: u32,
    pub(super) released: String,
    pub(super) cited: Vec<usize>,
    pub(super) raw: String,
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<String>,
    pub(super) prompt: Option<Vec<ChatMessage>>,
    pub(super) prompt_version: Option<String>,
    pub(super) shed: ExplainedShed,
    pub(super) stages: Vec<(String, f64)>,
    started: Instant,
}

impl Writing {
    pub(super) fn new(passages: usize) -> Self {
        Self {
            parser: AnswerParser::new(passages),
            waiting: Vec::new(),
            index: 0,
            released: String::new(),
            cited: Vec::new(),
            raw: String::new(),
            usage: None,
            model: None,
            prompt: None,
            prompt_version: None,
            shed: ExplainedShed::default(),
            stages: Vec::new(),
            started: Instant::now(),
        }
    }

    fn start(&mut self, passages: usize, request: &ChatRequest, model: &dyn ChatModel) {
        self.parser = AnswerParser::new(passages);
        self.waiting.clear();
        self.raw.clear();
        self.model = Some(model.name().to_owned());
        // The built-in answerer reads no prompt; what it was given stands in the passages.
        if model.kind() != ModelKind::BuiltIn {
            self.prompt = Some(request.messages.clone());
        }
    }

    /// Lets go what may go. `false` if nothing may be said any more.
    fn release(&mut self, out: &dyn Release) -> bool {
        for sentence in self.waiting.drain(..) {
            if !out.release(self.index, &sentence) {
                return false;
            }
            if self.index == 0 {
                self.stages.push(("first_release".to_owned(), millis(self.started.elapsed())));
            }
            self.index += 1;
            self.released.push_str(&sentence);
        }
        self.cited = self.parser.cited();
        true
    }
}

impl Producer {
    #[expect(
        clippy::too_many_arguments,
        reason = "one borrow each for what a stream reads and fills"
    )]
    pub(super) async fn answer(
        &self,
        plan: &Plan,
        set: &ModelSet,
        passages: &[PublicPassage],
        out: &dyn Release,
        judged: &CancellationToken,
        writing: &mut Writing,
        calls: &mut Vec<ExplainedCall>,
    ) -> Written {
        let prompt = AnswerPrompt::new(
            plan.settings.persona.clone(),
            Scene::new(&plan.locale, self.clock.now()),
            plan.unanswered.clone(),
        )
        .with_history(plan.history.clone())
        .with_passages(passages.to_vec())
        .with_note(plan.note.clone());
        let models = std::iter::repeat_n(&set.answer, TRIES as usize).chain(&set.fallback);
        let mut last = ModelError::EmptyStream;
        let mut given_up: Option<usize> = None;
        let mut tried: Option<usize> = None;
        for (number, model) in models.enumerate() {
            let address = Arc::as_ptr(model).cast::<()>() as usize;
            // What a model refused for good it will refuse again.
            if given_up == Some(address) {
                continue;
            }
            // Another model has nothing to recover from.
            if number > 0 && tried == Some(address) {
                let wait = last.retry_after().unwrap_or(RETRY_AFTER);
                // What wants more time than a turn can wait will refuse again.
                if wait > MAX_RETRY_AFTER {
                    continue;
                }
                tokio::time::sleep(wait).await;
            }
            tried = Some(address);
            let called = Instant::now();
            let budget = model.prompt_budget(ANSWER_TOKENS);
            let request = match prompt.request(&self.prompts, &budget) {
                Ok((request, shed)) => {
                    writing.shed = shed.into();
                    request
                }
                Err(_) => {
                    return Written::Failed(ModelError::BadResponse {
                        why: "the prompt cannot be rendered",
                    });
                }
            };
            writing.start(passages.len(), &request, model.as_ref());
            writing.prompt_version = Some(self.prompts.version(request.task).to_owned());
            let written = stream(model.as_ref(), &request, out, judged, writing).await;
            let error = match &written {
                Written::Failed(error) => Some(error.clone()),
                Written::Done(Parsed::Empty) => Some(ModelError::EmptyStream),
                Written::Done(_) | Written::Stopped | Written::Moot => None,
            };
            calls.push(ExplainedCall {
                task: "answer".to_owned(),
                model: model.name().to_owned(),
                error: error.as_ref().map(|e| e.code().to_owned()),
                ms: millis(called.elapsed()),
            });
            let Some(error) = error else { return written };
            // Once the visitor has read something, nothing is tried again.
            if !writing.released.is_empty() {
                return Written::Failed(error);
            }
            if !error.is_retryable() {
                given_up = Some(address);
            }
            tracing::info!(model = model.name(), error.code = error.code(), "the model failed");
            last = error;
        }
        Written::Failed(last)
    }
}

async fn stream(
    model: &dyn ChatModel,
    request: &ChatRequest,
    out: &dyn Release,
    judged: &CancellationToken,
    writing: &mut Writing,
) -> Written {
    let opened = Instant::now();
    let mut deltas = match tokio::time::timeout(STALL, model.stream(request)).await {
        Ok(Ok(deltas)) => deltas,
        Ok(Err(error)) => return Written::Failed(error),
        Err(_) => {
            model.kept_waiting(Task::Answer);
            return Written::Failed(ModelError::Timeout);
        }
    };
    let mut first = true;
    loop {
        let may_release = judged.is_cancelled();
        let next = tokio::select! {
            biased;
            () = out.stopped().cancelled() => return Written::Stopped,
            () = judged.cancelled(), if !may_release && !writing.waiting.is_empty() => {
                if !writing.release(out) {
                    return Written::Stopped;
                }
                continue;
            }
            next = tokio::time::timeout(STALL, deltas.next()) => next,
        };
        match next {
            Err(_) => {
                model.kept_waiting(Task::Answer);
                return Written::Failed(ModelError::Timeout);
            }
            Ok(None) => return Written::Failed(ModelError::CutStream),
            Ok(Some(Err(error))) => return Written::Failed(error),
            Ok(Some(Ok(Delta::Text(text)))) => {
                if std::mem::take(&mut first) {
                    writing.stages.push(("first_token".to_owned(), millis(opened.elapsed())));
                }
                writing.raw.push_str(&text);
                let sentences = writing.parser.push(&text);
                writing.waiting.extend(sentences);
                if judged.is_cancelled() && !writing.release(out) {
                    return Written::Stopped;
                }
            }
            Ok(Some(Ok(Delta::Done { usage, model }))) => {
                writing.usage = usage;
                writing.model = Some(model);
                break;
            }
        }
    }
    writing.stages.push(("answer".to_owned(), millis(opened.elapsed())));
    let parser = std::mem::replace(&mut writing.parser, AnswerParser::new(0));
    let (rest, outcome) = parser.finish();
    writing.waiting.extend(rest);
    tokio::select! {
        biased;
        () = out.stopped().cancelled() => return Written::Stopped,
        () = judged.cancelled() => {}
    }
    if matches!(outcome, Parsed::Answer { .. }) && !writing.release(out) {
        return Written::Stopped;
    }
    Written::Done(outcome)
}
