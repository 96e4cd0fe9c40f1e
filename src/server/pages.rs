//! What stands beside the API: health, readiness, the OpenAPI document and its page.

use axum::Router;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use utoipa::openapi::OpenApi;

use super::ready;
use crate::api::reference;
use crate::app::AppState;

/// Routes that need nobody to sign in.
///
/// # Errors
/// When the document cannot be rendered: a fault of ours.
pub fn router(state: &AppState, document: &OpenApi) -> anyhow::Result<Router> {
    let json = serde_json::to_value(document)?;
    let page = reference::page(&json)?;
    let text = serde_json::to_string(&json)?;
    Ok(Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready::ready))
        .with_state(state.clone())
        .route(
            "/api/v1/openapi.json",
            get(move || {
                let text = text.clone();
                async move { ([(header::CONTENT_TYPE, "application/json")], text) }
            }),
        )
        .route(
            "/api/v1/reference",
            get(move || {
                let page = page.clone();
                async move { Html(page) }
            }),
        ))
}
