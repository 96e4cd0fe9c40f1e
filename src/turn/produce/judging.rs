//! The judge of worded conditions: asked beside the answer, heard before any of it is said.

use std::time::Instant;

use super::Producer;
use crate::model::{ChatModel, ModelError, ModelSet, Task, Usage};
use crate::turn::plan::Plan;
use crate::turn::prompt::{JUDGE_TOKENS, JudgePrompt, Scene, Verdict};
use crate::turn::record::{ExplainedCall, millis};

/// What the judge said, and what it took.
pub(super) struct Spoken {
    pub(super) verdicts: Result<Vec<Verdict>, ModelError>,
    pub(super) calls: Vec<ExplainedCall>,
    pub(super) usage: Option<Usage>,
    pub(super) ms: f64,
}

impl Producer {
    pub(super) async fn judge(&self, plan: &Plan, set: &ModelSet) -> Spoken {
        let started = Instant::now();
        let mut spoken =
            Spoken { verdicts: Ok(Vec::new()), calls: Vec::new(), usage: None, ms: 0.0 };
        let evidence = plan.evidence();
        let worded = &plan.settings.conditions.worded;
        if worded.is_empty() || evidence.is_empty() {
            return spoken;
        }
        let mut earlier = plan.history.clone();
        earlier.extend(plan.unanswered.iter().filter(|m| m.seq() <= plan.evidence_after).cloned());
        let prompt =
            JudgePrompt::new(Scene::new(&plan.locale, self.clock.now()), worded.clone(), evidence)
                .with_earlier(earlier)
                .with_note(plan.note.clone());
        let models = std::iter::once(&set.judge).chain(&set.fallback);
        // One try on the judge's model, one on the fallback, or again where there is none.
        let tries: Vec<_> = models.cycle().take(2).collect();
        for model in tries {
            let called = Instant::now();
            let verdicts = self.judge_once(&prompt, model.as_ref(), &mut spoken).await;
            spoken.calls.push(ExplainedCall {
                task: "judge".to_owned(),
                model: model.name().to_owned(),
                error: verdicts.as_ref().err().map(|e| e.code().to_owned()),
                ms: millis(called.elapsed()),
            });
            spoken.verdicts = verdicts;
            if spoken.verdicts.is_ok() {
                break;
            }
        }
        spoken.ms = millis(started.elapsed());
        spoken
    }

    async fn judge_once(
        &self,
        prompt: &JudgePrompt,
        model: &dyn ChatModel,
        spoken: &mut Spoken,
    ) -> Result<Vec<Verdict>, ModelError> {
        let budget = model.prompt_budget(JUDGE_TOKENS);
        let (request, _shed) = prompt.request(&self.prompts, &budget).map_err(|_| {
            ModelError::BadResponse { why: "the judge's prompt cannot be rendered" }
        })?;
        let answer = match tokio::time::timeout(self.limits.judge, model.complete(&request)).await {
            Ok(answer) => answer?,
            Err(_) => {
                model.kept_waiting(Task::Judge);
                return Err(ModelError::Timeout);
            }
        };
        spoken.usage = answer.usage;
        prompt.parse(&answer.text)
    }
}
