//! Numbers as they are collected, and what is wanted of them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies, to the microsecond.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Three significant digits, from a microsecond to a minute; what is longer counts as a minute.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3);
        Self(histogram.expect("the bounds are in order"))
    }
}

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so one always fits into the other.
        let _fits = self.0.add(&other.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// In milliseconds, at a quantile from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of minutes")]
    pub fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl From<&Latencies> for Quantiles {
    fn from(all: &Latencies) -> Self {
        let ms = |quantile| all.ms(quantile);
        Self { count: all.count(), p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), max: ms(1.0) }
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quantiles::from(self).fmt(f)
    }
}

/// What is kept of latencies, in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms", self.p50, self.p99)
    }
}

/// A figure that is wanted, and what came out.
pub struct Judgement {
    pub what: String,
    pub wanted: String,
    pub measured: String,
    pub holds: bool,
}

impl Judgement {
    /// At most so much.
    pub fn at_most(what: impl Into<String>, limit: f64, measured: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            wanted: format!("≤ {limit}{unit}"),
            measured: format!("{measured:.2}{unit}"),
            holds: measured <= limit,
        }
    }

    /// At least so much.
    pub fn at_least(what: impl Into<String>, limit: f64, measured: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            wanted: format!("≥ {limit}{unit}"),
            measured: format!("{measured:.1}{unit}"),
            holds: measured >= limit,
        }
    }
}
