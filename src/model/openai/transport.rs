//! The HTTP side: one request, one answer, and a failure that keeps what the server said.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::super::ModelError;

/// How much of an error body is kept.
const MAX_DETAIL_BYTES: usize = 4 * 1024;

/// The longest body that is read as one whole answer: an answer of the greatest length, escaped, with what surrounds it.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The longest stream: an answer of the greatest length, one character a chunk, with reasoning before it.
const MAX_STREAM_BYTES: usize = 64 * 1024 * 1024;

/// The longest event within a stream. What parses events looks at an unfinished one again with every piece, so one without
/// an end would cost the square of its length; a whole answer may come as a single one.
const MAX_EVENT_BYTES: usize = MAX_BODY_BYTES;

/// No server is left alone for longer than this, whatever it asks.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// A failed request and what is known about it.
pub(super) struct Failure {
    pub error: ModelError,
    /// The HTTP status, if it came to one.
    pub status: Option<u16>,
    /// The first part of the body, as it came.
    pub body: String,
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self { error, status: None, body: String::new() }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for OpenAIError {
    fn from(failure: Failure) -> Self {
        Self::Boxed(Box::new(failure))
    }
}

/// What went wrong, whichever layer noticed it.
pub(super) fn failure(error: OpenAIError) -> Failure {
    match error {
        OpenAIError::Boxed(boxed) => match boxed.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(_) => ModelError::Connect.into(),
        },
        OpenAIError::Reqwest(error) => sending(&error).into(),
        OpenAIError::StreamError(_) => ModelError::CutStream.into(),
        OpenAIError::JSONDeserialize(..) => ModelError::BadResponse { why: "not JSON" }.into(),
        _ => ModelError::BadResponse { why: "an error of the client library" }.into(),
    }
}

fn sending(error: &reqwest::Error) -> ModelError {
    if error.is_timeout() {
        // A connection that is not accepted in time is a server that is not there.
        if error.is_connect() { ModelError::Connect } else { ModelError::Timeout }
    } else if error.is_body() || error.is_decode() {
        ModelError::CutStream
    } else {
        ModelError::Connect
    }
}

/// A client that follows no redirects (a redirected POST would lose its body) and asks no environment for proxies.
pub(super) fn http_client(connect_timeout: Duration) -> Result<reqwest::Client, ModelError> {
    super::install_crypto();
    reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|_| ModelError::Connect)
}

/// The service under async-openai.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    streaming: bool,
    has_key: bool,
}

impl Transport {
    pub fn new(http: reqwest::Client, streaming: bool, has_key: bool) -> Self {
        Self { http, streaming, has_key }
    }

    async fn send(self, factory: HttpRequestFactory) -> Result<Response, OpenAIError> {
        let mut request = factory.build().await?;
        let headers = request.headers_mut();
        if !self.has_key {
            headers.remove(AUTHORIZATION);
        }
        if self.streaming {
            let accepted = reqwest::header::HeaderValue::from_static("text/event-stream");
            headers.insert(ACCEPT, accepted);
        }
        let response =
            self.http.execute(request).await.map_err(|error| Failure::from(sending(&error)))?;
        if !response.status().is_success() {
            return Err(refused(response).await.into());
        }
        let answer = if self.streaming { streamed(response).await } else { whole(response).await };
        answer.map_err(OpenAIError::from)
    }
}

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        Box::pin(self.clone().send(factory))
    }
}

/// A whole answer: read, and known to be JSON, so that nothing behind this can stumble over it and log it.
async fn whole(response: Response) -> Result<Response, Failure> {
    let (body, cut) = body_up_to(response, MAX_BODY_BYTES).await?;
    if cut {
        return Err(ModelError::TooLong.into());
    }
    let value: Value = serde_json::from_slice(&body)
        .map_err(|_| ModelError::BadResponse { why: not_json(&body) })?;
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        return Err(inner_error(error).into());
    }
    Ok(Response::from(http::Response::new(body)))
}

/// A stream: passed on up to a great length. A server that ignores the wish for a stream and answers whole is turned into a
/// stream of one piece.
async fn streamed(response: Response) -> Result<Response, Failure> {
    let kind = content_type(response.headers());
    if kind.contains("event-stream") || kind.contains("octet-stream") || kind.is_empty() {
        let mut read = 0_usize;
        let mut event = EventLength::default();
        let bytes = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(std::io::Error::other)?;
            read += chunk.len();
            if read > MAX_STREAM_BYTES || event.longest_with(&chunk) > MAX_EVENT_BYTES {
                return Err(std::io::Error::other("the stream is too long"));
            }
            Ok(chunk)
        });
        return Ok(Response::from(http::Response::new(reqwest::Body::wrap_stream(bytes))));
    }
    let is_json = kind.contains("json");
    let response = whole(response).await?;
    if !is_json {
        return Err(ModelError::BadResponse { why: "not a stream" }.into());
    }
    let (body, _) = body_up_to(response, MAX_BODY_BYTES).await?;
    let mut event = b"data: ".to_vec();
    // A line break would end the event; JSON needs none.
    event.extend(body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    event.extend_from_slice(b"\n\ndata: [DONE]\n\n");
    Ok(Response::from(http::Response::new(event)))
}

/// How long the event at the end of a stream is so far.
#[derive(Debug)]
struct EventLength {
    bytes: usize,
    line_is_empty: bool,
    after_return: bool,
}

impl Default for EventLength {
    fn default() -> Self {
        Self { bytes: 0, line_is_empty: true, after_return: false }
    }
}

impl EventLength {
    /// Goes on with a piece of the stream: the longest that an event was meanwhile. A blank line ends an event.
    fn longest_with(&mut self, piece: &[u8]) -> usize {
        let mut longest = self.bytes;
        for &byte in piece {
            let second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => {
                    if self.line_is_empty {
                        self.bytes = 0;
                    }
                    self.line_is_empty = true;
                }
                _ => {
                    self.line_is_empty = false;
                    self.bytes += 1;
                    longest = longest.max(self.bytes);
                }
            }
        }
        longest
    }
}

async fn body_up_to(response: Response, limit: usize) -> Result<(Vec<u8>, bool), Failure> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.try_next().await.map_err(|error| sending(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > limit {
            body.truncate(limit);
            return Ok((body, true));
        }
    }
    Ok((body, false))
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.to_ascii_lowercase()
}

fn not_json(body: &[u8]) -> &'static str {
    match body.trim_ascii_start().first() {
        None => "an empty body",
        Some(b'<') => "a web page instead of an answer",
        Some(_) => "not JSON",
    }
}

/// A refusal by status.
async fn refused(response: Response) -> Failure {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    // What cannot be read of the body is not worth losing the status for.
    let body = body_up_to(response, MAX_DETAIL_BYTES).await.map(|(body, _)| body);
    let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    let error = by_status(status, retry_after, &body);
    Failure { error, status: Some(status.as_u16()), body }
}

fn by_status(status: StatusCode, retry_after: Option<Duration>, body: &str) -> ModelError {
    match status.as_u16() {
        401 | 403 => ModelError::Unauthorized,
        408 => ModelError::Timeout,
        429 => ModelError::RateLimited { retry_after },
        code if status.is_server_error() => ModelError::Server { status: code },
        _ if body.contains("content_filter") => ModelError::Filtered,
        code => ModelError::Rejected { status: code, detail: detail(body) },
    }
}

/// Seconds, or nothing: dates in this header depend on two clocks.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// What a server says, out of the shapes in which servers say it.
fn detail(body: &str) -> String {
    let said = serde_json::from_str::<Value>(body).ok().and_then(|value| message_of(&value));
    let said = said.unwrap_or_else(|| body.trim().to_owned());
    let end = said.floor_char_boundary(MAX_DETAIL_BYTES);
    said[..end].to_owned()
}

fn message_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let said: Vec<String> = items.iter().filter_map(message_of).collect();
            (!said.is_empty()).then(|| said.join("; "))
        }
        Value::Object(fields) => ["error", "message", "detail", "msg", "error_msg"]
            .iter()
            .find_map(|key| fields.get(*key).and_then(message_of)),
        _ => None,
    }
}

/// What a refusal with this status and body means.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn refusal(status: u16, body: &str) -> ModelError {
    by_status(StatusCode::from_u16(status).unwrap_or_default(), None, body)
}

/// An error object inside a successful answer; its code may be a status.
pub(super) fn inner_error(error: &Value) -> ModelError {
    let code = error.get("code").or_else(|| error.get("status"));
    let code = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = code.and_then(|code| u16::try_from(code).ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    let text = error.to_string();
    match status.filter(|status| status.is_client_error() || status.is_server_error()) {
        Some(status) => by_status(status, None, &text),
        None if text.contains("content_filter") => ModelError::Filtered,
        None if text.contains("rate_limit") => ModelError::RateLimited { retry_after: None },
        None => ModelError::Server { status: 200 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, code: &str, detail: Option<&str>) {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = by_status(status, None, body);
        assert_eq!(error.code(), code, "{body}");
        assert_eq!(error.detail(), detail, "{body}");
    }

    #[test]
    fn every_server_s_way_of_refusing_is_understood() {
        check(
            400,
            r#"{"error":{"message":"bad","type":"x","param":null,"code":null}}"#,
            "rejected",
            Some("bad"),
        );
        check(
            400,
            r#"{"object":"error","message":"flat","type":"BadRequestError","code":400}"#,
            "rejected",
            Some("flat"),
        );
        check(
            400,
            r#"{"error":{"code":400,"message":"llama","type":"invalid_request_error"}}"#,
            "rejected",
            Some("llama"),
        );
        check(
            404,
            r#"{"error":"model \"x\" not found"}"#,
            "rejected",
            Some("model \"x\" not found"),
        );
        check(
            422,
            r#"{"detail":[{"loc":["body"],"msg":"field required"},{"msg":"two"}]}"#,
            "rejected",
            Some("field required; two"),
        );
        check(422, r#"{"detail":"Not so"}"#, "rejected", Some("Not so"));
        check(
            404,
            "<html><h1>Not Found</h1></html>",
            "rejected",
            Some("<html><h1>Not Found</h1></html>"),
        );
        check(401, "", "unauthorized", None);
        check(403, "{}", "unauthorized", None);
        check(408, "", "timeout", None);
        check(429, "<html>slow down</html>", "rate_limited", None);
        check(500, "oops", "server_error", None);
        check(529, "overloaded", "server_error", None);
        check(302, "", "rejected", None);
        check(400, r#"{"error":{"code":"content_filter","message":"no"}}"#, "filtered", None);
        let long = "é".repeat(5_000);
        let error = by_status(StatusCode::BAD_REQUEST, None, &long);
        assert!(error.detail().is_some_and(|detail| detail.len() <= MAX_DETAIL_BYTES));
    }

    #[test]
    fn the_length_of_an_event_counts_until_a_blank_line() {
        let longest = |pieces: &[&str]| {
            let mut event = EventLength::default();
            pieces.iter().map(|piece| event.longest_with(piece.as_bytes())).max()
        };
        assert_eq!(longest(&["data: 1\n\ndata: 12\n\n"]), Some(8));
        assert_eq!(longest(&["data: 1\r\n\r", "\ndata: 12\r\n\r\nd"]), Some(8));
        assert_eq!(longest(&["data: 1\r\rdata: 12\r\r"]), Some(8));
        assert_eq!(longest(&["data: 1\ndata: 2\r\ndata: 3"]), Some(21));
        assert_eq!(longest(&["aaa", "bbb"]), Some(6));
    }

    #[test]
    fn waiting_is_capped_and_nonsense_ignored() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(wait("2"), Some(Duration::from_secs(2)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("86400"), Some(MAX_RETRY_AFTER));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(wait("-1"), None);
    }
}
