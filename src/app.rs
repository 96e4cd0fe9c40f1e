//! The state of one process, and the API's router: the sum of the features' routers.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use crate::access::AccessState;
use crate::assistant::ModelOptions;
use crate::config::Models;
use crate::conversation::Conversations;
use crate::directory::Names;
use crate::inbox::Feeds;
use crate::live::LiveSettings;
use crate::{access, assistant, contact, inbox, live, widget};

/// Everything handlers and sockets share. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The door to conversations, with the database, the clock and the wire behind it.
    pub conversations: Conversations,
    /// Who is asking.
    pub access: AccessState,
    /// Who is who.
    pub names: Names,
    /// What agents' sockets hear, one feed for each workspace with a socket open.
    pub feeds: Arc<Feeds>,
    /// The models that assistants may use.
    pub models: ModelOptions,
    /// How patient sockets are.
    pub live: LiveSettings,
    /// One permit for each open socket.
    pub sockets: Arc<Semaphore>,
    /// Cancelled when the process stops.
    pub shutdown: CancellationToken,
    /// Tasks that the process waits for before it ends.
    pub tasks: TaskTracker,
}

impl AppState {
    /// The state of a process with these conversations and people.
    #[must_use]
    pub fn new(conversations: Conversations, access: AccessState) -> Self {
        let live = LiveSettings::default();
        Self {
            names: Names::new(conversations.db().clone(), conversations.clock().clone()),
            feeds: Arc::default(),
            models: ModelOptions::from_config(&Models::default()),
            sockets: Arc::new(Semaphore::new(live.max_sockets)),
            live,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            conversations,
            access,
        }
    }
}

impl FromRef<AppState> for AccessState {
    fn from_ref(state: &AppState) -> Self {
        state.access.clone()
    }
}

impl FromRef<AppState> for ModelOptions {
    fn from_ref(state: &AppState) -> Self {
        state.models.clone()
    }
}

/// The API under `/api/v1` with its document; sums the routers of the features.
pub fn api_router(state: &AppState) -> (Router, OpenApi) {
    let info = InfoBuilder::new().title("Baton").version(env!("CARGO_PKG_VERSION")).build();
    let api = OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .merge(people(state))
        .merge(inbox::router())
        .merge(widget::router(state))
        .merge(live::router());
    let (router, document) =
        OpenApiRouter::new().nest("/api/v1", api).with_state(state.clone()).split_for_parts();
    (router, document)
}

/// Routers that know nothing of sockets and names; what follows from a change there is done around them.
fn people(state: &AppState) -> OpenApiRouter<AppState> {
    let around = axum::middleware::from_fn_with_state(state.clone(), inbox::after_change);
    OpenApiRouter::new()
        .merge(access::http::router())
        .merge(contact::http::router())
        .merge(assistant::http::router())
        .layer(around)
}
