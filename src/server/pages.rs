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
use crate::knowledge::Health;

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

/// Whether the server can do its work: 200, or 503 with what is wrong.
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
        "index": "ok",
        "stopping": state.shutdown.is_cancelled(),
    });
    // Answers go on without it, so it is told, and the server stays ready.
    if let Health::Degraded(reason) = state.minds.producer.knowledge.index_health() {
        body["index"] = Value::from("degraded");
        body["index_reason"] = Value::from(reason);
    }
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}
