//! CORS for the widget: which pages may talk to which inbox. No cookies are involved, so no credentials are allowed.
//!
//! A preflight carries no token, so for most addresses it cannot tell the inbox and is answered for any well-formed origin;
//! the request that follows is checked. A refusal is readable by the page, so that whoever embeds the widget sees why.

use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::extract::{Visitor, bearer, is_own};
use super::origin::{AllowedOrigins, Origin};
use super::state::AccessState;
use super::visitor;
use crate::api::{self, ApiError};

/// How long a browser may remember a preflight: two hours, the most that Chromium keeps.
const MAX_AGE_SECONDS: &str = "7200";

/// The layer for everything under `/api/v1/widget`; [`with_cors`] puts it on.
async fn widget_cors(
    State(access): State<AccessState>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(sent) = request.headers().get(header::ORIGIN).cloned() else {
        // Not a browser, or a plain same-origin GET.
        return next.run(request).await;
    };
    let Some(origin) = sent.to_str().ok().and_then(|text| text.parse::<Origin>().ok()) else {
        return ApiError::origin("The widget runs on http and https pages only.").into_response();
    };
    if request.method() == Method::OPTIONS {
        return preflight(&sent);
    }
    let mut response = match admit(&access, &mut request, &origin).await {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    allow(response.headers_mut(), &sent);
    response
}

/// Looks up the inbox by key or by token, and whether it allows the page.
async fn admit(
    access: &AccessState,
    request: &mut Request,
    origin: &Origin,
) -> Result<(), ApiError> {
    let now = access.clock.now();
    if is_own(access, request.headers(), request.uri(), origin) {
        return Ok(());
    }
    let allowed = match key_in(request.uri().path()) {
        Some(key) => {
            visitor::door(&mut access.db.read().await?, key).await?.map(|d| d.allowed_origins)
        }
        None => match bearer(request.headers()) {
            Some(token) => {
                let found = visitor::find(&mut access.db.read().await?, token, now).await?;
                found.map(|found| {
                    let allowed = found.allowed_origins.clone();
                    request.extensions_mut().insert(Visitor(found));
                    allowed
                })
            }
            None => None,
        },
    };
    // Without an inbox the handler answers 401 or 404 by itself.
    let Some(allowed) = allowed else { return Ok(()) };
    check(&allowed, origin)
}

/// Whether an inbox allows a page; for the socket as well.
///
/// # Errors
/// 403 `origin` with what to change.
pub fn check(allowed: &AllowedOrigins, origin: &Origin) -> Result<(), ApiError> {
    if allowed.allow(origin) {
        return Ok(());
    }
    Err(ApiError::origin(format!(
        "This inbox does not allow pages of {origin}: add it to the inbox's allowed origins."
    )))
}

/// The public key in `/api/v1/widget/{key}/session`, the only address that has one.
fn key_in(path: &str) -> Option<&str> {
    let (before, last) = path.trim_end_matches('/').rsplit_once('/')?;
    if last != "session" {
        return None;
    }
    before.rsplit('/').next().filter(|key| !key.is_empty() && *key != "widget")
}

fn preflight(origin: &HeaderValue) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow(headers, origin);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, x-request-id"),
    );
}

/// Puts the layer around the widget's routes.
///
/// No route takes OPTIONS, so a preflight ends in the fallback for wrong methods. It is set here, inside the layer: one that
/// is set later, for the whole server, would take the place of the layered one and refuse every preflight.
pub fn with_cors<S>(router: axum::Router<S>, state: &S) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
    AccessState: FromRef<S>,
{
    let access = AccessState::from_ref(state);
    let router = router.method_not_allowed_fallback(api::wrong_method);
    router.layer(axum::middleware::from_fn_with_state(access, widget_cors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_session_address_carries_a_key() {
        assert_eq!(key_in("/api/v1/widget/abc/session"), Some("abc"));
        assert_eq!(key_in("/widget/abc/session/"), Some("abc"));
        assert_eq!(key_in("/api/v1/widget/messages"), None);
        assert_eq!(key_in("/api/v1/widget/session"), None);
    }
}
