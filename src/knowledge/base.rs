//! One knowledge base in memory: a contiguous matrix that is scanned exactly and an inverted index for BM25.
//!
//! A [`Base`] never changes once it is published; a change builds the next one beside it. What was removed is not in the
//! next one at all.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::ids::ChunkId;

use super::Audience;
use super::index::{Point, Reader, TokenCounts};

/// No row: the chunk has no vector here.
const NO_ROW: u32 = u32::MAX;

/// Tokens are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, token: u32) {
        // The table looks at the highest and the lowest bits.
        self.0 = u64::from(token).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// One token of one chunk.
#[derive(Debug, Clone, Copy)]
pub struct Posting {
    pub slot: u32,
    pub count: f32,
}

/// How much a reader may read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub chunks: u64,
    pub words: u64,
}

/// A base as it was at a revision. Chunks are addressed by slot.
#[derive(Debug, Clone, Default)]
pub struct Base {
    pub revision: i64,
    chunks: Vec<ChunkId>,
    lengths: Vec<u32>,
    public: Vec<bool>,
    rows: Vec<u32>,
    places: HashMap<ChunkId, u32>,
    /// The slots of a token, in order.
    postings: HashMap<u32, Vec<Posting>, BuildHasherDefault<AsIs>>,
    posted: usize,
    /// One row for each slot that has a vector.
    matrix: Vec<f32>,
    /// The slot of each row.
    slots: Vec<u32>,
    dimensions: usize,
    totals: Totals,
    public_totals: Totals,
}

impl Base {
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    pub fn chunk(&self, slot: u32) -> ChunkId {
        self.chunks[slot as usize]
    }

    pub fn length(&self, slot: u32) -> u32 {
        self.lengths[slot as usize]
    }

    pub fn slot(&self, chunk: ChunkId) -> Option<u32> {
        self.places.get(&chunk).copied()
    }

    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub fn totals(&self, reader: Reader) -> Totals {
        if reader.may_read(Audience::Internal) { self.totals } else { self.public_totals }
    }

    pub fn is_readable(&self, slot: u32, reader: Reader) -> bool {
        reader.may_read(Audience::Internal) || self.public[slot as usize]
    }

    /// Whether the reader may read every chunk, so that none needs a look.
    pub fn is_open(&self, reader: Reader) -> bool {
        reader.may_read(Audience::Internal) || self.totals.chunks == self.public_totals.chunks
    }

    /// Where a token occurs.
    pub fn postings(&self, token: u32) -> &[Posting] {
        self.postings.get(&token).map(Vec::as_slice).unwrap_or_default()
    }

    /// How often each of these tokens (each once) occurs in a chunk, if it is here.
    pub fn counts(&self, chunk: ChunkId, tokens: &[u32]) -> Option<TokenCounts> {
        let slot = self.slot(chunk)?;
        let count = |&token: &u32| {
            let postings = self.postings(token);
            let at = postings.binary_search_by_key(&slot, |posting| posting.slot).ok()?;
            Some((token, postings[at].count))
        };
        let mut counts: Vec<(u32, f32)> = tokens.iter().filter_map(count).collect();
        counts.sort_unstable_by_key(|(token, _)| *token);
        Some(TokenCounts { counts, length: self.length(slot) })
    }

    /// Every vector with its slot.
    pub fn vectors(&self) -> impl Iterator<Item = (u32, &[f32])> {
        self.slots.iter().copied().zip(self.matrix.chunks_exact(self.dimensions.max(1)))
    }

    pub fn vector_count(&self) -> usize {
        self.slots.len()
    }

    pub fn vector(&self, slot: u32) -> Option<&[f32]> {
        let row = self.rows[slot as usize];
        let start = (row != NO_ROW).then_some(row as usize * self.dimensions)?;
        self.matrix.get(start..start + self.dimensions)
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        const A_CHUNK: usize = 16 + 4 + 1 + 4 + 4 + 28;
        const A_TOKEN: usize = 48;
        self.matrix.len() * size_of::<f32>()
            + self.posted * size_of::<Posting>()
            + self.postings.len() * A_TOKEN
            + self.chunks.len() * A_CHUNK
    }

    fn push(&mut self, point: &Point) {
        let slot = index32(self.chunks.len());
        self.push_slot(point.chunk, point.audience, point.tokens.length, point.dense.as_deref());
        for &(token, count) in &point.tokens.counts {
            self.postings.entry(token).or_default().push(Posting { slot, count });
        }
        self.posted += point.tokens.counts.len();
    }

    fn push_slot(
        &mut self,
        chunk: ChunkId,
        audience: Audience,
        length: u32,
        vector: Option<&[f32]>,
    ) {
        let slot = index32(self.chunks.len());
        if let (Some(vector), true) = (vector, self.matrix.is_empty()) {
            self.dimensions = vector.len();
        }
        let fits = vector.filter(|vector| vector.len() == self.dimensions && !vector.is_empty());
        self.rows.push(fits.map_or(NO_ROW, |vector| {
            self.matrix.extend_from_slice(vector);
            self.slots.push(slot);
            index32(self.slots.len() - 1)
        }));
        let is_public = audience == Audience::Public;
        self.chunks.push(chunk);
        self.lengths.push(length);
        self.public.push(is_public);
        self.places.insert(chunk, slot);
        let of_both = [Some(&mut self.totals), is_public.then_some(&mut self.public_totals)];
        for totals in of_both.into_iter().flatten() {
            totals.chunks += 1;
            totals.words += u64::from(length);
        }
    }

    /// Without these slots, the others packed again.
    fn without(&self, dead: &HashSet<u32>) -> Self {
        let mut kept =
            Self { revision: self.revision, dimensions: self.dimensions, ..Self::default() };
        let mut moved: Vec<Option<u32>> = Vec::with_capacity(self.len());
        for slot in 0..index32(self.len()) {
            if dead.contains(&slot) {
                moved.push(None);
                continue;
            }
            moved.push(Some(index32(kept.len())));
            let audience =
                if self.public[slot as usize] { Audience::Public } else { Audience::Internal };
            kept.push_slot(self.chunk(slot), audience, self.length(slot), self.vector(slot));
        }
        for (&token, postings) in &self.postings {
            let left: Vec<Posting> = postings
                .iter()
                .filter_map(|p| moved[p.slot as usize].map(|slot| Posting { slot, ..*p }))
                .collect();
            if !left.is_empty() {
                kept.posted += left.len();
                kept.postings.insert(token, left);
            }
        }
        kept
    }
}

fn index32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The next state of a base, while it is made.
#[derive(Debug, Default)]
pub struct Building {
    base: Base,
    dead: HashSet<u32>,
}

impl Building {
    /// Beginning with what is held.
    pub fn from(held: &Base) -> Self {
        Self { base: held.clone(), dead: HashSet::new() }
    }

    /// Takes a chunk, in place of what there is of it.
    pub fn put(&mut self, point: &Point) {
        self.dead.extend(self.base.slot(point.chunk));
        self.base.push(point);
    }

    pub fn remove(&mut self, chunk: ChunkId) {
        self.dead.extend(self.base.places.remove(&chunk));
    }

    /// Ready to be read.
    pub fn finish(self, revision: i64) -> Base {
        let mut base = if self.dead.is_empty() { self.base } else { self.base.without(&self.dead) };
        base.revision = revision;
        base
    }
}
