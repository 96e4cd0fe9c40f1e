//! What the knowledge routes take and answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::article::{Article, ArticleDraft, question_and_answer};
use super::{Audience, KnowledgeBase, Passage};
use crate::api::ApiError;
use crate::clock::Timestamp;
use crate::field;
use crate::ids::{ArticleId, ChunkId, KnowledgeBaseId};

/// The longest title, in characters.
const TITLE_MAX: usize = 200;
/// The longest question, in characters.
const QUESTION_MAX: usize = 500;
/// The largest text or answer, in bytes.
pub(super) const BODY_MAX: usize = 200 * 1024;

/// A set of articles that is searched together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KnowledgeBase)]
pub(super) struct BaseRow {
    id: KnowledgeBaseId,
    name: String,
    articles: u64,
    /// Retrievable pieces of its articles.
    chunks: u64,
    /// Raised by every change.
    revision: i64,
}

impl BaseRow {
    pub fn new(base: KnowledgeBase, chunks: u64) -> Self {
        let KnowledgeBase { id, name, articles, revision, .. } = base;
        Self { id, name, articles, chunks, revision }
    }
}

/// An article in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArticleRow)]
pub(super) struct ArticleRow {
    id: ArticleId,
    title: String,
    audience: Audience,
    locale: String,
    /// `folder`, `text` or `qa`.
    source: String,
    /// Where a visitor can read it.
    url: Option<String>,
    chunks: u64,
    updated_at: Timestamp,
}

/// An article with its words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Article)]
pub(super) struct ArticleAnswer {
    #[serde(flatten)]
    pub row: ArticleRow,
    /// The text, Markdown; of a question, its answer.
    pub body: String,
}

impl ArticleRow {
    pub fn new(article: Article, chunks: u64) -> Self {
        Self {
            id: article.id,
            title: article.title,
            audience: article.audience,
            locale: article.locale,
            source: article.source,
            url: article.url,
            chunks,
            updated_at: article.updated_at,
        }
    }
}

/// The source of an article made from a question.
const QUESTION: &str = "qa";
/// The source of an article that was pasted.
const TEXT: &str = "text";

/// How an article is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ArticleSource)]
pub(super) enum Source {
    /// With `title` and `body`, and a `url` where visitors can read it.
    Text,
    /// With `question` and `answer`.
    Qa,
}

/// An article as somebody hands it in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ArticleInput {
    source: Source,
    /// Of a text: at most 200 characters.
    title: Option<String>,
    /// Of a text: Markdown, at most 200 kB.
    body: Option<String>,
    /// Of a question: at most 500 characters.
    question: Option<String>,
    /// Of a question: Markdown, at most 200 kB.
    answer: Option<String>,
    audience: Audience,
    /// Such as `en` or `id`.
    locale: String,
    /// Of a text: where a visitor can read it.
    url: Option<String>,
}

fn body(name: &str, value: &str) -> Result<(), ApiError> {
    if value.trim().is_empty() {
        return Err(ApiError::invalid(name, "Must not be empty."));
    }
    if value.len() > BODY_MAX {
        return Err(ApiError::too_large(name, "Must be at most 200 kB: split it."));
    }
    Ok(())
}

impl ArticleInput {
    pub const fn source(&self) -> &'static str {
        match self.source {
            Source::Text => TEXT,
            Source::Qa => QUESTION,
        }
    }

    pub fn draft(self) -> Result<ArticleDraft, ApiError> {
        let Self { source, title, body: words, question, answer, audience, locale, url } = self;
        let locale = field::locale("locale", &locale)?;
        let draft = match source {
            Source::Text => {
                unused(&[("question", &question), ("answer", &answer)])?;
                let title = field::line("title", &title.unwrap_or_default(), TITLE_MAX)?;
                let words = words.unwrap_or_default();
                body("body", &words)?;
                ArticleDraft { title, body: words, audience, locale, url, updated: None }
            }
            Source::Qa => {
                unused(&[("title", &title), ("body", &words), ("url", &url)])?;
                let question =
                    field::line("question", &question.unwrap_or_default(), QUESTION_MAX)?;
                let answer = answer.unwrap_or_default();
                body("answer", &answer)?;
                question_and_answer(&question, &answer, audience, &locale)
            }
        };
        Ok(draft.checked()?)
    }
}

/// Fields that the other source has.
fn unused(fields: &[(&'static str, &Option<String>)]) -> Result<(), ApiError> {
    match fields.iter().find(|(_, value)| value.is_some()) {
        Some((name, _)) => Err(ApiError::invalid(*name, "Does not belong to this source.")),
        None => Ok(()),
    }
}

/// What an agent edits: of a question, the answer without the heading that repeats it.
pub(super) fn editable(article: &Article) -> String {
    let heading = article.body.strip_prefix("## ").and_then(|rest| rest.split_once("\n\n"));
    match heading {
        Some((_, answer)) if article.source == QUESTION => answer.to_owned(),
        _ => article.body.clone(),
    }
}

/// A passage that the trial search found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FoundPassage)]
pub(super) struct Found {
    chunk_id: ChunkId,
    article_id: ArticleId,
    title: String,
    /// The heading path within the article.
    section: Option<String>,
    text: String,
    /// How well it fits; comparable within one search only.
    score: f64,
    /// Whether the AI would answer from it.
    above_floor: bool,
}

impl From<&Passage> for Found {
    fn from(passage: &Passage) -> Self {
        Self {
            chunk_id: passage.chunk_id,
            article_id: passage.article_id,
            title: passage.title.clone(),
            section: passage.section.clone(),
            text: passage.text.clone(),
            score: passage.score,
            above_floor: passage.kept,
        }
    }
}
