//! `/ready`: what works and what does not, for load balancers (the status) and operators (the body).
//!
//! It is open to everybody, so it holds names from the configuration, codes, counts and times, and nothing else. A model that
//! fails does not make a node unready: people answer, and another node would fail alike.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;

use super::watch::PATIENCE;
use crate::app::AppState;
use crate::db::DbError;
use crate::health::{Condition, Kind};
use crate::{jobs, knowledge};

/// The body. Names and meanings are stable.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    /// Whether requests should come here.
    ready: bool,
    /// The process is ending.
    stopping: bool,
    database: Database,
    index: Index,
    /// By the endpoint's name in the configuration; `embeddings` is the embedding model.
    models: BTreeMap<String, Condition>,
    workers: BTreeMap<String, Condition>,
    jobs: Jobs,
    /// Whether the other nodes are heard: `ok` or `away`; none where no other node can be. It makes a node slower, not unable.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_nodes: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Database {
    /// What the watch has seen.
    #[serde(flatten)]
    condition: Condition,
    /// Whether it has answered this very request, and what was wrong if it has not.
    answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// Why it refuses writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuses_writes: Option<&'static str>,
}

/// The search for knowledge.
#[derive(Debug, Serialize)]
struct Index {
    #[serde(flatten)]
    condition: Condition,
    /// Why answers go on by words alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Jobs {
    /// Given up after their last try; `baton doctor` lists them. None if the database did not answer.
    parked: Option<u64>,
}

/// Whether the server can do its work: 200, or 503.
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Ready>) {
    let asked = timeout(PATIENCE, ask(&state)).await;
    let asked = asked.unwrap_or(Err(DbError::Unavailable("timeout")));
    let condition = state.health.part(Kind::Database, "database").condition();
    let index = Index {
        condition: state.health.part(Kind::Index, "search").condition(),
        degraded: match state.minds.producer.knowledge.index_health() {
            knowledge::Health::Degraded(reason) => Some(reason),
            knowledge::Health::Ok => None,
        },
    };
    let workers = state.health.of(Kind::Worker);
    let stopping = state.shutdown.is_cancelled();
    let refuses_writes = state.conversations.db().refuses_writes();
    let ready = asked.is_ok()
        && condition.is_ok()
        && refuses_writes.is_none()
        && workers.values().all(Condition::is_ok)
        && !stopping;
    let others = &state.conversations.wire().others;
    let body = Ready {
        ready,
        stopping,
        database: Database {
            condition,
            answers: asked.is_ok(),
            error: asked.as_ref().err().map(|error| error.trouble().unwrap_or("error")),
            refuses_writes,
        },
        index,
        models: state.health.of(Kind::Model),
        workers,
        jobs: Jobs { parked: asked.ok() },
        bridge: others.is_linked().then(|| if others.is_hearing() { "ok" } else { "away" }),
        other_nodes: others.is_linked().then(|| others.count()),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body))
}

/// How many jobs were given up: a question that the database answers if it answers any.
async fn ask(state: &AppState) -> Result<u64, DbError> {
    let mut conn = state.conversations.db().read().await?;
    Ok(jobs::store::parked(&mut conn).await?.iter().map(|parked| parked.jobs).sum())
}
