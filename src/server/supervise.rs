//! Loops that must never end: one that panics, returns or goes silent is noticed, told and started again.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::health::{Health, Kind, Part, Pulse};

/// A loop comes around at least every few seconds; one that is silent this long waits for something that never comes.
pub const SILENT: Duration = Duration::from_secs(60);
/// How often its pulse is felt.
const LOOK: Duration = Duration::from_secs(1);
/// The pause before it is started again: the first, doubled each time, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A loop that has lived this long starts over with the first pause.
const HEALTHY: Duration = Duration::from_secs(60);

/// What one run of a loop is given.
pub struct Shift {
    /// For its signs of life.
    pub pulse: Pulse,
    /// For what it starts and does not wait for.
    pub tasks: TaskTracker,
    /// Cancelled when it must end.
    pub stop: CancellationToken,
}

/// Keeps loops running until the process stops.
pub struct Keeper {
    health: Health,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Keeper {
    /// Loops run on `tasks`, until `stop`, and how they do is reported to `health`.
    #[must_use]
    pub fn new(health: Health, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { health, tasks, stop }
    }

    /// Runs the loop that `make` makes, and another one whenever it ends.
    pub fn keep<F, L>(&self, name: &'static str, make: F)
    where
        F: Fn(Shift) -> L + Send + 'static,
        L: Future<Output = ()> + Send + 'static,
    {
        let part = self.health.part(Kind::Worker, name);
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut pause = PAUSES.0;
            while !stop.is_cancelled() {
                let (started, pulse) = (Instant::now(), Pulse::default());
                let (tasks, stop) = (tasks.clone(), stop.clone());
                let shift = Shift { pulse: pulse.clone(), tasks, stop: stop.clone() };
                let running = tokio::spawn(make(shift));
                let Some(why) = watch(running, &pulse, &part, &stop).await else { return };
                part.fails(why);
                if started.elapsed() >= HEALTHY {
                    pause = PAUSES.0;
                }
                let pause_ms = pause.as_millis();
                tracing::error!(
                    worker.name = name,
                    error.code = why,
                    pause_ms,
                    "a worker has ended and is started again"
                );
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        });
    }
}

/// Waits for the loop's end. Returns why it ended, none if it was told to.
async fn watch(
    mut running: JoinHandle<()>,
    pulse: &Pulse,
    part: &Part,
    stop: &CancellationToken,
) -> Option<&'static str> {
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            ended = &mut running => {
                let why = if ended.is_err_and(|error| error.is_panic()) { "panicked" } else { "ended" };
                return (!stop.is_cancelled()).then_some(why);
            }
            _ = look.tick() => {
                if pulse.beats() > 0 {
                    part.works();
                }
                if pulse.silent_for() >= SILENT {
                    running.abort();
                    let _aborted = running.await;
                    return (!stop.is_cancelled()).then_some("silent");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::clock::Clock;

    /// A loop whose first run ends badly and whose second goes on.
    async fn check(why: &'static str, first: impl Fn() -> Ends + Send + 'static) {
        let health = Health::new(Clock::system());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let runs = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&runs);
        let keeper = Keeper::new(health.clone(), tasks.clone(), stop.clone());
        keeper.keep("loop", move |shift| {
            let run = seen.fetch_add(1, Ordering::SeqCst);
            let ends = (run == 0).then(&first);
            #[expect(clippy::panic, reason = "the fault under test")]
            async move {
                match ends {
                    Some(Ends::Panic) => panic!("at the disco"),
                    Some(Ends::Return) => {}
                    Some(Ends::Hang) => std::future::pending().await,
                    None => {
                        while !shift.stop.is_cancelled() {
                            shift.pulse.beat();
                            tokio::select! {
                                () = shift.stop.cancelled() => {}
                                () = sleep(LOOK) => {}
                            }
                        }
                    }
                }
            }
        });
        let part = health.part(Kind::Worker, "loop");
        while part.condition().is_ok() {
            sleep(LOOK).await;
        }
        assert_eq!(part.condition().last_error, Some(why));
        while !part.condition().is_ok() {
            sleep(LOOK).await;
        }
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        assert_eq!(runs.load(Ordering::SeqCst), 2, "told to end, it is not started again");
    }

    enum Ends {
        Panic,
        Return,
        Hang,
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_dies_returns_or_hangs_is_told_and_started_again() {
        check("panicked", || Ends::Panic).await;
        check("ended", || Ends::Return).await;
        check("silent", || Ends::Hang).await;
    }
}
