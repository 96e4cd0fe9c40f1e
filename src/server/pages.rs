//! What stands beside the API: health, readiness, the OpenAPI document and its page.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::api::reference;
use crate::app::AppState;
use crate::db::sql;

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
        .route("/ready", get(ready))
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

/// Whether the server can do its work: 200, or 503 with what is wrong. That other nodes are not heard makes it slower, not
/// unable: `bridge` says it, and the status stays.
async fn ready(State(state): State<AppState>) -> Response {
    let database = match state.conversations.db().read().await {
        Ok(mut conn) => sql("SELECT 1").one::<(i32,)>(&mut conn).await.map(|_| ()),
        Err(error) => Err(error),
    };
    let ok = database.is_ok() && !state.shutdown.is_cancelled();
    let say = |ok: bool| Value::from(if ok { "ok" } else { "away" });
    let mut body = json!({
        "ready": ok,
        "database": say(database.is_ok()),
        "stopping": state.shutdown.is_cancelled(),
    });
    let others = &state.conversations.wire().others;
    if others.is_linked() {
        body["bridge"] = say(others.is_hearing());
        body["other_nodes"] = Value::from(others.count());
    }
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}
