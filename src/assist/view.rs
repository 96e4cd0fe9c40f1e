//! What agents are shown: artifacts and their contents, as stored and as sent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::prompt::{Brief, Summary};
use crate::clock::Timestamp;
use crate::ids::{ArtifactId, MessageId};
use crate::knowledge::{Audience, Citation};

/// What kind of help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ArtifactKind)]
pub enum Kind {
    /// What an agent must know before taking over.
    Brief,
    /// The conversation in a few sentences.
    Summary,
    /// Replies that an agent could send.
    Suggestions,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Brief, Self::Summary, Self::Suggestions];

    /// The stored name, also of the job that makes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brief => "brief",
            Self::Summary => "summary",
            Self::Suggestions => "suggestions",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Where an artifact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ArtifactState)]
pub enum State {
    /// It is being made.
    Pending,
    /// Here it is.
    Ready,
    /// It could not be made.
    Failed,
}

impl State {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// Who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ArtifactSource)]
pub enum Source {
    /// A language model.
    Model,
    /// Nobody: it is put together from the visitor's own words and from passages.
    Extractive,
}

impl Source {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Extractive => "extractive",
        }
    }

    /// The source of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Model, Self::Extractive].into_iter().find(|source| source.as_str() == name)
    }
}

/// What became of a suggested reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SuggestionFate)]
pub enum Fate {
    /// An agent put it into the composer.
    Inserted,
    /// An agent put it aside.
    Dismissed,
    /// It was sent, changed or not.
    Sent,
}

impl Fate {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Dismissed => "dismissed",
            Self::Sent => "sent",
        }
    }
}

/// A message that a brief rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BriefRef)]
pub struct Ref {
    /// The message.
    pub message_id: MessageId,
}

/// A brief with the messages it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BriefContent {
    /// The brief.
    #[serde(flatten)]
    pub brief: Brief,
    /// The visitor's messages it rests on.
    pub refs: Vec<Ref>,
}

/// A suggested reply with its sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SuggestedReply)]
pub struct Reply {
    /// The words, ready to send.
    pub text: String,
    /// What they rest on. A citation of internal knowledge warns the agent to check the words before sending them.
    pub citations: Vec<Citation>,
}

impl Reply {
    /// Whether it rests on knowledge that is for agents only.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.citations.iter().any(|citation| citation.audience == Audience::Internal)
    }
}

/// Suggested replies, the best one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SuggestionsContent {
    /// At most three.
    pub replies: Vec<Reply>,
}

/// What an artifact holds, by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ArtifactContent)]
pub enum Content {
    /// Of a brief.
    Brief(BriefContent),
    /// Of suggestions.
    Suggestions(SuggestionsContent),
    /// Of a summary.
    Summary(Summary),
}

/// Help for agents about one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Artifact {
    /// Its id.
    pub id: ArtifactId,
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// Up to which event of the conversation it knows.
    pub at_seq: u64,
    /// Something was said or decided since.
    pub stale: bool,
    /// Who made it; null until it is made.
    pub source: Option<Source>,
    /// When it was made, or ordered.
    pub created_at: Timestamp,
    /// What it holds; null until it is made.
    pub content: Option<Content>,
}

/// The newest help of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Assist {
    /// What an agent must know before taking over.
    pub brief: Option<Artifact>,
    /// The conversation in a few sentences.
    pub summary: Option<Artifact>,
    /// Replies that an agent could send.
    pub suggestions: Option<Artifact>,
}

impl Assist {
    pub(super) fn place(&mut self, kind: Kind) -> &mut Option<Artifact> {
        match kind {
            Kind::Brief => &mut self.brief,
            Kind::Summary => &mut self.summary,
            Kind::Suggestions => &mut self.suggestions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_read_back_as_their_kind() {
        for (text, kind) in [
            (
                r#"{"wants":"a","tried":[],"mood":"calm","open_question":"","next_step":"","refs":[]}"#,
                Kind::Brief,
            ),
            (r#"{"replies":[{"text":"a","citations":[]}]}"#, Kind::Suggestions),
            (r#"{"text":"a"}"#, Kind::Summary),
        ] {
            let content: Content = serde_json::from_str(text).expect("reads");
            let read = match &content {
                Content::Brief(_) => Kind::Brief,
                Content::Suggestions(_) => Kind::Suggestions,
                Content::Summary(_) => Kind::Summary,
            };
            assert_eq!(read, kind);
            assert_eq!(serde_json::to_string(&content).expect("writes"), text);
        }
    }
}
