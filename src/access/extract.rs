//! Who is asking: [`Signed`] for agents, [`Visitor`] for visitors, [`Address`] for anybody.
//!
//! Invariant: a handler that takes `Signed` cannot be reached on an unsafe method without the CSRF header, nor from
//! another origin.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum_extra::extract::cookie::CookieJar;

use super::origin::Origin;
use super::role::Right;
use super::secret::{same, token_hash};
use super::session::{self, Session};
use super::state::AccessState;
use super::visitor::{self, VisitorToken};
use crate::api::ApiError;
use crate::db::DbError;

/// The cookie that carries a session's token.
pub const SESSION_COOKIE: &str = "baton_session";
/// The header that carries a session's CSRF value.
pub const CSRF_HEADER: &str = "x-baton-csrf";

/// A signed-in agent whose request is proven to come from our own page.
#[derive(Debug, Clone)]
pub struct Signed(pub Session);

impl std::ops::Deref for Signed {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Signed {
    /// Goes on only if the role has the right.
    ///
    /// # Errors
    /// 403 naming the right.
    pub fn require(&self, right: Right) -> Result<(), ApiError> {
        if self.role.may(right) {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "Your role ({}) does not have the right {}: ask an owner or admin.",
            self.role,
            right.as_str()
        )))
    }
}

impl<S> FromRequestParts<S> for Signed
where
    S: Send + Sync,
    AccessState: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let access = AccessState::from_ref(state);
        let jar = CookieJar::from_headers(&parts.headers);
        let cookie = jar.get(SESSION_COOKIE).ok_or_else(ApiError::unauthenticated)?;
        let hash = token_hash(cookie.value());
        let now = access.clock.now();
        let found = session::find(&mut access.db.read().await?, &hash, now).await?;
        let session = found.ok_or_else(ApiError::unauthenticated)?;
        if !is_safe(&parts.method) {
            same_origin(&access, parts)?;
            let sent = parts.headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).unwrap_or("");
            if !same(sent, &session.csrf) {
                return Err(ApiError::csrf());
            }
        }
        access.limits.agent_request(session.agent)?;
        if now.since(session.seen_at) >= session::TOUCH_EVERY {
            touch(&access, &session).await;
        }
        Ok(Self(session))
    }
}

/// Records use; a request that only reads does not fail because this cannot be written.
async fn touch(access: &AccessState, session: &Session) {
    let (hash, created_at) = (session.token_hash.clone(), session.created_at);
    let now = access.clock.now();
    let touched: Result<(), DbError> = access
        .db
        .write(move |conn| {
            let hash = hash.clone();
            Box::pin(async move { session::touch(conn, &hash, created_at, now).await })
        })
        .await;
    if let Err(error) = touched {
        tracing::warn!(agent.id = %session.agent, %error, "the use of a session was not recorded");
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Refuses a request whose Origin header, if it has one, is not our own page.
///
/// # Errors
/// 403 `origin`.
pub fn same_origin(access: &AccessState, parts: &Parts) -> Result<(), ApiError> {
    let Some(sent) = parts.headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = sent.to_str().ok().and_then(|text| text.parse::<Origin>().ok());
    if origin.is_some_and(|origin| is_own(access, &parts.headers, &parts.uri, &origin)) {
        return Ok(());
    }
    Err(ApiError::origin(
        "This request came from another page. Behind a proxy, set public_url to the address people use.",
    ))
}

/// Whether `origin` is the page we serve ourselves: the configured address, or the host the request was sent to.
#[must_use]
pub fn is_own(
    access: &AccessState,
    headers: &HeaderMap,
    uri: &axum::http::Uri,
    origin: &Origin,
) -> bool {
    if let Some(public) = &access.public_origin
        && public.authority() == origin.authority()
    {
        // Where people reach us encrypted, a page of the same name that is not is somebody's in between.
        return public == origin;
    }
    host(headers, uri)
        .and_then(|host| Origin::of_host(&host, origin.is_https()))
        .is_some_and(|own| own == *origin)
}

/// The host a request was sent to.
#[must_use]
pub fn host(headers: &HeaderMap, uri: &axum::http::Uri) -> Option<String> {
    headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
        .or_else(|| uri.authority().map(ToString::to_string))
}

/// A visitor with a good token.
#[derive(Debug, Clone)]
pub struct Visitor(pub VisitorToken);

impl std::ops::Deref for Visitor {
    type Target = VisitorToken;
    fn deref(&self) -> &VisitorToken {
        &self.0
    }
}

impl<S> FromRequestParts<S> for Visitor
where
    S: Send + Sync,
    AccessState: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // The CORS layer of the widget has looked the token up already.
        if let Some(found) = parts.extensions.get::<Self>() {
            return Ok(found.clone());
        }
        let access = AccessState::from_ref(state);
        let token = bearer(&parts.headers).ok_or_else(ApiError::unauthenticated)?;
        let now = access.clock.now();
        let found = visitor::find(&mut access.db.read().await?, token, now).await?;
        found.map(Self).ok_or_else(ApiError::unauthenticated)
    }
}

/// The token of an `Authorization: Bearer` header.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The network address a request came from.
///
/// Serve with `into_make_service_with_connect_info::<SocketAddr>()`, or everybody shares one address.
#[derive(Debug, Clone, Copy)]
pub struct Address(pub IpAddr);

impl<S> FromRequestParts<S> for Address
where
    S: Send + Sync,
    AccessState: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        if !AccessState::from_ref(state).trust_proxy {
            return Ok(Self(peer));
        }
        // The last entry is the one our own proxy wrote; those before it can be anything.
        let forwarded = parts
            .headers
            .get_all("x-forwarded-for")
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok())
            .and_then(|list| list.rsplit(',').next())
            .and_then(|address| address.trim().parse().ok());
        Ok(Self(forwarded.unwrap_or(peer)))
    }
}

/// The origin at which the client reaches us: the configured one, else the host it asked.
#[derive(Debug, Clone)]
pub struct ServedAt(pub Origin);

impl<S> FromRequestParts<S> for ServedAt
where
    S: Send + Sync,
    AccessState: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let access = AccessState::from_ref(state);
        access
            .public_origin
            .or_else(|| Origin::of_host(&host(&parts.headers, &parts.uri)?, false))
            .map(Self)
            .ok_or_else(|| ApiError::malformed("The request has no usable Host header."))
    }
}
