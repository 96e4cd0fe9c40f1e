//! `GET /metrics`: figures for Prometheus. It holds no words and no ids, but tells what a business does, so it is off until
//! the configuration has a token for it, and only whoever sends that token may read it.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::access::extract::bearer;
use crate::access::secret;
use crate::api::{self, ApiError};
use crate::app::AppState;
use crate::config::{self, Secret};
use crate::metrics;

/// Prometheus' text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Scrape {
    state: AppState,
    token: Option<Secret>,
}

/// The address, whether or not anybody may read it.
pub fn router(state: &AppState, config: &config::Metrics) -> Router {
    let scrape = Scrape { state: state.clone(), token: config.token.clone() };
    Router::new().route("/metrics", get(answer)).with_state(scrape)
}

async fn answer(State(scrape): State<Scrape>, headers: HeaderMap) -> Response {
    let Scrape { state, token } = scrape;
    let Some(token) = token else { return api::unknown_address().await.into_response() };
    if !bearer(&headers).is_some_and(|shown| secret::same(shown, token.expose())) {
        return ApiError::unauthenticated().into_response();
    }
    let installed = metrics::install();
    let now = metrics::get();
    let bytes = state.minds.producer.knowledge.index_bytes();
    now.knowledge.bytes.set(&[], u64::try_from(bytes).unwrap_or(u64::MAX));
    let nodes = state.conversations.wire().others.count() + 1;
    now.nodes.set(&[], u64::try_from(nodes).unwrap_or(u64::MAX));
    let kinds = [(header::CONTENT_TYPE, FORMAT), (header::CACHE_CONTROL, "no-store")];
    (kinds, installed.render()).into_response()
}
