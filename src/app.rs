//! The state of one process, and the API's router: the sum of the features' routers.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::access::AccessState;
use crate::access::cors::with_cors;
use crate::access::schemes::Schemes;
use crate::api::ErrorAnswer;
use crate::assist::Assistance;
use crate::assistant::ModelOptions;
use crate::conversation::Conversations;
use crate::directory::Names;
use crate::handoff::ExpectedWait;
use crate::health::Health;
use crate::inbox::Feeds;
use crate::knowledge::Knowledge;
use crate::live::LiveSettings;
use crate::turn::Producer;
use crate::{access, assist, assistant, contact, inbox, knowledge, live, playground, widget};

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
    /// What answers, helps and can be chosen.
    pub minds: Minds,
    /// How long the queue takes.
    pub waits: ExpectedWait,
    /// Woken when something that another node did may have been missed.
    pub missed: Arc<Notify>,
    /// How patient sockets are.
    pub live: LiveSettings,
    /// One permit for each open socket.
    pub sockets: Arc<Semaphore>,
    /// What works and what does not.
    pub health: Health,
    /// Cancelled when the process stops.
    pub shutdown: CancellationToken,
    /// Tasks that the process waits for before it ends.
    pub tasks: TaskTracker,
}

/// What answers visitors and helps agents.
#[derive(Clone)]
pub struct Minds {
    /// The models that assistants may use.
    pub options: ModelOptions,
    /// Makes replies.
    pub producer: Producer,
    /// Makes briefs, summaries and suggestions.
    pub assistance: Assistance,
}

impl AppState {
    /// The state of a process with these conversations, people and minds.
    #[must_use]
    pub fn new(conversations: Conversations, access: AccessState, minds: Minds) -> Self {
        let live = LiveSettings::default();
        Self {
            names: Names::new(conversations.db().clone(), conversations.clock().clone()),
            feeds: Arc::default(),
            waits: ExpectedWait::default(),
            missed: Arc::default(),
            minds,
            sockets: Arc::new(Semaphore::new(live.max_sockets)),
            live,
            health: Health::new(conversations.clock().clone()),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            conversations,
            access,
        }
    }
}

impl AppState {
    /// With sockets of another patience and number; before anything is served.
    #[must_use]
    pub fn with_live(self, live: LiveSettings) -> Self {
        Self { live, sockets: Arc::new(Semaphore::new(live.max_sockets)), ..self }
    }

    /// With a report that other parts know already; before anything is served.
    #[must_use]
    pub fn with_health(self, health: Health) -> Self {
        Self { health, ..self }
    }
}

impl FromRef<AppState> for AccessState {
    fn from_ref(state: &AppState) -> Self {
        state.access.clone()
    }
}

impl FromRef<AppState> for ModelOptions {
    fn from_ref(state: &AppState) -> Self {
        state.minds.options.clone()
    }
}

impl FromRef<AppState> for Assistance {
    fn from_ref(state: &AppState) -> Self {
        state.minds.assistance.clone()
    }
}

impl FromRef<AppState> for Knowledge {
    fn from_ref(state: &AppState) -> Self {
        state.minds.producer.knowledge.clone()
    }
}

impl FromRef<AppState> for Producer {
    fn from_ref(state: &AppState) -> Self {
        state.minds.producer.clone()
    }
}

/// What no operation brings by itself.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Baton", description = "AI-first customer service with human takeover."),
    components(schemas(ErrorAnswer)),
    modifiers(&Schemes)
)]
struct Frame;

/// The API's document, without a running server.
#[must_use]
pub fn document() -> OpenApi {
    let api = people().merge(widget::routes()).merge(knowledge::http::router()).merge(agents());
    framed(api).into_openapi()
}

/// The API under `/api/v1` with its document: the sum of the features' routers.
pub fn api_router(state: &AppState) -> (Router, OpenApi) {
    let around = axum::middleware::from_fn_with_state(state.clone(), inbox::after_change);
    let articles = axum::middleware::from_fn_with_state(state.clone(), inbox::after_articles);
    let articles = knowledge::http::router().layer(articles);
    let api = people().layer(around).merge(visitors(state)).merge(articles).merge(agents());
    framed(api).with_state(state.clone()).split_for_parts()
}

fn framed(api: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Frame::openapi()).nest("/api/v1", api)
}

/// Routers that know nothing of sockets and names; what follows from a change there is done around them.
fn people() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(access::http::router())
        .merge(contact::http::router())
        .merge(assistant::http::router())
}

/// The widget's routes, open to the pages that their inbox allows.
fn visitors(state: &AppState) -> OpenApiRouter<AppState> {
    let (routes, document) = widget::routes().split_for_parts();
    let mut open = OpenApiRouter::from(with_cors(routes, state));
    *open.get_openapi_mut() = document;
    open
}

fn agents() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(inbox::router())
        .merge(assist::router())
        .merge(playground::router())
        .merge(live::router())
}
