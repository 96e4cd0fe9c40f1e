//! `/api/v1/live`: one WebSocket for visitors and agents. The first frame says who it is; the token never stands in the URL.
//!
//! Origin is checked twice: a page that is no web page at all is refused before the upgrade; whether the page may listen is
//! known once the first frame has named the inbox or the agent.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::extract::is_own;
use crate::access::{Origin, tickets};
use crate::api::{ApiError, ApiResult, ErrorAnswer};
use crate::app::AppState;
use crate::ids::ConversationId;
use crate::socket::{Code, Gone, Patience, Socket, small};
use crate::{inbox, widget};

/// How patient sockets are.
#[derive(Debug, Clone, Copy)]
pub struct LiveSettings {
    /// Until the first frame.
    pub hello: Duration,
    /// Until one frame is handed over.
    pub write: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// Between two looks at whether the token or session is still good.
    pub recheck: Duration,
    /// From an agent's last socket to being offline.
    pub offline_grace: Duration,
    /// Open sockets on this node.
    pub max_sockets: usize,
    /// How long another node may be silent before it counts as dead.
    pub node_life: Duration,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(5),
            write: Duration::from_secs(10),
            ping: Duration::from_secs(25),
            recheck: Duration::from_secs(30),
            offline_grace: Duration::from_secs(30),
            max_sockets: 20_000,
            node_life: Duration::from_secs(8),
        }
    }
}

/// The route of the socket.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(live))
}

/// The first frame.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Hello {
    Hello {
        token: Option<String>,
        ticket: Option<String>,
        #[serde(default)]
        after: u64,
        cursor: Option<String>,
        watch: Option<ConversationId>,
    },
}

/// Where a socket was opened from. It keeps nothing of the request: that would stay in memory as long as the socket.
struct Page {
    origin: Option<Origin>,
    /// Not a browser, or our own page.
    is_own: bool,
}

/// Opens the socket. Frames are JSON texts; the first one, within five seconds, is
/// `{"type":"hello","token":…,"after":…}` for visitors or `{"type":"hello","ticket":…,"cursor":…,"watch":…}` for agents.
#[utoipa::path(get, path = "/live", tag = "Live", responses(
    (status = 101, description = "The socket is open"),
    (status = 400, description = "Not a WebSocket request"),
    (status = 403, description = "Not a web page (`origin`)", body = ErrorAnswer),
    (status = 503, description = "Too many sockets are open (`unavailable`)", body = ErrorAnswer),
))]
async fn live(
    State(state): State<AppState>,
    parts: Parts,
    upgrade: WebSocketUpgrade,
) -> ApiResult<Response> {
    let origin = match parts.headers.get(header::ORIGIN) {
        None => None,
        Some(sent) => {
            let origin = sent.to_str().ok().and_then(|text| text.parse::<Origin>().ok());
            Some(origin.ok_or_else(|| {
                ApiError::origin("Sockets are opened from http and https pages only.")
            })?)
        }
    };
    let permit = state.sockets.clone().try_acquire_owned().map_err(|_| {
        ApiError::unavailable("Too many sockets are open on this node: try again in a moment.")
    })?;
    let own = |origin| is_own(&state.access, &parts.headers, &parts.uri, origin);
    let page = Page { is_own: origin.as_ref().is_none_or(own), origin };
    drop(parts);
    // The process waits for its sockets to say goodbye.
    let tracked = state.tasks.token();
    Ok(small(upgrade).on_upgrade(move |socket| async move {
        let patience = Patience { write: state.live.write, ping: state.live.ping };
        let mut socket = Socket::new(socket, patience);
        let gone = Box::pin(greet(&state, &mut socket, &page)).await;
        socket.end(gone).await;
        drop((permit, tracked));
    }))
}

async fn greet(state: &AppState, socket: &mut Socket, page: &Page) -> Gone {
    let hello = tokio::select! {
        () = state.shutdown.cancelled() => return Gone::Ended(Code::GoingAway),
        hello = Box::pin(timeout(state.live.hello, socket.receive::<Hello>())) => hello,
    };
    let Hello::Hello { token, ticket, after, cursor, watch } = match hello {
        Ok(Ok(hello)) => hello,
        Ok(Err(gone)) => return gone,
        Err(_) => return Gone::Ended(Code::TooSlow),
    };
    match (ticket, token) {
        (Some(ticket), _) => {
            if !page.is_own {
                return Gone::Ended(Code::Forbidden);
            }
            let clock = state.conversations.clock();
            // What runs once is boxed: its room would be every socket's, for as long as it is open.
            match Box::pin(tickets::redeem(&state.access.db, &ticket, clock)).await {
                Ok(Some(owner)) => {
                    Box::pin(inbox::live::serve(state, socket, &owner, cursor, watch)).await
                }
                Ok(None) => Gone::Ended(Code::Unauthenticated),
                Err(error) => {
                    tracing::warn!(%error, "a ticket could not be looked at");
                    Gone::Ended(Code::Unavailable)
                }
            }
        }
        (None, Some(token)) => {
            let origin = page.origin.as_ref().filter(|_| !page.is_own);
            Box::pin(widget::live::serve(state, socket, &token, origin, after)).await
        }
        (None, None) => Gone::Ended(Code::Unauthenticated),
    }
}

/// Reads a text as each kind of frame that clients send.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_anything(text: &str) {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let _first = serde_json::from_value::<Hello>(value.clone());
    crate::inbox::live::read_anything(&value);
    crate::widget::live::read_anything(&value);
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
