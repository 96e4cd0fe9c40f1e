//! Metrics with labels: each combination of values is made once and kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};

use super::catalogue::{Kind, Metric};

/// Combinations that one metric may have; what comes after is counted as `other`. A table of routes times statuses is the
/// longest.
const MAX_SERIES: usize = 2_000;
const METADATA: Metadata<'static> = Metadata::new("baton", Level::INFO, None);

/// Where handles come from; without a recorder they have no effect.
#[derive(Clone)]
pub(super) struct Source(Option<Arc<dyn Recorder + Send + Sync>>);

impl Source {
    pub fn new(recorder: Option<Arc<dyn Recorder + Send + Sync>>) -> Self {
        Self(recorder)
    }

    fn describe(&self, metric: &'static Metric) {
        let Some(recorder) = &self.0 else { return };
        let (name, help) = (metric.name.into(), metric.help.into());
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram => recorder.describe_histogram(name, None, help),
        }
    }

    /// A histogram without labels.
    pub fn histogram(&self, metric: &'static Metric) -> Histogram {
        self.describe(metric);
        Histogram::make(self, &Key::from_static_name(metric.name))
    }
}

/// What a metric is written through.
trait Handle: Clone {
    fn make(from: &Source, key: &Key) -> Self;
}

impl Handle for Counter {
    fn make(from: &Source, key: &Key) -> Self {
        from.0.as_ref().map_or_else(Self::noop, |to| to.register_counter(key, &METADATA))
    }
}

impl Handle for Gauge {
    fn make(from: &Source, key: &Key) -> Self {
        from.0.as_ref().map_or_else(Self::noop, |to| to.register_gauge(key, &METADATA))
    }
}

impl Handle for Histogram {
    fn make(from: &Source, key: &Key) -> Self {
        from.0.as_ref().map_or_else(Self::noop, |to| to.register_histogram(key, &METADATA))
    }
}

type Series<H> = HashMap<u64, Vec<(Box<[String]>, H)>>;

/// One metric and the handles of the values that were met.
struct Family<H> {
    metric: &'static Metric,
    from: Source,
    state: RandomState,
    made: RwLock<Series<H>>,
}

impl<H: Handle> Family<H> {
    /// With the values of its one label that are known, so that they are told from the start, at zero.
    fn of(from: &Source, metric: &'static Metric, known: &[&str]) -> Self {
        from.describe(metric);
        let family =
            Self { metric, from: from.clone(), state: RandomState::new(), made: RwLock::default() };
        for value in known {
            family.with(&[value], |_| ());
        }
        if metric.labels.is_empty() {
            family.with(&[], |_| ());
        }
        family
    }

    /// Uses the handle of these values, in the order of the metric's labels.
    fn with(&self, values: &[&str], act: impl FnOnce(&H)) {
        if self.from.0.is_none() {
            return;
        }
        let hash = self.state.hash_one(values);
        let is = |(made, _): &&(Box<[String]>, H)| made.iter().eq(values.iter());
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, handle)) = made.get(&hash).and_then(|same| same.iter().find(is)) {
            act(handle);
            return;
        }
        let full = made.len() >= MAX_SERIES;
        drop(made);
        if full {
            let others = vec!["other"; values.len()];
            act(&H::make(&self.from, &self.key(&others)));
            return;
        }
        let handle = H::make(&self.from, &self.key(values));
        act(&handle);
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        // Two who make the same handle at once have the same counter behind it.
        made.entry(hash).or_default().push((values, handle));
    }

    fn key(&self, values: &[&str]) -> Key {
        debug_assert_eq!(self.metric.labels.len(), values.len(), "{}", self.metric.name);
        let labels = self.metric.labels.iter().zip(values);
        let labels = labels.map(|(name, value)| Label::new(*name, (*value).to_owned()));
        Key::from_parts(self.metric.name, labels.collect::<Vec<_>>())
    }
}

/// A counter for each combination of values.
pub struct Counters(Family<Counter>);

impl Counters {
    pub(super) fn of(from: &Source, metric: &'static Metric, known: &[&str]) -> Self {
        Self(Family::of(from, metric, known))
    }

    /// One more.
    pub fn add(&self, values: &[&str]) {
        self.add_many(values, 1);
    }

    /// So many more.
    pub fn add_many(&self, values: &[&str], count: u64) {
        self.0.with(values, |counter| counter.increment(count));
    }
}

/// A histogram for each combination of values.
pub struct Histograms(Family<Histogram>);

impl Histograms {
    pub(super) fn of(from: &Source, metric: &'static Metric, known: &[&str]) -> Self {
        Self(Family::of(from, metric, known))
    }

    /// One more sample.
    pub fn record(&self, values: &[&str], took: std::time::Duration) {
        self.0.with(values, |histogram| histogram.record(took));
    }
}

/// A gauge for each combination of values.
pub struct Gauges(Family<Gauge>);

impl Gauges {
    pub(super) fn of(from: &Source, metric: &'static Metric, known: &[&str]) -> Self {
        Self(Family::of(from, metric, known))
    }

    /// It is so many now.
    #[expect(clippy::cast_precision_loss, reason = "the format has floating points only")]
    pub fn set(&self, values: &[&str], value: u64) {
        self.0.with(values, |gauge| gauge.set(value as f64));
    }

    /// One more, until what is returned is dropped.
    #[must_use]
    pub fn open(&self, values: &[&str]) -> Open {
        let mut open = Open(Gauge::noop());
        self.0.with(values, |gauge| {
            gauge.increment(1.0);
            open = Open(gauge.clone());
        });
        open
    }
}

/// Something that is open and counted as long as this is there.
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
