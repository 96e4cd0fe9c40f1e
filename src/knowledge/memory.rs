//! The embedded index: per knowledge base a contiguous matrix that is scanned exactly and an inverted index for BM25.
//!
//! A base is immutable once published; a change builds the next one beside it and swaps the pointer, so that readers never
//! wait. What is deleted is not in the next one at all. A visitor's search counts only what visitors may read: internal
//! chunks change neither its hits nor their scores.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use crate::ids::ChunkId;

use super::Audience;
use super::index::{
    BaseKey, Difference, FUSED_HITS, Hit, IndexError, IndexQuery, Point, RRF_K, Reader, Statistics,
    TokenCounts, VectorIndex,
};

/// All bases of this process.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    bases: RwLock<HashMap<BaseKey, Arc<Base>>>,
}

#[derive(Debug, Clone, Default)]
struct Base {
    revision: i64,
    slots: Vec<Slot>,
    /// Where each chunk is.
    places: HashMap<ChunkId, u32>,
    /// The slots of a token, in order.
    postings: HashMap<u32, Vec<Posting>>,
    /// One row for each slot that has a vector.
    matrix: Vec<f32>,
    dimensions: usize,
    all: Totals,
    public: Totals,
}

#[derive(Debug, Clone)]
struct Slot {
    chunk: ChunkId,
    audience: Audience,
    length: u32,
    row: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Posting {
    slot: u32,
    count: f32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    chunks: u64,
    words: u64,
}

impl Base {
    fn totals(&self, reader: Reader) -> Totals {
        match reader {
            Reader::Visitor => self.public,
            Reader::Agent => self.all,
        }
    }

    fn readable(&self, slot: u32, reader: Reader) -> bool {
        reader.may_read(self.slots[slot as usize].audience)
    }

    /// The next state: `difference` applied, slots and rows packed again.
    fn next(&self, difference: Difference) -> Self {
        let mut leaving: HashSet<ChunkId> = difference.removed.iter().copied().collect();
        let put: Vec<Point> =
            difference.put.into_iter().filter(|point| !leaving.contains(&point.chunk)).collect();
        leaving.extend(put.iter().map(|point| point.chunk));
        let mut next = self.without(&leaving);
        next.revision = difference.to;
        for point in put {
            next.push(point);
        }
        next
    }

    fn without(&self, leaving: &HashSet<ChunkId>) -> Self {
        if !self.slots.iter().any(|slot| leaving.contains(&slot.chunk)) {
            return self.clone();
        }
        let mut kept = Self { dimensions: self.dimensions, ..Self::default() };
        let mut moved: Vec<Option<u32>> = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            if leaving.contains(&slot.chunk) {
                moved.push(None);
                continue;
            }
            moved.push(Some(index32(kept.slots.len())));
            kept.add_slot(slot.chunk, slot.audience, slot.length, self.row(slot));
        }
        for (&token, postings) in &self.postings {
            let left: Vec<Posting> = postings
                .iter()
                .filter_map(|p| moved[p.slot as usize].map(|slot| Posting { slot, ..*p }))
                .collect();
            if !left.is_empty() {
                kept.postings.insert(token, left);
            }
        }
        kept
    }

    fn row(&self, slot: &Slot) -> Option<&[f32]> {
        let start = slot.row? as usize * self.dimensions;
        self.matrix.get(start..start + self.dimensions)
    }

    fn push(&mut self, point: Point) {
        let slot = index32(self.slots.len());
        self.add_slot(point.chunk, point.audience, point.tokens.length, point.dense.as_deref());
        for (token, count) in point.tokens.counts {
            self.postings.entry(token).or_default().push(Posting { slot, count });
        }
    }

    /// How often each of these tokens occurs in a chunk.
    fn counts(&self, chunk: ChunkId, tokens: &[u32]) -> Option<TokenCounts> {
        let slot = *self.places.get(&chunk)?;
        let mut counts: Vec<(u32, f32)> = tokens
            .iter()
            .filter_map(|&token| {
                let postings = self.postings.get(&token)?;
                let at = postings.binary_search_by_key(&slot, |posting| posting.slot).ok()?;
                Some((token, postings[at].count))
            })
            .collect();
        counts.sort_unstable_by_key(|(token, _)| *token);
        Some(TokenCounts { counts, length: self.slots[slot as usize].length })
    }

    fn add_slot(&mut self, chunk: ChunkId, audience: Audience, length: u32, dense: Option<&[f32]>) {
        if let (Some(vector), true) = (dense, self.matrix.is_empty()) {
            self.dimensions = vector.len();
        }
        let fits = dense.filter(|vector| vector.len() == self.dimensions && !vector.is_empty());
        let row = fits.map(|vector| {
            let row = index32(self.matrix.len() / self.dimensions);
            self.matrix.extend_from_slice(vector);
            row
        });
        self.places.insert(chunk, index32(self.slots.len()));
        self.slots.push(Slot { chunk, audience, length, row });
        let words = u64::from(length);
        self.all.chunks += 1;
        self.all.words += words;
        if audience == Audience::Public {
            self.public.chunks += 1;
            self.public.words += words;
        }
    }
}

fn index32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// A found slot: which of the searched bases, which slot of it.
type Place = (usize, u32);

/// BM25 of every slot that holds a wanted token; all bases count as one collection.
fn lexical(bases: &[Arc<Base>], query: &IndexQuery<'_>) -> Vec<(Place, f64)> {
    let totals = totals(bases, query.reader);
    let statistics = Statistics { chunks: totals.chunks, words: totals.words, frequencies: vec![] };
    let mut scores: Vec<Vec<f64>> = bases.iter().map(|base| vec![0.0; base.slots.len()]).collect();
    for &(token, weight) in query.tokens {
        let frequency = frequency(bases, query.reader, token);
        let worth = statistics.idf(frequency) * f64::from(weight);
        for (base, scores) in bases.iter().zip(&mut scores).filter(|_| frequency > 0) {
            for posting in base.postings.get(&token).into_iter().flatten() {
                if base.readable(posting.slot, query.reader) {
                    let length = base.slots[posting.slot as usize].length;
                    scores[posting.slot as usize] +=
                        worth * statistics.saturation(posting.count, length);
                }
            }
        }
    }
    let places = scores.iter().enumerate().flat_map(|(base, scores)| {
        scores.iter().enumerate().map(move |(slot, &score)| ((base, index32(slot)), score))
    });
    places.filter(|(_, score)| *score > 0.0).collect()
}

fn totals(bases: &[Arc<Base>], reader: Reader) -> Totals {
    bases.iter().map(|base| base.totals(reader)).fold(Totals::default(), |sum, one| Totals {
        chunks: sum.chunks + one.chunks,
        words: sum.words + one.words,
    })
}

fn frequency(bases: &[Arc<Base>], reader: Reader, token: u32) -> u64 {
    let readable = |base: &Arc<Base>| {
        let postings = base.postings.get(&token).map(Vec::as_slice).unwrap_or_default();
        // Nothing is hidden from this reader: no need to look at each.
        if base.totals(reader).chunks == base.all.chunks {
            return postings.len() as u64;
        }
        postings.iter().filter(|posting| base.readable(posting.slot, reader)).count() as u64
    };
    bases.iter().map(readable).sum()
}

/// The cosine of every readable slot that has a vector of the question's length.
fn dense(bases: &[Arc<Base>], query: &IndexQuery<'_>, wanted: &[f32]) -> Vec<(Place, f64)> {
    let mut found = Vec::new();
    for (number, base) in bases.iter().enumerate().filter(|(_, b)| b.dimensions == wanted.len()) {
        for (i, slot) in base.slots.iter().enumerate() {
            if let Some(row) = base.row(slot).filter(|_| query.reader.may_read(slot.audience)) {
                found.push(((number, index32(i)), f64::from(dot(row, wanted))));
            }
        }
    }
    found
}

/// Sixteen running sums, so that the compiler can use wide registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for i in 0..16 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

/// The best `limit`, best first; equal scores by chunk id.
fn best(bases: &[Arc<Base>], mut found: Vec<(Place, f64)>, limit: usize) -> Vec<(Place, f64)> {
    let chunk = |(base, slot): Place| bases[base].slots[slot as usize].chunk;
    let order = |a: &(Place, f64), b: &(Place, f64)| -> Ordering {
        b.1.total_cmp(&a.1).then_with(|| chunk(a.0).cmp(&chunk(b.0)))
    };
    if found.len() > limit && limit > 0 {
        found.select_nth_unstable_by(limit - 1, order);
        found.truncate(limit);
    }
    found.sort_unstable_by(order);
    found.truncate(limit);
    found
}

fn search(bases: &[Arc<Base>], query: &IndexQuery<'_>) -> Vec<Hit> {
    let words = lexical(bases, query);
    let meanings = query.dense.map(|wanted| dense(bases, query, wanted)).unwrap_or_default();
    let ranked = if meanings.is_empty() {
        best(bases, words, query.limit)
    } else {
        let mut fused: HashMap<Place, f64> = HashMap::new();
        for list in [best(bases, words, FUSED_HITS), best(bases, meanings, FUSED_HITS)] {
            for (rank, (place, _)) in (1_u32..).zip(list) {
                *fused.entry(place).or_default() += 1.0 / (RRF_K + f64::from(rank));
            }
        }
        best(bases, fused.into_iter().collect(), query.limit)
    };
    let hit = |(place, score): (Place, f64)| {
        let base = &bases[place.0];
        let slot = &base.slots[place.1 as usize];
        let row = base.row(slot).zip(query.dense).filter(|(row, wanted)| row.len() == wanted.len());
        Hit { chunk: slot.chunk, score, cosine: row.map(|(row, wanted)| dot(row, wanted)) }
    };
    ranked.into_iter().map(hit).collect()
}

impl MemoryIndex {
    /// The published state of each base; those not held are left out.
    fn snapshots(&self, keys: &[BaseKey]) -> Vec<Arc<Base>> {
        let bases = self.bases.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().filter_map(|key| bases.get(key).cloned()).collect()
    }
}

#[async_trait]
impl VectorIndex for MemoryIndex {
    async fn revision(&self, base: BaseKey) -> Result<i64, IndexError> {
        Ok(self.snapshots(&[base]).first().map_or(0, |held| held.revision))
    }

    async fn apply(&self, base: BaseKey, difference: Difference) -> Result<(), IndexError> {
        let held = self.snapshots(&[base]).pop().unwrap_or_default();
        let next = Arc::new(held.next(difference));
        let mut bases = self.bases.write().unwrap_or_else(PoisonError::into_inner);
        bases.insert(base, next);
        Ok(())
    }

    async fn forget(&self, base: BaseKey) -> Result<(), IndexError> {
        self.bases.write().unwrap_or_else(PoisonError::into_inner).remove(&base);
        Ok(())
    }

    async fn search(&self, query: &IndexQuery<'_>) -> Result<Vec<Hit>, IndexError> {
        Ok(search(&self.snapshots(query.bases), query))
    }

    async fn statistics(
        &self,
        bases: &[BaseKey],
        reader: Reader,
        tokens: &[u32],
    ) -> Result<Statistics, IndexError> {
        let bases = self.snapshots(bases);
        let totals = totals(&bases, reader);
        Ok(Statistics {
            chunks: totals.chunks,
            words: totals.words,
            frequencies: tokens.iter().map(|&token| frequency(&bases, reader, token)).collect(),
        })
    }

    async fn counts(
        &self,
        bases: &[BaseKey],
        chunks: &[ChunkId],
        tokens: &[u32],
    ) -> Result<Vec<Option<TokenCounts>>, IndexError> {
        let bases = self.snapshots(bases);
        let of = |&chunk: &ChunkId| bases.iter().find_map(|base| base.counts(chunk, tokens));
        Ok(chunks.iter().map(of).collect())
    }

    async fn count(&self, base: BaseKey) -> Result<u64, IndexError> {
        Ok(self.snapshots(&[base]).first().map_or(0, |held| held.all.chunks))
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
