//! The scenario, as the file states it.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What is driven.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub chunks: usize,
    pub conditions: usize,
    pub tokens: usize,
    pub debounce_ms: u64,
    pub model_delays_ms: Vec<u64>,
    pub one: Scheduled,
    pub many: Scheduled,
    pub saturated: Closed,
    pub people: People,
    pub writers: Closed,
    pub stored: Stored,
    pub limits: Limits,
    pub footprint: Footprint,
}

/// Questions by a schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduled {
    pub conversations: usize,
    pub per_second: f64,
    pub turns: usize,
    pub per_second_delayed: f64,
    pub turns_delayed: usize,
}

impl Scheduled {
    /// Rate and number at a model's delay.
    pub fn at(&self, delay: Duration) -> (f64, usize) {
        if delay.is_zero() {
            (self.per_second, self.turns)
        } else {
            (self.per_second_delayed, self.turns_delayed)
        }
    }
}

/// As fast as answers come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    pub conversations: usize,
    pub seconds: f64,
}

impl Closed {
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Messages of people by a schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    pub conversations: usize,
    pub per_second: f64,
    pub messages: usize,
}

/// What lies in the database beside what is driven.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    pub conversations: usize,
}

/// What the process takes when nobody asks anything, and how soon it is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    pub chunks: usize,
    pub sockets: usize,
    pub starts: usize,
}

/// How the limits of the machine are measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub seconds: f64,
    pub connections: usize,
}

impl Limits {
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

impl Scenario {
    /// As it stands in the repository.
    pub fn read() -> anyhow::Result<Self> {
        toml::from_str(include_str!("../scenario.toml")).context("benches/scenario.toml")
    }

    /// The same in less time, for work on the bench itself.
    pub fn shorter(mut self, factor: f64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small counts"
        )]
        let fewer = |count: &mut usize| *count = ((*count as f64 / factor) as usize).max(20);
        for scheduled in [&mut self.one, &mut self.many] {
            fewer(&mut scheduled.turns);
            fewer(&mut scheduled.turns_delayed);
        }
        fewer(&mut self.people.messages);
        fewer(&mut self.stored.conversations);
        fewer(&mut self.footprint.sockets);
        for seconds in
            [&mut self.saturated.seconds, &mut self.writers.seconds, &mut self.limits.seconds]
        {
            *seconds = (*seconds / factor).max(1.0);
        }
        self.footprint.starts = self.footprint.starts.min(5);
        self
    }

    pub fn delays(&self) -> impl Iterator<Item = Duration> + '_ {
        self.model_delays_ms.iter().map(|ms| Duration::from_millis(*ms))
    }
}
