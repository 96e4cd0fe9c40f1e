//! What works and what does not, part by part and since when: for `/ready`, and for the log when it changes.
//!
//! Parts report themselves (a model's client, a worker, the watch over the database); nobody asks them. A change is logged
//! once, here, so that the log and `/ready` cannot tell different stories. Codes are stable names, never words of an error.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// `ok` or `failing`.
    pub state: &'static str,
    /// Since when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How often it has failed since then.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u32,
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
    const FINE: Self =
        Self { state: "ok", since: None, failures: 0, last_error: None, last_error_at: None };

    /// Whether it works.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.since.is_none()
    }
}

/// One part's own report. Cheap to clone.
#[derive(Clone)]
pub struct Part {
    kind: Kind,
    name: Arc<str>,
    clock: Clock,
    condition: Arc<Mutex<Condition>>,
}

impl Part {
    fn lock(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it does.
    #[must_use]
    pub fn condition(&self) -> Condition {
        *self.lock()
    }

    /// It has just done its work.
    pub fn works(&self) {
        let mut condition = self.lock();
        let Some(since) = condition.since.take() else { return };
        let failures = std::mem::take(&mut condition.failures);
        condition.state = "ok";
        drop(condition);
        let away_ms = millis(self.clock.now().since(since));
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
        let mut condition = self.lock();
        let news = condition.since.is_none() || condition.last_error != Some(code);
        condition.state = "failing";
        condition.since.get_or_insert(now);
        condition.failures = condition.failures.saturating_add(1);
        condition.last_error = Some(code);
        condition.last_error_at = Some(now);
        drop(condition);
        if news {
            tracing::warn!(
                part.kind = self.kind.as_str(),
                part.name = &*self.name,
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
            clock: self.clock.clone(),
            condition: Arc::new(Mutex::new(Condition::FINE)),
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
        let failing = health.of(Kind::Model)["main"];
        assert_eq!(failing.since, Some(Timestamp::from_millis(1_000)));
        assert_eq!((failing.failures, failing.last_error), (2, Some("connect")));
        assert!(!failing.is_ok());
        health.part(Kind::Model, "main").works();
        let again = health.of(Kind::Model)["main"];
        assert!(again.is_ok());
        assert_eq!(again.last_error_at, Some(Timestamp::from_millis(3_000)));
        let shown = serde_json::to_value(again).expect("JSON");
        assert_eq!(shown["state"], "ok");
        assert!(shown.get("since").is_none() && shown.get("failures").is_none(), "{shown}");
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
