//! Ranking over bases in memory: BM25, exact cosine, and the fusion of both. Pure, and the same for every backend.
//!
//! A visitor's search counts only what visitors may read: internal chunks change neither its hits nor their scores.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::ids::ChunkId;

use super::base::{Base, Totals};
use super::index::{FUSED_HITS, Hit, IndexQuery, RRF_K, Reader, Statistics};

/// A found chunk: which of the searched bases, which slot of it.
pub type Place = (usize, u32);

/// A list of found chunks, best first.
pub type Ranked = Vec<(Place, f64)>;

/// Keeps the best so many, equal scores by chunk id, without sorting what is plainly worse.
struct Best<'a> {
    bases: &'a [Arc<Base>],
    limit: usize,
    kept: Ranked,
    floor: f64,
}

impl<'a> Best<'a> {
    fn new(bases: &'a [Arc<Base>], limit: usize) -> Self {
        Self { bases, limit, kept: Vec::with_capacity(2 * limit), floor: f64::NEG_INFINITY }
    }

    fn add(&mut self, place: Place, score: f64) {
        if score < self.floor || self.limit == 0 {
            return;
        }
        self.kept.push((place, score));
        if self.kept.len() == 2 * self.limit {
            let order = order(self.bases);
            self.kept.select_nth_unstable_by(self.limit - 1, order);
            self.kept.truncate(self.limit);
            self.floor = self.kept[self.limit - 1].1;
        }
    }

    fn sorted(mut self) -> Ranked {
        self.kept.sort_unstable_by(order(self.bases));
        self.kept.truncate(self.limit);
        self.kept
    }
}

fn order(bases: &[Arc<Base>]) -> impl Fn(&(Place, f64), &(Place, f64)) -> Ordering {
    let chunk = |(base, slot): Place| bases[base].chunk(slot);
    move |a, b| b.1.total_cmp(&a.1).then_with(|| chunk(a.0).cmp(&chunk(b.0)))
}

/// BM25 of every readable chunk that holds a wanted token; all bases count as one collection.
pub fn lexical(bases: &[Arc<Base>], query: &IndexQuery<'_>, limit: usize) -> Ranked {
    let totals = totals(bases, query.reader);
    let statistics = Statistics { chunks: totals.chunks, words: totals.words, frequencies: vec![] };
    let worths: Vec<(u32, f64)> = query
        .tokens
        .iter()
        .map(|&(token, weight)| (token, frequency(bases, query.reader, token), weight))
        .filter(|(_, frequency, _)| *frequency > 0)
        .map(|(token, frequency, weight)| (token, statistics.idf(frequency) * f64::from(weight)))
        .collect();
    let mut best = Best::new(bases, limit);
    for (number, base) in bases.iter().enumerate() {
        let all = base.is_open(query.reader);
        let mut scores = vec![0.0_f64; base.len()];
        let mut touched = Vec::new();
        for &(token, worth) in &worths {
            for posting in base.postings(token) {
                if all || base.is_readable(posting.slot, query.reader) {
                    let score = &mut scores[posting.slot as usize];
                    if *score == 0.0 {
                        touched.push(posting.slot);
                    }
                    let length = base.length(posting.slot);
                    *score += worth * statistics.saturation(posting.count, length);
                }
            }
        }
        // A token may be worth next to nothing: a chunk is then met again and listed once more.
        touched.sort_unstable();
        touched.dedup();
        for slot in touched {
            let score = scores[slot as usize];
            if score > 0.0 {
                best.add((number, slot), score);
            }
        }
    }
    best.sorted()
}

/// How many chunks and words the reader may read in all bases together.
pub fn totals(bases: &[Arc<Base>], reader: Reader) -> Totals {
    bases.iter().map(|base| base.totals(reader)).fold(Totals::default(), |sum, one| Totals {
        chunks: sum.chunks + one.chunks,
        words: sum.words + one.words,
    })
}

/// How many readable chunks hold a token.
pub fn frequency(bases: &[Arc<Base>], reader: Reader, token: u32) -> u64 {
    let readable = |base: &Arc<Base>| {
        let postings = base.postings(token);
        if base.is_open(reader) {
            return postings.len();
        }
        postings.iter().filter(|posting| base.is_readable(posting.slot, reader)).count()
    };
    bases.iter().map(|base| readable(base) as u64).sum()
}

/// The readable chunks whose vectors are nearest to the question's, by cosine.
pub fn nearest(bases: &[Arc<Base>], reader: Reader, wanted: &[f32], limit: usize) -> Ranked {
    let mut best = Best::new(bases, limit);
    for (number, base) in bases.iter().enumerate().filter(|(_, b)| b.dimensions() == wanted.len()) {
        let all = base.is_open(reader);
        for (slot, row) in base.vectors() {
            if all || base.is_readable(slot, reader) {
                best.add((number, slot), f64::from(dot(row, wanted)));
            }
        }
    }
    best.sorted()
}

/// The best of a list, best first.
pub fn best(
    bases: &[Arc<Base>],
    found: impl Iterator<Item = (Place, f64)>,
    limit: usize,
) -> Ranked {
    let mut best = Best::new(bases, limit);
    found.for_each(|(place, score)| best.add(place, score));
    best.sorted()
}

/// Sixteen running sums, so that the compiler can use wide registers.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
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

/// Both lists as one, or the words alone where nothing is near; `cosine` is asked for each hit.
pub fn fused(
    bases: &[Arc<Base>],
    words: Ranked,
    meanings: Ranked,
    limit: usize,
    cosine: impl Fn(Place) -> Option<f32>,
) -> Vec<Hit> {
    let mut best = Best::new(bases, limit);
    if meanings.is_empty() {
        words.into_iter().for_each(|(place, score)| best.add(place, score));
    } else {
        let mut scores: HashMap<Place, f64> = HashMap::new();
        for list in [words, meanings] {
            for (rank, (place, _)) in (1_u32..).zip(list.into_iter().take(FUSED_HITS)) {
                *scores.entry(place).or_default() += 1.0 / (RRF_K + f64::from(rank));
            }
        }
        scores.into_iter().for_each(|(place, score)| best.add(place, score));
    }
    let hit = |(place, score): (Place, f64)| Hit {
        chunk: bases[place.0].chunk(place.1),
        score,
        cosine: cosine(place),
    };
    best.sorted().into_iter().map(hit).collect()
}

/// Where a chunk is among the bases, if the reader may read it there.
pub fn place(bases: &[Arc<Base>], reader: Reader, chunk: ChunkId) -> Option<Place> {
    bases.iter().enumerate().find_map(|(number, base)| {
        base.slot(chunk).filter(|&slot| base.is_readable(slot, reader)).map(|slot| (number, slot))
    })
}
