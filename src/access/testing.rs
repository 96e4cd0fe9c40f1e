//! A small world for tests of HTTP features: a state, an owner who is signed in, requests and answers.

#![expect(
    clippy::missing_panics_doc,
    reason = "test helpers panic when the world is not as it should be"
)]

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::limits::Rates;
use super::password::PasswordCost;
use super::role::Role;
use super::session::{self, NewSession};
use super::state::AccessState;
use super::store::{self, NewMember};
use crate::clock::{Clock, Timestamp};
use crate::db::Db;
use crate::ids::{AgentId, Ids, WorkspaceId};

/// The password of everybody in the test world.
pub const PASSWORD: &str = "correct horse battery";

/// A state on a fresh database, with a clock that stands still.
pub fn state(db: Db) -> AccessState {
    let clock = Clock::manual(Timestamp::from_millis(1_764_000_000_000));
    let rates = Rates::default();
    AccessState::new(db, clock, Ids, &rates, None, PasswordCost::CHEAP).expect("a state")
}

/// Makes the workspace that the tests use.
pub async fn workspace(access: &AccessState) -> WorkspaceId {
    store::first_start(&access.db, &access.clock, access.ids, "Test Shop")
        .await
        .expect("first start")
        .workspace
}

/// Makes a person.
pub async fn member(access: &AccessState, role: Role, email: &str) -> (WorkspaceId, AgentId) {
    let workspace = workspace(access).await;
    let password_hash = access.passwords.hash(PASSWORD).await.expect("hash");
    let (ids, now) = (access.ids, access.clock.now());
    let new = NewMember { name: email.to_owned(), email: email.to_owned(), password_hash, role };
    let made = access.db.write(move |conn| {
        let new = new.clone();
        Box::pin(async move { store::create_member(conn, workspace, ids, &new, now).await })
    });
    (workspace, made.await.expect("stored").expect("not a member yet"))
}

/// Makes a person and a session of theirs.
pub async fn signed_in(access: &AccessState, role: Role, email: &str) -> Client {
    let (workspace, agent) = member(access, role, email).await;
    let new = NewSession::fresh();
    let (stored, now) = (new.clone(), access.clock.now());
    let made = access.db.write(move |conn| {
        let new = stored.clone();
        Box::pin(async move { session::create(conn, workspace, agent, &new, now).await })
    });
    made.await.expect("stored");
    Client { workspace, agent, cookie: format!("baton_session={}", new.token), csrf: new.csrf }
}

/// A signed-in browser.
#[derive(Clone)]
pub struct Client {
    /// Where they work.
    pub workspace: WorkspaceId,
    /// Who they are.
    pub agent: AgentId,
    /// The Cookie header.
    pub cookie: String,
    /// The CSRF header.
    pub csrf: String,
}

/// What came back.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when it is empty or not JSON.
    pub body: Value,
}

impl Answer {
    /// The error code, or nothing.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    /// The field at fault, or nothing.
    pub fn field(&self) -> &str {
        self.body["error"]["field"].as_str().unwrap_or("")
    }
}

impl Client {
    /// Sends a request as this person; `Null` sends no body.
    pub async fn send(&self, app: &Router, method: Method, uri: &str, body: Value) -> Answer {
        let headers = [("cookie", self.cookie.as_str()), ("x-baton-csrf", self.csrf.as_str())];
        send(app, method, uri, &headers, body).await
    }
}

/// Sends a request with these headers; `Null` sends no body.
pub async fn send(
    app: &Router,
    method: Method,
    uri: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Answer {
    let mut request = Request::builder().method(method).uri(uri).header("host", "baton.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() {
        Body::empty()
    } else {
        request = request.header("content-type", "application/json");
        Body::from(body.to_string())
    };
    let request = request.body(body).expect("request");
    let response = app.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 22).await.expect("body");
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status: parts.status, headers: parts.headers, body }
}
