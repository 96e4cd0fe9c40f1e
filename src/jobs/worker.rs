//! The worker of one process: takes due jobs, runs a few at once, writes how each ended under its fence.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::retry::pause_after;
use super::{Handler, Job, JobError, store};
use crate::clock::{Clock, Timestamp};
use crate::db::{Db, DbError};
use crate::health::Pulse;
use crate::ids::NodeId;
use crate::metrics;

/// How many jobs run at once: they mostly wait for a model, and answering visitors goes first.
pub const CONCURRENCY: usize = 4;

/// How long a job may run without a sign of life before another worker may take it.
pub const LEASE: Duration = Duration::from_secs(30);

/// A sign of life is given three times a lease, so that one may fail.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// How long one try of a job may take in all.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// How long running jobs may go on once the process is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How often the worker looks for due jobs that nobody told it about (other nodes, lost leases).
const POLL: Duration = Duration::from_secs(2);

/// Whatever tells a worker that a job may be due.
pub trait Woken: Send + Sync + 'static {
    /// Notified after a commit that ordered work.
    fn job_due(&self) -> &Notify;
}

/// Runs jobs. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    db: Db,
    clock: Clock,
    node: NodeId,
    handlers: Arc<BTreeMap<&'static str, Arc<dyn Handler>>>,
    free: Arc<Semaphore>,
}

impl Worker {
    /// A worker of `node` that knows no kinds yet.
    #[must_use]
    pub fn new(db: Db, clock: Clock, node: NodeId) -> Self {
        Self {
            db,
            clock,
            node,
            handlers: Arc::default(),
            free: Arc::new(Semaphore::new(CONCURRENCY)),
        }
    }

    /// Registers who does the jobs of a kind.
    #[must_use]
    pub fn with(mut self, kind: &'static str, handler: Arc<dyn Handler>) -> Self {
        let mut handlers = (*self.handlers).clone();
        handlers.insert(kind, handler);
        for outcome in ["done", "failed", "parked"] {
            metrics::get().work.jobs.add_many(&[kind, outcome], 0);
        }
        self.handlers = Arc::new(handlers);
        self
    }

    /// Takes over what earlier processes left running: right only when this process owns the database alone.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recover(&self) -> Result<u64, DbError> {
        let (node, now) = (self.node, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move { store::end_leases_of_others(conn, node, now).await })
            })
            .await
    }

    /// Takes jobs until `stop` is cancelled; running ones go on on the tracker until they have ended or were put back.
    pub async fn run(
        self,
        woken: Arc<impl Woken>,
        tracker: TaskTracker,
        stop: CancellationToken,
        pulse: Pulse,
    ) {
        while !stop.is_cancelled() {
            pulse.beat();
            let wait = match self.take(&tracker, &stop).await {
                // There may be more.
                Ok(taken) if taken > 0 && self.free.available_permits() > 0 => continue,
                Ok(_) => self.until_next().await,
                Err(error) => {
                    tracing::warn!(%error, "due jobs could not be read");
                    POLL
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = woken.job_due().notified() => {}
                () = self.slot_freed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Resolves once a slot is free again, if none is now; otherwise never.
    async fn slot_freed(&self) {
        if self.free.available_permits() > 0 {
            std::future::pending::<()>().await;
        }
        // Given back at once: it only tells that there is one.
        let _slot = self.free.acquire().await;
    }

    async fn until_next(&self) -> Duration {
        let next = async { store::next_at(&mut self.db.read().await?).await };
        match next.await {
            // Due already but taken by nobody: another node is at it, or no slot is free.
            Ok(Some(at)) if at > self.clock.now() => at.since(self.clock.now()).min(POLL),
            _ => POLL,
        }
    }

    /// Starts due jobs on the tracker while slots are free. Returns how many.
    async fn take(
        &self,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<usize, DbError> {
        let mut slots: Vec<OwnedSemaphorePermit> = Vec::new();
        while let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() {
            slots.push(slot);
        }
        if slots.is_empty() {
            return Ok(0);
        }
        let jobs = self.claim(slots.len()).await?;
        let taken = jobs.len();
        for (job, slot) in jobs.into_iter().zip(slots) {
            let (worker, stop) = (self.clone(), stop.clone());
            tracker.spawn(async move {
                worker.work(&job, &stop).await;
                drop(slot);
            });
        }
        Ok(taken)
    }

    /// Runs everything that is due now, also what becomes due by it, until nothing is. Returns how many jobs ran.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn run_due(&self) -> Result<usize, DbError> {
        let never = CancellationToken::new();
        let mut ran = 0;
        loop {
            let jobs = self.claim(CONCURRENCY).await?;
            if jobs.is_empty() {
                return Ok(ran);
            }
            ran += jobs.len();
            futures_util::future::join_all(jobs.iter().map(|job| self.work(job, &never))).await;
        }
    }

    async fn claim(&self, limit: usize) -> Result<Vec<Job>, DbError> {
        let (node, now) = (self.node, self.clock.now());
        let (lost, jobs) = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let lost = store::give_up_lost(conn, now).await?;
                    Ok((lost, store::claim(conn, node, now, now + LEASE, limit).await?))
                })
            })
            .await?;
        for job in lost {
            self.give_up(&job, JobError::never("lease_lost")).await;
        }
        Ok(jobs)
    }

    /// One try of one job, from its lease to its written end.
    async fn work(&self, job: &Job, stop: &CancellationToken) {
        let started = self.clock.now();
        let ended = tokio::select! {
            biased;
            ended = self.attempt(job) => ended,
            () = self.keep_lease(job) => {
                tracing::warn!(job.id = %job.id, job.kind, "a job lost its lease and was dropped");
                return;
            }
            () = async { stop.cancelled().await; sleep(GRACE).await } => {
                Err(JobError::again("stopped"))
            }
        };
        if let Err(error) = self.end(job, ended, started).await {
            // The lease runs out by itself and the job comes again.
            tracing::warn!(job.id = %job.id, job.kind, %error, "the end of a job could not be written");
        }
    }

    async fn attempt(&self, job: &Job) -> Result<(), JobError> {
        let Some(handler) = self.handlers.get(job.kind.as_str()) else {
            // A newer version of this process may know it.
            return Err(JobError::again("unknown_kind"));
        };
        let tried = AssertUnwindSafe(timeout(LONGEST_RUN, handler.run(job))).catch_unwind().await;
        match tried {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => Err(JobError::again("timeout")),
            Err(_) => Err(JobError::again("panicked")),
        }
    }

    /// Moves the lease on; returns when it is lost.
    async fn keep_lease(&self, job: &Job) {
        loop {
            sleep(RENEW_EVERY).await;
            let (held, until) = (job.clone(), self.clock.now() + LEASE);
            let renewed = self.db.write(move |conn| {
                let held = held.clone();
                Box::pin(async move { store::renew(conn, &held, until).await })
            });
            match renewed.await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(job.id = %job.id, %error, "a job's lease was not renewed");
                }
            }
        }
    }

    async fn end(
        &self,
        job: &Job,
        ended: Result<(), JobError>,
        started: Timestamp,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let error = ended.err();
        let run_at = match error {
            Some(error) if error.code == "stopped" => Some(now),
            Some(error) => pause_after(job.attempt, error).map(|pause| now + pause),
            None => None,
        };
        let held = job.clone();
        let written = self
            .db
            .write(move |conn| {
                let held = held.clone();
                Box::pin(async move {
                    match error {
                        None => store::finish(conn, &held).await,
                        Some(error) => store::put_back(conn, &held, run_at, error.code).await,
                    }
                })
            })
            .await?;
        let duration_ms = now.since(started).as_millis();
        if written {
            self.count(job, if error.is_none() { "done" } else { "failed" });
        }
        match error {
            _ if !written => {
                tracing::warn!(job.id = %job.id, job.kind, "a job ended after its lease was lost");
            }
            None => tracing::debug!(job.id = %job.id, job.kind, duration_ms, "job done"),
            Some(error) => {
                tracing::warn!(job.id = %job.id, job.kind, job.attempt, error.code, duration_ms,
                    job.again = run_at.is_some(), "job failed");
                if run_at.is_none() {
                    self.give_up(job, error).await;
                }
            }
        }
        Ok(())
    }

    fn count(&self, job: &Job, outcome: &str) {
        let known = self.handlers.keys().find(|kind| **kind == job.kind.as_str());
        metrics::get().work.jobs.add(&[known.unwrap_or(&"other"), outcome]);
    }

    async fn give_up(&self, job: &Job, error: JobError) {
        tracing::error!(job.id = %job.id, job.kind, error.code, "a job is given up");
        self.count(job, "parked");
        if let Some(handler) = self.handlers.get(job.kind.as_str()) {
            let told = AssertUnwindSafe(handler.gave_up(job, error)).catch_unwind().await;
            if told.is_err() {
                tracing::error!(job.id = %job.id, job.kind, "a handler panicked");
            }
        }
    }
}
