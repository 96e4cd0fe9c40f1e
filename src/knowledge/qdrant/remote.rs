//! What is asked of Qdrant: one collection for each vector space, one point for each chunk with a vector, and one marker for
//! each base that says up to which revision it was brought.
//!
//! Points carry ids alone: workspace, base, audience, and `as_of`, the revision they were read at. A write never replaces a
//! point that was read later, so that nodes which bring the same base up to date cannot set each other back.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ::qdrant_client::qdrant::point_id::PointIdOptions;
use ::qdrant_client::qdrant::value::Kind;
use ::qdrant_client::qdrant::{
    Condition, CountPointsBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder,
    DeletePointsBuilder, Distance, FieldType, Filter, GetPointsBuilder, HnswConfigDiffBuilder,
    KeywordIndexParamsBuilder, PointId, PointStruct, PointsIdsList, Query, QueryBatchPointsBuilder,
    QueryPoints, QueryPointsBuilder, Range, ScoredPoint, ScrollPointsBuilder, SearchParamsBuilder,
    UpsertPointsBuilder, Value, VectorInput, VectorParamsBuilder, VectorParamsMap, vectors_config,
};
use ::qdrant_client::{Qdrant, QdrantError};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ids::ChunkId;
use crate::knowledge::Audience;
use crate::knowledge::index::{BaseKey, Point, Reader};

use super::QdrantSettings;

const DENSE: &str = "dense";
const WORKSPACE: &str = "workspace";
const BASE: &str = "knowledge_base";
const AUDIENCE: &str = "audience";
const AS_OF: &str = "as_of";
/// On markers only: the base they speak of.
const MARKS: &str = "marks";

/// How long a change may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a change is tried, and how long before it is tried again; doubled each time.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// How many floats, and how many ids, one change carries at most.
const FLOATS_AT_ONCE: usize = 250_000;
const IDS_AT_ONCE: usize = 1_000;
const IDS_AT_ONCE_32: u32 = 1_000;
/// How many candidates an approximate search looks at.
const SEARCH_WIDTH: u64 = 256;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The collection is not there (any more).
    #[error("Qdrant has no collection {0}")]
    NoCollection(String),
    /// It does not answer; trying again may help.
    #[error("Qdrant does not answer: {0}")]
    Away(String),
    /// It refuses; trying again will not help.
    #[error("Qdrant refuses: {0}")]
    Refused(String),
}

/// One collection on a server.
pub struct Remote {
    reads: Qdrant,
    writes: Qdrant,
    prefix: String,
    collection: String,
    dimensions: usize,
    ready: tokio::sync::Mutex<bool>,
}

/// What is near a question: chunks with their cosine.
#[derive(Debug, Default)]
pub struct Near {
    /// The nearest, best first.
    pub nearest: Vec<(ChunkId, f32)>,
    /// Those of the chunks asked about that have a vector.
    pub asked: HashMap<ChunkId, f32>,
}

impl Remote {
    /// Connects to nothing yet.
    pub fn new(settings: &QdrantSettings, space: &str, dimensions: usize) -> Result<Self, String> {
        let client = |timeout: Duration| {
            Qdrant::from_url(&settings.url)
                .api_key(settings.api_key.as_ref().map(|key| key.expose().to_owned()))
                .timeout(timeout)
                .connect_timeout(settings.timeout)
                .keep_alive_while_idle()
                .skip_compatibility_check()
                .build()
                .map_err(|error| error.to_string())
        };
        Ok(Self {
            reads: client(settings.timeout)?,
            writes: client(WRITE_TIMEOUT)?,
            collection: collection_name(&settings.collection, space, dimensions),
            prefix: settings.collection.clone(),
            dimensions,
            ready: tokio::sync::Mutex::new(false),
        })
    }

    pub fn collection(&self) -> &str {
        &self.collection
    }

    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Whether it answers at all.
    pub async fn ping(&self) -> Result<(), RemoteError> {
        self.reads.collection_exists(&self.collection).await.map_err(|e| self.error(e))?;
        Ok(())
    }

    /// Makes the collection and its indexes unless they are there, once a process.
    pub async fn ensure(&self) -> Result<(), RemoteError> {
        let mut ready = self.ready.lock().await;
        if *ready {
            return Ok(());
        }
        if !self.writes.collection_exists(&self.collection).await.map_err(|e| self.error(e))? {
            let dense = VectorParamsBuilder::new(self.dimensions as u64, Distance::Dot).build();
            let vectors = VectorParamsMap { map: HashMap::from([(DENSE.to_owned(), dense)]) };
            let create = CreateCollectionBuilder::new(&self.collection)
                .vectors_config(vectors_config::Config::ParamsMap(vectors))
                // A graph for each base beside the common one, so that filtered searches stay exact and fast.
                .hnsw_config(HnswConfigDiffBuilder::default().payload_m(16));
            match self.writes.create_collection(create).await {
                Ok(_) => tracing::info!(collection = self.collection, "Qdrant collection made"),
                // Another node was first.
                Err(error) if self.is_there(&error).await => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        self.check_vectors().await?;
        self.make_indexes().await?;
        *ready = true;
        Ok(())
    }

    async fn is_there(&self, error: &QdrantError) -> bool {
        tracing::debug!(%error, "making the collection failed; another node may have made it");
        self.writes.collection_exists(&self.collection).await.unwrap_or(false)
    }

    /// A collection of that name with other vectors is somebody else's.
    async fn check_vectors(&self) -> Result<(), RemoteError> {
        let info =
            self.writes.collection_info(&self.collection).await.map_err(|e| self.error(e))?;
        let config = info.result.and_then(|info| info.config).and_then(|config| config.params);
        let dense = match config.and_then(|params| params.vectors_config).and_then(|v| v.config) {
            Some(vectors_config::Config::ParamsMap(mut all)) => all.map.remove(DENSE),
            _ => None,
        };
        if dense.is_some_and(|dense| {
            dense.size == self.dimensions as u64 && dense.distance == i32::from(Distance::Dot)
        }) {
            return Ok(());
        }
        Err(RemoteError::Refused(format!(
            "collection {} has no vector `{DENSE}` of {} numbers compared by dot product: choose another index.collection",
            self.collection, self.dimensions
        )))
    }

    async fn make_indexes(&self) -> Result<(), RemoteError> {
        for (field, is_tenant) in [(WORKSPACE, false), (BASE, true), (AUDIENCE, false)] {
            let params = KeywordIndexParamsBuilder::default().is_tenant(is_tenant);
            let kind = FieldType::Keyword;
            let index = CreateFieldIndexCollectionBuilder::new(&self.collection, field, kind)
                .field_index_params(params)
                .wait(true);
            self.writes.create_field_index(index).await.map_err(|e| self.error(e))?;
        }
        let as_of =
            CreateFieldIndexCollectionBuilder::new(&self.collection, AS_OF, FieldType::Integer);
        self.writes.create_field_index(as_of.wait(true)).await.map_err(|e| self.error(e))?;
        Ok(())
    }

    /// The collection went away: it is made again before it is used again.
    pub async fn lost(&self) {
        *self.ready.lock().await = false;
    }

    /// Whether a chunk has a vector that fits.
    pub fn takes(&self, point: &Point) -> bool {
        point.dense.as_ref().is_some_and(|dense| dense.len() == self.dimensions)
    }

    /// Stores chunks as they were at a revision; those without a vector are left out.
    pub async fn put(
        &self,
        base: BaseKey,
        as_of: i64,
        points: &[Point],
    ) -> Result<(), RemoteError> {
        let at_once = (FLOATS_AT_ONCE / self.dimensions.max(1)).clamp(1, 256);
        let with_vector: Vec<(&Point, &[f32])> = points
            .iter()
            .filter(|point| self.takes(point))
            .filter_map(|point| Some((point, point.dense.as_deref()?)))
            .collect();
        for batch in with_vector.chunks(at_once) {
            let points = batch
                .iter()
                .map(|(point, dense)| {
                    let payload = [
                        (WORKSPACE, Value::from(base.workspace.to_string())),
                        (BASE, Value::from(base.base.to_string())),
                        (AUDIENCE, Value::from(point.audience.as_str())),
                        (AS_OF, Value::from(as_of)),
                    ];
                    self.point(point.chunk.uuid(), dense.to_vec(), payload)
                })
                .collect();
            self.upsert(points, as_of).await?;
        }
        Ok(())
    }

    fn point<const N: usize>(
        &self,
        id: Uuid,
        dense: Vec<f32>,
        payload: [(&str, Value); N],
    ) -> PointStruct {
        debug_assert_eq!(dense.len(), self.dimensions);
        let payload: HashMap<String, Value> =
            payload.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        PointStruct::new(id.to_string(), HashMap::from([(DENSE.to_owned(), dense)]), payload)
    }

    async fn upsert(&self, points: Vec<PointStruct>, as_of: i64) -> Result<(), RemoteError> {
        let not_newer = Filter::must([Condition::range(
            AS_OF,
            Range { lte: Some(number(as_of)), ..Range::default() },
        )]);
        let upsert: ::qdrant_client::qdrant::UpsertPoints =
            UpsertPointsBuilder::new(&self.collection, points)
                .update_filter(not_newer)
                .wait(true)
                .into();
        self.retried(|| self.writes.upsert_points(upsert.clone())).await?;
        Ok(())
    }

    /// Deletes chunks.
    pub async fn remove(&self, chunks: &[ChunkId]) -> Result<(), RemoteError> {
        for batch in chunks.chunks(IDS_AT_ONCE) {
            let ids = batch.iter().map(|chunk| point_id(*chunk)).collect();
            let delete =
                DeletePointsBuilder::new(&self.collection).points(PointsIdsList { ids }).wait(true);
            self.retried(|| self.writes.delete_points(delete.clone())).await?;
        }
        Ok(())
    }

    /// The chunks of a base that were read at a revision or before.
    pub async fn held(&self, base: BaseKey, as_of: i64) -> Result<Vec<ChunkId>, RemoteError> {
        let mut of_base = of_base(base);
        let up_to = Range { lte: Some(number(as_of)), ..Range::default() };
        of_base.must.push(Condition::range(AS_OF, up_to));
        let mut scroll: ::qdrant_client::qdrant::ScrollPoints =
            ScrollPointsBuilder::new(&self.collection)
                .filter(of_base)
                .limit(IDS_AT_ONCE_32)
                .with_payload(false)
                .into();
        let mut held = Vec::new();
        loop {
            let page = self.retried(|| self.writes.scroll(scroll.clone())).await?;
            held.extend(page.result.iter().filter_map(|point| chunk_id(point.id.as_ref())));
            match page.next_page_offset {
                Some(next) => scroll.offset = Some(next),
                None => return Ok(held),
            }
        }
    }

    /// Deletes everything of a base.
    pub async fn forget(&self, base: BaseKey) -> Result<(), RemoteError> {
        let marker = [Condition::matches(MARKS, base.base.to_string())];
        self.delete(Filter::must(marker)).await?;
        self.delete(of_base(base)).await
    }

    async fn delete(&self, filter: Filter) -> Result<(), RemoteError> {
        let delete = DeletePointsBuilder::new(&self.collection).points(filter).wait(true);
        self.retried(|| self.writes.delete_points(delete.clone())).await?;
        Ok(())
    }

    /// Up to which revision a base was brought; none if it never was.
    pub async fn marker(&self, base: BaseKey) -> Result<Option<i64>, RemoteError> {
        let id = PointId::from(base.base.uuid().to_string());
        let get = GetPointsBuilder::new(&self.collection, vec![id]).with_payload(true);
        let found = self.retried(|| self.writes.get_points(get.clone())).await?;
        let as_of = found.result.first().and_then(|point| point.payload.get(AS_OF));
        Ok(as_of.and_then(|value| match value.kind {
            Some(Kind::IntegerValue(revision)) => Some(revision),
            _ => None,
        }))
    }

    /// Says up to which revision a base was brought.
    pub async fn mark(&self, base: BaseKey, revision: i64) -> Result<(), RemoteError> {
        // A marker is never near anything: it has no base to be filtered by.
        let mut dense = vec![0.0; self.dimensions];
        dense[0] = 1.0;
        let payload = [(MARKS, Value::from(base.base.to_string())), (AS_OF, Value::from(revision))];
        self.upsert(vec![self.point(base.base.uuid(), dense, payload)], revision).await
    }

    /// How many chunks of a base are held.
    pub async fn count(&self, base: BaseKey) -> Result<u64, RemoteError> {
        let count = CountPointsBuilder::new(&self.collection).filter(of_base(base)).exact(true);
        let counted = self.retried(|| self.writes.count(count.clone())).await?;
        Ok(counted.result.map_or(0, |result| result.count))
    }

    /// The nearest chunks that the reader may read, and how near these are.
    pub async fn near(
        &self,
        bases: &[BaseKey],
        reader: Reader,
        wanted: &[f32],
        limit: usize,
        asked: &[ChunkId],
        exact: bool,
    ) -> Result<Near, RemoteError> {
        let query = |filter: Filter, limit: usize, exact: bool| -> QueryPoints {
            let params = SearchParamsBuilder::default().exact(exact).hnsw_ef(SEARCH_WIDTH);
            QueryPointsBuilder::new(&self.collection)
                .query(Query::from(VectorInput::from(wanted.to_vec())))
                .using(DENSE)
                .filter(filter)
                .limit(limit as u64)
                .params(params)
                .build()
        };
        let readable = readable(bases, reader);
        let mut queries = vec![query(readable.clone(), limit, exact)];
        if !asked.is_empty() {
            let mut those = readable;
            those.must.push(Condition::has_id(asked.iter().map(|chunk| point_id(*chunk))));
            queries.push(query(those, asked.len(), true));
        }
        let batch = QueryBatchPointsBuilder::new(&self.collection, queries);
        let answer = self.reads.query_batch(batch).await.map_err(|e| self.error(e))?;
        let mut lists = answer.result.into_iter().map(|one| hits(&one.result));
        let nearest = lists.next().ok_or_else(|| {
            RemoteError::Refused("it answered a question with no list".to_owned())
        })?;
        Ok(Near { nearest, asked: lists.next().unwrap_or_default().into_iter().collect() })
    }

    /// Our collections of other vector spaces.
    pub async fn others(&self) -> Result<Vec<String>, RemoteError> {
        let all = self.writes.list_collections().await.map_err(|e| self.error(e))?;
        let ours = format!("{}_", self.prefix);
        let others = all.collections.into_iter().map(|one| one.name);
        Ok(others.filter(|name| is_ours(name, &ours) && *name != self.collection).collect())
    }

    /// Deletes a collection with all it holds.
    pub async fn drop_collection(&self, name: &str) -> Result<(), RemoteError> {
        self.writes.delete_collection(name).await.map_err(|e| self.error(e))?;
        Ok(())
    }

    /// Tries again what may work the next time.
    async fn retried<T, F>(&self, call: impl Fn() -> F) -> Result<T, RemoteError>
    where
        F: Future<Output = Result<T, QdrantError>>,
    {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match call().await.map_err(|error| self.error(error)) {
                Err(RemoteError::Away(reason)) => {
                    tracing::debug!(reason, "a call to Qdrant is tried again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        call().await.map_err(|error| self.error(error))
    }

    /// Sorted by what it means to us. The error's own text may quote headers, so it is put together anew.
    fn error(&self, error: QdrantError) -> RemoteError {
        // The numbers of gRPC.
        const NOT_FOUND: i32 = 5;
        const RETRYABLE: [i32; 7] = [1, 2, 4, 8, 10, 13, 14];
        let status = match error {
            QdrantError::ResponseError { status }
            | QdrantError::ResourceExhaustedError { status, .. } => status,
            other => return RemoteError::Refused(other.to_string()),
        };
        let code = i32::from(status.code());
        let reason = || {
            let message: String = status.message().chars().take(200).collect();
            format!("{:?}, {message}", status.code())
        };
        match code {
            NOT_FOUND => RemoteError::NoCollection(self.collection.clone()),
            code if RETRYABLE.contains(&code) => RemoteError::Away(reason()),
            _ => RemoteError::Refused(reason()),
        }
    }
}

/// Named after the space, so that vectors of two spaces never meet and a new space fills beside the old one.
fn collection_name(prefix: &str, space: &str, dimensions: usize) -> String {
    let hash = Sha256::digest(space.as_bytes());
    let short: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}_{dimensions}_{short}")
}

fn is_ours(name: &str, prefix: &str) -> bool {
    let Some((dimensions, hash)) = name.strip_prefix(prefix).and_then(|rest| rest.split_once('_'))
    else {
        return false;
    };
    dimensions.bytes().all(|b| b.is_ascii_digit())
        && hash.len() == 8
        && hash.bytes().all(|b| b.is_ascii_hexdigit())
}

fn of_base(base: BaseKey) -> Filter {
    Filter::must([
        Condition::matches(WORKSPACE, base.workspace.to_string()),
        Condition::matches(BASE, base.base.to_string()),
    ])
}

/// Each base within its own workspace, and public only where the reader is a visitor.
fn readable(bases: &[BaseKey], reader: Reader) -> Filter {
    let mut by_workspace: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for base in bases {
        by_workspace.entry(base.workspace.to_string()).or_default().push(base.base.to_string());
    }
    let mut each = by_workspace.into_iter().map(|(workspace, bases)| {
        Filter::must([Condition::matches(WORKSPACE, workspace), Condition::matches(BASE, bases)])
    });
    let mut filter = match (each.next(), each.len()) {
        (Some(only), 0) => only,
        (first, _) => {
            let should = Filter::should(first.into_iter().chain(each).map(Condition::from));
            Filter::must([Condition::from(should)])
        }
    };
    if reader == Reader::Visitor {
        filter.must.push(Condition::matches(AUDIENCE, Audience::Public.as_str().to_owned()));
    }
    filter
}

fn point_id(chunk: ChunkId) -> PointId {
    PointId::from(chunk.uuid().to_string())
}

/// The chunk that a point stands for; none if its id is none of ours.
fn chunk_id(id: Option<&PointId>) -> Option<ChunkId> {
    match id?.point_id_options.as_ref()? {
        PointIdOptions::Uuid(id) => Uuid::try_parse(id).ok().map(ChunkId::from),
        PointIdOptions::Num(_) => None,
    }
}

fn hits(points: &[ScoredPoint]) -> Vec<(ChunkId, f32)> {
    let hit = |point: &ScoredPoint| Some((chunk_id(point.id.as_ref())?, point.score));
    points.iter().filter_map(hit).collect()
}

#[expect(clippy::cast_precision_loss, reason = "revisions count edits")]
fn number(revision: i64) -> f64 {
    revision as f64
}
