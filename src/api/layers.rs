//! The layers around the whole router: request id and log line, headers, size limit, panics as errors.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::Uuid;

use super::error::ApiError;
use super::headers;
use crate::clock::Clock;
use crate::ids::Ids;
use crate::metrics;

/// The header that names a request in answers and logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Requests slower than this are logged even when they succeed quietly.
const SLOW: Duration = Duration::from_secs(1);

/// What the layers hold every request to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
}

impl From<&crate::config::Limits> for Limits {
    fn from(limits: &crate::config::Limits) -> Self {
        Self { max_body_bytes: limits.max_body_bytes.get() }
    }
}

/// Puts the common layers around a finished router, with answers in our shape for unknown addresses and methods.
pub fn dress(router: Router, limits: Limits, clock: &Clock) -> Router {
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(limits.max_body_bytes))
        .layer(middleware::from_fn(headers::secure))
        .layer(middleware::from_fn_with_state(clock.clone(), observe))
}

/// The answer for an address nobody serves; use it as the router's fallback under `/api`.
pub async fn unknown_address() -> ApiError {
    ApiError::not_found("address; /api/v1/reference lists them all")
}

/// The answer for a method that an address does not take.
pub async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature tower-http asks for")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no words");
    ApiError::internal(format!("a handler panicked: {what}")).into_response()
}

/// Names the request, opens its span and logs its end once.
async fn observe(State(clock): State<Clock>, mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .filter(|id| is_plain(id))
        .cloned()
        .unwrap_or_else(|| fresh_id(Ids));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "request",
        request.id = id.to_str().unwrap_or_default(),
        http.method = %request.method(),
        http.route = route,
    );
    let (method, began) = (request.method().clone(), Instant::now());
    let started = clock.now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = clock.now().since(started);
    let status = response.status();
    metrics::get().web.answered(method.as_str(), &route, status.as_str(), began.elapsed());
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let _entered = span.enter();
    if took >= SLOW && status != StatusCode::SWITCHING_PROTOCOLS {
        tracing::warn!(http.status = status.as_u16(), duration_ms, "slow request");
    } else {
        tracing::debug!(http.status = status.as_u16(), duration_ms, "request");
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn fresh_id(ids: Ids) -> HeaderValue {
    let id: Uuid = ids.fresh();
    HeaderValue::from_str(&id.as_simple().to_string())
        .unwrap_or(HeaderValue::from_static("unnamed"))
}

/// A proxy's id is kept if it can stand in a log line as it is.
fn is_plain(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=64).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::clock::Timestamp;

    async fn ask(uri: &str, id: Option<&str>) -> Response {
        #[expect(clippy::panic, reason = "the handler under test")]
        async fn breaks() -> StatusCode {
            if true {
                panic!("at the disco");
            }
            StatusCode::OK
        }
        let router = Router::new()
            .route("/fine", get(|| async { "ok" }))
            .route("/api/breaks", get(breaks))
            .fallback(unknown_address);
        let clock = Clock::manual(Timestamp::from_millis(1));
        let app = dress(router, Limits { max_body_bytes: 1024 }, &clock);
        let mut request = Request::get(uri);
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        app.oneshot(request.body(Body::empty()).expect("request")).await.expect("infallible")
    }

    #[tokio::test]
    async fn every_answer_is_dressed() {
        let response = ask("/fine", Some("proxy-1")).await;
        let headers = response.headers();
        assert_eq!(headers["x-request-id"], "proxy-1");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("frame-ancestors 'none'; base-uri 'none'; form-action 'self'"));
        assert!(!headers.contains_key(header::CACHE_CONTROL));
        let strange = ask("/fine", Some("a b")).await;
        assert_ne!(strange.headers()["x-request-id"], "a b");
    }

    #[tokio::test]
    async fn panics_and_unknown_addresses_have_the_one_shape() {
        let response = ask("/api/breaks", None).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.expect("body");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("\"internal\"") && !text.contains("disco"), "{text}");
        assert_eq!(ask("/nowhere", None).await.status(), StatusCode::NOT_FOUND);
    }
}
