//! A schedule that does not wait for anybody: arrivals come when they are due, to within the kernel's timer.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::judgement::Latencies;

/// Time to get everything in place before the first arrival.
const LEAD: Duration = Duration::from_millis(50);

/// Sends each arrival's number and scheduled time when it is due. The runtime's own timer, which counts in whole
/// milliseconds, would be late by as much as is measured here.
pub fn schedule(per_second: f64, arrivals: usize) -> mpsc::UnboundedReceiver<(usize, Instant)> {
    let (due, arriving) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let first = Instant::now() + LEAD;
        let mut at = first;
        for number in 0..arrivals {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if due.send((number, at)).is_err() {
                return;
            }
            at += Duration::from_secs_f64(1.0 / per_second);
        }
    });
    arriving
}

/// Makes calls by schedule, each on a connection of an earlier one that is free, and measures from the scheduled time.
pub async fn repeated<C, F, Fut>(
    per_second: f64,
    calls: usize,
    call: F,
) -> anyhow::Result<Latencies>
where
    C: Send + 'static,
    F: Fn(Option<C>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<C>> + Send + 'static,
{
    let free: Arc<Mutex<Vec<C>>> = Arc::default();
    let call = Arc::new(call);
    let mut arriving = schedule(per_second, calls);
    let mut running = tokio::task::JoinSet::new();
    while let Some((_, at)) = arriving.recv().await {
        let (free, call) = (Arc::clone(&free), Arc::clone(&call));
        running.spawn(async move {
            let connection = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = call(connection).await?;
            let latency = at.elapsed();
            free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            anyhow::Ok(latency)
        });
    }
    let mut latencies = Latencies::default();
    while let Some(done) = running.join_next().await {
        latencies.add(done??);
    }
    Ok(latencies)
}

/// Runs `one` again and again on so many tasks for a time; returns how often it ran a second, and how long each took.
pub async fn as_fast_as_it_goes<S, F, Fut>(
    states: Vec<S>,
    time: Duration,
    one: F,
) -> anyhow::Result<(f64, Latencies)>
where
    S: Send + 'static,
    F: Fn(S) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<S>> + Send + 'static,
{
    let one = Arc::new(one);
    let started = Instant::now();
    let end = started + time;
    let mut running = tokio::task::JoinSet::new();
    for mut state in states {
        let one = Arc::clone(&one);
        running.spawn(async move {
            let mut latencies = Latencies::default();
            while Instant::now() < end {
                let began = Instant::now();
                state = one(state).await?;
                latencies.add(began.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Latencies::default();
    while let Some(done) = running.join_next().await {
        latencies.merge(&done??);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let per_second = latencies.count() as f64 / started.elapsed().as_secs_f64();
    Ok((per_second, latencies))
}
