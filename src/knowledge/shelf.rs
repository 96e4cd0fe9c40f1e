//! For tests: a source in memory with revisions, tombstones and their end, as the database keeps them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::ids::{ChunkId, Ids};
use crate::text::terms;

use super::Audience;
use super::index::{
    BaseKey, Cursor, IndexError, IndexQuery, Page, Point, Reader, Removed, Source, TokenCounts,
    VectorIndex, Want,
};

/// How long the vectors of tests are.
pub const DIMENSIONS: usize = 24;

#[derive(Default)]
struct Shelved {
    revision: i64,
    chunks: BTreeMap<ChunkId, (i64, Point)>,
    removed: Vec<(i64, ChunkId)>,
    pruned: i64,
}

type OnPage = Box<dyn FnOnce(&Shelf) + Send>;

/// Bases and their history.
#[derive(Default)]
pub struct Shelf {
    bases: Mutex<HashMap<BaseKey, Shelved>>,
    after_page: Mutex<Option<OnPage>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// One more revision of a base: chunks put and chunks removed.
    pub fn edit(&self, base: BaseKey, put: Vec<Point>, removed: &[ChunkId]) -> i64 {
        let mut bases = lock(&self.bases);
        let shelved = bases.entry(base).or_default();
        shelved.revision += 1;
        let revision = shelved.revision;
        for point in put {
            shelved.chunks.insert(point.chunk, (revision, point));
        }
        for chunk in removed {
            shelved.chunks.remove(chunk);
            shelved.removed.push((revision, *chunk));
        }
        revision
    }

    /// Forgets which chunks went away so far.
    pub fn prune(&self, base: BaseKey) {
        let mut bases = lock(&self.bases);
        let shelved = bases.entry(base).or_default();
        shelved.removed.clear();
        shelved.pruned = shelved.revision;
    }

    /// As if a backup came back: the base is at an older revision with these chunks.
    pub fn restore(&self, base: BaseKey, revision: i64, put: Vec<Point>) {
        let chunks = put.into_iter().map(|point| (point.chunk, (revision, point))).collect();
        lock(&self.bases).insert(base, Shelved { revision, chunks, ..Shelved::default() });
    }

    /// Does this once, right after the next page was read.
    pub fn after_page(&self, action: impl FnOnce(&Self) + Send + 'static) {
        *lock(&self.after_page) = Some(Box::new(action));
    }

    /// Where a base is now.
    pub fn at(&self, base: BaseKey) -> (BaseKey, i64) {
        (base, lock(&self.bases).get(&base).map_or(0, |shelved| shelved.revision))
    }

    /// Every chunk there is.
    pub fn points(&self, base: BaseKey) -> Vec<Point> {
        let bases = lock(&self.bases);
        bases
            .get(&base)
            .map_or_else(Vec::new, |s| s.chunks.values().map(|(_, p)| p.clone()).collect())
    }
}

#[async_trait]
impl Source for Shelf {
    async fn revision(&self, base: BaseKey) -> Result<Option<i64>, IndexError> {
        Ok(lock(&self.bases).get(&base).map(|shelved| shelved.revision))
    }

    async fn changed(&self, base: BaseKey, from: Cursor, want: Want) -> Result<Page, IndexError> {
        const PAGE: usize = 700;
        let mut points: Vec<(i64, Point)> = {
            let bases = lock(&self.bases);
            let all = bases.get(&base).map(|shelved| shelved.chunks.values());
            let behind = |(revision, point): &&(i64, Point)| {
                *revision > from.revision
                    || (*revision == from.revision && from.chunk.is_some_and(|c| point.chunk > c))
            };
            all.into_iter().flatten().filter(behind).cloned().collect()
        };
        points.sort_by_key(|(revision, point)| (*revision, point.chunk));
        let more = points.len() > PAGE;
        points.truncate(PAGE);
        let last = points.last().filter(|_| more);
        let next =
            last.map(|(revision, point)| Cursor { revision: *revision, chunk: Some(point.chunk) });
        let wanted = |(_, point): (i64, Point)| Point {
            tokens: if want.words() { point.tokens } else { TokenCounts::default() },
            dense: point.dense.filter(|_| want.vectors()),
            ..point
        };
        let page = Page { points: points.into_iter().map(wanted).collect(), next };
        if let Some(action) = lock(&self.after_page).take() {
            action(self);
        }
        Ok(page)
    }

    async fn removed(&self, base: BaseKey, since: i64) -> Result<Removed, IndexError> {
        let bases = lock(&self.bases);
        let Some(shelved) = bases.get(&base) else { return Ok(Removed::Chunks(Vec::new())) };
        if shelved.pruned > since {
            return Ok(Removed::Forgotten);
        }
        let later = shelved.removed.iter().filter(|(revision, _)| *revision > since);
        Ok(Removed::Chunks(later.map(|(_, chunk)| *chunk).collect()))
    }

    async fn vectors(&self, base: BaseKey) -> Result<u64, IndexError> {
        Ok(self.points(base).iter().filter(|point| point.dense.is_some()).count() as u64)
    }
}

/// A base of a workspace of its own.
pub fn key() -> BaseKey {
    BaseKey { workspace: Ids.fresh(), base: Ids.fresh() }
}

/// A chunk with these words.
pub fn point(text: &str, audience: Audience, dense: Option<Vec<f32>>) -> Point {
    Point { chunk: Ids.fresh(), audience, tokens: TokenCounts::of(&terms(text, &[])), dense }
}

/// The vector that points where the first numbers say, the others being nought.
pub fn toward(first: &[f32]) -> Vec<f32> {
    let mut vector = first.to_vec();
    vector.resize(DIMENSIONS, 0.0);
    crate::knowledge::service::normalised(vector)
}

pub fn tokens(text: &str) -> Vec<(u32, f32)> {
    terms(text, &[]).iter().flat_map(|t| t.forms.iter().map(|&form| (form, 1.0))).collect()
}

/// A question by words, by meaning, or both.
#[derive(Debug, Clone)]
pub struct Ask {
    pub reader: Reader,
    pub tokens: Vec<(u32, f32)>,
    pub dense: Option<Vec<f32>>,
    pub limit: usize,
}

impl Ask {
    pub fn new(reader: Reader, text: &str, dense: Option<Vec<f32>>) -> Self {
        Self { reader, tokens: tokens(text), dense, limit: 10 }
    }

    pub fn query(&self) -> IndexQuery<'_> {
        IndexQuery {
            reader: self.reader,
            tokens: &self.tokens,
            dense: self.dense.as_deref(),
            limit: self.limit,
        }
    }
}

/// Opens bases as they are now and asks.
pub async fn ask(
    index: &dyn VectorIndex,
    shelf: &Arc<Shelf>,
    bases: &[BaseKey],
    question: &Ask,
) -> super::index::Found {
    let wanted: Vec<(BaseKey, i64)> = bases.iter().map(|base| shelf.at(*base)).collect();
    let source: Arc<dyn Source> = Arc::clone(shelf) as _;
    let reading = index.open(&wanted, &source).await.expect("opens");
    reading.search(&question.query()).await.expect("searches")
}

/// Words and vectors that come out the same every time.
pub struct Corpus(StdRng);

impl Corpus {
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub fn vector(&mut self, dimensions: usize) -> Vec<f32> {
        let vector = (0..dimensions).map(|_| self.0.random_range(-1.0..1.0)).collect();
        crate::knowledge::service::normalised(vector)
    }

    /// Words as language has them: few that are everywhere, many that are rare.
    pub fn text(&mut self, words: usize) -> String {
        let word = |rng: &mut StdRng| {
            let rank: f64 = rng.random_range(0.0..1.0);
            format!("w{}", (rank.powi(4) * 4_000.0).floor())
        };
        (0..words).map(|_| word(&mut self.0)).collect::<Vec<_>>().join(" ")
    }

    /// A chunk: one in five for agents only, one in ten without a vector.
    pub fn point(&mut self, dimensions: usize) -> Point {
        let words = self.0.random_range(4..60);
        let text = self.text(words);
        let audience =
            if self.0.random_ratio(1, 5) { Audience::Internal } else { Audience::Public };
        let dense = (!self.0.random_ratio(1, 10)).then(|| self.vector(dimensions));
        point(&text, audience, dense)
    }

    pub fn points(&mut self, count: usize) -> Vec<Point> {
        (0..count).map(|_| self.point(DIMENSIONS)).collect()
    }

    pub fn ask(&mut self, reader: Reader) -> Ask {
        let dense = Some(self.vector(DIMENSIONS));
        let text = self.text(8);
        Ask { limit: 32, ..Ask::new(reader, &text, dense) }
    }
}
