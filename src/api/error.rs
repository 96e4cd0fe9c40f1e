//! The only place that knows status codes: what a client is told, and what goes to the log instead.
//!
//! Invariant: a cause is logged exactly once, when the answer is made, and is never sent to the client.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::db::DbError;
use crate::field::Invalid;

/// An error as a client sees it, with the cause that only the log sees.
///
/// Boxed, so that results stay small.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    field: Option<String>,
    detail: Option<Value>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// The wire shape of every error: `{"error":{"code":…,"message":…}}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: ErrorBody,
}

/// The inside of [`ErrorAnswer`].
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// A stable code for programs, such as `invalid` or `stale_epoch`.
    #[schema(example = "invalid")]
    pub code: Cow<'static, str>,
    /// What happened and what to do, for people.
    pub message: Cow<'static, str>,
    /// The field of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// More for programs; its shape depends on the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub detail: Option<Value>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            status,
            code,
            message: message.into(),
            field: None,
            detail: None,
            retry_after: None,
            cause: None,
        }))
    }

    /// 400: `field` (dotted for nested ones) is at fault; `message` says why and what would do.
    #[must_use]
    pub fn invalid(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message).with_field(field)
    }

    /// 400 with no single field at fault, such as a body that is not JSON.
    #[must_use]
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// 401: nobody is signed in, or the token is no longer good.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Sign in first: this request carries no valid session or token.",
        )
    }

    /// 401: the same words for an unknown address and a wrong password.
    #[must_use]
    pub fn bad_credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "bad_credentials",
            "The e-mail address or the password is not right.",
        )
    }

    /// 403: known, but not allowed to do this.
    #[must_use]
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 403: the header that proves the request came from our own page is missing or wrong.
    #[must_use]
    pub fn csrf() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "The header x-baton-csrf is missing or out of date: send the `csrf` value of GET /auth/me.",
        )
    }

    /// 403: the page the request came from may not make it.
    #[must_use]
    pub fn origin(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "origin", message)
    }

    /// 404: `what` names the kind of thing, such as "conversation".
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This address does not take that method; /api/v1/reference lists what it takes.",
        )
    }

    /// 409 `refused`: the machine refused; `detail` is `{state, event, offer?}`.
    #[must_use]
    pub fn refused(message: impl Into<Cow<'static, str>>, detail: impl Into<Value>) -> Self {
        Self::new(StatusCode::CONFLICT, "refused", message).with_detail(detail)
    }

    /// 409 `stale_epoch`: someone else moved first; `detail` is `{epoch, holder}`.
    #[must_use]
    pub fn stale_epoch(detail: impl Into<Value>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "stale_epoch",
            "The conversation has changed hands meanwhile: look at who holds it now, then try again.",
        )
        .with_detail(detail)
    }

    /// 409 with a code of the feature's own, such as `stale_version`.
    #[must_use]
    pub fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 413: `field` is longer than allowed.
    #[must_use]
    pub fn too_large(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message).with_field(field)
    }

    /// 413: the whole body is larger than the server takes.
    #[must_use]
    pub fn body_too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The request is larger than this server takes (limits.max_body_bytes).",
        )
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send JSON with the header content-type: application/json.",
        )
    }

    /// 429 with Retry-After.
    #[must_use]
    pub fn rate_limited(retry_after: Duration) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            format!("Too many requests: try again in {} s.", whole_seconds(retry_after)),
        );
        error.0.retry_after = Some(retry_after);
        error
    }

    /// 503: something this needs is away; the caller may try again.
    #[must_use]
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        error.0.retry_after = Some(Duration::from_secs(1));
        error
    }

    /// 500: our fault. The cause goes to the log, the client learns nothing of it.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side. It has been logged; try again.",
        )
        .with_cause(cause)
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Adds detail for programs.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Value>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds what only the log sees.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The status the answer will have.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The field at fault, if one is.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    fn log(&self) {
        let inner = &*self.0;
        let Some(cause) = &inner.cause else { return };
        let cause = chain(&**cause);
        if inner.status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(error.code = inner.code, error.cause = %cause, "request refused: something is away");
        } else {
            tracing::error!(error.code = inner.code, error.cause = %cause, "request failed");
        }
    }
}

/// An error with its sources, on one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        let part = next.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = next.source();
    }
    text
}

/// Rounded up, never zero: a client that obeys must succeed.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl StdError for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let Inner { status, code, message, field, detail, retry_after, .. } = *self.0;
        let body = ErrorAnswer { error: ErrorBody { code: code.into(), message, field, detail } };
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(wait) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of it is not read, so the connection ends: the next request must not be sent on it.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        if error.is_unavailable() {
            return Self::unavailable("The database is busy or away: try again in a moment.")
                .with_cause(error);
        }
        Self::internal(error)
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.field, invalid.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parts(error: ApiError) -> (StatusCode, Value, Option<String>) {
        let response = error.into_response();
        let status = response.status();
        let retry =
            response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().unwrap_or("").into());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("body");
        (status, serde_json::from_slice(&bytes).expect("JSON"), retry)
    }

    #[tokio::test]
    async fn the_wire_shape_names_code_message_and_field() {
        let (status, body, retry) = parts(ApiError::invalid("email", "must contain @")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let want = serde_json::json!({"error": {"code": "invalid", "message": "must contain @", "field": "email"}});
        assert_eq!(body, want);
        assert_eq!(retry, None);
    }

    #[tokio::test]
    async fn a_cause_never_reaches_the_client() {
        let (status, body, _) = parts(DbError::Broken("secret row".into()).into()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body["error"]["code"], "internal");
        assert!(!body.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn a_database_that_is_away_asks_to_try_again() {
        let (status, body, retry) = parts(DbError::Closed.into()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["error"]["code"], "unavailable");
        assert_eq!(retry.as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn retry_after_is_rounded_up() {
        let (_, _, retry) = parts(ApiError::rate_limited(Duration::from_millis(1_200))).await;
        assert_eq!(retry.as_deref(), Some("2"));
        let (_, _, retry) = parts(ApiError::rate_limited(Duration::ZERO)).await;
        assert_eq!(retry.as_deref(), Some("1"));
    }
}
