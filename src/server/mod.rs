//! One running server: everything built from the configuration, started and stopped in order.

mod connections;
mod index;
mod models;
mod pages;
mod ready;
mod scrape;
mod supervise;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use connections::{Connections, Patience, most_connections};
pub use index::{index, qdrant};
pub use models::{embedder, models};
use supervise::{Keeper, Shift};

use crate::access::AccessState;
use crate::api;
use crate::app::{self, AppState, Minds};
use crate::assist::Assistance;
use crate::assistant::ModelOptions;
use crate::clock::Clock;
use crate::config::Config;
use crate::conversation::{Conversations, Pace, Wire};
use crate::db::{Db, EngineKind};
use crate::handoff::Timers;
use crate::health::{Health, Kind};
use crate::ids::Ids;
use crate::knowledge::Knowledge;
use crate::live::LiveSettings;
use crate::model::ModelSet;
use crate::model::prompt::Prompts;
use crate::turn::{Limits, Producer, Published, TurnWorker};
use crate::{jobs, turn};

/// How long requests and running work may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(10);
/// How often what has expired is swept out.
const SWEEP: Duration = Duration::from_secs(3_600);
/// How often samples of metrics are sorted.
const TIDY: Duration = Duration::from_secs(5);
/// How often the sweep looks whether it is time.
const SWEEP_LOOK: Duration = Duration::from_secs(10);

/// What a test or the demo gives a server beside its configuration.
#[derive(Default)]
pub struct Extras {
    /// The clock; the machine's where none is given.
    pub clock: Option<Clock>,
    /// Further models by name.
    pub models: Vec<(String, ModelSet)>,
    /// Routes that stand beside the product's.
    pub routes: Option<Router>,
}

/// Everything built, nothing started.
pub struct Built {
    /// What handlers share.
    pub state: AppState,
    config: Config,
}

/// Opens the database, brings it up to date, and builds every part.
///
/// # Errors
/// What is wrong with the configuration, the database, the prompts or the models, and what to do.
pub async fn build(config: &Config, extras: &Extras) -> anyhow::Result<Built> {
    crate::model::openai::install_crypto();
    if config.metrics.token.is_some() {
        // Before anything that counts.
        crate::metrics::install();
        crate::conversation::figures::announce();
    }
    let clock = extras.clock.clone().unwrap_or_else(Clock::system);
    let ids = Ids;
    let db =
        Db::open(config.database.url.expose()).await.context("the database cannot be opened")?;
    crate::db::migrate(&db).await.context("the database cannot be brought up to date")?;
    if let Some(lead) = db.clock_lead_millis(&clock).await? {
        clock.follow(lead);
    }
    let health = Health::new(clock.clone());
    let prompts = Arc::new(load_prompts(config)?);
    let embedder = models::embedder(&config.embeddings, &health)
        .await
        .context("the embedding model does not answer: check [embeddings]")?;
    let mut named = models::models(config, &health).context("a model endpoint cannot be set up")?;
    for (name, set) in &extras.models {
        named = named.with_named(name, set.clone());
    }
    let models = Arc::new(named);
    let index = index::index(config, embedder.as_deref()).context("check [index]")?;
    let knowledge = Knowledge::with_index(db.clone(), clock.clone(), ids, embedder, index)
        .reporting(health.part(Kind::Index, "search"));
    let pace = Pace {
        debounce_ms: config.turn.debounce_ms,
        max_supersedes: config.turn.max_supersedes,
        supersede_within_ms: config.turn.supersede_within_ms,
    };
    let wire = Arc::new(Wire::default());
    let conversations = Conversations::new(db.clone(), clock.clone(), ids, wire)
        .with_pace(pace)
        .with_turn_lease(Duration::from_millis(config.turn.lease_ms.get()));
    let access = AccessState::from_config(config, db, clock.clone(), ids)
        .context("sign-in cannot be set up")?;
    let assistance = Assistance::new(
        conversations.clone(),
        knowledge.clone(),
        Arc::clone(&models),
        Arc::clone(&prompts),
    );
    let producer = Producer {
        knowledge: knowledge.clone(),
        prompts,
        models,
        clock,
        limits: Limits {
            budget: Duration::from_millis(config.turn.budget_ms.get()),
            judge: Duration::from_millis(config.turn.judge_deadline_ms.get()),
        },
    };
    let minds = Minds { options: ModelOptions::from_config(&config.models), producer, assistance };
    let live = LiveSettings {
        max_sockets: config.limits.max_sockets.get().min(Semaphore::MAX_PERMITS),
        ..LiveSettings::default()
    };
    let state = AppState::new(conversations, access, minds).with_live(live).with_health(health);
    Ok(Built { state, config: config.clone() })
}

fn load_prompts(config: &Config) -> anyhow::Result<Prompts> {
    let prompts = match &config.prompts.folder {
        Some(folder) => Prompts::with_overrides(folder),
        None => Prompts::embedded(),
    }?;
    turn::prompt::check(&prompts)?;
    crate::assist::prompt::check(&prompts)?;
    Ok(prompts)
}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What handlers share.
    pub state: AppState,
}

impl Built {
    /// Everything that this server answers, as [`Self::start`] serves it.
    ///
    /// # Errors
    /// When the API's document cannot be rendered.
    pub fn router(&self, beside: Option<Router>) -> anyhow::Result<Router> {
        router(&self.state, &self.config, beside)
    }

    /// Starts workers and takes requests on `listener`.
    ///
    /// # Errors
    /// When the database is away or the listener has no address.
    pub async fn start(
        self,
        listener: TcpListener,
        beside: Option<Router>,
    ) -> anyhow::Result<Running> {
        let Self { state, config } = self;
        let address = listener.local_addr()?;
        let (tasks, stop) = (state.tasks.clone(), state.shutdown.clone());
        let conversations = state.conversations.clone();
        let wire = Arc::clone(conversations.wire());
        let db = conversations.db().clone();
        let worker = state.minds.assistance.register(jobs::Worker::new(
            db.clone(),
            conversations.clock().clone(),
            conversations.node(),
        ));
        if db.kind() == EngineKind::Sqlite {
            // This process owns the file alone: whatever ran before has stopped.
            let turns = conversations.recover().await?;
            let jobs = worker.recover().await?;
            if turns + jobs > 0 {
                tracing::info!(turns, jobs, "work that an earlier process left is taken over");
            }
        }
        crate::nodes::start(&state).await;
        let router = router(&state, &config, beside)?;
        let turns = TurnWorker::new(
            conversations.clone(),
            state.minds.producer.clone(),
            Arc::new(Published::new(db.clone())),
            config.turn.concurrent.get(),
            tasks.clone(),
            stop.clone(),
        );
        let timers = Timers::new(conversations.clone());
        let connections = Connections::new(Patience::default(), most_connections());
        let (access, listener) = (state.access.clone(), Arc::new(listener));
        let knowledge = state.minds.producer.knowledge.clone();
        let clock = conversations.clock().clone();
        let database = state.health.part(Kind::Database, "database");
        let keeper = Keeper::new(state.health.clone(), tasks.clone(), stop);
        keeper.keep("turns", move |shift| turns.clone().run(shift.pulse));
        keeper.keep("timers", move |shift| timers.clone().run(shift.stop, shift.pulse));
        keeper.keep("jobs", move |shift| {
            worker.clone().run(Arc::clone(&wire), shift.tasks, shift.stop, shift.pulse)
        });
        keeper.keep("sweep", move |shift| sweep(access.clone(), knowledge.clone(), shift));
        keeper.keep("watch", move |shift| {
            watch::run(db.clone(), clock.clone(), database.clone(), shift.stop, shift.pulse)
        });
        if config.metrics.token.is_some() {
            keeper.keep("metrics", tidy_metrics);
        }
        keeper.keep("serving", move |shift| {
            let (connections, listener) = (Arc::clone(&connections), Arc::clone(&listener));
            connections.serve(listener, router.clone(), shift.stop, shift.pulse)
        });
        Ok(Running { address, state })
    }
}

impl Running {
    /// Stops taking requests, lets running work end or parks it, and closes the database.
    pub async fn stop(self) {
        self.state.shutdown.cancel();
        self.state.tasks.close();
        let ended = tokio::time::timeout(GRACE, async {
            self.state.tasks.wait().await;
        })
        .await;
        if ended.is_err() {
            tracing::warn!(
                grace_ms = GRACE.as_millis(),
                "some work did not end in time and is left to its lease"
            );
        }
        self.state.conversations.db().close().await;
    }

    /// Cancelled when the server stops.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.state.shutdown.clone()
    }
}

fn router(state: &AppState, config: &Config, beside: Option<Router>) -> anyhow::Result<Router> {
    let (api, document) = app::api_router(state);
    let pages = pages::router(state, &document)?;
    let scrape = scrape::router(state, &config.metrics);
    let mut router =
        Router::new().merge(api).merge(pages).merge(scrape).merge(crate::assets::router());
    if let Some(beside) = beside {
        router = router.merge(beside);
    }
    let router = router.fallback(api::unknown_address);
    Ok(api::dress(router, api::Limits::from(&config.limits), state.conversations.clock()))
}

/// Sorts samples of metrics into their buckets, whether or not anybody reads them.
async fn tidy_metrics(shift: Shift) {
    while !shift.stop.is_cancelled() {
        shift.pulse.beat();
        crate::metrics::install().tidy();
        tokio::select! {
            () = shift.stop.cancelled() => {}
            () = tokio::time::sleep(TIDY) => {}
        }
    }
}

/// Removes what has expired: sessions, visitor tokens, jobs that were given up long ago, and what indexes need no more.
async fn sweep(access: AccessState, knowledge: Knowledge, shift: Shift) {
    let mut due = Instant::now();
    while !shift.stop.is_cancelled() {
        shift.pulse.beat();
        if Instant::now() >= due {
            due = Instant::now() + SWEEP;
            sweep_once(&access).await;
            if let Err(error) = knowledge.prune_tombstones().await {
                tracing::warn!(error = %error, "old tombstones of chunks could not be removed");
            }
        }
        tokio::select! {
            () = shift.stop.cancelled() => {}
            () = tokio::time::sleep(SWEEP_LOOK) => {}
        }
    }
}

async fn sweep_once(access: &AccessState) {
    let now = access.clock.now();
    let swept = access
        .db
        .write(move |conn| {
            Box::pin(async move {
                let sessions = crate::access::session::sweep(conn, now).await?
                    + crate::access::tickets::sweep(conn, now).await?;
                let tokens = crate::access::visitor::sweep(conn, now).await?;
                Ok(sessions + tokens + jobs::store::sweep(conn, now).await?)
            })
        })
        .await;
    match swept {
        Ok(0) => {}
        Ok(rows) => tracing::debug!(rows, "what has expired was removed"),
        Err(error) => tracing::warn!(error = %error, "what has expired could not be removed"),
    }
}
