//! What one try of a turn means for the metrics.

use std::time::{Duration, Instant};

use super::record::Explained;
use crate::clock::Timestamp;
use crate::conversation::Conversation;
use crate::metrics;

/// A try that has begun.
pub(super) struct Begun {
    /// How long the oldest message that it answers has waited, to the millisecond.
    waited: Duration,
}

impl Begun {
    pub fn now(c: &Conversation, now: Timestamp) -> Self {
        Self { waited: c.unanswered.map_or(Duration::ZERO, |oldest| now.since(oldest.at)) }
    }

    /// Its reply is made and is about to be committed.
    pub fn made(self, explained: &Explained) -> Made {
        let Self { waited } = self;
        let stage = |name: &str| explained.stages_ms.get(name).map(|ms| seconds(*ms));
        Made {
            waited,
            search: stage("retrieve"),
            judge: stage("judge").filter(|judge| !judge.is_zero()),
            first_token: stage("first_token"),
            model: stage("answer"),
            first_release: stage("first_release"),
            outcome: outcome(&explained.outcome),
            committing: Instant::now(),
        }
    }
}

/// A try whose reply is made.
pub(super) struct Made {
    waited: Duration,
    search: Option<Duration>,
    judge: Option<Duration>,
    first_token: Option<Duration>,
    model: Option<Duration>,
    /// Counted from the end of the search.
    first_release: Option<Duration>,
    outcome: &'static str,
    committing: Instant,
}

impl Made {
    /// It has ended, with its words if it was not `too_late`.
    pub fn ended(self, too_late: bool) {
        let turns = &metrics::get().turns;
        let commit = Some(self.committing.elapsed());
        turns.ended.add(&[if too_late { "discarded" } else { self.outcome }]);
        if too_late {
            turns.dropped.add(&["fence"]);
        }
        for (name, took) in [
            ("queue", Some(self.waited)),
            ("search", self.search),
            ("judge", self.judge),
            ("model_first_token", self.first_token),
            ("model", self.model),
            ("commit", commit),
        ] {
            if let Some(took) = took {
                turns.stage.record(&[name], took);
            }
        }
        if let Some(first) = self.first_release {
            let first = self.waited + self.search.unwrap_or_default() + first;
            let models = self.judge.max(self.first_token).unwrap_or_default();
            turns.first_release.record(first);
            turns.added.record(first.saturating_sub(models));
        }
    }
}

fn outcome(name: &str) -> &'static str {
    let known = ["answered", "handed_off", "cancelled"];
    known.into_iter().find(|known| *known == name).unwrap_or("failed")
}

fn seconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default()
}
