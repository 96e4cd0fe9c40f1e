//! What works and what does not, part by part and since when: for `/ready`, and for the log when it changes.
//!
//! Parts report themselves (a model's client, a worker, the watch over the database); nobody asks them. A change is logged
//! once, here, so that the log and `/ready` cannot tell different stories. Codes are stable names, never words of an error.
//!
//! A part may be asked for several things, and do one and not another: a model that writes briefs may be silent when it shall
//! answer. So each [`Part::task`] is followed by itself, its last outcome counts, and the part fails as long as one of them
//! does: what works says nothing about what does not. Only a failure that nobody has tried again for [`FORGOTTEN`] is let go
//! when something else works, so that a task nobody asks for any more does not stay red for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};

/// How long a task's failure counts while nobody tries it again and others of its part work.
pub const FORGOTTEN: Duration = Duration::from_mins(10);

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The database.
    Database,
    /// The search for knowledge.
    Index,
    /// A model's endpoint, by its name in the configuration.
    Model,
    /// A loop that must never end while the process runs.
    Worker,
}

impl Kind {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Index => "index",
            Self::Model => "model",
            Self::Worker => "worker",
        }
    }
}

/// How a part does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// `ok` or `failing`.
    pub state: &'static str,
    /// Since when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How often it has failed since then.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// What it fails at, where it is asked for several things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<&'static str>,
    /// Why it failed last, however long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<&'static str>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Condition {
    /// Whether it works.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.since.is_none()
    }
}

/// What is known of a part.
#[derive(Default)]
struct Known {
    since: Option<Timestamp>,
    failures: u32,
    /// When each task that fails was last tried.
    failing: BTreeMap<&'static str, Timestamp>,
    last_error: Option<(&'static str, Timestamp)>,
}

/// One part's own report, on one of its tasks. Cheap to clone.
#[derive(Clone)]
pub struct Part {
    kind: Kind,
    name: Arc<str>,
    task: &'static str,
    clock: Clock,
    known: Arc<Mutex<Known>>,
}

impl Part {
    /// The same part, for one of the several things it is asked for.
    #[must_use]
    pub fn task(&self, task: &'static str) -> Self {
        Self { task, ..self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it does.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let known = self.lock();
        Condition {
            state: if known.since.is_none() { "ok" } else { "failing" },
            since: known.since,
            failures: known.failures,
            tasks: known.failing.keys().copied().filter(|task| !task.is_empty()).collect(),
            last_error: known.last_error.map(|(code, _)| code),
            last_error_at: known.last_error.map(|(_, at)| at),
        }
    }

    /// It has just done its work.
    pub fn works(&self) {
        let mut known = self.lock();
        let Some(since) = known.since else { return };
        let now = self.clock.now();
        known.failing.retain(|task, at| *task != self.task && now.since(*at) < FORGOTTEN);
        if !known.failing.is_empty() {
            return;
        }
        known.since = None;
        let failures = std::mem::take(&mut known.failures);
        drop(known);
        let away_ms = millis(now.since(since));
        tracing::info!(
            part.kind = self.kind.as_str(),
            part.name = &*self.name,
            away_ms,
            failures,
            "a part works again"
        );
    }

    /// It could not do its work, for this reason.
    pub fn fails(&self, code: &'static str) {
        let now = self.clock.now();
        let mut known = self.lock();
        let other = known.failing.insert(self.task, now).is_none();
        let news = other || known.last_error.is_none_or(|(last, _)| last != code);
        known.since.get_or_insert(now);
        known.failures = known.failures.saturating_add(1);
        known.last_error = Some((code, now));
        drop(known);
        if news {
            tracing::warn!(
                part.kind = self.kind.as_str(),
                part.name = &*self.name,
                part.task = (!self.task.is_empty()).then_some(self.task),
                error.code = code,
                "a part does not work"
            );
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

type Parts = BTreeMap<(Kind, Arc<str>), Part>;

/// Every part of one process. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    clock: Clock,
    parts: Arc<Mutex<Parts>>,
}

impl Health {
    /// Nothing known yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, parts: Arc::default() }
    }

    /// The part of that name; it works until it says otherwise.
    #[must_use]
    pub fn part(&self, kind: Kind, name: &str) -> Part {
        let name: Arc<str> = name.into();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Part {
            kind,
            name: Arc::clone(&name),
            task: "",
            clock: self.clock.clone(),
            known: Arc::default(),
        };
        parts.entry((kind, Arc::clone(&name))).or_insert_with(fresh).clone()
    }

    /// How every part of a kind does, by name.
    #[must_use]
    pub fn of(&self, kind: Kind) -> BTreeMap<String, Condition> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts
            .iter()
            .filter(|((of, _), _)| *of == kind)
            .map(|((_, name), part)| (name.to_string(), part.condition()))
            .collect()
    }
}

/// A worker's signs of life. Cheap to clone.
#[derive(Clone)]
pub struct Pulse {
    started: Instant,
    beat_at: Arc<AtomicU64>,
    beats: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { started: Instant::now(), beat_at: Arc::default(), beats: Arc::default() }
    }
}

impl Pulse {
    /// The worker has come around once more.
    pub fn beat(&self) {
        self.beat_at.store(millis(self.started.elapsed()), Ordering::Relaxed);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has come around.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// How long it has been since.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        let beat = Duration::from_millis(self.beat_at.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(beat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_tells_since_when_and_why_and_remembers_the_last_time() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let health = Health::new(clock.clone());
        let part = health.part(Kind::Model, "main");
        assert!(health.of(Kind::Model)["main"].is_ok());
        part.fails("timeout");
        clock.advance(Duration::from_secs(2));
        part.fails("connect");
        let failing = health.of(Kind::Model)["main"].clone();
        assert_eq!(failing.since, Some(Timestamp::from_millis(1_000)));
        assert_eq!((failing.failures, failing.last_error), (2, Some("connect")));
        assert!(!failing.is_ok());
        health.part(Kind::Model, "main").works();
        let again = health.of(Kind::Model)["main"].clone();
        assert!(again.is_ok());
        assert_eq!(again.last_error_at, Some(Timestamp::from_millis(3_000)));
        let shown = serde_json::to_value(again).expect("JSON");
        assert_eq!(shown["state"], "ok");
        assert!(shown.get("since").is_none() && shown.get("failures").is_none(), "{shown}");
    }

    #[test]
    fn what_works_does_not_hide_what_does_not() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let health = Health::new(clock.clone());
        let part = health.part(Kind::Model, "main");
        let (answer, brief) = (part.task("answer"), part.task("brief"));
        answer.fails("timeout");
        brief.works();
        let condition = part.condition();
        assert_eq!((condition.state, &condition.tasks), ("failing", &vec!["answer"]));
        brief.fails("connect");
        answer.works();
        assert_eq!(part.condition().tasks, ["brief"]);
        assert_eq!(part.condition().since, Some(Timestamp::from_millis(1_000)));
        brief.works();
        assert!(part.condition().is_ok() && part.condition().tasks.is_empty());
    }

    #[test]
    fn what_nobody_tries_any_more_is_forgotten_when_something_else_works() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let part = Health::new(clock.clone()).part(Kind::Model, "main");
        part.task("judge").fails("timeout");
        clock.advance(FORGOTTEN.saturating_sub(Duration::from_millis(1)));
        part.task("answer").works();
        assert!(!part.condition().is_ok());
        clock.advance(Duration::from_millis(1));
        assert!(!part.condition().is_ok(), "time alone heals nothing");
        part.task("answer").works();
        assert!(part.condition().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_tells_how_long_it_is_silent() {
        let pulse = Pulse::default();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(pulse.silent_for(), Duration::from_secs(5));
        pulse.beat();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((pulse.beats(), pulse.silent_for()), (1, Duration::from_secs(1)));
    }
}
