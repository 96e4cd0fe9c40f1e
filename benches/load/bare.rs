//! The machine's limit for stored messages: a bare program that writes the statements of a visitor's message to a person
//! with group commit, nothing before and nothing behind them.
//!
//! On SQLite one writer puts whatever waits into one transaction, `synchronous=FULL`; PostgreSQL groups the commits of its
//! connections by itself. The rows are those of the conversations that the server has just written.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};

use baton::ids::{Ids, MessageId};

use super::judgement::Quantiles;
use super::pace;

/// As many as the product puts into one transaction.
const MAX_GROUP: usize = 256;

const UPDATE: &str = "UPDATE conversation SET state = $3, holder = $4, assignee = $5, queued_at = $6, epoch = $7, seq = $8,
        public_seq = $9, next_timer_at = $10, waiting_since = $11, last_message = COALESCE($12, last_message), updated_at = $13
     WHERE workspace = $1 AND id = $2 AND seq = $14 AND epoch = $15";
const EVENT: &str = "INSERT INTO event (workspace, conversation, seq, epoch, kind, actor_kind, actor, message, data, at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING tx, feed";
const MESSAGE: &str = "INSERT INTO message (id, workspace, conversation, seq, public_seq, kind, notice, author_kind, author,
        author_name, text, citations, client_id, turn, answers_from, answers_to, incomplete, flags, at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

/// A conversation that a person holds, as it lies in the database.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    workspace: String,
    contact: String,
    state: String,
    assignee: Option<String>,
    epoch: i64,
    seq: i64,
    public_seq: i64,
    next_timer_at: Option<i64>,
    waiting_since: Option<i64>,
    last_message: Option<String>,
    updated_at: i64,
}

const ROWS: &str = "SELECT id, workspace, contact, state, assignee, epoch, seq, public_seq, next_timer_at, waiting_since,
        last_message, updated_at FROM conversation WHERE holder = 'assigned' ORDER BY updated_at DESC LIMIT $1";

/// One conversation and how far it has got.
struct Place {
    row: Row,
    written: AtomicI64,
}

/// What came out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bare {
    /// Commits a second by so many writers.
    pub per_second: f64,
    pub latencies: Quantiles,
}

enum Engine {
    Sqlite(mpsc::Sender<Unit>),
    Postgres(PgPool),
}

struct Unit {
    place: Arc<Place>,
    done: oneshot::Sender<()>,
}

/// The bare program on a database that no server runs on.
pub struct Program {
    engine: Engine,
    places: Vec<Arc<Place>>,
}

impl Program {
    /// Opens it for so many writers.
    pub async fn open(url: &str, writers: usize) -> anyhow::Result<Arc<Self>> {
        let limit = i64::try_from(writers)?;
        let (engine, rows): (Engine, Vec<Row>) = if let Some(path) = url.strip_prefix("sqlite:") {
            let options = SqliteConnectOptions::new()
                .filename(path)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .pragma("cache_size", "-65536");
            let mut connection = options.connect().await?;
            let rows = sqlx::query_as(ROWS).bind(limit).fetch_all(&mut connection).await?;
            let (queue, units) = mpsc::channel(4096);
            std::thread::spawn(move || write_all(connection, units));
            (Engine::Sqlite(queue), rows)
        } else {
            let options = PgConnectOptions::from_str(url)?;
            let pool = PgPoolOptions::new()
                .max_connections(u32::try_from(writers)?)
                .test_before_acquire(false)
                .connect_with(options)
                .await?;
            let rows = sqlx::query_as(ROWS).bind(limit).fetch_all(&pool).await?;
            (Engine::Postgres(pool), rows)
        };
        anyhow::ensure!(rows.len() == writers, "{} conversations of people", rows.len());
        let place = |row| Arc::new(Place { row, written: AtomicI64::new(0) });
        Ok(Arc::new(Self { engine, places: rows.into_iter().map(place).collect() }))
    }

    /// Every writer as fast as it goes.
    pub async fn as_fast_as_it_goes(self: &Arc<Self>, time: Duration) -> anyhow::Result<Bare> {
        let program = Arc::clone(self);
        let one = move |place: Arc<Place>| {
            let program = Arc::clone(&program);
            async move {
                program.commit(&place).await?;
                Ok(place)
            }
        };
        let (per_second, latencies) =
            pace::as_fast_as_it_goes(self.places.clone(), time, one).await?;
        Ok(Bare { per_second, latencies: Quantiles::from(&latencies) })
    }

    /// Commits by schedule: what one takes at that rate.
    pub async fn scheduled(
        self: &Arc<Self>,
        per_second: f64,
        commits: usize,
    ) -> anyhow::Result<Quantiles> {
        let program = Arc::clone(self);
        let next = AtomicI64::new(0);
        let call = move |_: Option<()>| {
            let program = Arc::clone(&program);
            let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or_default();
            let place = Arc::clone(&program.places[number % program.places.len()]);
            async move { program.commit(&place).await }
        };
        Ok(Quantiles::from(&pace::repeated(per_second, commits, call).await?))
    }

    async fn commit(&self, place: &Arc<Place>) -> anyhow::Result<()> {
        match &self.engine {
            Engine::Sqlite(queue) => {
                let (done, committed) = oneshot::channel();
                queue.send(Unit { place: Arc::clone(place), done }).await?;
                committed.await.context("the writer has failed")
            }
            Engine::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                write_postgres(&mut transaction, place).await?;
                Ok(transaction.commit().await?)
            }
        }
    }
}

/// The SQLite writer: one transaction for whatever waits.
fn write_all(mut connection: SqliteConnection, mut units: mpsc::Receiver<Unit>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    runtime.block_on(async move {
        let mut group = Vec::with_capacity(MAX_GROUP);
        while units.recv_many(&mut group, MAX_GROUP).await > 0 {
            if write_group(&mut connection, &group).await.is_err() {
                // Whoever waits sees it.
                return;
            }
            for unit in group.drain(..) {
                let _gone = unit.done.send(());
            }
        }
        let _closed = connection.close().await;
    });
}

async fn write_group(connection: &mut SqliteConnection, group: &[Unit]) -> sqlx::Result<()> {
    connection.execute("BEGIN IMMEDIATE").await?;
    for unit in group {
        write_sqlite(connection, &unit.place).await?;
    }
    connection.execute("COMMIT").await?;
    Ok(())
}

/// The statements of one message, on whichever connection.
macro_rules! write {
    ($name:ident, $connection:ty) => {
        async fn $name(connection: &mut $connection, place: &Place) -> sqlx::Result<()> {
            let row = &place.row;
            let n = place.written.fetch_add(1, Ordering::Relaxed);
            let (seq, public_seq) = (row.seq + n + 1, row.public_seq + n + 1);
            let (id, at) = (Ids.fresh::<MessageId>().to_string(), row.updated_at + n);
            sqlx::query(UPDATE)
                .bind(&row.workspace)
                .bind(&row.id)
                .bind(&row.state)
                .bind("assigned")
                .bind(&row.assignee)
                .bind(None::<i64>)
                .bind(row.epoch)
                .bind(seq)
                .bind(public_seq)
                .bind(row.next_timer_at)
                .bind(row.waiting_since)
                .bind(&row.last_message)
                .bind(at)
                .bind(seq - 1)
                .bind(row.epoch)
                .execute(&mut *connection)
                .await?;
            sqlx::query(EVENT)
                .bind(&row.workspace)
                .bind(&row.id)
                .bind(seq)
                .bind(row.epoch)
                .bind("visitor_wrote")
                .bind("visitor")
                .bind(&row.contact)
                .bind(&id)
                .bind("{}")
                .bind(at)
                .fetch_one(&mut *connection)
                .await?;
            sqlx::query(MESSAGE)
                .bind(&id)
                .bind(&row.workspace)
                .bind(&row.id)
                .bind(seq)
                .bind(public_seq)
                .bind("text")
                .bind(None::<String>)
                .bind("visitor")
                .bind(&row.contact)
                .bind(None::<String>)
                .bind("Here is the number of my order again, it is on the receipt.")
                .bind("[]")
                .bind(format!("bare-{n}"))
                .bind(None::<String>)
                .bind(None::<i64>)
                .bind(None::<i64>)
                .bind(false)
                .bind("[]")
                .bind(at)
                .execute(&mut *connection)
                .await?;
            Ok(())
        }
    };
}

write!(write_sqlite, SqliteConnection);
write!(write_postgres, PgConnection);
