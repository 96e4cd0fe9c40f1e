//! From a plan to an outcome: conditions, retrieval, the judge and the answer, streamed sentence by sentence.
//!
//! Invariants: a sentence is released only after the judge has spoken; after the first released sentence nothing is tried
//! again; whatever cannot be finished ends as a handoff with its reason. Nothing here reads or writes a conversation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use super::record::{Explained, ExplainedCall, ExplainedPassage, ExplainedVerdict, millis};
use crate::clock::Clock;
use crate::conditions::{self, FiredCode};
use crate::conversation::{Evidence, HandoffCode};
use crate::knowledge::{Citation, Knowledge, PublicPassage, Searched};
use crate::model::prompt::Prompts;
use crate::model::{ChatModel, ChatRequest, Delta, ModelError, ModelKind, ModelSet, Models, Task};
use crate::text::catalogue;
use crate::turn::prompt::{
    ANSWER_TOKENS, AnswerParser, AnswerPrompt, JUDGE_TOKENS, JudgePrompt, Outcome as Parsed, Scene,
    Verdict,
};

/// Passages that a prompt holds at most.
const PASSAGES: usize = 6;
/// Tries of the answer on the first model before the fallback is asked.
const TRIES: u32 = 2;
/// Wait before the second try, unless the server names a time.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// The longest wait for a rate-limited server within a turn; one that asks for more is not asked again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3);
/// The longest silence of a stream before it counts as stalled.
const STALL: Duration = Duration::from_secs(10);

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

    async fn judge(&self, plan: &Plan, set: &ModelSet) -> Spoken {
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

    #[expect(
        clippy::too_many_arguments,
        reason = "one borrow each for what a stream reads and fills"
    )]
    async fn answer(
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

/// What the judge said, and what it took.
struct Spoken {
    verdicts: Result<Vec<Verdict>, ModelError>,
    calls: Vec<ExplainedCall>,
    usage: Option<crate::model::Usage>,
    ms: f64,
}

/// How the writing of an answer ended.
enum Written {
    Done(Parsed),
    Failed(ModelError),
    Stopped,
    /// The judge decided otherwise.
    Moot,
}

/// An answer being written.
struct Writing {
    parser: AnswerParser,
    waiting: Vec<String>,
    index: u32,
    released: String,
    cited: Vec<usize>,
    raw: String,
    usage: Option<crate::model::Usage>,
    model: Option<String>,
    prompt: Option<Vec<crate::model::ChatMessage>>,
    prompt_version: Option<String>,
    shed: super::record::ExplainedShed,
    stages: Vec<(String, f64)>,
    started: Instant,
}

impl Writing {
    fn new(passages: usize) -> Self {
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
            shed: super::record::ExplainedShed::default(),
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
