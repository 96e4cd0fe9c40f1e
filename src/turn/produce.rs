//! From a plan to an outcome: conditions, retrieval, the judge and the answer, streamed sentence by sentence.
//!
//! Invariants: a sentence is released only after the judge has spoken; after the first released sentence nothing is tried
//! again; whatever cannot be finished ends as a handoff with its reason. Nothing here reads or writes a conversation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use super::record::{Explained, ExplainedPassage, ExplainedVerdict};
use crate::clock::Clock;
use crate::conditions::{self, FiredCode};
use crate::conversation::{Evidence, HandoffCode};
use crate::knowledge::{Citation, Knowledge, PublicPassage, Searched};
use crate::model::prompt::Prompts;
use crate::model::{ModelError, ModelSet, Models, Task};
use crate::text::catalogue;
use crate::turn::prompt::Outcome as Parsed;

mod judging;
mod writing;

use writing::{Writing, Written};

/// Passages that a prompt holds at most.
const PASSAGES: usize = 6;
/// How much time a turn and its judge may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The whole turn.
    pub budget: Duration,
    /// One call of the judge.
    pub judge: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { budget: Duration::from_secs(30), judge: Duration::from_secs(3) }
    }
}

/// Where released sentences go.
pub trait Release: Send + Sync {
    /// Releases a sentence; `false` if nothing may be said any more.
    fn release(&self, index: u32, sentence: &str) -> bool;
    /// Cancelled when the turn must stop.
    fn stopped(&self) -> &CancellationToken;
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Produced {
    /// With words for the visitor.
    Answered {
        /// The words.
        text: String,
        /// Their sources.
        citations: Vec<Citation>,
        /// They are the fixed text for "I cannot answer that".
        still_unanswered: bool,
    },
    /// A human is needed.
    HandOff {
        /// Why.
        reason: HandoffCode,
        /// Why, in words.
        evidence: Evidence,
    },
    /// It broke off; what was released is kept.
    Failed {
        /// Why.
        reason: HandoffCode,
        /// Why, in words, if there are any.
        evidence: Evidence,
        /// What the visitor may have read.
        released: Option<(String, Vec<Citation>)>,
    },
    /// It was stopped: its words are dropped.
    Stopped,
}

impl Produced {
    /// It broke off before anything was released.
    fn failed(reason: HandoffCode) -> Self {
        Self::Failed { reason, evidence: Evidence::default(), released: None }
    }
}

/// Makes replies. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    /// Where knowledge is found.
    pub knowledge: Knowledge,
    /// The prompts.
    pub prompts: Arc<Prompts>,
    /// The models by name.
    pub models: Arc<Models>,
    /// The clock.
    pub clock: Clock,
    /// Time limits.
    pub limits: Limits,
}

impl Producer {
    /// Makes one reply.
    pub async fn produce(&self, plan: &Plan, out: &dyn Release) -> (Produced, Explained) {
        let mut explained =
            Explained { assistant_version: plan.settings.version, ..Explained::default() };
        let started = Instant::now();
        let produced = self.stages(plan, out, &mut explained, started).await;
        explained.stage("total", started);
        explained.outcome = match &produced {
            Produced::Answered { .. } => "answered",
            Produced::HandOff { .. } => "handed_off",
            Produced::Failed { .. } => "failed",
            Produced::Stopped => "cancelled",
        }
        .to_owned();
        (produced, explained)
    }

    async fn stages(
        &self,
        plan: &Plan,
        out: &dyn Release,
        explained: &mut Explained,
        started: Instant,
    ) -> Produced {
        if let Some(hand_off) = typed_conditions(plan) {
            return hand_off;
        }
        let deadline = tokio::time::Instant::now() + self.limits.budget;
        let found = tokio::select! {
            biased;
            () = out.stopped().cancelled() => return Produced::Stopped,
            found = self.retrieve(plan) => found,
        };
        explained.stage("retrieve", started);
        let passages = match found {
            Ok(found) => {
                explained.search_degraded = found.degraded;
                found.passages
            }
            Err(error) => {
                // Without its knowledge the assistant must not guess.
                tracing::warn!(error = %error, "knowledge search failed");
                explained.error = Some("knowledge".to_owned());
                return Produced::failed(HandoffCode::ModelFailed);
            }
        };
        explained.passages = passages.iter().map(|p| ExplainedPassage::from(&**p)).collect();
        let kept: Vec<PublicPassage> =
            passages.into_iter().filter(|p| p.kept).take(PASSAGES).collect();
        let set = self.models.of(&plan.settings.model);
        self.answer_and_judge(plan, set, kept, out, explained, deadline).await
    }

    async fn retrieve(
        &self,
        plan: &Plan,
    ) -> Result<Searched<PublicPassage>, crate::knowledge::KnowledgeError> {
        let settings = &plan.settings;
        self.knowledge
            .find_public(
                settings.workspace,
                &settings.knowledge_bases,
                &plan.query(),
                Some(&plan.locale),
                PASSAGES + 4,
            )
            .await
    }

    /// The judge and the answer run side by side; sentences wait for the judge.
    async fn answer_and_judge(
        &self,
        plan: &Plan,
        set: &ModelSet,
        passages: Vec<PublicPassage>,
        out: &dyn Release,
        explained: &mut Explained,
        deadline: tokio::time::Instant,
    ) -> Produced {
        let judged = CancellationToken::new();
        let mut writing = Writing::new(passages.len());
        let mut answer_log = Vec::new();
        let (verdicts, answered) = {
            let judge = self.judge(plan, set);
            let answer =
                self.answer(plan, set, &passages, out, &judged, &mut writing, &mut answer_log);
            tokio::pin!(judge, answer);
            let mut verdicts = None;
            let answered = loop {
                tokio::select! {
                    biased;
                    () = out.stopped().cancelled() => break Written::Stopped,
                    () = tokio::time::sleep_until(deadline) => {
                        if verdicts.is_none() {
                            set.judge.kept_waiting(Task::Judge);
                        } else {
                            set.answer.kept_waiting(Task::Answer);
                        }
                        break Written::Failed(ModelError::Timeout);
                    }
                    spoken = &mut judge, if verdicts.is_none() => {
                        let clear = spoken.verdicts.as_ref().is_ok_and(|all| all.iter().all(|v| !v.fired));
                        verdicts = Some(spoken);
                        if !clear {
                            break Written::Moot;
                        }
                        judged.cancel();
                    }
                    written = &mut answer => break written,
                }
            };
            (verdicts, answered)
        };
        explained.calls.extend(answer_log);
        explained.prompt = writing.prompt.take();
        explained.prompt_version = writing.prompt_version.take();
        explained.model = writing.model.take();
        explained.shed = std::mem::take(&mut writing.shed);
        explained.add_usage(writing.usage);
        if !writing.raw.is_empty() {
            explained.output = Some(std::mem::take(&mut writing.raw));
        }
        if !writing.released.is_empty() {
            explained.released = Some(writing.released.clone());
        }
        explained.stages_ms.extend(writing.stages.drain(..));
        if let Some(spoken) = verdicts {
            explained.calls.extend(spoken.calls);
            explained.add_usage(spoken.usage);
            explained.stages_ms.insert("judge".to_owned(), spoken.ms);
            match spoken.verdicts {
                Err(error) => {
                    explained.error = Some(error.code().to_owned());
                    return Produced::HandOff {
                        reason: HandoffCode::JudgeFailed,
                        evidence: Evidence::default(),
                    };
                }
                Ok(verdicts) => {
                    explained.verdicts = verdicts.iter().map(ExplainedVerdict::from).collect();
                    if let Some(fired) = verdicts.into_iter().find(|v| v.fired) {
                        explained.error = Some("worded".to_owned());
                        return Produced::HandOff {
                            reason: HandoffCode::Worded,
                            evidence: Evidence {
                                condition: Some(fired.condition),
                                quote: fired.evidence,
                                message: fired.message,
                            },
                        };
                    }
                }
            }
        }
        self.conclude(plan, &passages, &writing, answered, explained)
    }

    fn conclude(
        &self,
        plan: &Plan,
        passages: &[PublicPassage],
        writing: &Writing,
        answered: Written,
        explained: &mut Explained,
    ) -> Produced {
        let cite = |numbers: &[usize]| -> Vec<Citation> {
            numbers
                .iter()
                .filter_map(|n| passages.get(n.checked_sub(1)?))
                .map(|passage| passage.citation())
                .collect()
        };
        let text = writing.released.trim_end().to_owned();
        let released = (!text.is_empty()).then(|| (text, cite(&writing.cited)));
        let quote = || Evidence {
            condition: None,
            quote: plan.unanswered.last().map(|m| m.text().to_owned()),
            message: plan.unanswered.last().map(crate::conversation::PublicMessage::id),
        };
        match answered {
            Written::Stopped | Written::Moot => Produced::Stopped,
            Written::Done(Parsed::Answer { text, cited }) => {
                Produced::Answered { text, citations: cite(&cited), still_unanswered: false }
            }
            Written::Done(Parsed::NoAnswer) => {
                explained.error = Some("no_answer".to_owned());
                self.cannot_answer(plan, HandoffCode::NoAnswer, quote(), released)
            }
            Written::Done(Parsed::Handoff { .. }) => {
                explained.error = Some("job_description".to_owned());
                self.cannot_answer(plan, HandoffCode::JobDescription, quote(), released)
            }
            Written::Done(Parsed::Empty) => {
                explained.error = Some("empty".to_owned());
                Produced::failed(HandoffCode::ModelFailed)
            }
            Written::Failed(error) => {
                explained.error = Some(error.code().to_owned());
                Produced::Failed {
                    reason: HandoffCode::ModelFailed,
                    evidence: Evidence::default(),
                    released,
                }
            }
        }
    }

    /// After a return the pending question is not handed off again: the AI says so and offers a person.
    /// Nor does what the visitor has read already vanish because the model thought better of it.
    fn cannot_answer(
        &self,
        plan: &Plan,
        reason: HandoffCode,
        evidence: Evidence,
        released: Option<(String, Vec<Citation>)>,
    ) -> Produced {
        let wanted = reason != HandoffCode::NoAnswer || plan.settings.conditions.no_answer;
        if wanted && !plan.is_return() {
            return match released {
                None => Produced::HandOff { reason, evidence },
                Some(_) => Produced::Failed { reason, evidence, released },
            };
        }
        Produced::Answered {
            text: catalogue::text(&plan.locale, "still_unanswered", ""),
            citations: Vec::new(),
            still_unanswered: true,
        }
    }
}

fn typed_conditions(plan: &Plan) -> Option<Produced> {
    let facts = conditions::Facts {
        unanswered: &plan.unanswered,
        evidence_after: plan.evidence_after,
        ai_turns: plan.ai_turns,
        failed_answers: plan.failed_answers,
    };
    let fired = conditions::evaluate(&plan.settings.conditions, &facts)?;
    let reason = match fired.code {
        FiredCode::AskedForPerson => HandoffCode::AskedForPerson,
        FiredCode::Phrase => HandoffCode::Phrase,
        FiredCode::FailedAnswers => HandoffCode::FailedAnswers,
        FiredCode::MaxTurns => HandoffCode::MaxTurns,
    };
    Some(Produced::HandOff {
        reason,
        evidence: Evidence {
            condition: fired.condition,
            quote: fired.evidence,
            message: fired.message_id,
        },
    })
}
