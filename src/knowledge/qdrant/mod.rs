//! The index of installations with several nodes: words in memory, meanings in Qdrant.
//!
//! Words stay in memory on every node, where the embedded index has them too: their weights depend on what this reader may
//! read in these bases, which no stored weight can know; so both backends rank words by the same code, and words go on when
//! Qdrant does not. Vectors, which are most of the memory and of the work, live in Qdrant once for all nodes.
//!
//! What Qdrant says is a proposal: a chunk that the words of the opened bases do not hold, or that the reader may not read
//! there, is dropped, whatever is stored in the collection.

mod follow;
mod health;
mod remote;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::Secret;
use crate::ids::ChunkId;

use super::index::{
    BaseKey, Degraded, FUSED_HITS, Found, Health, IndexError, IndexQuery, Reader, Reading, Source,
    Statistics, TokenCounts, VectorIndex,
};
use super::memory::{MemoryIndex, Snapshot};
use super::rank::{self, Place, Ranked};
use follow::FollowError;
use health::Watch;
use remote::{Near, Remote, RemoteError};

/// Up to how many chunks Qdrant is asked to compare every vector; above, its graph is asked.
const EXACT: usize = 20_000;

/// How many more hits are asked for than are needed, in case some are dropped.
const SPARE: usize = 16;

/// Where Qdrant is.
#[derive(Debug, Clone)]
pub struct QdrantSettings {
    /// Its gRPC address.
    pub url: String,
    /// Its key, if it wants one.
    pub api_key: Option<Secret>,
    /// What the names of our collections begin with.
    pub collection: String,
    /// How long a search waits for it.
    pub timeout: Duration,
    /// How many bytes of words each node may hold.
    pub words_bytes: usize,
}

/// Words in memory, meanings in Qdrant.
pub struct QdrantIndex {
    words: MemoryIndex,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// Ends what runs in the background with the index.
    _stop: DropGuard,
}

struct Shared {
    remote: Remote,
    watch: Watch,
    timeout: Duration,
    bases: Mutex<HashMap<BaseKey, Arc<Followed>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How far a base was brought by this node, by one task at a time.
#[derive(Debug, Default)]
struct Followed {
    at: AtomicI64,
    gate: tokio::sync::Mutex<()>,
}

impl QdrantIndex {
    /// For vectors of one space. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(
        settings: &QdrantSettings,
        space: &str,
        dimensions: usize,
    ) -> Result<Self, IndexError> {
        let remote = Remote::new(settings, space, dimensions).map_err(IndexError::Failed)?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let shared = Shared {
            remote,
            watch: Watch::default(),
            timeout: settings.timeout,
            bases: Mutex::default(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let words = MemoryIndex::of_words(settings.words_bytes);
        Ok(Self { words, shared: Arc::new(shared), tasks, _stop: stop.drop_guard() })
    }

    /// Asks the server whether it answers and our collection is usable, for the doctor; makes the collection if need be.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<String, IndexError> {
        self.shared.remote.ping().await?;
        Ok(self.shared.remote.collection().to_owned())
    }

    /// Our collections of vector spaces that are not this one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn other_collections(&self) -> Result<Vec<String>, IndexError> {
        Ok(self.shared.remote.others().await?)
    }

    /// Deletes our collections of other vector spaces and says which.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn drop_other_collections(&self) -> Result<Vec<String>, IndexError> {
        let others = self.other_collections().await?;
        for name in &others {
            self.shared.remote.drop_collection(name).await?;
        }
        Ok(others)
    }

    /// Waits a while until Qdrant holds the bases at these revisions; what takes longer goes on in the background.
    async fn bring(&self, wanted: &[(BaseKey, i64)], source: &Arc<dyn Source>) -> Option<Degraded> {
        let behind: Vec<(BaseKey, i64)> = wanted
            .iter()
            .copied()
            .filter(|(key, to)| self.shared.followed(*key).at.load(Ordering::Acquire) < *to)
            .collect();
        if behind.is_empty() {
            return None;
        }
        let tasks = behind.into_iter().map(|(key, to)| {
            let (shared, source) = (Arc::clone(&self.shared), Arc::clone(source));
            self.tasks.spawn(async move { shared.bring(key, to, source.as_ref(), false).await })
        });
        let all = tokio::time::timeout(self.shared.timeout, join_all(tasks)).await;
        let brought = all.is_ok_and(|all| all.iter().all(|one| matches!(one, Ok(Ok(())))));
        (!brought).then_some(Degraded::Behind)
    }
}

impl From<RemoteError> for IndexError {
    fn from(error: RemoteError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Shared {
    fn followed(&self, key: BaseKey) -> Arc<Followed> {
        let mut all = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_default())
    }

    async fn bring(
        self: &Arc<Self>,
        key: BaseKey,
        to: i64,
        source: &dyn Source,
        anew: bool,
    ) -> Result<(), IndexError> {
        let followed = self.followed(key);
        let work = async {
            let _mine = followed.gate.lock().await;
            if !anew && (followed.at.load(Ordering::Acquire) >= to || self.watch.is_away()) {
                return Ok(());
            }
            let at = follow::bring(&self.remote, key, source, anew).await?;
            followed.at.store(at, Ordering::Release);
            Ok(())
        };
        let brought = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            brought = work => brought,
        };
        match brought {
            Ok(()) => Ok(()),
            Err(FollowError::Source(error)) => {
                tracing::warn!(%error, knowledge_base.id = %key.base, "a base cannot be brought to Qdrant");
                Err(error)
            }
            Err(FollowError::Remote(error)) => {
                self.trouble(&error, true).await;
                Err(error.into())
            }
        }
    }

    /// Something did not work: what does that mean for the next search?
    async fn trouble(self: &Arc<Self>, error: &RemoteError, surely: bool) {
        if let RemoteError::NoCollection(name) = error {
            tracing::warn!(collection = name, "the collection is gone and will be made anew");
            self.remote.lost().await;
            self.bases.lock().unwrap_or_else(PoisonError::into_inner).clear();
        } else if self.watch.failed(&error.to_string(), surely) {
            let this = Arc::clone(self);
            self.tasks.spawn(async move { this.wait_for_return().await });
        }
    }

    async fn wait_for_return(&self) {
        let mut pause = health::FIRST_PAUSE;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let asked = tokio::time::timeout(self.timeout, self.remote.ping()).await;
            if let Ok(Ok(())) = asked {
                self.watch.worked();
                return;
            }
            pause = (pause * 2).min(health::LONGEST_PAUSE);
        }
    }

    async fn near(
        self: &Arc<Self>,
        bases: &[BaseKey],
        reader: Reader,
        wanted: &[f32],
        asked: &[super::index::Hit],
        exact: bool,
    ) -> Result<Near, Degraded> {
        if self.watch.is_away() || wanted.len() != self.remote.dimensions() {
            return Err(Degraded::Away);
        }
        let asked: Vec<_> = asked.iter().map(|hit| hit.chunk).collect();
        let limit = FUSED_HITS + SPARE;
        let near = self.remote.near(bases, reader, wanted, limit, &asked, exact);
        let error = match tokio::time::timeout(self.timeout, near).await {
            Ok(Ok(near)) => {
                self.watch.worked();
                return Ok(near);
            }
            Ok(Err(error)) => error,
            Err(_) => RemoteError::Away(format!("no answer within {:?}", self.timeout)),
        };
        let surely =
            matches!(&error, RemoteError::Away(reason) if !reason.starts_with("no answer"));
        self.trouble(&error, surely).await;
        Err(Degraded::Away)
    }
}

#[async_trait]
impl VectorIndex for QdrantIndex {
    async fn open(
        &self,
        wanted: &[(BaseKey, i64)],
        source: &Arc<dyn Source>,
    ) -> Result<Box<dyn Reading>, IndexError> {
        let wanted: Vec<(BaseKey, i64)> =
            wanted.iter().copied().filter(|(_, to)| *to > 0).collect();
        let words = self.words.snapshot(&wanted, source.as_ref());
        let (words, lag) = if self.shared.watch.is_away() {
            (words.await, Some(Degraded::Away))
        } else {
            tokio::join!(words, self.bring(&wanted, source))
        };
        Ok(Box::new(QdrantReading {
            words: words?,
            bases: wanted.into_iter().map(|(key, _)| key).collect(),
            lag,
            shared: Arc::clone(&self.shared),
        }))
    }

    async fn forget(&self, base: BaseKey) -> Result<(), IndexError> {
        self.words.forget(base).await?;
        let followed = self.shared.followed(base);
        let _mine = followed.gate.lock().await;
        self.shared.remote.ensure().await?;
        self.shared.remote.forget(base).await?;
        followed.at.store(0, Ordering::Release);
        Ok(())
    }

    async fn rebuild(&self, base: BaseKey, source: &Arc<dyn Source>) -> Result<(), IndexError> {
        self.words.rebuild(base, source).await?;
        self.shared.bring(base, i64::MAX, source.as_ref(), true).await
    }

    fn health(&self) -> Health {
        self.shared.watch.health()
    }

    fn bytes(&self) -> usize {
        self.words.bytes()
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// The words of some bases, and where to ask for their meanings.
struct QdrantReading {
    words: Snapshot,
    bases: Vec<BaseKey>,
    lag: Option<Degraded>,
    shared: Arc<Shared>,
}

impl QdrantReading {
    /// Where the chunks are that Qdrant found, best first; what is not in the opened bases for this reader is dropped.
    fn places(&self, reader: Reader, near: &[(ChunkId, f32)]) -> (Ranked, HashMap<Place, f32>) {
        let bases = &self.words.bases;
        let mut seen = HashSet::new();
        let found: Vec<(Place, f32)> = near
            .iter()
            .filter_map(|&(chunk, cosine)| Some((rank::place(bases, reader, chunk)?, cosine)))
            .filter(|(place, _)| seen.insert(*place))
            .collect();
        let ranked = found.iter().map(|&(place, cosine)| (place, f64::from(cosine)));
        (rank::best(bases, ranked, FUSED_HITS), found.into_iter().collect())
    }
}

#[async_trait]
impl Reading for QdrantReading {
    fn statistics(&self, reader: Reader, tokens: &[u32]) -> Statistics {
        self.words.statistics(reader, tokens)
    }

    fn counts(&self, chunk: ChunkId, tokens: &[u32]) -> Option<TokenCounts> {
        self.words.counts(chunk, tokens)
    }

    async fn search(&self, query: &IndexQuery<'_>) -> Result<Found, IndexError> {
        let Some(wanted) = query.dense else { return self.words.search(query).await };
        let bases = &self.words.bases;
        let words = rank::lexical(bases, query, FUSED_HITS.max(query.limit));
        let by_words = rank::fused(bases, words.clone(), Vec::new(), FUSED_HITS, |_| None);
        let chunks: usize = bases.iter().map(|base| base.len()).sum();
        let near = if chunks == 0 {
            Ok(Near::default())
        } else {
            let exact = chunks <= EXACT;
            self.shared.near(&self.bases, query.reader, wanted, &by_words, exact).await
        };
        let (near, degraded) = match near {
            Ok(near) => (near, self.lag),
            Err(why) => (Near::default(), Some(why)),
        };
        let (meanings, cosines) = self.places(query.reader, &near.nearest);
        let hits = rank::fused(bases, words, meanings, query.limit, |place| {
            let chunk = bases[place.0].chunk(place.1);
            cosines.get(&place).or_else(|| near.asked.get(&chunk)).copied()
        });
        Ok(Found { hits, degraded })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
