//! Passages: retrieved chunks with their score. Public and internal ones are different types (law 7).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::index::Reader;
use crate::ids::{ArticleId, ChunkId};

/// Who may read an article.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The AI may tell visitors.
    Public,
    /// Agents only.
    Internal,
}

impl Audience {
    /// The stored name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
        }
    }
}

impl std::str::FromStr for Audience {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "public" => Ok(Self::Public),
            "internal" => Ok(Self::Internal),
            other => Err(format!("unknown audience `{other}`")),
        }
    }
}

/// Where an answer comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Citation {
    /// The article.
    pub article_id: ArticleId,
    /// The passage within it.
    pub chunk_id: ChunkId,
    /// The article's title.
    pub title: String,
    /// The heading path within the article.
    pub section: Option<String>,
    /// Where a visitor can read it.
    pub url: Option<String>,
    /// Whether visitors may see it.
    pub audience: Audience,
}

/// A retrieved chunk, whoever may read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its article.
    pub article_id: ArticleId,
    /// The article's title.
    pub title: String,
    /// The heading path within the article.
    pub section: Option<String>,
    /// Where a visitor can read it.
    pub url: Option<String>,
    /// Who may read it.
    pub audience: Audience,
    /// The words.
    pub text: String,
    /// How well it fits, higher is better; comparable within one search only.
    pub score: f64,
    /// Whether it is good enough to count as an answer.
    pub kept: bool,
    /// Why it was kept or dropped, in words.
    pub why: String,
}

impl Passage {
    /// The citation that points at it.
    #[must_use]
    pub fn citation(&self) -> Citation {
        Citation {
            article_id: self.article_id,
            chunk_id: self.chunk_id,
            title: self.title.clone(),
            section: self.section.clone(),
            url: self.url.clone(),
            audience: self.audience,
        }
    }
}

/// A passage that visitors may be told. The only kind a visitor-facing prompt can hold.
///
/// ```compile_fail
/// fn leak(internal: baton::knowledge::Passage) -> baton::knowledge::PublicPassage {
///     baton::knowledge::PublicPassage(internal)
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PublicPassage(Passage);

impl PublicPassage {
    /// The public view; `None` if the passage is for agents only.
    #[must_use]
    pub fn of(passage: Passage) -> Option<Self> {
        Reader::Visitor.may_read(passage.audience).then_some(Self(passage))
    }
}

impl std::ops::Deref for PublicPassage {
    type Target = Passage;
    fn deref(&self) -> &Passage {
        &self.0
    }
}
