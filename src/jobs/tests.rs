//! The life of a job on both engines: taken once, tried again later, given up, taken over after a crash.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::db::testing::databases;
use crate::db::{Db, sql};
use crate::health::Pulse;
use crate::ids::{Ids, NodeId};

/// A shop with one conversation, and jobs about it.
struct Shop {
    db: Db,
    clock: Clock,
    workspace: WorkspaceId,
    conversation: ConversationId,
}

impl Shop {
    async fn open(db: Db) -> Self {
        let (workspace, conversation): (WorkspaceId, ConversationId) = (Ids.fresh(), Ids.fresh());
        db.write(move |conn| {
            Box::pin(async move {
                for statement in [
                    "INSERT INTO workspace (id, name, created_at) VALUES ($1, 'Shop', 0)",
                    "INSERT INTO inbox (id, workspace, name, public_key, allowed_origins, settings, created_at)
                     VALUES ('i' || $1, $1, 'Web', 'k' || $1, '[]', '{}', 0)",
                    "INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at)
                     VALUES ('c' || $1, $1, 'en', '{}', 0, 0)",
                ] {
                    sql(statement).bind(workspace).execute(conn).await?;
                }
                sql("INSERT INTO conversation (id, workspace, inbox, contact, state, holder, epoch, seq, public_seq, locale,
                        created_at, updated_at)
                     VALUES ($2, $1, 'i' || $1, 'c' || $1, '{}', 'queue', 1, 1, 1, 'en', 0, 0)")
                    .bind(workspace)
                    .bind(conversation)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await
        .expect("a shop");
        Self {
            db,
            clock: Clock::manual(Timestamp::from_millis(1_000_000)),
            workspace,
            conversation,
        }
    }

    async fn order(&self, kind: &'static str) {
        let (workspace, conversation, now) = (self.workspace, self.conversation, self.clock.now());
        let order = Order { id: Ids.fresh(), kind, payload: "{}".into() };
        let ordered = self.db.write(move |conn| {
            let order = order.clone();
            Box::pin(async move { store::order(conn, workspace, conversation, &order, now).await })
        });
        ordered.await.expect("ordered");
    }

    async fn waiting(&self) -> Vec<Waiting> {
        let mut conn = self.db.read().await.expect("reads");
        store::waiting(&mut conn, self.workspace, self.conversation).await.expect("reads")
    }

    async fn last_error(&self) -> Option<String> {
        let mut conn = self.db.read().await.expect("reads");
        let row: Option<(Option<String>,)> = sql("SELECT last_error FROM job WHERE workspace = $1")
            .bind(self.workspace)
            .optional(&mut conn)
            .await
            .expect("reads");
        row.and_then(|(error,)| error)
    }

    fn worker(&self) -> Worker {
        Worker::new(self.db.clone(), self.clock.clone(), Ids.fresh())
    }

    async fn claim(&self, node: NodeId) -> Vec<Job> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move { store::claim(conn, node, now, now + LEASE, 10).await })
            })
            .await
            .expect("claims")
    }
}

/// Does what it is told and remembers it.
#[derive(Default)]
struct Scripted {
    fails: Mutex<Option<JobError>>,
    panics: AtomicBool,
    tries: Mutex<Vec<u32>>,
    gave_up: Mutex<Option<JobError>>,
    done: Notify,
}

impl Scripted {
    fn failing(error: JobError) -> Arc<Self> {
        Arc::new(Self { fails: Mutex::new(Some(error)), ..Self::default() })
    }

    fn tries(&self) -> Vec<u32> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Handler for Scripted {
    async fn run(&self, job: &Job) -> Result<(), JobError> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).push(job.attempt);
        self.done.notify_one();
        assert!(!self.panics.load(Ordering::SeqCst), "as told");
        let fails = *self.fails.lock().unwrap_or_else(PoisonError::into_inner);
        fails.map_or(Ok(()), Err)
    }

    async fn gave_up(&self, _: &Job, error: JobError) {
        *self.gave_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

#[tokio::test]
async fn a_job_is_done_once_and_its_row_goes() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let handler = Arc::new(Scripted::default());
        let worker = shop.worker().with("brief", handler.clone());
        shop.order("brief").await;
        assert!(!shop.waiting().await[0].running);
        assert_eq!(worker.run_due().await.expect("runs"), 1);
        assert_eq!(handler.tries(), [1]);
        assert_eq!(shop.waiting().await, []);
    }
}

#[tokio::test]
async fn two_claimers_never_hold_the_same_job() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        for kind in ["a", "b", "c", "d", "e", "f"] {
            shop.order(kind).await;
        }
        let claims = (0..4).map(|_| shop.claim(Ids.fresh()));
        let taken = futures_util::future::join_all(claims).await;
        let mut ids: Vec<JobId> = taken.into_iter().flatten().map(|job| job.id).collect();
        assert_eq!(ids.len(), 6);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 6);
    }
}

#[tokio::test]
async fn a_failing_job_waits_longer_each_time_and_is_given_up() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let poison = Scripted::failing(JobError::again("sulks"));
        let healthy = Arc::new(Scripted::default());
        let worker = shop.worker().with("brief", poison.clone()).with("summary", healthy.clone());
        shop.order("brief").await;
        for (attempt, pause) in [(1, 5), (2, 30), (3, 120), (4, 120)] {
            shop.order("summary").await;
            assert_eq!(worker.run_due().await.expect("runs"), 2, "the poison stops nobody");
            assert_eq!(poison.tries().len(), attempt);
            assert_eq!(shop.waiting().await.len(), 1);
            shop.clock.advance(Duration::from_secs(pause - 1));
            assert_eq!(worker.run_due().await.expect("runs"), 0, "not before its time");
            shop.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(worker.run_due().await.expect("runs"), 1);
        assert_eq!(poison.tries(), [1, 2, 3, 4, 5]);
        assert_eq!(*poison.gave_up.lock().expect("lock"), Some(JobError::again("sulks")));
        assert_eq!(shop.waiting().await, []);
        assert_eq!(shop.last_error().await.as_deref(), Some("sulks"));
    }
}

#[tokio::test]
async fn a_panic_and_an_unknown_kind_are_failures_like_others() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let handler = Arc::new(Scripted { panics: AtomicBool::new(true), ..Scripted::default() });
        let worker = shop.worker().with("brief", handler.clone());
        shop.order("brief").await;
        worker.run_due().await.expect("runs");
        assert_eq!(shop.last_error().await.as_deref(), Some("panicked"));
        handler.panics.store(false, Ordering::SeqCst);
        shop.clock.advance(Duration::from_secs(5));
        worker.run_due().await.expect("runs");
        assert_eq!(handler.tries(), [1, 2]);
        shop.order("dance").await;
        worker.run_due().await.expect("runs");
        assert_eq!(shop.last_error().await.as_deref(), Some("unknown_kind"));
    }
}

#[tokio::test]
async fn a_lost_lease_is_taken_over_and_its_holder_can_write_no_end() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        shop.order("brief").await;
        let first = shop.claim(Ids.fresh()).await.remove(0);
        assert!(shop.claim(Ids.fresh()).await.is_empty(), "held");
        shop.clock.advance(LEASE);
        let second = shop.claim(Ids.fresh()).await.remove(0);
        assert_eq!((first.attempt, second.attempt), (1, 2));
        let (late, held, until) = (first, second, shop.clock.now() + LEASE);
        let (renewed, finished, done) = shop
            .db
            .write(move |conn| {
                let (late, held) = (late.clone(), held.clone());
                Box::pin(async move {
                    let renewed = store::renew(conn, &late, until).await?;
                    let finished = store::finish(conn, &late).await?;
                    Ok((renewed, finished, store::finish(conn, &held).await?))
                })
            })
            .await
            .expect("writes");
        assert_eq!((renewed, finished, done), (false, false, true));
    }
}

#[tokio::test]
async fn a_job_that_takes_its_worker_down_every_time_is_given_up() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let handler = Arc::new(Scripted::default());
        let worker = shop.worker().with("brief", handler.clone());
        shop.order("brief").await;
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(shop.claim(Ids.fresh()).await.len(), 1);
            shop.clock.advance(LEASE);
        }
        assert_eq!(worker.run_due().await.expect("runs"), 0);
        assert_eq!(shop.last_error().await.as_deref(), Some("lease_lost"));
        assert!(handler.gave_up.lock().expect("lock").is_some());
    }
}

#[tokio::test]
async fn a_restart_takes_over_at_once() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let handler = Arc::new(Scripted::default());
        let worker = shop.worker().with("brief", handler.clone());
        shop.order("brief").await;
        assert_eq!(shop.claim(Ids.fresh()).await.len(), 1);
        assert_eq!(worker.run_due().await.expect("runs"), 0);
        assert_eq!(worker.recover().await.expect("recovers"), 1);
        assert_eq!(worker.run_due().await.expect("runs"), 1);
        assert_eq!(handler.tries(), [2]);
    }
}

#[derive(Default)]
struct Bell(Notify);

impl Woken for Bell {
    fn job_due(&self) -> &Notify {
        &self.0
    }
}

#[tokio::test]
async fn the_loop_wakes_and_stops_when_told() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let handler = Arc::new(Scripted::default());
        let (bell, tracker, stop) =
            (Arc::new(Bell::default()), TaskTracker::new(), CancellationToken::new());
        let worker = shop.worker().with("brief", handler.clone());
        let (tasks, halt) = (tracker.clone(), stop.clone());
        tracker.spawn(worker.run(Arc::clone(&bell), tasks, halt, Pulse::default()));
        shop.order("brief").await;
        bell.0.notify_one();
        handler.done.notified().await;
        stop.cancel();
        tracker.close();
        tracker.wait().await;
        assert_eq!(shop.waiting().await, [], "what ran was finished");
    }
}
