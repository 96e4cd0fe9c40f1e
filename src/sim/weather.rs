//! What kind of world a seed makes: how many there are of everyone, how patient the inbox is, how much goes wrong.

use std::time::Duration;

use serde_json::{Value, json};

use super::chance::Chance;

/// A seed's world.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Nodes; a single one owns the database alone and recovers when it starts.
    pub nodes: usize,
    pub visitors: usize,
    pub agents: usize,
    /// How long everybody is busy.
    pub active: Duration,
    /// The AI's and the people's deadlines, in ms.
    pub assistant_ms: u64,
    pub human_ms: u64,
    pub escalate_ms: u64,
    /// Who gets what a visitor reopens.
    pub reopen_to: &'static str,
    /// How long the AI waits for more words; 0 = a turn is leased by the commit that makes it due.
    pub debounce_ms: u64,
    /// How many times slower than usual the people of the business are.
    pub leisure: u32,
    /// Whether there is a worded condition to judge.
    pub judged: bool,
    /// The probability of a failure at each statement of its kind.
    pub db_faults: f64,
    /// How slow the database is: 0 = at once.
    pub db_slow: f64,
    /// The probability that a model misbehaves.
    pub model_faults: f64,
    /// The probability that a model takes seconds for a piece of an answer.
    pub model_slow: f64,
    /// Nodes are killed, frozen and stopped about this often; never if zero.
    pub node_troubles: u64,
    /// Clocks are up to this many ms off.
    pub skew_ms: u64,
    /// Wake-ups get lost.
    pub deaf: bool,
    /// The database goes away for a while.
    pub outages: bool,
    /// The assistant is stopped and started.
    pub stops: bool,
}

impl Weather {
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed, "weather");
        // One seed in eight has no faults at all: there nothing may ever be late.
        let fair = seed.is_multiple_of(8);
        let bad = |chance: &mut Chance, odds: f64| !fair && chance.odds(odds);
        Self {
            nodes: if chance.odds(0.3) { 1 } else { 2 },
            visitors: usize::try_from(chance.within(1..5)).unwrap_or(1),
            agents: usize::try_from(chance.within(1..4)).unwrap_or(1),
            active: chance.millis(50_000..160_000),
            assistant_ms: *chance.pick(&[20_000, 40_000, 60_000]),
            human_ms: *chance.pick(&[20_000, 45_000]),
            escalate_ms: 30_000,
            reopen_to: *chance.pick(&["assistant", "last_human", "queue"]),
            debounce_ms: *chance.pick(&[0, 0, 400]),
            leisure: *chance.pick(&[1, 1, 6]),
            judged: chance.odds(0.5),
            db_faults: if bad(&mut chance, 0.6) { *chance.pick(&[0.002, 0.01, 0.03]) } else { 0.0 },
            db_slow: *chance.pick(&[0.0, 0.2, 0.6]),
            model_faults: if bad(&mut chance, 0.7) { *chance.pick(&[0.1, 0.3, 0.7]) } else { 0.0 },
            model_slow: *chance.pick(&[0.0, 0.6]),
            node_troubles: if bad(&mut chance, 0.7) { *chance.pick(&[15_000, 40_000]) } else { 0 },
            skew_ms: if bad(&mut chance, 0.4) { 10_000 } else { 0 },
            deaf: bad(&mut chance, 0.4),
            outages: bad(&mut chance, 0.3),
            stops: chance.odds(0.3),
        }
    }

    /// How fair it is: nothing goes wrong but what people do.
    pub fn is_fair(&self) -> bool {
        self.db_faults == 0.0
            && self.model_faults == 0.0
            && self.node_troubles == 0
            && self.skew_ms == 0
            && !self.deaf
            && !self.outages
    }

    pub fn inbox(&self) -> Value {
        json!({ "reopen_to": self.reopen_to, "timings": {
            "assistant_reply_ms": self.assistant_ms,
            "human_reply_ms": self.human_ms,
            "escalate_ms": self.escalate_ms,
            "idle_nudge_ms": 50_000,
            "idle_close_ms": 120_000,
        }})
    }
}
