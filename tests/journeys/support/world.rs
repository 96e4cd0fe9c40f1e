//! A running server with a business in it.

use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use baton::access::role::Role;
use baton::access::session::{self, NewSession};
use baton::access::store::{self as members, NewMember};
use baton::access::{AllowedOrigins, secret};
use baton::app::AppState;
use baton::assistant::config::AssistantConfig;
use baton::assistant::inbox::store::NewInbox;
use baton::assistant::inbox::{self, InboxSettings};
use baton::assistant::store as assistants;
use baton::clock::{Clock, Timestamp};
use baton::config::{Config, Endpoint, Secret};
use baton::ids::{AgentId, AssistantId, InboxId, KnowledgeBaseId, WorkspaceId};
use baton::knowledge::Audience;
use baton::knowledge::article::ArticleDraft;
use baton::live::LiveSettings;
use baton::model::scripted::{Script, ScriptedServer};
use baton::server::{self, Built, Extras, Running};
use std::num::NonZeroU64;
use tokio::net::TcpListener;

use super::people::{Agent, Visitor};
use super::{Engine, PATIENCE, Place};

/// The people of a business; the first one owns it.
pub const PEOPLE: [(&str, Role); 5] = [
    ("Sari", Role::Owner),
    ("Ana", Role::Agent),
    ("Budi", Role::Agent),
    ("Citra", Role::Supervisor),
    ("Dewi", Role::Admin),
];

/// What its help centre says. Title, words, audience.
const ARTICLES: [(&str, &str, Audience); 4] = [
    (
        "Refunds",
        "## How long a refund takes\n\nA refund reaches your card within five working days after we approve it.",
        Audience::Public,
    ),
    (
        "Deliveries",
        "## Delivery times\n\nA parcel to Jakarta takes two days. A parcel to Papua takes nine days.",
        Audience::Public,
    ),
    (
        "Subscription",
        "## The coffee subscription\n\nThe subscription sends you two bags of coffee every month.",
        Audience::Public,
    ),
    (
        "Goodwill",
        "## Refund exceptions for colleagues\n\nA refund without a receipt is approved by Sari up to one hundred thousand.",
        Audience::Internal,
    ),
];

type Change<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// How a world differs from the usual one.
pub struct Setup {
    clock: Option<Clock>,
    script: Script,
    fallback: Option<Script>,
    config: Change<Config>,
    assistant: Change<AssistantConfig>,
    live: Change<LiveSettings>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            clock: None,
            script: Script::instant(),
            fallback: None,
            config: Box::new(|_| {}),
            assistant: Box::new(|_| {}),
            live: Box::new(|_| {}),
        }
    }
}

impl Setup {
    /// A clock that moves only when told.
    pub fn standing_clock(mut self) -> Self {
        self.clock = Some(Clock::manual(Timestamp::from_millis(1_790_000_000_000)));
        self
    }

    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// A second model server that takes over when the first fails.
    pub fn fallback(mut self, script: Script) -> Self {
        self.fallback = Some(script);
        self
    }

    pub fn config(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.config = Box::new(change);
        self
    }

    pub fn assistant(
        mut self,
        change: impl Fn(&mut AssistantConfig) + Send + Sync + 'static,
    ) -> Self {
        self.assistant = Box::new(change);
        self
    }

    pub fn live(mut self, change: impl Fn(&mut LiveSettings) + Send + Sync + 'static) -> Self {
        self.live = Box::new(change);
        self
    }
}

/// A business in a database.
pub struct Business {
    pub workspace: WorkspaceId,
    pub inbox: InboxId,
    pub key: String,
    pub assistant: AssistantId,
    pub base: KnowledgeBaseId,
    people: Vec<Person>,
}

struct Person {
    name: &'static str,
    id: AgentId,
    session: NewSession,
}

impl Business {
    /// A signed-in member, talking to the server at `origin`.
    pub fn agent(&self, name: &str, http: &reqwest::Client, origin: &str) -> Agent {
        let person = self.people.iter().find(|person| person.name == name);
        let person = person.unwrap_or_else(|| panic!("nobody is called {name}"));
        Agent {
            name: name.to_owned(),
            id: person.id.to_string(),
            http: http.clone(),
            origin: origin.to_owned(),
            cookie: format!("baton_session={}", person.session.token),
            csrf: person.session.csrf.clone(),
        }
    }
}

impl Business {
    /// Signs everybody in again, where their sign-ins are gone.
    pub async fn sign_in(&self, state: &AppState) {
        let (access, workspace) = (&state.access, self.workspace);
        for person in &self.people {
            let (session, agent, now) = (person.session.clone(), person.id, access.clock.now());
            let made = access.db.write(move |conn| {
                let session = session.clone();
                Box::pin(
                    async move { session::create(conn, workspace, agent, &session, now).await },
                )
            });
            made.await.expect("signs in");
        }
    }
}

/// Puts a business into the database of a server that is built.
pub async fn found(state: &AppState, name: &str, setup: &Setup) -> Business {
    let access = &state.access;
    let (ids, now) = (access.ids, access.clock.now());
    let workspace: WorkspaceId = ids.fresh();
    let name = name.to_owned();
    let made = access.db.write(move |conn| {
        let name = name.clone();
        Box::pin(async move { members::create_workspace(conn, workspace, &name, now).await })
    });
    made.await.expect("makes a workspace");
    let mut people = Vec::new();
    for (name, role) in PEOPLE {
        let session = NewSession::fresh();
        let new = NewMember {
            name: name.to_owned(),
            email: format!("{}@{workspace}.example", name.to_lowercase()),
            // Nobody signs in with a password but where the test is about that.
            password_hash: "none".to_owned(),
            role,
        };
        let stored = session.clone();
        let made = access.db.write(move |conn| {
            let (new, session) = (new.clone(), stored.clone());
            Box::pin(async move {
                let member = members::create_member(conn, workspace, ids, &new, now).await?;
                if let Some(member) = member {
                    session::create(conn, workspace, member, &session, now).await?;
                }
                Ok(member)
            })
        });
        let id = made.await.expect("makes a member").expect("nobody has that address");
        people.push(Person { name, id, session });
    }
    let base = help_centre(state, workspace).await;
    let mut config = AssistantConfig::fresh("Mira");
    config.knowledge_bases = vec![base];
    config.identity.languages = vec!["en".to_owned()];
    (setup.assistant)(&mut config);
    let assistant: AssistantId = ids.fresh();
    let inbox: InboxId = ids.fresh();
    let new = NewInbox {
        name: "Shop".to_owned(),
        public_key: secret::fresh_public_key(),
        assistant: Some(assistant),
        allowed_origins: AllowedOrigins::parse(
            "allowed_origins",
            &["https://shop.example".to_owned()],
        )
        .expect("an origin"),
        settings: InboxSettings::default(),
    };
    let made = access.db.write(move |conn| {
        let (config, new) = (config.clone(), new.clone());
        Box::pin(async move {
            assistants::create(conn, workspace, assistant, &config, None, now).await?;
            inbox::store::create(conn, workspace, inbox, &new, now).await
        })
    });
    let key = made.await.expect("makes an AI agent and an inbox").public_key;
    Business { workspace, inbox, key, assistant, base, people }
}

async fn help_centre(state: &AppState, workspace: WorkspaceId) -> KnowledgeBaseId {
    let knowledge = &state.minds.producer.knowledge;
    let base = knowledge.create_base(workspace, "Help centre").await.expect("makes a base").id;
    for (title, body, audience) in ARTICLES {
        let draft = ArticleDraft {
            title: title.to_owned(),
            body: body.to_owned(),
            audience,
            locale: "en".to_owned(),
            url: Some(format!("/help/{}", title.to_lowercase())),
            updated: None,
        };
        let put = knowledge.put_article(workspace, base, "api", title, draft).await;
        put.unwrap_or_else(|error| panic!("{title}: {error}"));
    }
    base
}

/// What every server of the journeys is configured with: one model for every task, no waiting for more words, no rates.
pub fn configuration(place: &Place, model: &ScriptedServer) -> Config {
    configuration_at(&place.url, model)
}

/// The same for a database at any address.
pub fn configuration_at(url: &str, model: &ScriptedServer) -> Config {
    let mut config = Config::default();
    config.database.url = Secret::new(url);
    let endpoint = Endpoint {
        base_url: model.base_url(),
        model: "scripted".to_owned(),
        timeout_ms: millis(5_000),
        ..Endpoint::default()
    };
    config.models.endpoints.insert("main".to_owned(), endpoint);
    for task in [
        &mut config.models.answer,
        &mut config.models.judge,
        &mut config.models.summarise,
        &mut config.models.suggest,
    ] {
        "main".clone_into(task);
    }
    config.turn.debounce_ms = 0;
    let many = std::num::NonZeroU32::new(100_000).unwrap_or(std::num::NonZeroU32::MIN);
    config.limits.visitor_messages_per_minute = many;
    config.limits.visitor_messages_burst = many;
    config.limits.visitor_sessions_per_minute = many;
    config.limits.agent_requests_per_second = many;
    config
}

/// A number of milliseconds for the configuration.
pub fn millis(value: u64) -> NonZeroU64 {
    NonZeroU64::new(value).expect("more than nothing")
}

/// A client without proxies that does not wait for ever.
pub fn http() -> reqwest::Client {
    baton::model::openai::install_crypto();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    client.expect("makes an HTTP client")
}

/// The same, with a connection of its own for each request, so that a load balancer spreads them.
pub fn http_without_memory() -> reqwest::Client {
    baton::model::openai::install_crypto();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(0);
    client.build().expect("makes an HTTP client")
}

/// A running server with a business in it, its model, and ways in.
pub struct World {
    pub origin: String,
    pub http: reqwest::Client,
    pub model: ScriptedServer,
    pub fallback: Option<ScriptedServer>,
    pub business: Business,
    pub state: AppState,
    setup: Setup,
    config: Config,
    place: Place,
    running: Running,
}

impl World {
    pub async fn new(engine: Engine, setup: Setup) -> Self {
        watch_for_panics();
        let place = Box::pin(Place::fresh(engine)).await;
        let model = ScriptedServer::start(setup.script.clone()).await.expect("starts a model");
        let fallback = match &setup.fallback {
            Some(script) => {
                Some(ScriptedServer::start(script.clone()).await.expect("starts a fallback"))
            }
            None => None,
        };
        let mut config = configuration(&place, &model);
        if let Some(fallback) = &fallback {
            let mut endpoint = config.models.endpoints["main"].clone();
            endpoint.base_url = fallback.base_url();
            config.models.endpoints.insert("spare".to_owned(), endpoint);
            config.models.fallback = Some("spare".to_owned());
        }
        (setup.config)(&mut config);
        let built = Box::pin(build(&config, &setup)).await;
        let business = Box::pin(found(&built.state, "Tanah Tinggi Coffee", &setup)).await;
        let state = built.state.clone();
        let (origin, running) = Box::pin(start(built)).await;
        let http = http();
        Self { origin, http, model, fallback, business, state, setup, config, place, running }
    }

    /// Stops the server as an operator does and starts another one on the same data, at another address.
    pub async fn restart(self) -> Self {
        stop(self.running).await;
        let built = build(&self.config, &self.setup).await;
        let state = built.state.clone();
        let (origin, running) = start(built).await;
        Self { origin, state, running, ..self }
    }

    /// Stops the server and starts another one on another database, which holds the same business.
    pub async fn moved_to(self, place: Place) -> Self {
        stop(self.running).await;
        let mut config = self.config;
        config.database.url = Secret::new(&place.url);
        let built = build(&config, &self.setup).await;
        let state = built.state.clone();
        let (origin, running) = start(built).await;
        Self { origin, state, running, config, place, ..self }
    }

    /// The database's address.
    pub fn url(&self) -> &str {
        &self.place.url
    }

    /// One more server on the same database.
    pub async fn another_node(&self) -> Node {
        let built = build(&self.config, &self.setup).await;
        let state = built.state.clone();
        let (origin, running) = start(built).await;
        Node { origin, state, running }
    }

    /// A signed-in colleague of the first business.
    pub fn agent(&self, name: &str) -> Agent {
        self.business.agent(name, &self.http, &self.origin)
    }

    /// Another business on the same server.
    pub async fn another_business(&self, name: &str) -> Business {
        found(&self.state, name, &self.setup).await
    }

    /// Somebody opens the widget.
    pub async fn visitor(&self, name: &str) -> Visitor {
        Visitor::arrive(name, &self.http, &self.origin, &self.business.key).await
    }

    /// Moves the standing clock on and wakes whoever waits for the time.
    pub fn pass(&self, time: Duration) {
        self.state.conversations.clock().advance(time);
        let wire = self.state.conversations.wire();
        wire.timer_set.notify_one();
        wire.turn_due.notify_one();
        wire.job_due.notify_one();
    }

    /// Where the database is.
    pub fn database(&self) -> &str {
        &self.place.url
    }

    /// What the server's clock says.
    pub fn now(&self) -> Timestamp {
        self.state.conversations.clock().now()
    }

    /// Stops the server and reads the laws off everything that was stored.
    pub async fn end(self) {
        let Self { state, place, running, model, fallback, .. } = self;
        stop(running).await;
        drop((state, model, fallback));
        crate::laws::assert_lawful(&place.url).await;
        let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(panics.is_empty(), "something in the server panicked: {panics:?}");
    }
}

/// A further server on a world's database.
pub struct Node {
    pub origin: String,
    pub state: AppState,
    running: Running,
}

impl Node {
    /// Stops it as an operator does.
    pub async fn stop(self) {
        let Self { state, running, .. } = self;
        stop(running).await;
        drop(state);
    }
}

async fn build(config: &Config, setup: &Setup) -> Built {
    let extras = Extras { clock: setup.clock.clone(), ..Extras::default() };
    let mut built = server::build(config, &extras).await.expect("builds the server");
    let mut live = built.state.live;
    (setup.live)(&mut live);
    built.state = built.state.with_live(live);
    built
}

async fn start(built: Built) -> (String, Running) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let running = built.start(listener, None).await.expect("starts the server");
    (format!("http://{}", running.address), running)
}

async fn stop(running: Running) {
    let asked = Instant::now();
    running.stop().await;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(8), "the server took {took:?} to stop");
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A background task that dies must fail the test, though nobody waits for it: panics outside the tests are kept.
fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            if !place.starts_with("tests/") {
                let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
                panics.push(panic.to_string());
            }
            usual(panic);
        }));
    });
}
