//! The knowledge service: bases and articles. Search and folders are beside it (`search.rs`, `ingest.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::clock::Clock;
use crate::db::{Db, DbError};
use crate::health::Part;
use crate::ids::{ArticleId, Ids, KnowledgeBaseId, WorkspaceId};
use crate::text::ENCODING;

use super::article::{Article, ArticleDraft, InvalidField, question_and_answer};
use super::chunk::{chunk, hash_of, indexed_text};
use super::embedder::{EmbedError, EmbedPurpose, Embedder};
use super::follow::Follower;
use super::index::{BaseKey, Health, IndexError, VectorIndex};
use super::put::{self, Change, Plan, PlannedChunk, Stored};
use super::source::DatabaseSource;
use super::store::{self, KnowledgeBase};
use super::{Audience, MemoryIndex};

/// How many texts go to the embedder in one call.
pub(super) const EMBED_BATCH: usize = 64;
/// The longest name of a base, in characters.
const MAX_NAME_CHARS: usize = 120;
/// The longest key of an article within its source, in bytes.
const MAX_KEY_BYTES: usize = 1_000;
/// How many articles one page of a list may hold.
const MAX_PAGE: usize = 200;

/// What can go wrong with knowledge.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// The workspace has no such knowledge base.
    #[error("there is no knowledge base {0} in this workspace")]
    NoSuchBase(KnowledgeBaseId),
    /// A field cannot be taken.
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    /// A folder cannot be read at all.
    #[error("folder {path}: {reason}")]
    Folder {
        /// The folder, as given.
        path: String,
        /// Why, and what would help.
        reason: String,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The index failed.
    #[error(transparent)]
    Index(IndexError),
    /// The embedding model failed.
    #[error(transparent)]
    Embedding(#[from] EmbedError),
}

impl From<IndexError> for KnowledgeError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Source(error) => Self::Db(error),
            failed @ IndexError::Failed(_) => Self::Index(failed),
        }
    }
}

/// One page of articles, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArticlePage {
    /// The articles.
    pub articles: Vec<Article>,
    /// Pass it as `before` for the next page; none at the end.
    pub next: Option<ArticleId>,
}

/// Everything the business knows: bases, articles, search. Cheap to clone.
#[derive(Clone)]
pub struct Knowledge {
    pub(super) db: Db,
    pub(super) clock: Clock,
    ids: Ids,
    pub(super) embedder: Option<Arc<dyn Embedder>>,
    pub(super) index: Arc<dyn VectorIndex>,
    pub(super) follower: Arc<Follower>,
    pub(super) part: Option<Part>,
}

impl Knowledge {
    /// With the index in memory. Without an embedder everything works by words alone.
    #[must_use]
    pub fn new(db: Db, clock: Clock, ids: Ids, embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self::with_index(db, clock, ids, embedder, Arc::new(MemoryIndex::default()))
    }

    /// With an index of the caller's choice.
    #[must_use]
    pub fn with_index(
        db: Db,
        clock: Clock,
        ids: Ids,
        embedder: Option<Arc<dyn Embedder>>,
        index: Arc<dyn VectorIndex>,
    ) -> Self {
        let encoder = encoder_name(embedder.as_deref());
        let source = Arc::new(DatabaseSource { db: db.clone(), encoder });
        let follower = Arc::new(Follower::new(db.clone(), Arc::clone(&index), source));
        Self { db, clock, ids, embedder, index, follower, part: None }
    }

    /// Reports how searches end.
    #[must_use]
    pub fn reporting(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    /// Brings what this process holds of the bases up to the database; each search does the same for what it needs.
    pub async fn catch_up(&self) {
        for BaseKey { workspace, base } in self.follower.held() {
            if let Err(error) = self.follower.open(workspace, &[base]).await {
                tracing::debug!(%error, "a knowledge base is read when it is next searched");
            }
        }
    }

    /// Makes a knowledge base.
    ///
    /// # Errors
    /// [`KnowledgeError::Invalid`] for an empty or overlong name.
    pub async fn create_base(
        &self,
        workspace: WorkspaceId,
        name: &str,
    ) -> Result<KnowledgeBase, KnowledgeError> {
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
            return Err(invalid("name", "must have 1 to 120 characters"));
        }
        let (id, now) = (self.ids.fresh::<KnowledgeBaseId>(), self.clock.now());
        let stored = name.clone();
        self.db
            .write(move |conn| {
                let name = stored.clone();
                Box::pin(async move { store::insert_base(conn, workspace, id, &name, now).await })
            })
            .await?;
        Ok(KnowledgeBase { id, name, revision: 0, articles: 0, created_at: now })
    }

    /// The bases of a workspace, oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn bases(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Vec<KnowledgeBase>, KnowledgeError> {
        Ok(store::bases(&mut self.db.read().await?, workspace).await?)
    }

    /// One base, if the workspace has it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn base(
        &self,
        workspace: WorkspaceId,
        id: KnowledgeBaseId,
    ) -> Result<Option<KnowledgeBase>, KnowledgeError> {
        Ok(store::base(&mut self.db.read().await?, workspace, id).await?)
    }

    /// One article, if the workspace has it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn article(
        &self,
        workspace: WorkspaceId,
        id: ArticleId,
    ) -> Result<Option<Article>, KnowledgeError> {
        Ok(store::article(&mut self.db.read().await?, workspace, id).await?)
    }

    /// The articles of a base, newest first; `q` looks into title and body.
    ///
    /// # Errors
    /// [`KnowledgeError::NoSuchBase`].
    pub async fn articles(
        &self,
        workspace: WorkspaceId,
        base: KnowledgeBaseId,
        q: Option<&str>,
        before: Option<ArticleId>,
        limit: usize,
    ) -> Result<ArticlePage, KnowledgeError> {
        let mut conn = self.db.read().await?;
        if store::base(&mut conn, workspace, base).await?.is_none() {
            return Err(KnowledgeError::NoSuchBase(base));
        }
        let limit = limit.clamp(1, MAX_PAGE);
        let q = q.map(str::trim).filter(|q| !q.is_empty());
        let key = BaseKey { workspace, base };
        let mut articles = store::articles(&mut conn, key, q, before, limit + 1).await?;
        let more = articles.len() > limit;
        articles.truncate(limit);
        let next = articles.last().filter(|_| more).map(|last| last.id);
        Ok(ArticlePage { articles, next })
    }

    /// Stores an article: new under this key of this source, or in place of what is there.
    ///
    /// # Errors
    /// [`KnowledgeError::Invalid`] names the field; [`KnowledgeError::NoSuchBase`].
    pub async fn put_article(
        &self,
        workspace: WorkspaceId,
        base: KnowledgeBaseId,
        source: &str,
        source_key: &str,
        draft: ArticleDraft,
    ) -> Result<Stored, KnowledgeError> {
        if source_key.is_empty() || source_key.len() > MAX_KEY_BYTES {
            return Err(invalid("source_key", "must have 1 to 1000 bytes"));
        }
        if source.is_empty() || source.len() > 60 {
            return Err(invalid("source", "must have 1 to 60 bytes"));
        }
        let key = BaseKey { workspace, base };
        let mut plan = self.plan(key, source, source_key, draft.checked()?);
        plan.vectors = Arc::new(self.vectors(&plan).await?);
        if let Some(article) = put::is_stored(&mut self.db.read().await?, &plan).await? {
            return Ok(Stored {
                article,
                change: Change::Unchanged,
                chunks_added: 0,
                chunks_kept: plan.chunks.len(),
                chunks_removed: 0,
            });
        }
        let plan = Arc::new(plan);
        let stored = self
            .db
            .write(move |conn| {
                let plan = Arc::clone(&plan);
                Box::pin(async move { put::put(conn, &plan).await })
            })
            .await?;
        stored.ok_or(KnowledgeError::NoSuchBase(base))
    }

    /// Stores a question with its answer; the same question again replaces the answer.
    ///
    /// # Errors
    /// As [`Self::put_article`].
    pub async fn put_question(
        &self,
        workspace: WorkspaceId,
        base: KnowledgeBaseId,
        question: &str,
        answer: &str,
        audience: Audience,
        locale: &str,
    ) -> Result<Stored, KnowledgeError> {
        if question.trim().is_empty() {
            return Err(invalid("question", "is empty: write the question"));
        }
        if answer.trim().is_empty() {
            return Err(invalid("answer", "is empty: write the answer"));
        }
        let draft = question_and_answer(question, answer, audience, locale);
        let key = hash_of(&[&draft.title.to_lowercase(), &draft.locale]);
        self.put_article(workspace, base, "qa", &key, draft).await
    }

    /// Deletes an article and everything made from it; `false` if the workspace has no such article.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete_article(
        &self,
        workspace: WorkspaceId,
        id: ArticleId,
    ) -> Result<bool, KnowledgeError> {
        let now = self.clock.now();
        let unit = self.db.write(move |conn| {
            Box::pin(async move {
                let Some(article) = store::article(conn, workspace, id).await? else {
                    return Ok(false);
                };
                let key = BaseKey { workspace, base: article.knowledge_base };
                let Some(revision) = store::raise_revision(conn, key).await? else {
                    return Ok(false);
                };
                store::delete_article(conn, workspace, id, revision, now).await?;
                Ok(true)
            })
        });
        Ok(unit.await?)
    }

    /// How the index is.
    #[must_use]
    pub fn index_health(&self) -> Health {
        self.index.health()
    }

    /// How many bytes of this process's memory the index takes.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }

    /// Makes the index of every base of a workspace anew, and returns how many there are.
    ///
    /// # Errors
    /// What the database or the index says.
    pub async fn rebuild(&self, workspace: WorkspaceId) -> Result<usize, KnowledgeError> {
        let bases = store::revisions(&mut self.db.read().await?, workspace).await?;
        for (base, _) in &bases {
            let key = BaseKey { workspace, base: *base };
            self.index.rebuild(key, &self.follower.source).await?;
        }
        Ok(bases.len())
    }

    fn plan(&self, key: BaseKey, source: &str, source_key: &str, draft: ArticleDraft) -> Plan {
        let chunks = chunk(&draft.title, &draft.body);
        let hashes = put::chunk_hashes(&draft, &chunks);
        let planned = |(draft, hash)| PlannedChunk { draft, hash, fresh_id: self.ids.fresh() };
        Plan {
            key,
            source: source.to_owned(),
            source_key: source_key.to_owned(),
            content_hash: put::article_hash(&draft),
            chunks: chunks.into_iter().zip(hashes).map(planned).collect(),
            draft,
            fresh_id: self.ids.fresh(),
            encoder: encoder_name(self.embedder.as_deref()),
            no_encoder: encoder_name(None),
            vectors: Arc::default(),
            now: self.clock.now(),
        }
    }

    /// Vectors for the chunks that have none of the current encoder yet, as stored. A failing model does not stop the
    /// article: it is then found by its words, and embedded the next time it is put.
    async fn vectors(&self, plan: &Plan) -> Result<HashMap<String, Vec<u8>>, KnowledgeError> {
        let Some(embedder) = &self.embedder else { return Ok(HashMap::new()) };
        let known =
            put::known_chunks(&mut self.db.read().await?, plan.key, &plan.source, &plan.source_key)
                .await?;
        let done: HashSet<&str> = known
            .iter()
            .filter(|chunk| chunk.encoder == plan.encoder)
            .map(|chunk| chunk.content_hash.as_str())
            .collect();
        let missing: Vec<&PlannedChunk> =
            plan.chunks.iter().filter(|chunk| !done.contains(chunk.hash.as_str())).collect();
        let mut vectors = HashMap::new();
        for batch in missing.chunks(EMBED_BATCH) {
            let title = &plan.draft.title;
            let texts: Vec<String> = batch
                .iter()
                .map(|chunk| indexed_text(title, &chunk.draft.section, &chunk.draft.text))
                .collect();
            match embedder.embed(&texts, EmbedPurpose::Document).await {
                Ok(made) if made.len() == batch.len() => {
                    let made = made.into_iter().map(|vector| bytes_of(&normalised(vector)));
                    vectors.extend(batch.iter().map(|chunk| chunk.hash.clone()).zip(made));
                }
                Ok(made) => {
                    tracing::warn!(
                        wanted = batch.len(),
                        got = made.len(),
                        "embedder returned another number of vectors"
                    );
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "an article is stored without vectors");
                    break;
                }
            }
        }
        Ok(vectors)
    }
}

pub(super) fn invalid(field: &str, problem: &str) -> KnowledgeError {
    KnowledgeError::Invalid(InvalidField { field: field.to_owned(), problem: problem.to_owned() })
}

/// Names what makes vectors and tokens; stored beside each chunk.
pub(super) fn encoder_name(embedder: Option<&dyn Embedder>) -> String {
    embedder.map_or_else(|| ENCODING.to_owned(), |e| format!("{} {ENCODING}", e.space()))
}

/// Length one, so that a dot product is the cosine.
pub(super) fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length.is_finite() && length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

pub(super) fn bytes_of(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
