//! Knowledge over HTTP: bases, articles, and the trial search of the set-up screens.

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::article::{Article, InvalidField};
use super::wire::{ArticleAnswer, ArticleInput, ArticleRow, BaseRow, Found, editable};
use super::{Audience, FOLDER, Knowledge, KnowledgeError};
use crate::access::{AccessState, Right, Signed};
use crate::api::{
    AgentErrors, ApiError, ApiResult, ErrorAnswer, InputErrors, Items, Json, MissingErrors, Page,
    Path, Query,
};
use crate::field;
use crate::ids::{ArticleId, KnowledgeBaseId};

/// How many articles a page may have.
const PAGE_MAX: u32 = 100;
/// How many passages the trial search shows.
const FOUND: usize = 10;

/// The routes of this feature.
pub fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
    Knowledge: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(bases, create_base))
        .routes(routes!(articles, create))
        .routes(routes!(article, update, delete))
        .routes(routes!(search))
}

impl From<InvalidField> for ApiError {
    fn from(invalid: InvalidField) -> Self {
        Self::invalid(invalid.field, format!("It {}.", invalid.problem))
    }
}

impl From<KnowledgeError> for ApiError {
    fn from(error: KnowledgeError) -> Self {
        match error {
            KnowledgeError::NoSuchBase(_) => Self::not_found("knowledge base"),
            KnowledgeError::Invalid(invalid) => invalid.into(),
            KnowledgeError::Db(error) => error.into(),
            KnowledgeError::Index(error) => {
                Self::unavailable("The knowledge index is away: try again in a moment.")
                    .with_cause(error)
            }
            KnowledgeError::Embedding(error) => {
                Self::unavailable("The embedding model is away: try again in a moment.")
                    .with_cause(error)
            }
            error @ KnowledgeError::Folder { .. } => Self::internal(error),
        }
    }
}

/// Every knowledge base.
#[utoipa::path(get, path = "/knowledge-bases", tag = "Knowledge",
    security(("session" = [])), responses(
    (status = 200, description = "Every knowledge base, oldest first", body = Items<BaseRow>), AgentErrors,
))]
async fn bases(
    State(knowledge): State<Knowledge>,
    signed: Signed,
) -> ApiResult<Json<Items<BaseRow>>> {
    signed.require(Right::Configure)?;
    let chunks = knowledge.chunks_by_base(signed.workspace).await?;
    let bases = knowledge.bases(signed.workspace).await?.into_iter();
    let rows = bases.map(|base| {
        let chunks = chunks.get(&base.id).copied().unwrap_or(0);
        BaseRow::new(base, chunks)
    });
    Ok(Json(Items::all(rows.collect())))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateBase {
    /// At most 120 characters.
    name: String,
}

/// Makes a knowledge base.
#[utoipa::path(post, path = "/knowledge-bases", tag = "Knowledge", request_body = CreateBase,
    security(("session" = [], "csrf" = [])), responses(
    (status = 200, description = "Made", body = BaseRow), InputErrors, AgentErrors,
))]
async fn create_base(
    State(knowledge): State<Knowledge>,
    signed: Signed,
    Json(input): Json<CreateBase>,
) -> ApiResult<Json<BaseRow>> {
    signed.require(Right::Configure)?;
    let name = field::line("name", &input.name, 120)?;
    Ok(Json(BaseRow::new(knowledge.create_base(signed.workspace, &name).await?, 0)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ArticlesQuery {
    /// Looked for in title and text.
    #[serde(default)]
    q: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// How many rows at most (1 to 100; 50 when absent).
    #[serde(default)]
    limit: Option<u32>,
}

/// The articles of a base, newest first.
#[utoipa::path(get, path = "/knowledge-bases/{id}/articles", tag = "Knowledge",
    security(("session" = [])),
    params(("id" = KnowledgeBaseId, Path, description = "The base"), ArticlesQuery),
    responses(
        (status = 200, description = "One page", body = Items<ArticleRow>), InputErrors, MissingErrors, AgentErrors,
    ))]
async fn articles(
    State(knowledge): State<Knowledge>,
    signed: Signed,
    Path(base): Path<KnowledgeBaseId>,
    Query(query): Query<ArticlesQuery>,
) -> ApiResult<Json<Items<ArticleRow>>> {
    signed.require(Right::Configure)?;
    let before: Option<ArticleId> = query
        .cursor
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| ApiError::invalid("cursor", "Must be the `next_cursor` of a page."))?;
    let limit = Page { cursor: None, limit: query.limit }.limit(PAGE_MAX)? as usize;
    let workspace = signed.workspace;
    let page = knowledge.articles(workspace, base, query.q.as_deref(), before, limit).await?;
    let ids = || page.articles.iter().map(|article| article.id);
    let chunks = match ids().min().zip(ids().max()) {
        Some(range) => knowledge.chunks_by_article(workspace, base, range).await?,
        None => std::collections::HashMap::new(),
    };
    let row = |article: Article| {
        let chunks = chunks.get(&article.id).copied().unwrap_or(0);
        ArticleRow::new(article, chunks)
    };
    Ok(Json(Items {
        next_cursor: page.next.map(|id| id.to_string()),
        items: page.articles.into_iter().map(row).collect(),
    }))
}

async fn find(
    knowledge: &Knowledge,
    signed: &Signed,
    base: KnowledgeBaseId,
    id: ArticleId,
) -> Result<Article, ApiError> {
    let found = knowledge.article(signed.workspace, id).await?;
    found
        .filter(|article| article.knowledge_base == base)
        .ok_or_else(|| ApiError::not_found("article"))
}

async fn answer(
    knowledge: &Knowledge,
    signed: &Signed,
    base: KnowledgeBaseId,
    id: ArticleId,
) -> ApiResult<Json<ArticleAnswer>> {
    let article = find(knowledge, signed, base, id).await?;
    let chunks = knowledge.chunks_by_article(signed.workspace, base, (id, id)).await?;
    let body = editable(&article);
    let row = ArticleRow::new(article, chunks.get(&id).copied().unwrap_or(0));
    Ok(Json(ArticleAnswer { row, body }))
}

/// One article with its words.
#[utoipa::path(get, path = "/knowledge-bases/{id}/articles/{article}", tag = "Knowledge",
    security(("session" = [])),
    params(
        ("id" = KnowledgeBaseId, Path, description = "The base"),
        ("article" = ArticleId, Path, description = "The article"),
    ),
    responses(
        (status = 200, description = "The article", body = ArticleAnswer), MissingErrors, AgentErrors,
    ))]
async fn article(
    State(knowledge): State<Knowledge>,
    signed: Signed,
    Path((base, id)): Path<(KnowledgeBaseId, ArticleId)>,
) -> ApiResult<Json<ArticleAnswer>> {
    signed.require(Right::Configure)?;
    answer(&knowledge, &signed, base, id).await
}

/// Adds a text, or a question with its answer; found at once.
#[utoipa::path(post, path = "/knowledge-bases/{id}/articles", tag = "Knowledge", request_body = ArticleInput,
    security(("session" = [], "csrf" = [])),
    params(("id" = KnowledgeBaseId, Path, description = "The base")),
    responses(
        (status = 200, description = "Stored", body = ArticleAnswer), InputErrors, MissingErrors, AgentErrors,
    ))]
async fn create(
    State(access): State<AccessState>,
    State(knowledge): State<Knowledge>,
    signed: Signed,
    Path(base): Path<KnowledgeBaseId>,
    Json(input): Json<ArticleInput>,
) -> ApiResult<Json<ArticleAnswer>> {
    signed.require(Right::Configure)?;
    let source = input.source();
    // A key of its own: adding never replaces what somebody else wrote.
    let key = access.ids.fresh::<ArticleId>().to_string();
    let draft = input.draft()?;
    let stored = knowledge.put_article(signed.workspace, base, source, &key, draft).await?;
    answer(&knowledge, &signed, base, stored.article).await
}

/// Replaces an article's words.
#[utoipa::path(put, path = "/knowledge-bases/{id}/articles/{article}", tag = "Knowledge",
    security(("session" = [], "csrf" = [])),
    request_body = ArticleInput,
    params(
        ("id" = KnowledgeBaseId, Path, description = "The base"),
        ("article" = ArticleId, Path, description = "The article"),
    ),
    responses(
        (status = 200, description = "Stored", body = ArticleAnswer),
        (status = 409, description = "It comes from a folder and is edited there (`refused`)", body = ErrorAnswer),
        InputErrors, MissingErrors, AgentErrors,
    ))]
async fn update(
    State(knowledge): State<Knowledge>,
    signed: Signed,
    Path((base, id)): Path<(KnowledgeBaseId, ArticleId)>,
    Json(input): Json<ArticleInput>,
) -> ApiResult<Json<ArticleAnswer>> {
    signed.require(Right::Configure)?;
    let there = find(&knowledge, &signed, base, id).await?;
    not_from_folder(&there)?;
    if there.source != input.source() {
        let own = format!("This article is of the source `{}`: send that.", there.source);
        return Err(ApiError::invalid("source", own));
    }
    let draft = input.draft()?;
    let (source, key) = (there.source, there.source_key);
    let stored = knowledge.put_article(signed.workspace, base, &source, &key, draft).await?;
    answer(&knowledge, &signed, base, stored.article).await
}

/// What lies in a folder comes back from there.
fn not_from_folder(article: &Article) -> Result<(), ApiError> {
    if article.source != FOLDER {
        return Ok(());
    }
    Err(ApiError::conflict(
        "refused",
        "This article comes from a folder on the server: change or delete its file there.",
    ))
}

/// Deletes an article and all its passages.
#[utoipa::path(delete, path = "/knowledge-bases/{id}/articles/{article}", tag = "Knowledge",
    security(("session" = [], "csrf" = [])),
    params(
        ("id" = KnowledgeBaseId, Path, description = "The base"),
        ("article" = ArticleId, Path, description = "The article"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "It comes from a folder (`refused`)", body = ErrorAnswer),
        MissingErrors, AgentErrors,
    ))]
async fn delete(
    State(knowledge): State<Knowledge>,
    signed: Signed,
    Path((base, id)): Path<(KnowledgeBaseId, ArticleId)>,
) -> ApiResult<StatusCode> {
    signed.require(Right::Configure)?;
    not_from_folder(&find(&knowledge, &signed, base, id).await?)?;
    if knowledge.delete_article(signed.workspace, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found("article"))
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// What a visitor would ask.
    q: String,
    /// `public` (the default): what the AI may tell visitors; `internal`: everything agents may read.
    #[serde(default)]
    audience: Option<Audience>,
}

/// Tries a search: what a question finds, and what is close enough to answer from.
#[utoipa::path(get, path = "/knowledge-bases/{id}/search", tag = "Knowledge",
    security(("session" = [])),
    params(("id" = KnowledgeBaseId, Path, description = "The base"), SearchQuery),
    responses(
        (status = 200, description = "Best first", body = Items<Found>), InputErrors, MissingErrors, AgentErrors,
    ))]
async fn search(
    State(knowledge): State<Knowledge>,
    signed: Signed,
    Path(base): Path<KnowledgeBaseId>,
    Query(query): Query<SearchQuery>,
) -> ApiResult<Json<Items<Found>>> {
    signed.require(Right::Configure)?;
    let q = field::text("q", &query.q, 8_000)?;
    if q.is_empty() {
        return Err(ApiError::invalid("q", "Must not be empty: ask as a visitor would."));
    }
    let workspace = signed.workspace;
    if knowledge.base(workspace, base).await?.is_none() {
        return Err(ApiError::not_found("knowledge base"));
    }
    let found: Vec<Found> = match query.audience {
        Some(Audience::Internal) => {
            let all = knowledge.search_for_agents(workspace, &[base], &q, None, FOUND).await?;
            all.iter().map(Found::from).collect()
        }
        Some(Audience::Public) | None => {
            let public = knowledge.search_public(workspace, &[base], &q, None, FOUND).await?;
            public.iter().map(|passage| Found::from(&**passage)).collect()
        }
    };
    Ok(Json(Items::all(found)))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
