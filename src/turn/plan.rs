//! What a turn works on: the published configuration, the visitor's words, what was said before. Pure.

use crate::conditions::Conditions;
use crate::conversation::{Conversation, Message, PublicMessage, ReturnNote, Speaker};
use crate::ids::{AssistantId, KnowledgeBaseId, WorkspaceId};
use crate::turn::prompt::Persona;

/// How many of the last messages a turn looks at; older ones are for the summary.
pub const HISTORY_MESSAGES: u32 = 80;

/// The assistant's published configuration, as far as a turn needs it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which assistant.
    pub assistant: AssistantId,
    /// Which version of its configuration.
    pub version: u64,
    /// Name, tone, job description, languages.
    pub persona: Persona,
    /// Where it may look.
    pub knowledge_bases: Vec<KnowledgeBaseId>,
    /// When a human is needed.
    pub conditions: Conditions,
    /// Which models play it: `default`, `built-in`, or a configured name.
    pub model: String,
}

/// What one turn works on.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The configuration.
    pub settings: Settings,
    /// The visitor's language.
    pub locale: String,
    /// The visitor's messages to answer, oldest first.
    pub unanswered: Vec<PublicMessage>,
    /// What was said before them, oldest first.
    pub history: Vec<PublicMessage>,
    /// What the agent told the assistant at the last return.
    pub note: Option<ReturnNote>,
    /// What was said up to this seq is input, never evidence.
    pub evidence_after: u64,
    /// Assistant replies in this episode or since the return.
    pub ai_turns: u32,
    /// Of those, failures in a row.
    pub failed_answers: u32,
}

impl Plan {
    /// The plan for a conversation whose turn reads the visitor's messages from `from` to `through`.
    #[must_use]
    pub fn new(
        settings: Settings,
        locale: &str,
        c: &Conversation,
        through: u64,
        thread: &[Message],
    ) -> Self {
        let from = c.unanswered.map_or(u64::MAX, |mark| mark.seq);
        let public = thread.iter().filter(|m| m.seq <= through).filter_map(PublicMessage::of);
        let (unanswered, history) =
            public.partition(|m| *m.speaker() == Speaker::Visitor && m.seq() >= from);
        let note = c
            .returned
            .and_then(|r| r.note)
            .and_then(|id| thread.iter().find(|m| m.id == id))
            .and_then(ReturnNote::of);
        Self {
            settings,
            locale: locale.to_owned(),
            unanswered,
            history,
            note,
            evidence_after: c.evidence_after(),
            ai_turns: c.ai_turns,
            failed_answers: c.failed_answers,
        }
    }

    /// Whether everything to answer was said before the last return: it may be answered, but not handed off again.
    #[must_use]
    pub fn is_return(&self) -> bool {
        self.evidence_after > 0 && self.unanswered.iter().all(|m| m.seq() <= self.evidence_after)
    }

    /// The messages that may be evidence for a condition.
    #[must_use]
    pub fn evidence(&self) -> Vec<PublicMessage> {
        self.unanswered.iter().filter(|m| m.seq() > self.evidence_after).cloned().collect()
    }

    /// What to search the knowledge for: the visitor's unanswered words.
    #[must_use]
    pub fn query(&self) -> String {
        let words: Vec<&str> = self.unanswered.iter().map(PublicMessage::text).collect();
        words.join("\n")
    }
}
