//! Whether a node lives, and what becomes of its statements.
//!
//! A killed node's tasks wait for their next statement or word of a model for ever: nothing of theirs is ever heard again,
//! and what they had open is rolled back. A frozen node is the same until it thaws: then what it was about to do happens
//! late, as after a pause of the whole process, except that its timers have gone on meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::sights::Sight;
use super::sim::Sim;
use crate::db::DbError;
use crate::db::simulated::{Fate, Verdict};

/// Which life of which node.
pub type Life = (usize, u32);

/// Where a node may die that is doomed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With a transaction open that is about to be committed.
    BeforeCommit,
    /// With everything stored, before anybody has heard of it.
    AfterCommit,
}

/// The power of one life of a node.
pub struct Power {
    pub life: Life,
    sim: Arc<Sim>,
    pub dead: CancellationToken,
    doom: Mutex<Option<Moment>>,
    frozen_until: Mutex<Option<Instant>>,
    away_until: Mutex<Option<Instant>>,
    full_until: Mutex<Option<Instant>>,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    open: bool,
    units: u32,
    unheard: bool,
}

fn io() -> DbError {
    DbError::Sql(sqlx::Error::Io(std::io::Error::other("simulated")))
}

impl Power {
    pub fn new(sim: &Arc<Sim>, life: Life) -> Arc<Self> {
        let chance = sim.chance(&format!("node {} life {}", life.0, life.1));
        Arc::new(Self {
            life,
            sim: Arc::clone(sim),
            dead: CancellationToken::new(),
            doom: Mutex::default(),
            frozen_until: Mutex::default(),
            away_until: Mutex::default(),
            full_until: Mutex::default(),
            state: Mutex::new(State { chance, open: false, units: 0, unheard: false }),
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It dies at its next moment of this kind.
    pub fn doom(&self, moment: Moment) {
        *self.doom.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
    }

    /// The moment has come; who is doomed to it dies.
    fn comes(&self, moment: Moment) {
        if *self.doom.lock().unwrap_or_else(PoisonError::into_inner) == Some(moment) {
            self.kill();
        }
    }

    pub fn kill(&self) {
        if self.dead.is_cancelled() {
            return;
        }
        let (open, unheard) = self.with(|state| (state.open, state.unheard));
        if open {
            self.sim.saw(Sight::KilledInTransaction);
        }
        if unheard {
            self.sim.saw(Sight::KilledBeforeAck);
        }
        self.dead.cancel();
    }

    pub fn freeze(&self, pause: Duration) {
        *self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + pause);
    }

    /// The database is away for this node.
    pub fn cut_off(&self, pause: Duration) {
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + pause);
    }

    /// The disk is full: everything is read, nothing is stored.
    pub fn fill_up(&self, pause: Duration) {
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + pause);
    }

    /// Nothing is wrong with it any more, if it lives.
    pub fn heal(&self) {
        *self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.full_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn until(of: &Mutex<Option<Instant>>) -> Option<Instant> {
        let until = *of.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }

    /// Returns at once in a node that runs, later in a frozen one, never in a dead one.
    pub async fn breath(&self) {
        while let Some(thaw) = Self::until(&self.frozen_until) {
            sleep_until(thaw.min(Instant::now() + Duration::from_secs(1))).await;
        }
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes its time. Returns whether the node has died meanwhile.
    async fn linger(&self, how_long: Option<Duration>) -> bool {
        if let Some(pause) = how_long {
            tokio::select! {
                biased;
                () = self.dead.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
        self.dead.is_cancelled()
    }

    fn delay(&self, text: &str, inside: bool) -> Option<Duration> {
        let slow = self.sim.weather.db_slow;
        self.with(|state| {
            let chance = &mut state.chance;
            match text {
                "BEGIN IMMEDIATE" | "COMMIT" if chance.odds(slow / 20.0) => {
                    Some(chance.millis(50..2_500))
                }
                "BEGIN IMMEDIATE" | "COMMIT" if chance.odds(slow) => Some(chance.millis(1..25)),
                _ if inside => None,
                _ if chance.odds(slow / 4.0) => Some(chance.millis(1..40)),
                _ => None,
            }
        })
    }

    fn before_it(&self, text: &str, inside: bool) -> Verdict {
        let away = Self::until(&self.away_until).is_some();
        let full = Self::until(&self.full_until).is_some();
        let often = if self.sim.is_calm() { 0.0 } else { self.sim.weather.db_faults };
        let (verdict, sight) = self.with(|state| {
            let State { chance, open, units, .. } = state;
            match text {
                "BEGIN IMMEDIATE" if away || chance.odds(often) => {
                    (Verdict::Fails(io()), Some(Sight::BeginFailed))
                }
                "BEGIN IMMEDIATE" => {
                    (*open, *units) = (true, 0);
                    (Verdict::Goes, None)
                }
                "COMMIT" if away || full || chance.odds(often) => {
                    (Verdict::Fails(io()), Some(Sight::CommitFailed))
                }
                "ROLLBACK" | "COMMIT" => {
                    *open = false;
                    (Verdict::Goes, (*units > 1).then_some(Sight::GroupCommitted))
                }
                "SAVEPOINT unit" | "RELEASE unit" | "ROLLBACK TO unit" => (Verdict::Goes, None),
                _ if !inside && (away || chance.odds(often)) => {
                    (Verdict::Fails(io()), Some(Sight::ReadFailed))
                }
                _ if inside && chance.odds(often / 10.0) => {
                    (Verdict::Loses(io()), Some(Sight::TransactionLost))
                }
                _ if inside && text.starts_with("UPDATE conversation") && chance.odds(often) => {
                    (Verdict::Fails(DbError::Conflict), Some(Sight::Conflict))
                }
                // Every change of a conversation does it once.
                _ if inside && text.starts_with("UPDATE conversation") => {
                    *units += 1;
                    (Verdict::Goes, None)
                }
                _ => (Verdict::Goes, None),
            }
        });
        if let Some(sight) = sight {
            self.sim.saw(sight);
        }
        verdict
    }
}

#[async_trait]
impl Fate for Power {
    async fn before(&self, text: &str, inside: bool) -> Verdict {
        self.sim.step().await;
        if !inside {
            self.breath().await;
        }
        if text == "COMMIT" {
            self.comes(Moment::BeforeCommit);
        }
        if self.linger(self.delay(text, inside)).await {
            return Verdict::Dies;
        }
        let verdict = self.before_it(text, inside);
        if text == "COMMIT" {
            self.sim.about_to_commit(self.life);
        }
        verdict
    }

    async fn after(&self, text: &str) -> Verdict {
        if text != "COMMIT" {
            return Verdict::Goes;
        }
        self.sim.committed(self.life);
        self.with(|state| state.unheard = true);
        self.comes(Moment::AfterCommit);
        let died = self.linger(self.delay(text, false)).await;
        self.with(|state| state.unheard = false);
        if died {
            return Verdict::Dies;
        }
        let often = if self.sim.is_calm() { 0.0 } else { self.sim.weather.db_faults };
        if self.with(|state| state.chance.odds(often)) {
            self.sim.saw(Sight::OutcomeUnknown);
            return Verdict::Fails(io());
        }
        Verdict::Goes
    }
}

/// What never fails: the simulation's own look at the database.
pub struct Plain;

#[async_trait]
impl Fate for Plain {
    async fn before(&self, _: &str, _: bool) -> Verdict {
        Verdict::Goes
    }

    async fn after(&self, _: &str) -> Verdict {
        Verdict::Goes
    }
}
