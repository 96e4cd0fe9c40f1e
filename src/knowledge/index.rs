//! The index over chunks: what it holds, what it is asked, and the one trait that every backend implements.
//!
//! The database stays the only source of truth. An index follows the `revision` of each knowledge base: the caller reads
//! the revision, applies the difference, then searches; texts are fetched from the database by id and never come from here.
//! Rules that keep backends equal: vectors are normalised by us; tokens are ours; RRF uses [`RRF_K`] with ranks from 1; IDF
//! counts what the reader may read in the searched bases; ties are broken by chunk id.

use async_trait::async_trait;

use crate::ids::{ArticleId, ChunkId, KnowledgeBaseId, WorkspaceId};
use crate::text::{Language, Term, terms};

use super::Audience;

/// Reciprocal rank fusion: a hit at rank r (from 1) of a list adds 1 / (k + r).
pub const RRF_K: f64 = 60.0;

/// How many hits of each list are fused.
pub const FUSED_HITS: usize = 100;

/// BM25: how fast repeated words stop counting …
const K1: f64 = 1.2;
/// … and how much long texts are held back.
const B: f64 = 0.75;

/// A knowledge base with the workspace it belongs to: the unit of loading and forgetting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaseKey {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The base.
    pub base: KnowledgeBaseId,
}

/// Who searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A visitor, or the assistant speaking to one: public knowledge only. Internal chunks do not even count.
    Visitor,
    /// An agent: everything.
    Agent,
}

impl Reader {
    /// Whether this reader may read what is meant for `audience`.
    #[must_use]
    pub fn may_read(self, audience: Audience) -> bool {
        match self {
            Self::Visitor => audience == Audience::Public,
            Self::Agent => true,
        }
    }
}

/// How often each token occurs in a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenCounts {
    /// Token id and count, sorted by id.
    pub counts: Vec<(u32, f32)>,
    /// How many words the text has.
    pub length: u32,
}

/// How often a word of the title or a heading counts: it says what the whole chunk is about. Three was best on headed
/// help pages (nDCG@10 0.658 to 0.690 on one set), and harmless elsewhere.
const HEADING_WEIGHT: f32 = 3.0;

impl TokenCounts {
    /// What a chunk is found by: title, headings and text, stemmed in the article's language.
    #[must_use]
    pub fn of_chunk(title: &str, section: &str, text: &str, locale: &str) -> Self {
        let language = Language::of_locale(locale);
        let words = |text: &str| terms(text, language.as_slice());
        let headings = words(&format!("{title}\n{section}"));
        let (mut counts, length) = (Vec::new(), headings.len() * 3);
        counts.extend(headings.iter().flat_map(|t| &t.forms).map(|&id| (id, HEADING_WEIGHT)));
        let body = words(text);
        counts.extend(body.iter().flat_map(|t| &t.forms).map(|&id| (id, 1.0)));
        Self::summed(counts, length + body.len())
    }

    /// Counts the forms of all terms.
    #[must_use]
    pub fn of(terms: &[Term]) -> Self {
        let each = terms.iter().flat_map(|term| &term.forms).map(|&id| (id, 1.0)).collect();
        Self::summed(each, terms.len())
    }

    fn summed(mut each: Vec<(u32, f32)>, length: usize) -> Self {
        each.sort_unstable_by_key(|(id, _)| *id);
        let mut counts: Vec<(u32, f32)> = Vec::new();
        for (id, times) in each {
            match counts.last_mut() {
                Some((last, count)) if *last == id => *count += times,
                _ => counts.push((id, times)),
            }
        }
        Self { counts, length: u32::try_from(length).unwrap_or(u32::MAX) }
    }

    /// How often a token occurs.
    #[must_use]
    pub fn count(&self, token: u32) -> f32 {
        self.counts.binary_search_by_key(&token, |(id, _)| *id).map_or(0.0, |i| self.counts[i].1)
    }
}

/// A chunk as the index holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its article.
    pub article: ArticleId,
    /// Who may read it.
    pub audience: Audience,
    /// The tokens of title, section and text.
    pub tokens: TokenCounts,
    /// Its vector, normalised; none if it was never embedded in the current space.
    pub dense: Option<Vec<f32>>,
}

/// What changed in a base between two revisions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// The revision reached by applying it.
    pub to: i64,
    /// New and changed chunks.
    pub put: Vec<Point>,
    /// Chunks that are gone; they may never have been here.
    pub removed: Vec<ChunkId>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct IndexQuery<'a> {
    /// Where; bases the index does not hold are empty.
    pub bases: &'a [BaseKey],
    /// For whom.
    pub reader: Reader,
    /// Weighted tokens.
    pub tokens: &'a [(u32, f32)],
    /// The question's vector, normalised.
    pub dense: Option<&'a [f32]>,
    /// How many hits.
    pub limit: usize,
}

/// One found chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// The chunk.
    pub chunk: ChunkId,
    /// Fused score, or BM25 alone where nothing dense was asked or held.
    pub score: f64,
    /// Cosine to the question, if both have a vector.
    pub cosine: Option<f32>,
}

/// How common tokens are among the chunks that a reader may read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    /// How many chunks there are.
    pub chunks: u64,
    /// How many words they have in all.
    pub words: u64,
    /// How many of them hold each token, in the order asked.
    pub frequencies: Vec<u64>,
}

impl Statistics {
    /// How much a token tells chunks apart that so many of them hold.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of chunks")]
    pub fn idf(&self, frequency: u64) -> f64 {
        let (chunks, frequency) = (self.chunks as f64, frequency as f64);
        (1.0 + (chunks - frequency + 0.5) / (frequency + 0.5)).ln()
    }

    /// What so many occurrences of a token are worth in a chunk of this length, from 0 to 1: BM25 in the Lucene variant.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of words")]
    pub fn saturation(&self, count: f32, length: u32) -> f64 {
        let average = (self.words as f64 / self.chunks.max(1) as f64).max(1.0);
        let count = f64::from(count);
        count / (count + K1 * (1.0 - B + B * f64::from(length) / average))
    }
}

/// Why an index failed. The embedded one never does; one across the network may.
#[derive(Debug, thiserror::Error)]
#[error("knowledge index: {0}")]
pub struct IndexError(pub String);

/// An index over the chunks of many knowledge bases.
#[async_trait]
pub trait VectorIndex: Send + Sync {
    /// The revision held of a base; 0 if nothing is.
    async fn revision(&self, base: BaseKey) -> Result<i64, IndexError>;

    /// Applies a difference; visible to every search that begins after it returned. Applying one twice changes nothing.
    async fn apply(&self, base: BaseKey, difference: Difference) -> Result<(), IndexError>;

    /// Drops everything of a base; it will be loaded again when asked for.
    async fn forget(&self, base: BaseKey) -> Result<(), IndexError>;

    /// The best hits over all the named bases, best first.
    async fn search(&self, query: &IndexQuery<'_>) -> Result<Vec<Hit>, IndexError>;

    /// How common `tokens` are.
    async fn statistics(
        &self,
        bases: &[BaseKey],
        reader: Reader,
        tokens: &[u32],
    ) -> Result<Statistics, IndexError>;

    /// How often each of `tokens` (each once) occurs in each of `chunks`, in the order asked; `None` where the index cannot
    /// tell: then the words are counted in the text.
    async fn counts(
        &self,
        bases: &[BaseKey],
        chunks: &[ChunkId],
        tokens: &[u32],
    ) -> Result<Vec<Option<TokenCounts>>, IndexError> {
        let (_, _) = (bases, tokens);
        Ok(vec![None; chunks.len()])
    }

    /// How many chunks of a base are held, to compare with the database.
    async fn count(&self, base: BaseKey) -> Result<u64, IndexError>;
}
