//! The only source of time. Stored as UTC milliseconds; shown as RFC 3339 with `Z`.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(at.as_millisecond()))
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::DateTime,
            )))
            .into()
    }
}
impl utoipa::ToSchema for Timestamp {}

/// Tells the time. Passed in everywhere; nothing else asks the system.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// System time plus an offset in milliseconds (the database's lead over this machine, on PostgreSQL).
    System(Arc<AtomicI64>),
    Manual(Arc<AtomicI64>),
    /// Follows the runtime's own (paused) clock, ahead of it by so many milliseconds.
    #[cfg(test)]
    Runtime {
        start: Timestamp,
        since: tokio::time::Instant,
        ahead: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::default()))
    }

    /// A clock that moves only when told, for tests.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// A clock that follows the runtime's time from `start` on, `ahead` milliseconds before it: one node's clock in the
    /// simulation.
    #[cfg(test)]
    pub(crate) fn of_runtime(
        start: Timestamp,
        since: tokio::time::Instant,
        ahead: Arc<AtomicI64>,
    ) -> Self {
        Self(Source::Runtime { start, since, ahead })
    }

    /// Now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system for the time"
    )]
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(offset) => {
                let now = jiff::Timestamp::now().as_millisecond();
                Timestamp(now.saturating_add(offset.load(Ordering::Relaxed)))
            }
            Source::Manual(at) => Timestamp(at.load(Ordering::SeqCst)),
            #[cfg(test)]
            Source::Runtime { start, since, ahead } => {
                let now = *start + since.elapsed();
                Timestamp(now.0.saturating_add(ahead.load(Ordering::Relaxed)))
            }
        }
    }

    /// How much time has passed since a moment that does not change: for pauses and rates, which must not notice that the
    /// machine's clock was set.
    #[must_use]
    pub fn steady(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        match &self.0 {
            Source::System(_) => START.get_or_init(Instant::now).elapsed(),
            Source::Manual(_) => self.now().since(Timestamp(0)),
            #[cfg(test)]
            Source::Runtime { since, .. } => since.elapsed(),
        }
    }

    /// What this machine's own clock says, whichever clock it follows.
    #[must_use]
    pub fn here(&self) -> Timestamp {
        match &self.0 {
            Source::System(offset) => {
                Timestamp(self.now().0.saturating_sub(offset.load(Ordering::Relaxed)))
            }
            Source::Manual(_) => self.now(),
            #[cfg(test)]
            Source::Runtime { .. } => self.now(),
        }
    }

    /// Follows another clock that is `lead_millis` ahead of this machine (the database's). A manual clock ignores it.
    /// Returns the lead that was followed before.
    pub fn follow(&self, lead_millis: i64) -> i64 {
        match &self.0 {
            Source::System(offset) => offset.swap(lead_millis, Ordering::Relaxed),
            Source::Manual(_) => lead_millis,
            #[cfg(test)]
            Source::Runtime { .. } => lead_millis,
        }
    }

    /// Moves a manual clock on; does nothing on a system clock.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &self.0 {
            at.fetch_add(millis_of(by), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_and_print_rfc3339() {
        let at = Timestamp::from_millis(1_764_000_000_123);
        let text = serde_json::to_string(&at).expect("serialises");
        assert_eq!(text, "\"2025-11-24T16:00:00.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).expect("parses"), at);
    }

    #[test]
    fn a_system_clock_follows_another_and_a_manual_one_does_not() {
        let (system, manual) = (Clock::system(), Clock::manual(Timestamp::from_millis(5)));
        let before = system.now();
        system.follow(60_000);
        assert!(system.now().since(before) >= Duration::from_secs(60));
        system.follow(-60_000);
        assert!(system.now().since(before) < Duration::from_secs(60));
        manual.follow(60_000);
        assert_eq!(manual.now(), Timestamp::from_millis(5));
    }

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp::from_millis(5));
        assert_eq!(clock.now(), Timestamp::from_millis(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_millis(1_005));
    }
}
