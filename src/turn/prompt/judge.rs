//! The prompt that decides worded conditions, and the reading of its verdicts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Said, Scene, Shed, fit, line, newest_first, question};
use crate::conditions::{WordedCondition, fold};
use crate::conversation::{PublicMessage, ReturnNote};
use crate::ids::MessageId;
use crate::model::prompt::{PromptContext, PromptError, Prompts, Rendered};
use crate::model::tokens::{Left, TokenBudget};
use crate::model::{ChatRequest, Material, ModelError, Task, json};

/// How many tokens the verdicts may have; see [`super::ANSWER_TOKENS`] for why so many.
pub const JUDGE_TOKENS: u32 = 1_500;

/// The prompt that asks which worded conditions have come true. It can hold public messages and a return note, nothing
/// else.
///
/// ```
/// use baton::{conversation::*, turn::prompt::JudgePrompt};
/// fn fits(p: JudgePrompt, m: PublicMessage, n: ReturnNote) -> JudgePrompt {
///     p.with_earlier(vec![m]).with_note(Some(n))
/// }
/// ```
///
/// A stored message, which may be a private note, does not fit:
/// ```compile_fail,E0308
/// use baton::{conversation::*, turn::prompt::JudgePrompt};
/// fn leak(p: JudgePrompt, m: Message) -> JudgePrompt { p.with_earlier(vec![m]) }
/// ```
/// ```compile_fail,E0308
/// use baton::{conversation::*, turn::prompt::{JudgePrompt, Scene}};
/// fn leak(s: Scene, m: Message) -> JudgePrompt { JudgePrompt::new(s, vec![], vec![m]) }
/// ```
#[derive(Debug, Clone)]
pub struct JudgePrompt {
    scene: Scene,
    conditions: Vec<WordedCondition>,
    unanswered: Vec<PublicMessage>,
    earlier: Vec<PublicMessage>,
    note: Option<ReturnNote>,
}

/// What was decided about one worded condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The condition's configured name.
    pub condition: String,
    /// Whether it has come true.
    pub fired: bool,
    /// Whether anything was decided at all; false without a model.
    pub judged: bool,
    /// The visitor's words that show it.
    pub evidence: Option<String>,
    /// Whether those words were found in a message; if not, the evidence is the whole last message.
    pub evidence_verified: bool,
    /// The message they stand in.
    pub message: Option<MessageId>,
}

impl JudgePrompt {
    /// A prompt to judge these messages, oldest first: all unanswered words of the visitor since the last return.
    #[must_use]
    pub fn new(
        scene: Scene,
        conditions: Vec<WordedCondition>,
        unanswered: Vec<PublicMessage>,
    ) -> Self {
        Self { scene, conditions, unanswered, earlier: Vec::new(), note: None }
    }

    /// What was said before, oldest first. It explains; it is never evidence.
    #[must_use]
    pub fn with_earlier(mut self, earlier: Vec<PublicMessage>) -> Self {
        self.earlier = earlier;
        self
    }

    /// What the agent told the assistant when handing back.
    #[must_use]
    pub fn with_note(mut self, note: Option<ReturnNote>) -> Self {
        self.note = note;
        self
    }

    /// The request, fitted into the budget, and what did not fit.
    ///
    /// # Errors
    /// [`PromptError`] if an overridden template cannot render this.
    pub fn request(
        &self,
        prompts: &Prompts,
        budget: &TokenBudget,
    ) -> Result<(ChatRequest, Shed), PromptError> {
        let (view, rendered, shed) = self.fitted(prompts, budget)?;
        let shown = self.earlier.len() - view.earlier.len();
        let earlier = self.earlier.iter().skip(shown).map(|message| line(message, false));
        let unanswered = self.unanswered.iter().map(|message| line(message, true));
        let material = Material {
            question: question(&self.unanswered),
            locale: self.scene.locale.clone(),
            transcript: earlier.chain(unanswered).collect(),
            note: view.note.clone(),
            conditions: view.conditions.iter().map(|condition| condition.key.clone()).collect(),
            ..Material::default()
        };
        let request = ChatRequest {
            task: Task::Judge,
            messages: rendered.into_messages(),
            schema: prompts.schema(Task::Judge),
            max_output_tokens: JUDGE_TOKENS,
            temperature: 0.0,
            material: Arc::new(material),
        };
        Ok((request, shed))
    }

    fn fitted(
        &self,
        prompts: &Prompts,
        budget: &TokenBudget,
    ) -> Result<(JudgeView, Rendered, Shed), PromptError> {
        let whole = self.view();
        let rendered = prompts.render(&whole)?;
        if budget.surely_fits(&[&rendered.system, &rendered.context]) {
            return Ok((whole, rendered, Shed::default()));
        }
        // Part by part: most parts were counted in an earlier turn, the whole never.
        let mut view = JudgeView { earlier: Vec::new(), unanswered: Vec::new(), ..whole.clone() };
        let bare = prompts.render(&view)?;
        let room =
            budget.limit().saturating_sub(budget.cost(&bare.system) + budget.cost(&bare.context));
        view.unanswered = whole.unanswered;
        let truncated = fit::truncate(&mut view.unanswered, room, budget);
        let mut left = Left::after(budget, &[&bare.system, &bare.context]);
        left.spend(view.unanswered.iter().map(|said| said.text.as_str()));
        let kept = left.take_newest(newest_first(&whole.earlier));
        let shed = whole.earlier.len() - kept;
        view.earlier = whole.earlier[shed..].to_vec();
        let messages = self.earlier.iter().take(shed).map(PublicMessage::id).collect();
        let rendered = prompts.render(&view)?;
        Ok((view, rendered, Shed { passages: Vec::new(), messages, truncated }))
    }

    fn view(&self) -> JudgeView {
        JudgeView {
            conditions: (1..)
                .zip(&self.conditions)
                .map(|(number, condition)| ConditionView {
                    key: format!("c{number}"),
                    name: condition.name.clone(),
                    text: condition.text.clone(),
                })
                .collect(),
            earlier: self.earlier.iter().map(Said::of).collect(),
            note: self.note.as_ref().map(|note| note.text().to_owned()),
            unanswered: self.unanswered.iter().map(Said::of).collect(),
        }
    }

    /// Reads the verdicts: exactly one for each condition, in the order of the conditions.
    ///
    /// # Errors
    /// [`ModelError::BadResponse`] if the text is anything else.
    pub fn parse(&self, text: &str) -> Result<Vec<Verdict>, ModelError> {
        let output: Output = json::parse_object(text)?;
        if output.verdicts.len() != self.conditions.len() {
            return Err(ModelError::BadResponse { why: "not one verdict for each condition" });
        }
        (1..)
            .zip(&self.conditions)
            .map(|(number, condition)| {
                let key = format!("c{number}");
                let found = output.verdicts.iter().find(|verdict| verdict.condition == key);
                let found = found
                    .ok_or(ModelError::BadResponse { why: "a condition without a verdict" })?;
                Ok(self.verdict(condition, found))
            })
            .collect()
    }

    fn verdict(&self, condition: &WordedCondition, output: &OutputVerdict) -> Verdict {
        let mut verdict = Verdict {
            condition: condition.name.clone(),
            fired: output.fired,
            judged: output.judged,
            evidence: None,
            evidence_verified: false,
            message: None,
        };
        if !output.fired {
            return verdict;
        }
        let quoted =
            output.evidence.trim().trim_matches(['"', '“', '”', '\'', '«', '»', '…']).trim();
        let wanted = squeezed(quoted);
        let source = self
            .unanswered
            .iter()
            .find(|message| !wanted.is_empty() && squeezed(message.text()).contains(&wanted));
        verdict.evidence_verified = source.is_some();
        if let Some(message) = source {
            verdict.evidence = Some(quoted.to_owned());
            verdict.message = Some(message.id());
        } else if let Some(last) = self.unanswered.last() {
            verdict.evidence = Some(last.text().to_owned());
            verdict.message = Some(last.id());
        }
        verdict
    }
}

/// Folded, with single spaces.
fn squeezed(text: &str) -> String {
    fold(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize)]
struct Output {
    verdicts: Vec<OutputVerdict>,
}

#[derive(Deserialize)]
struct OutputVerdict {
    condition: String,
    fired: bool,
    #[serde(default)]
    evidence: String,
    /// Not in the schema: the built-in answerer says so when it did not judge.
    #[serde(default = "yes")]
    judged: bool,
}

fn yes() -> bool {
    true
}

/// What the templates see.
#[derive(Debug, Clone, Serialize)]
pub(super) struct JudgeView {
    conditions: Vec<ConditionView>,
    earlier: Vec<Said>,
    note: Option<String>,
    unanswered: Vec<Said>,
}

#[derive(Debug, Clone, Serialize)]
struct ConditionView {
    key: String,
    name: String,
    text: String,
}

impl PromptContext for JudgeView {
    const TASK: Task = Task::Judge;

    fn samples() -> Vec<Self> {
        let plain = Self {
            conditions: vec![ConditionView {
                key: "c1".into(),
                name: "Cancel".into(),
                text: "The visitor wants to cancel a subscription.".into(),
            }],
            earlier: Vec::new(),
            note: None,
            unanswered: vec![Said::sample("visitor", None, "Please end my plan.")],
        };
        let full = Self {
            conditions: vec![
                plain.conditions[0].clone(),
                ConditionView {
                    key: "c2".into(),
                    name: "Allergy \"risk\"".into(),
                    text: "The visitor reports an allergic reaction. <<<end>>>".into(),
                },
            ],
            earlier: vec![Said::sample("agent", Some("Sari"), "Your plan ends in May.")],
            note: Some("Cancelled for May.".into()),
            unanswered: vec![
                Said::sample("visitor", Some("Ann"), "Thanks."),
                Said::sample("visitor", Some("Ann"), "Is May the last invoice?"),
            ],
        };
        vec![plain, full]
    }
}
