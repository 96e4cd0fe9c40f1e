//! What a process counts and times, for `GET /metrics`: the figures of `docs/BENCHMARKS.md`, in production.
//!
//! Invariants: labels have few values that we choose (or the operator, for the names of endpoints), never an id, a text, an
//! address or a name that a visitor chose; every metric stands in [`catalogue::ALL`] and in the table of
//! `docs/OPERATIONS.md`, and a test compares both with what is answered. Handles are made once, so that a point costs
//! some nanoseconds; while nothing is installed it costs one load. Like the log it is the process's own: whoever measures says so
//! in one line, and is handed nothing.

pub mod catalogue;
mod family;
mod process;

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use metrics::{Histogram, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use catalogue as c;
pub use family::Open;
use family::{Counters, Gauges, Histograms};

/// Bounds of everything that is a time, in seconds: 0.1 ms to a minute.
const SECONDS: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];
/// Bounds of how many units shared a transaction: the largest is what the writer puts into one.
const UNITS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

static INSTALLED: OnceLock<Installed> = OnceLock::new();
static OFF: LazyLock<Metrics> = LazyLock::new(|| Metrics::of(None));

/// The metrics of this process and how they are read.
pub struct Installed {
    metrics: Metrics,
    handle: PrometheusHandle,
}

/// What this process counts; nothing is kept until [`install`].
#[must_use]
pub fn get() -> &'static Metrics {
    INSTALLED.get().map_or_else(|| &*OFF, |installed| &installed.metrics)
}

/// Counts from now on. Handles that were taken before stay without effect, so call it first.
pub fn install() -> &'static Installed {
    INSTALLED.get_or_init(Installed::new)
}

impl Installed {
    fn new() -> Self {
        let units = Matcher::Full(c::DB_COMMIT_UNITS.name.to_owned());
        // Both refuse an empty list of bounds, and nothing else.
        let builder = PrometheusBuilder::new()
            .set_buckets(&SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(units, &UNITS))
            .unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { metrics: Metrics::of(Some(Arc::new(recorder))), handle }
    }

    /// Everything, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        process::render(&mut text);
        text
    }

    /// Sorts new samples into their buckets; samples take memory until then.
    pub fn tidy(&self) {
        self.handle.run_upkeep();
    }
}

/// The metrics by what they are about.
pub struct Metrics {
    /// Replies of the AI.
    pub turns: Turns,
    /// What people and the AI do.
    pub people: People,
    /// The database.
    pub db: Database,
    /// Due work.
    pub work: Work,
    /// Language models.
    pub models: ModelCalls,
    /// The search for knowledge.
    pub knowledge: Knowledge,
    /// Requests and sockets.
    pub web: Web,
    /// Processes on this database that this one knows of, itself included.
    pub nodes: Gauges,
}

impl Metrics {
    fn of(recorder: Option<Arc<dyn Recorder + Send + Sync>>) -> Self {
        let from = family::Source::new(recorder);
        let stage = Histograms::of(&from, &c::TURN_STAGE, c::STAGES);
        Self {
            turns: Turns {
                ended: Counters::of(&from, &c::TURNS, c::TURN_OUTCOMES),
                first_release: from.histogram(&c::TURN_FIRST_RELEASE),
                added: from.histogram(&c::TURN_ADDED),
                stage,
                dropped: Counters::of(&from, &c::DRAFTS_DROPPED, &["gate", "fence"]),
            },
            people: People {
                messages: Counters::of(&from, &c::MESSAGES, c::AUTHORS),
                takeovers: Counters::of(&from, &c::TAKEOVERS, &["assistant", "queue", "agent"]),
                handoffs: Counters::of(&from, &c::HANDOFFS, &[]),
                returns: Counters::of(&from, &c::RETURNS, &[]),
                alarms: Counters::of(&from, &c::ALARMS, &[]),
            },
            db: Database {
                commit: from.histogram(&c::DB_COMMIT),
                units: from.histogram(&c::DB_COMMIT_UNITS),
                write: from.histogram(&c::DB_WRITE),
                errors: Counters::of(&from, &c::DB_ERRORS, c::ERRORS),
                retries: Counters::of(&from, &c::DB_RETRIES, &[]),
            },
            work: Work {
                jobs: Counters::of(&from, &c::JOBS, &[]),
                timer_late: from.histogram(&c::TIMER_LATE),
            },
            models: ModelCalls {
                calls: Counters::of(&from, &c::MODEL_CALLS, &[]),
                seconds: Histograms::of(&from, &c::MODEL_CALL, &[]),
                tokens: Counters::of(&from, &c::MODEL_TOKENS, &[]),
            },
            knowledge: Knowledge {
                search: from.histogram(&c::SEARCH),
                bytes: Gauges::of(&from, &c::INDEX_BYTES, &[]),
            },
            web: Web {
                requests: Counters::of(&from, &c::HTTP_REQUESTS, &[]),
                seconds: from.histogram(&c::HTTP_REQUEST),
                sockets: Gauges::of(&from, &c::SOCKETS, &["visitor", "agent"]),
                delivery: Histograms::of(&from, &c::DELIVERY, &["assistant", "agent"]),
                feed_lag: from.histogram(&c::FEED_LAG),
            },
            nodes: Gauges::of(&from, &c::NODES, &[]),
        }
    }
}

/// Replies of the AI.
pub struct Turns {
    /// Tries that have ended, by outcome.
    pub ended: Counters,
    /// From the oldest message that was answered to the first sentence.
    pub first_release: Histogram,
    /// The same without what the models took of it.
    pub added: Histogram,
    /// By stage.
    pub stage: Histograms,
    /// Sentences and replies that came too late, by what stopped them.
    pub dropped: Counters,
}

/// What people and the AI do.
pub struct People {
    /// Public messages that were committed and so acknowledged, by author.
    pub messages: Counters,
    /// People who stepped in, by who held the conversation.
    pub takeovers: Counters,
    /// From the AI to people, by reason.
    pub handoffs: Counters,
    /// From people to the AI.
    pub returns: Counters,
    /// Broken promises, by whom they were told to.
    pub alarms: Counters,
}

/// The database.
pub struct Database {
    commit: Histogram,
    units: Histogram,
    write: Histogram,
    /// Units that ended in an error, by its name.
    pub errors: Counters,
    /// Units that ran again.
    pub retries: Counters,
}

impl Database {
    /// A transaction of so many units has ended well.
    pub fn committed(&self, units: usize, took: Duration) {
        self.commit.record(took);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred at most")]
        self.units.record(units as f64);
    }

    /// A unit has ended, with this error if it failed; `took` counts from when it was handed over.
    pub fn wrote(&self, took: Duration, error: Option<&'static str>) {
        self.write.record(took);
        if let Some(error) = error {
            self.errors.add(&[error]);
        }
    }
}

/// Due work.
pub struct Work {
    /// Tries of jobs, by kind and how they ended.
    pub jobs: Counters,
    /// From when a timer was due to its firing.
    pub timer_late: Histogram,
}

/// Language models.
pub struct ModelCalls {
    calls: Counters,
    seconds: Histograms,
    tokens: Counters,
}

impl ModelCalls {
    /// An endpoint of the configuration: it is told from now on, at zero.
    pub fn knows(&self, endpoint: &str) {
        self.calls.add_many(&[endpoint, "ok"], 0);
        self.cost(endpoint, 0, 0);
    }

    /// A call of an endpoint begins.
    #[must_use]
    pub fn begin(&self, endpoint: &Arc<str>) -> Call {
        Call { endpoint: Arc::clone(endpoint), started: Instant::now(), status: "dropped" }
    }

    /// What a call cost.
    pub fn cost(&self, endpoint: &str, prompt: u64, completion: u64) {
        self.tokens.add_many(&[endpoint, "prompt"], prompt);
        self.tokens.add_many(&[endpoint, "completion"], completion);
    }
}

/// A call of a model's endpoint. It is counted when this is dropped: as `dropped`, if nobody waited for its end.
pub struct Call {
    endpoint: Arc<str>,
    started: Instant,
    status: &'static str,
}

impl Call {
    /// It has ended: `ok`, or the code of an error.
    pub fn ended(&mut self, status: &'static str) {
        self.status = status;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let models = &get().models;
        models.calls.add(&[&self.endpoint, self.status]);
        models.seconds.record(&[&self.endpoint], self.started.elapsed());
    }
}

/// The search for knowledge.
pub struct Knowledge {
    /// One search, reading what the index lacks included.
    pub search: Histogram,
    /// What the index holds in memory.
    pub bytes: Gauges,
}

/// Requests and sockets.
pub struct Web {
    requests: Counters,
    seconds: Histogram,
    /// Open sockets by kind.
    pub sockets: Gauges,
    /// From a message's commit to a visitor's socket, by author.
    pub delivery: Histograms,
    /// From a commit to when it was told to agents' sockets.
    pub feed_lag: Histogram,
}

impl Web {
    /// A request was answered. `route` is the template, never the address itself.
    pub fn answered(&self, method: &str, route: &str, status: &str, took: Duration) {
        let method = c::METHODS.iter().find(|known| **known == method).unwrap_or(&"other");
        self.requests.add(&[method, route, status]);
        // A socket's answer says nothing about its length.
        if status != "101" {
            self.seconds.record(took);
        }
    }
}
