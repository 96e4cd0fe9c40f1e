//! One running server: everything built from the configuration, started and stopped in order.

mod models;
mod pages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use models::{embedder, models};

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
    let clock = extras.clock.clone().unwrap_or_else(Clock::system);
    let ids = Ids;
    let db =
        Db::open(config.database.url.expose()).await.context("the database cannot be opened")?;
    crate::db::migrate(&db).await.context("the database cannot be brought up to date")?;
    clock.follow(db.clock_lead_millis(clock.now()).await?);
    let prompts = Arc::new(load_prompts(config)?);
    let embedder = models::embedder(&config.embeddings)
        .await
        .context("the embedding model does not answer: check [embeddings]")?;
    let mut named = models::models(config).context("a model endpoint cannot be set up")?;
    for (name, set) in &extras.models {
        named = named.with_named(name, set.clone());
    }
    let models = Arc::new(named);
    let knowledge = Knowledge::new(db.clone(), clock.clone(), ids, embedder);
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
    let state = AppState::new(conversations, access, minds).with_live(live);
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
    serving: JoinHandle<std::io::Result<()>>,
}

impl Built {
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
        worker.start(wire, &tasks, stop.clone());
        Timers::new(conversations.clone()).start(&tasks, stop.clone());
        let turns = TurnWorker::new(
            conversations.clone(),
            state.minds.producer.clone(),
            Arc::new(Published::new(db)),
            config.turn.concurrent.get(),
            tasks.clone(),
            stop.clone(),
        );
        tasks.spawn(turns.run());
        tasks.spawn(sweep(state.access.clone(), stop.clone()));
        tasks.spawn(crate::model::tokens::warm());
        let router = router(&state, &config, beside)?;
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        // Small frames must not wait for a delayed acknowledgement.
        let listener = listener.tap_io(|stream| {
            let _old_kernel = stream.set_nodelay(true);
        });
        let serving = tokio::spawn(async move {
            axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await
        });
        Ok(Running { address, state, serving })
    }
}

impl Running {
    /// Stops taking requests, lets running work end or parks it, and closes the database.
    pub async fn stop(self) {
        self.state.shutdown.cancel();
        self.state.tasks.close();
        let ended = tokio::time::timeout(GRACE, async {
            let _served = self.serving.await;
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
    let mut router = Router::new().merge(api).merge(pages).merge(crate::assets::router());
    if let Some(beside) = beside {
        router = router.merge(beside);
    }
    let router = router.fallback(api::unknown_address);
    Ok(api::dress(router, api::Limits::from(&config.limits), state.conversations.clock()))
}

/// Removes sessions and visitor tokens that have expired.
async fn sweep(access: AccessState, stop: CancellationToken) {
    loop {
        let now = access.clock.now();
        let swept = access
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let sessions = crate::access::session::sweep(conn, now).await?;
                    Ok(sessions + crate::access::visitor::sweep(conn, now).await?)
                })
            })
            .await;
        match swept {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "what has expired was removed"),
            Err(error) => tracing::warn!(error = %error, "what has expired could not be removed"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}
