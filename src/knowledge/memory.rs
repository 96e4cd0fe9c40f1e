//! The embedded index: the bases that are searched, in memory, within a limit.
//!
//! A base is loaded when it is first searched, off the async threads; one task loads it, others that need it wait for it. A
//! change builds the next state beside the published one and swaps the pointer, so that readers never wait. When the limit
//! is reached, the bases that were not searched for longest go; they come back when they are searched again. What is
//! being read stays until it was read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::try_join_all;

use crate::ids::ChunkId;

use super::base::{Base, Building};
use super::index::{
    BaseKey, Cursor, FUSED_HITS, Found, Health, IndexError, IndexQuery, Reader, Reading, Removed,
    Source, Statistics, TokenCounts, VectorIndex, Want,
};
use super::rank;

/// How often a load begins again because what it missed was forgotten meanwhile.
const LOADS: usize = 3;

/// From how many vectors a search leaves the async threads: about a millisecond's scan.
const LONG_SCAN: usize = 20_000;

/// The bases of this process.
#[derive(Debug)]
pub struct MemoryIndex {
    limit_bytes: usize,
    want: Want,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<BaseKey, Held>,
    /// Counts uses, to tell what was used last.
    uses: u64,
    bytes: usize,
    loading: HashMap<BaseKey, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug)]
struct Held {
    base: Arc<Base>,
    used: u64,
    bytes: usize,
}

impl Default for MemoryIndex {
    fn default() -> Self {
        Self::with_limit(usize::MAX)
    }
}

impl MemoryIndex {
    /// Holding at most about so many bytes; one base alone may be larger.
    #[must_use]
    pub fn with_limit(limit_bytes: usize) -> Self {
        Self { limit_bytes, want: Want::Both, state: Mutex::default() }
    }

    /// Holding words alone.
    #[must_use]
    pub fn of_words(limit_bytes: usize) -> Self {
        Self { want: Want::Words, ..Self::with_limit(limit_bytes) }
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// How many bases are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().held.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bases at these revisions or later.
    pub(super) async fn snapshot(
        &self,
        wanted: &[(BaseKey, i64)],
        source: &dyn Source,
    ) -> Result<Snapshot, IndexError> {
        let each = wanted.iter().map(|&(key, to)| self.at(key, to, source));
        Ok(Snapshot { bases: try_join_all(each).await?.into() })
    }

    async fn at(
        &self,
        key: BaseKey,
        to: i64,
        source: &dyn Source,
    ) -> Result<Arc<Base>, IndexError> {
        if to == 0 {
            return Ok(Arc::default());
        }
        if let Some(base) = self.held(key).filter(|base| base.revision >= to) {
            return Ok(base);
        }
        let gate = Arc::clone(self.state().loading.entry(key).or_default());
        let _mine = gate.lock().await;
        let held = self.held(key);
        if let Some(base) = held.clone().filter(|base| base.revision >= to) {
            return Ok(base);
        }
        let next = load(key, to, held, self.want, source).await?;
        Ok(self.publish(key, next))
    }

    fn held(&self, key: BaseKey) -> Option<Arc<Base>> {
        let state = &mut *self.state();
        state.uses += 1;
        let held = state.held.get_mut(&key)?;
        held.used = state.uses;
        Some(Arc::clone(&held.base))
    }

    fn publish(&self, key: BaseKey, next: Base) -> Arc<Base> {
        let (bytes, base) = (next.bytes(), Arc::new(next));
        let state = &mut *self.state();
        state.uses += 1;
        let held = Held { base: Arc::clone(&base), used: state.uses, bytes };
        state.bytes += bytes;
        state.bytes -= state.held.insert(key, held).map_or(0, |old| old.bytes);
        while state.bytes > self.limit_bytes && state.held.len() > 1 {
            let oldest = state.held.iter().min_by_key(|(_, held)| held.used).map(|(key, _)| *key);
            let gone = oldest.and_then(|key| state.held.remove(&key));
            state.bytes -= gone.map_or(0, |gone| gone.bytes);
        }
        if bytes > self.limit_bytes {
            tracing::warn!(
                knowledge_base.id = %key.base,
                bytes,
                limit = self.limit_bytes,
                "one knowledge base is larger than the memory that indexes may take: raise index.memory_mb"
            );
        }
        base
    }
}

/// Reads what a base lacks and makes its next state.
async fn load(
    key: BaseKey,
    to: i64,
    held: Option<Arc<Base>>,
    want: Want,
    source: &dyn Source,
) -> Result<Base, IndexError> {
    let (mut held, mut to) = (held, to);
    for _ in 0..LOADS {
        let since = held.as_ref().map_or(0, |base| base.revision);
        let mut next =
            blocking(move || held.map_or_else(Building::default, |h| Building::from(&h))).await?;
        let mut cursor = Some(Cursor::after(since));
        while let Some(from) = cursor {
            let page = source.changed(key, from, want).await?;
            cursor = page.next;
            next = blocking(move || {
                page.points.iter().for_each(|point| next.put(point));
                next
            })
            .await?;
        }
        // In this order: a chunk that goes away in between was read, and is then removed. A first load needs only what
        // goes away while it runs.
        match source.removed(key, if since == 0 { to } else { since }).await? {
            Removed::Chunks(gone) => {
                return blocking(move || {
                    gone.into_iter().for_each(|chunk| next.remove(chunk));
                    next.finish(to)
                })
                .await;
            }
            Removed::Forgotten => {
                (held, to) = (None, source.revision(key).await?.unwrap_or(to));
            }
        }
    }
    Err(IndexError::Failed("a knowledge base changes faster than it can be loaded".to_owned()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, IndexError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| IndexError::Failed("building a knowledge base panicked".to_owned()))
}

#[async_trait]
impl VectorIndex for MemoryIndex {
    async fn open(
        &self,
        wanted: &[(BaseKey, i64)],
        source: &Arc<dyn Source>,
    ) -> Result<Box<dyn Reading>, IndexError> {
        Ok(Box::new(self.snapshot(wanted, source.as_ref()).await?))
    }

    async fn forget(&self, base: BaseKey) -> Result<(), IndexError> {
        let state = &mut *self.state();
        state.loading.remove(&base);
        state.bytes -= state.held.remove(&base).map_or(0, |gone| gone.bytes);
        Ok(())
    }

    async fn rebuild(&self, base: BaseKey, source: &Arc<dyn Source>) -> Result<(), IndexError> {
        if let Some(to) = source.revision(base).await?.filter(|to| *to > 0) {
            let next = load(base, to, None, self.want, source.as_ref()).await?;
            self.publish(base, next);
        }
        Ok(())
    }

    fn health(&self) -> Health {
        Health::Ok
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// Bases as they are read.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub bases: Arc<[Arc<Base>]>,
}

impl Snapshot {
    fn search(&self, query: &IndexQuery<'_>) -> Vec<super::index::Hit> {
        let bases = &self.bases;
        let words = rank::lexical(bases, query, FUSED_HITS.max(query.limit));
        let meanings =
            query.dense.map(|wanted| rank::nearest(bases, query.reader, wanted, FUSED_HITS));
        rank::fused(bases, words, meanings.unwrap_or_default(), query.limit, |(base, slot)| {
            let (row, wanted) = bases[base].vector(slot).zip(query.dense)?;
            (row.len() == wanted.len()).then(|| rank::dot(row, wanted))
        })
    }
}

#[async_trait]
impl Reading for Snapshot {
    fn statistics(&self, reader: Reader, tokens: &[u32]) -> Statistics {
        let totals = rank::totals(&self.bases, reader);
        let frequency = |&token: &u32| rank::frequency(&self.bases, reader, token);
        Statistics {
            chunks: totals.chunks,
            words: totals.words,
            frequencies: tokens.iter().map(frequency).collect(),
        }
    }

    fn counts(&self, chunk: ChunkId, tokens: &[u32]) -> Option<TokenCounts> {
        self.bases.iter().find_map(|base| base.counts(chunk, tokens))
    }

    async fn search(&self, query: &IndexQuery<'_>) -> Result<Found, IndexError> {
        let vectors: usize = self.bases.iter().map(|base| base.vector_count()).sum();
        let hits = if query.dense.is_some() && vectors > LONG_SCAN {
            let (this, tokens) = (self.clone(), query.tokens.to_vec());
            let (dense, reader, limit) =
                (query.dense.map(<[f32]>::to_vec), query.reader, query.limit);
            blocking(move || {
                let dense = dense.as_deref();
                this.search(&IndexQuery { reader, tokens: &tokens, dense, limit })
            })
            .await?
        } else {
            Self::search(self, query)
        };
        Ok(Found { hits, degraded: None })
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
