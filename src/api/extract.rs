//! Extractors that answer in our error shape and name the field at fault.

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::error::ApiError;
use super::strict;

/// How many rows a page has when the client does not say.
pub const DEFAULT_LIMIT: u32 = 50;

/// A JSON body, and a JSON answer.
///
/// `Option<Json<T>>` accepts a request without a body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::unsupported_media_type());
        }
        let bytes = body(request, state).await?;
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let declared = request.headers().contains_key(header::CONTENT_TYPE);
        let json = is_json(request.headers());
        let bytes = body(request, state).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if declared && !json {
            return Err(ApiError::unsupported_media_type());
        }
        parse(&bytes).map(|value| Some(Self(value)))
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(
            axum::extract::rejection::FailedToBufferBody::LengthLimitError(_),
        ) => ApiError::body_too_large(),
        _ => ApiError::malformed("The request body broke off: send it again."),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let strict::Unique(value) = serde_json::from_slice(bytes)
        .map_err(|error| ApiError::malformed(format!("The body is not valid JSON: {error}.")))?;
    strict::read(value)
        .map_err(|error| at_fault(&error.path().to_string(), &error.inner().to_string()))
}

/// Joins the path serde walked with the field its message names, since a missing field has no path of its own.
fn at_fault(path: &str, message: &str) -> ApiError {
    // The position in the text helps nobody who built the text by program.
    let message = message.split(" at line ").next().unwrap_or(message);
    let here = (path != ".").then_some(path);
    let named = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
        .map(str::to_owned);
    let field = match (here, named) {
        (Some(path), Some(name)) => Some(format!("{path}.{name}")),
        (None, Some(name)) => Some(name),
        (Some(path), None) => Some(path.to_owned()),
        (None, None) => None,
    };
    match field {
        Some(field) => ApiError::invalid(field, sentence(message)),
        None => ApiError::malformed(sentence(message)),
    }
}

fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}

/// Tells an explicit null from an absent field:
/// `#[serde(default, deserialize_with = "crate::api::extract::present")]` on an `Option<Option<T>>`.
///
/// # Errors
/// When the value is not a `T`.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Parts of the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                match (error.into_kind(), only_part(parts, state).await) {
                    // An id of ours says what is wrong with it, but not what it is called in the address.
                    (ErrorKind::Message(message), Some(key)) => {
                        Err(ApiError::invalid(key, sentence(&message)))
                    }
                    (kind, _) => Err(bad_path(kind)),
                }
            }
            Err(other) => Err(ApiError::internal(other)),
        }
    }
}

/// The name of the part of the path, if there is only one.
async fn only_part<S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<String> {
    let all = RawPathParams::from_request_parts(parts, state).await.ok()?;
    let mut names = all.iter().map(|(name, _)| name.to_owned());
    names.next().filter(|_| names.next().is_none())
}

fn bad_path(kind: ErrorKind) -> ApiError {
    match kind {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            ApiError::invalid(key, format!("Must be of type {expected_type}."))
        }
        ErrorKind::InvalidUtf8InPathParam { key } => ApiError::invalid(key, "Must be UTF-8."),
        ErrorKind::DeserializeError { key, message, .. } => {
            ApiError::invalid(key, sentence(&message))
        }
        ErrorKind::Message(message) => ApiError::malformed(sentence(&message)),
        other => ApiError::malformed(sentence(&other.to_string())),
    }
}

/// The query string.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri).map(|q| Self(q.0)).map_err(|error| {
            // axum wraps serde's words: "Failed to deserialize query string: limit: invalid digit …".
            let text = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            match text.split_once(": ") {
                Some((path, message)) if !path.contains(' ') => at_fault(path, message),
                _ => at_fault(".", &text),
            }
        })
    }
}

/// Where a page of a list starts and how long it is.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// The `next_cursor` of the page before; absent for the first.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many rows at most (1 to 100; 50 when absent).
    #[serde(default)]
    pub limit: Option<u32>,
}

impl Page {
    /// The page length, between 1 and `max`.
    ///
    /// # Errors
    /// 400 naming `limit` when it is outside.
    pub fn limit(&self, max: u32) -> Result<u32, ApiError> {
        match self.limit {
            None => Ok(DEFAULT_LIMIT.min(max)),
            Some(n) if (1..=max).contains(&n) => Ok(n),
            Some(n) => {
                Err(ApiError::invalid("limit", format!("Must be between 1 and {max}, not {n}.")))
            }
        }
    }
}

/// One page of a list on the wire.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Items<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Items<T> {
    /// A list that is complete.
    #[must_use]
    pub fn all(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::extract::DefaultBodyLimit;
    use axum::http::StatusCode;
    use axum::routing::{get, post};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::ids::ContactId;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Inner {
        count: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Input {
        name: String,
        inner: Option<Inner>,
    }

    async fn ask(request: axum::http::Request<Body>) -> (StatusCode, Value) {
        let app: Router =
            Router::new()
                .route("/json", post(|Json(_): Json<Input>| async { "ok" }))
                .route(
                    "/maybe",
                    post(|body: Option<Json<Input>>| async move { format!("{}", body.is_some()) }),
                )
                .route("/contact/{id}", get(|Path(_): Path<ContactId>| async { "ok" }))
                .route(
                    "/list",
                    get(|Query(page): Query<Page>| async move {
                        page.limit(100).map(|n| n.to_string())
                    }),
                )
                .layer(DefaultBodyLimit::max(64));
        let response = app.oneshot(request).await.expect("infallible");
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("body");
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn check_json(body: &str, status: u16, code: &str, field: Option<&str>) {
        let request = axum::http::Request::post("/json")
            .header("content-type", "application/json; charset=utf-8")
            .body(Body::from(body.to_owned()))
            .expect("request");
        let (got, answer) = ask(request).await;
        assert_eq!(got.as_u16(), status, "{body} {answer}");
        assert_eq!(answer["error"]["code"], code, "{body}");
        assert_eq!(answer["error"]["field"].as_str(), field, "{body} {answer}");
    }

    #[tokio::test]
    async fn bad_bodies_name_the_field() {
        check_json("{", 400, "invalid", None).await;
        check_json("[]x", 400, "invalid", None).await;
        check_json("{}", 400, "invalid", Some("name")).await;
        check_json(r#"{"name":1}"#, 400, "invalid", Some("name")).await;
        check_json(r#"{"name":"a","inner":{"count":"x"}}"#, 400, "invalid", Some("inner.count"))
            .await;
        check_json(r#"{"name":"a","inner":{}}"#, 400, "invalid", Some("inner.count")).await;
        check_json(r#"{"name":"a","other":1}"#, 400, "invalid", Some("other")).await;
        check_json(&format!(r#"{{"name":"{}"}}"#, "a".repeat(99)), 413, "too_large", None).await;
    }

    #[tokio::test]
    async fn the_wrong_content_type_is_415() {
        let request = axum::http::Request::post("/json").body(Body::from("{}")).expect("request");
        let (status, answer) = ask(request).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(answer["error"]["code"], "unsupported_media_type");
    }

    #[tokio::test]
    async fn an_optional_body_may_be_absent() {
        let request = axum::http::Request::post("/maybe").body(Body::empty()).expect("request");
        assert_eq!(ask(request).await, (StatusCode::OK, Value::Bool(false)));
    }

    #[tokio::test]
    async fn bad_paths_and_queries_name_the_field() {
        let get = |uri: &str| axum::http::Request::get(uri).body(Body::empty()).expect("request");
        let (status, answer) = ask(get("/contact/conv_1")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["error"]["field"], "id", "{answer}");
        let (status, answer) = ask(get("/list?limit=x")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error"]["field"], "limit", "{answer}");
        let (_, answer) = ask(get("/list?limit=1000")).await;
        assert_eq!(answer["error"]["field"], "limit", "{answer}");
        assert_eq!(ask(get("/list")).await, (StatusCode::OK, Value::from(50)));
    }
}
