//! What the templates for agents see, and how it is fitted into a token budget.

use serde::Serialize;

use crate::conversation::{Actor, Message, MessageKind};
use crate::knowledge::{Audience, Passage};
use crate::model::prompt::{PromptContext, PromptError, Prompts};
use crate::model::tokens::{Left, TokenBudget};
use crate::model::{Line, MaterialPassage, Task, Tone};

/// A conversation as agents know it, notes included; system notices left out.
#[derive(Debug, Clone)]
pub(super) struct Transcript {
    pub lines: Vec<Line>,
}

impl Transcript {
    /// Visitor messages behind the last public reply count as unanswered.
    pub fn of(messages: &[Message]) -> Self {
        let is_reply = |message: &Message| {
            message.kind == MessageKind::Text
                && message.public_seq.is_some()
                && matches!(message.author, Actor::Assistant(_) | Actor::Agent(_))
        };
        let answered =
            messages.iter().filter(|message| is_reply(message)).map(|message| message.seq).max();
        let lines = messages.iter().filter_map(|message| {
            let speaker = match (message.kind, message.author) {
                (MessageKind::Text, Actor::System) | (MessageKind::Notice, _) => return None,
                (MessageKind::Text, author) => author.kind(),
                (MessageKind::Note, _) => "note",
                (MessageKind::ReturnNote, _) => "return_note",
            };
            let mut sources: Vec<String> =
                message.citations.iter().map(|citation| citation.title.clone()).collect();
            sources.dedup();
            Some(Line {
                speaker,
                name: message.author_name.clone(),
                text: message.text.clone(),
                message: Some(message.id),
                unanswered: speaker == "visitor" && answered.is_none_or(|seq| message.seq > seq),
                sources,
            })
        });
        Self { lines: lines.collect() }
    }

    /// The visitor's unanswered words, one message a line.
    pub fn question(&self) -> String {
        let words: Vec<&str> = self
            .lines
            .iter()
            .filter(|line| line.unanswered)
            .map(|line| line.text.as_str())
            .collect();
        words.join("\n")
    }
}

/// A prompt context that is filled with as much of a conversation as fits.
pub(super) trait View: PromptContext {
    /// Replaces what it holds.
    fn fill(&mut self, transcript: Vec<Line>, passages: Vec<MaterialPassage>);
}

/// Fills a view: everything if it fits, else passages by rank, then the newest messages.
pub(super) fn fitted<V: View>(
    prompts: &Prompts,
    budget: &TokenBudget,
    mut view: V,
    transcript: &Transcript,
    passages: &[Passage],
) -> Result<V, PromptError> {
    let passages = material_passages(passages);
    view.fill(transcript.lines.clone(), passages.clone());
    let whole = prompts.render(&view)?;
    if budget.fits(&[&whole.system, &whole.context]) {
        return Ok(view);
    }
    view.fill(Vec::new(), Vec::new());
    let bare = prompts.render(&view)?;
    let fixed = [bare.system.as_str(), bare.context.as_str()];
    // A third of the room is for passages, so that neither can push the other out.
    let third = TokenBudget::share_of(budget, &fixed, 3);
    let mut left = Left::after(&third, &fixed);
    let mut kept = passages;
    kept.retain(|passage| left.take(&passage.text));
    let texts: Vec<&str> =
        fixed.into_iter().chain(kept.iter().map(|passage| passage.text.as_str())).collect();
    let mut left = Left::after(budget, &texts);
    let newest = left.take_newest(transcript.lines.iter().rev().map(|line| line.text.as_str()));
    let from = transcript.lines.len() - newest.max(1).min(transcript.lines.len());
    view.fill(transcript.lines[from..].to_vec(), kept);
    Ok(view)
}

pub(super) fn material_passages(passages: &[Passage]) -> Vec<MaterialPassage> {
    (1..)
        .zip(passages)
        .map(|(number, passage)| MaterialPassage {
            number,
            title: passage.title.clone(),
            section: passage.section.clone(),
            text: passage.text.clone(),
            internal: passage.audience == Audience::Internal,
        })
        .collect()
}

/// What the brief's templates see.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BriefView {
    locale: String,
    reason: Option<String>,
    transcript: Vec<Line>,
}

impl BriefView {
    pub fn new(locale: &str, reason: Option<&str>) -> Self {
        let reason = reason.map(str::to_owned);
        Self { locale: locale.to_owned(), reason, transcript: Vec::new() }
    }
}

impl View for BriefView {
    fn fill(&mut self, transcript: Vec<Line>, _: Vec<MaterialPassage>) {
        self.transcript = transcript;
    }
}

impl PromptContext for BriefView {
    const TASK: Task = Task::Brief;

    fn samples() -> Vec<Self> {
        let mut plain = Self::new("en", None);
        plain.transcript = vec![sample("visitor", None, "Hello?", true)];
        let mut full = Self::new("id", Some("Asked for a person: \"orang dong\""));
        full.transcript = sample_transcript();
        vec![Self::new("en", None), plain, full]
    }
}

/// What the summary's templates see.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SummaryView {
    locale: String,
    transcript: Vec<Line>,
}

impl SummaryView {
    pub fn new(locale: &str) -> Self {
        Self { locale: locale.to_owned(), transcript: Vec::new() }
    }
}

impl View for SummaryView {
    fn fill(&mut self, transcript: Vec<Line>, _: Vec<MaterialPassage>) {
        self.transcript = transcript;
    }
}

impl PromptContext for SummaryView {
    const TASK: Task = Task::Summary;

    fn samples() -> Vec<Self> {
        let mut full = Self::new("id");
        full.transcript = sample_transcript();
        vec![Self::new("en"), full]
    }
}

/// What the suggestions' templates see.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SuggestView {
    locale: String,
    tone: Tone,
    agent: Option<String>,
    transcript: Vec<Line>,
    passages: Vec<MaterialPassage>,
}

impl SuggestView {
    pub fn new(locale: &str, tone: Tone, agent: Option<&str>) -> Self {
        Self {
            locale: locale.to_owned(),
            tone,
            agent: agent.map(str::to_owned),
            transcript: Vec::new(),
            passages: Vec::new(),
        }
    }
}

impl View for SuggestView {
    fn fill(&mut self, transcript: Vec<Line>, passages: Vec<MaterialPassage>) {
        self.transcript = transcript;
        self.passages = passages;
    }
}

impl PromptContext for SuggestView {
    const TASK: Task = Task::Suggest;

    fn samples() -> Vec<Self> {
        let mut full = Self::new("id", Tone::Formal, Some("Sari"));
        full.transcript = sample_transcript();
        full.passages = vec![
            MaterialPassage {
                number: 1,
                title: "Refunds".into(),
                section: Some("Limits".into()),
                text: "Refunds above Rp500.000 need a manager.".into(),
                internal: true,
            },
            MaterialPassage {
                number: 2,
                title: "Refunds".into(),
                section: None,
                text: "Refunds take five working days.".into(),
                internal: false,
            },
        ];
        vec![Self::new("en", Tone::Friendly, None), full]
    }
}

fn sample(speaker: &'static str, name: Option<&str>, text: &str, unanswered: bool) -> Line {
    Line {
        speaker,
        name: name.map(str::to_owned),
        text: text.to_owned(),
        unanswered,
        ..Line::default()
    }
}

fn sample_transcript() -> Vec<Line> {
    vec![
        sample("visitor", Some("Budi"), "Kapan refund saya masuk?", false),
        Line {
            sources: vec!["Refunds".into(), "Payment".into()],
            ..sample("assistant", Some("Mira"), "Dalam lima hari kerja.", false)
        },
        sample("note", Some("Sari"), "He is a regular. <<<end>>> Be nice.", false),
        sample("return_note", Some("Sari"), "Approved, three days.", false),
        sample("visitor", Some("Budi"), "Sudah seminggu! Mana orangnya?", true),
    ]
}
