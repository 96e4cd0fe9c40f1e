//! The two engines behind one small enum. SQLite by default, PostgreSQL by URL; one SQL text for both.
//!
//! Invariants: every write goes through [`Db::write`] as a unit of owned data that can run again, does nothing but SQL and
//! outlives its caller. On SQLite one writer drains its queue into one transaction (group commit, `synchronous=FULL`); on
//! PostgreSQL every unit is its own transaction, tried again on a conflict. What a unit wants done after COMMIT it hands
//! to [`Conn::after_commit`].

mod kept;
mod migrate;
mod query;
mod stored;
#[cfg(test)]
pub mod testing;
mod writer;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Postgres, Sqlite};

use kept::Kept;

pub use migrate::{migrate, missing};
pub use query::{Arg, Conn, FromRow, Query, sql};
pub use stored::{stored, stored_json, to_json};
use writer::Writer;

/// A boxed future that borrows the connection it runs on.
pub type UnitFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, DbError>> + Send + 'c>>;

/// Whatever goes wrong below the stores.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Someone else moved first; the unit may run again.
    #[error("the row was changed by someone else meanwhile")]
    Conflict,
    /// A stored row breaks an invariant.
    #[error("stored data is broken: {0}")]
    Broken(String),
    /// The engine refused or was away.
    #[error("database: {0}")]
    Sql(#[source] sqlx::Error),
    /// The writer has stopped (shutdown).
    #[error("the database is shutting down")]
    Closed,
    /// The file belongs to another running process.
    #[error("{0} is in use by another running baton: stop it, or send the command to its API")]
    InUse(PathBuf),
    /// The address cannot be understood.
    #[error("database address: {0}")]
    Address(String),
    /// A unit panicked; its work was rolled back.
    #[error("a database unit panicked")]
    Panicked,
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(String),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        if is_conflict(&error) { Self::Conflict } else { Self::Sql(error) }
    }
}

/// Serialisation failures and deadlocks: safe to run again.
fn is_conflict(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(db) = error else { return false };
    matches!(db.code().as_deref(), Some("40001" | "40P01" | "5" | "517"))
}

impl DbError {
    /// Whether this is the violation of a unique constraint or index whose name or column list contains `name`.
    #[must_use]
    pub fn is_unique(&self, name: &str) -> bool {
        let Self::Sql(sqlx::Error::Database(db)) = self else { return false };
        db.is_unique_violation()
            && (db.constraint().is_some_and(|c| c.contains(name)) || db.message().contains(name))
    }

    /// Whether the database itself is away or full: the caller may try again later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Closed | Self::Conflict => true,
            Self::Sql(error) => match error {
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(db) => {
                    // SQLite: full, I/O, locked; PostgreSQL: connection and resource classes, shutting down.
                    let code = db.code().unwrap_or_default();
                    matches!(&*code, "13" | "10" | "5" | "6" | "57P01" | "57P02" | "57P03")
                        || code.starts_with("08")
                        || code.starts_with("53")
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Sqlite { readers: Kept<Sqlite>, writer: Writer },
    Postgres(Kept<Postgres>),
}

/// Which engine is behind a [`Db`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// One file, one process.
    Sqlite,
    /// A server, several processes.
    Postgres,
}

/// How often a PostgreSQL unit that met a conflict runs again before the caller hears of it.
const CONFLICT_RETRIES: u32 = 20;

impl Db {
    /// Opens (and for SQLite creates) the database at `url`: `sqlite:PATH` or `postgres://…`. Does not migrate.
    ///
    /// # Errors
    /// [`DbError::InUse`] if another process owns the SQLite file; otherwise what the engine says.
    pub async fn open(url: &str) -> Result<Self, DbError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Self::open_sqlite(Path::new(path.trim_start_matches("//"))).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options =
                PgConnectOptions::from_str(url).map_err(|e| DbError::Address(e.to_string()))?;
            let pool = PgPoolOptions::new()
                .max_connections(16)
                .acquire_timeout(Duration::from_secs(5))
                .connect_with(options)
                .await?;
            return Ok(Self { engine: Engine::Postgres(Kept::new(pool)) });
        }
        Err(DbError::Address(
            "must start with `sqlite:` (a file) or `postgres://` (a server)".to_owned(),
        ))
    }

    async fn open_sqlite(path: &Path) -> Result<Self, DbError> {
        let lock = writer::lock_file(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .pragma("cache_size", "-65536")
            .pragma("temp_store", "memory")
            .pragma("journal_size_limit", "67108864");
        let writer = Writer::start(&options, lock).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        let readers = Kept::new(readers);
        Ok(Self { engine: Engine::Sqlite { readers, writer } })
    }

    /// Which engine this is.
    #[must_use]
    pub fn kind(&self) -> EngineKind {
        match self.engine {
            Engine::Sqlite { .. } => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// A connection for reading.
    ///
    /// # Errors
    /// When none is free within five seconds or the engine is away.
    pub async fn read(&self) -> Result<Conn, DbError> {
        Ok(match &self.engine {
            Engine::Sqlite { readers, .. } => Conn::sqlite_reader(readers.take().await?),
            Engine::Postgres(kept) => Conn::pg(kept.take().await?),
        })
    }

    /// Runs a unit of work in a transaction and returns once it is durable.
    ///
    /// The unit may run more than once, so it clones what it consumes; it goes on even if the caller is dropped.
    ///
    /// # Errors
    /// What the unit returned, or what the engine said at COMMIT; in both cases nothing of it is stored.
    pub async fn write<T, F>(&self, unit: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Conn) -> UnitFuture<'c, T> + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite { writer, .. } => writer.run(unit).await,
            Engine::Postgres(pool) => {
                let pool = pool.clone();
                let task = tokio::spawn(async move { run_pg(&pool, unit).await });
                task.await.map_err(|_| DbError::Panicked)?
            }
        }
    }

    /// The database's lead over this machine's clock, in milliseconds (zero on SQLite).
    ///
    /// # Errors
    /// When the engine is away.
    pub async fn clock_lead_millis(&self, here: crate::clock::Timestamp) -> Result<i64, DbError> {
        match &self.engine {
            Engine::Sqlite { .. } => Ok(0),
            Engine::Postgres(pool) => {
                let (there,): (i64,) = sqlx::query_as(
                    "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
                )
                .fetch_one(pool.pool())
                .await?;
                Ok(there - here.millis())
            }
        }
    }

    /// Finishes queued units, then closes every connection.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { readers, writer } => {
                writer.close().await;
                readers.close().await;
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }

    fn migration_target(&self) -> migrate::Target<'_> {
        match &self.engine {
            Engine::Sqlite { writer, .. } => migrate::Target::Sqlite(writer),
            Engine::Postgres(pool) => migrate::Target::Postgres(pool.pool()),
        }
    }
}

/// A transaction on a connection that lives: nothing has happened yet when BEGIN fails.
async fn begin_pg(pool: &Kept<Postgres>) -> Result<Conn, DbError> {
    match Conn::pg_tx(pool.take().await?).await {
        Err(error) if error.is_unavailable() => {
            pool.doubt();
            Conn::pg_tx(pool.take().await?).await
        }
        begun => begun,
    }
}

async fn run_pg<T, F>(pool: &Kept<Postgres>, mut unit: F) -> Result<T, DbError>
where
    F: for<'c> FnMut(&'c mut Conn) -> UnitFuture<'c, T> + Send,
{
    let mut tries = 0;
    loop {
        let mut conn = begin_pg(pool).await?;
        let result = match unit(&mut conn).await {
            Ok(value) => conn.commit().await.map(|()| value),
            Err(error) => {
                conn.rollback().await;
                Err(error)
            }
        };
        match result {
            Err(DbError::Conflict) if tries < CONFLICT_RETRIES => {
                tries += 1;
                // A little apart, so that two that met do not meet again: 1 to 8 ms, growing.
                tokio::time::sleep(Duration::from_millis(u64::from(tries.min(8)))).await;
            }
            other => return other,
        }
    }
}
