//! The index over chunks: what it holds, what it is asked, where it reads from, and the one trait that every backend implements.
//!
//! The database stays the only source of truth. An index follows the `revision` of each knowledge base: whoever searches
//! reads the revisions, opens the bases at them (the index reads from its [`Source`] what it lacks), then searches; texts are
//! fetched from the database by id and never come from here.
//! Rules that keep backends equal: vectors are normalised by us; words are ranked by the same code over our own tokens, IDF
//! counting what the reader may read in the searched bases; RRF uses [`RRF_K`] with ranks from 1; ties are broken by chunk id.

use std::sync::Arc;

use async_trait::async_trait;

use crate::db::DbError;
use crate::guard::Guard;
use crate::ids::{ChunkId, KnowledgeBaseId, WorkspaceId};
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
            Self::Visitor => audience == Audience::Public || Guard::Audience.is_broken(),
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

    /// As stored beside the chunk: the number of words, then each token with its count, little-endian.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, capped")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + 6 * self.counts.len());
        bytes.extend(self.length.to_le_bytes());
        for (token, count) in &self.counts {
            bytes.extend(token.to_le_bytes());
            bytes.extend((count.clamp(0.0, f32::from(u16::MAX)) as u16).to_le_bytes());
        }
        bytes
    }

    /// From [`Self::to_bytes`]; none if these bytes are not such.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (each, []) = rest.as_chunks::<6>() else { return None };
        let one = |&[a, b, c, d, low, high]: &[u8; 6]| {
            (u32::from_le_bytes([a, b, c, d]), f32::from(u16::from_le_bytes([low, high])))
        };
        Some(Self { counts: each.iter().map(one).collect(), length: u32::from_le_bytes(*length) })
    }

    /// How often a token occurs.
    #[must_use]
    pub fn count(&self, token: u32) -> f32 {
        self.counts.binary_search_by_key(&token, |(id, _)| *id).map_or(0.0, |i| self.counts[i].1)
    }
}

/// A chunk as an index takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The chunk.
    pub chunk: ChunkId,
    /// Who may read it.
    pub audience: Audience,
    /// The tokens of title, section and text; none if only vectors were wanted.
    pub tokens: TokenCounts,
    /// Its vector, normalised; none if it has none in the current space, or if only words were wanted.
    pub dense: Option<Vec<f32>>,
}

/// What of a chunk is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Its tokens.
    Words,
    /// Its vector.
    Vectors,
    /// All of it.
    Both,
}

impl Want {
    /// Whether tokens are wanted.
    #[must_use]
    pub fn words(self) -> bool {
        self != Self::Vectors
    }

    /// Whether vectors are wanted.
    #[must_use]
    pub fn vectors(self) -> bool {
        self != Self::Words
    }
}

/// A place in the changes of a base, which are read in order of revision and chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Changes of earlier revisions are behind it,
    pub revision: i64,
    /// and so are those of its own revision up to this chunk; all of them if there is none.
    pub chunk: Option<ChunkId>,
}

impl Cursor {
    /// Where the changes after a revision begin.
    #[must_use]
    pub fn after(revision: i64) -> Self {
        Self { revision, chunk: None }
    }
}

/// Some of what changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// New and changed chunks.
    pub points: Vec<Point>,
    /// Where the next page begins; none after the last.
    pub next: Option<Cursor>,
}

/// What went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// These chunks; they may never have been in the index.
    Chunks(Vec<ChunkId>),
    /// Nobody knows any more, it is too long ago: only loading the whole base tells.
    Forgotten,
}

/// What an index is made from: the database, as far as an index reads it.
#[async_trait]
pub trait Source: Send + Sync {
    /// The revision a base has now; none if it is not there.
    async fn revision(&self, base: BaseKey) -> Result<Option<i64>, IndexError>;

    /// A page of what changed behind `from`, each chunk as it is now. A chunk that goes away meanwhile may be in it: ask
    /// [`Self::removed`] afterwards.
    async fn changed(&self, base: BaseKey, from: Cursor, want: Want) -> Result<Page, IndexError>;

    /// What went away after a revision.
    async fn removed(&self, base: BaseKey, since: i64) -> Result<Removed, IndexError>;

    /// How many chunks of a base have a vector in the current space.
    async fn vectors(&self, base: BaseKey) -> Result<u64, IndexError>;
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct IndexQuery<'a> {
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

/// Why a search was not what it should be, although it was answered.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// The index that compares meanings did not answer: words alone decided.
    Away,
    /// It lacks some of the newest changes: those were found by their words alone.
    Behind,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The best hits, best first.
    pub hits: Vec<Hit>,
    /// What was wrong, if anything.
    pub degraded: Option<Degraded>,
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

/// Why an index failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It could not read what it is made from.
    #[error(transparent)]
    Source(#[from] DbError),
    /// It is not there, or does not do what it should.
    #[error("knowledge index: {0}")]
    Failed(String),
}

/// How an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Everything works.
    Ok,
    /// Answers go on by words alone, for this reason.
    Degraded(String),
}

/// An index over the chunks of many knowledge bases.
#[async_trait]
pub trait VectorIndex: Send + Sync {
    /// Some bases as they are at these revisions or later. What is lacking is read first; a base of revision 0 is empty.
    async fn open(
        &self,
        wanted: &[(BaseKey, i64)],
        source: &Arc<dyn Source>,
    ) -> Result<Box<dyn Reading>, IndexError>;

    /// Drops everything of a base, for good; if it is asked for again it is loaded again.
    async fn forget(&self, base: BaseKey) -> Result<(), IndexError>;

    /// Makes a base anew from its source, whatever is held of it, while searches go on.
    async fn rebuild(&self, base: BaseKey, source: &Arc<dyn Source>) -> Result<(), IndexError>;

    /// How it is; never waits.
    fn health(&self) -> Health;

    /// How many bytes of this process's memory it takes.
    fn bytes(&self) -> usize;

    /// Whether what it holds is kept elsewhere, so that making it anew is worth asking for.
    fn is_remote(&self) -> bool;
}

/// Opened bases, unchanged while they are read.
#[async_trait]
pub trait Reading: Send + Sync {
    /// How common `tokens` are among what the reader may read.
    fn statistics(&self, reader: Reader, tokens: &[u32]) -> Statistics;

    /// How often each of `tokens` (each once) occurs in a chunk; none if it is not held, so that only its text tells.
    fn counts(&self, chunk: ChunkId, tokens: &[u32]) -> Option<TokenCounts>;

    /// The best hits over all opened bases, best first.
    async fn search(&self, query: &IndexQuery<'_>) -> Result<Found, IndexError>;
}
