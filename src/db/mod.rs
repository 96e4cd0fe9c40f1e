//! The two engines behind one small enum. SQLite by default, PostgreSQL by URL; one SQL text for both.
//!
//! Invariants: every write goes through [`Db::write`] as a unit of owned data that can run again, does nothing but SQL and
//! outlives its caller. On SQLite one writer drains its queue into one transaction (group commit, `synchronous=FULL`); on
//! PostgreSQL every unit is its own transaction, tried again on a conflict. What a unit wants done after COMMIT it hands
//! to [`Conn::after_commit`].

pub mod bulk;
mod kept;
mod lite;
mod migrate;
mod notify;
mod query;
pub mod schema;
#[cfg(test)]
pub(crate) mod simulated;
mod stored;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod trouble;
mod writer;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::Postgres;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::clock::Clock;
use crate::guard::Guard;
use crate::metrics;
use kept::Kept;
pub use migrate::{applied, migrate, migrate_to, missing, newest};
pub use notify::{Channel, Listener, MAX_PAYLOAD_BYTES, Speaker};
pub use query::{Arg, Conn, FromRow, Query, sql};
pub use stored::{stored, stored_json, to_json};
use trouble::Writes;
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
    /// Opened to be read only.
    #[error("the database was opened to be read only")]
    ReadOnly,
    /// The address cannot be understood.
    #[error("database address: {0}")]
    Address(String),
    /// The engine could not begin: nothing of the unit has run. With the name of what is wrong.
    #[error("the database takes no work: {0}")]
    Unavailable(&'static str),
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
    matches!(db.code().as_deref(), Some("40001" | "40P01" | "517"))
}

impl DbError {
    /// Whether this is the violation of a unique constraint or index whose name or column list contains `name`.
    #[must_use]
    pub fn is_unique(&self, name: &str) -> bool {
        let Self::Sql(sqlx::Error::Database(db)) = self else { return false };
        db.is_unique_violation()
            && (db.constraint().is_some_and(|c| c.contains(name)) || db.message().contains(name))
    }

    /// What does not read, if that is what is wrong: a column and why.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        match self {
            Self::Broken(what) => Some(what.clone()),
            // A value of another type than its column's.
            Self::Sql(sqlx::Error::ColumnDecode { index, .. }) => Some(index.clone()),
            _ => None,
        }
    }

    /// Whether the database itself is away or full: the caller may try again later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Conflict) || self.trouble().is_some()
    }

    /// The stable name of what is wrong with the database itself: `away`, `full`, `io`, `locked`, `exhausted`, `read_only`
    /// or `closed`; none for errors that say nothing about it.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        trouble::trouble(self)
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    writes: Writes,
}

#[derive(Clone)]
enum Engine {
    Sqlite {
        readers: Readers,
        /// None where the file is only read.
        writer: Option<Writer>,
    },
    Postgres(Kept<Postgres>),
}

/// Where the reading connections of a SQLite file come from.
#[derive(Clone)]
enum Readers {
    File(lite::Readers),
    #[cfg(test)]
    Simulated(std::sync::Arc<simulated::Station>),
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
/// How long a PostgreSQL statement waits for a lock: as long as a SQLite write waits for the file. Longer is refused, so that
/// one session that holds a lock cannot use up every connection.
const LONGEST_WAIT_MS: &str = "5000";
/// The longest round trip from which the database's clock is read.
const LONGEST_ROUND_TRIP_MS: i64 = 1_000;
/// How long a PostgreSQL statement may take.
const LONGEST_STATEMENT_MS: &str = "30000";

impl Db {
    /// Opens (and for SQLite creates) the database at `url`: `sqlite:PATH` or `postgres://…`. Does not migrate.
    ///
    /// # Errors
    /// [`DbError::InUse`] if another process owns the SQLite file; otherwise what the engine says.
    pub async fn open(url: &str) -> Result<Self, DbError> {
        if let Some(path) = sqlite_path(url) {
            return Self::open_sqlite(path);
        }
        Box::pin(Self::open_postgres(url)).await
    }

    /// Opens a database that is there to look at it, beside whoever runs on it: takes no lock, writes nothing.
    ///
    /// # Errors
    /// When there is no such file, otherwise what the engine says.
    pub async fn open_to_read(url: &str) -> Result<Self, DbError> {
        let Some(path) = sqlite_path(url) else { return Box::pin(Self::open_postgres(url)).await };
        if !path.exists() {
            return Err(DbError::Address(format!("there is no file {}", path.display())));
        }
        let readers = Readers::File(lite::Readers::open(lite::Options::reader(path))?);
        Ok(Self::of(Engine::Sqlite { readers, writer: None }))
    }

    async fn open_postgres(url: &str) -> Result<Self, DbError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options =
                PgConnectOptions::from_str(url).map_err(|e| DbError::Address(e.to_string()))?;
            let options = options.options([
                ("lock_timeout", LONGEST_WAIT_MS),
                ("statement_timeout", LONGEST_STATEMENT_MS),
            ]);
            let pool = PgPoolOptions::new()
                .max_connections(16)
                .acquire_timeout(Duration::from_secs(5))
                .connect_with(options)
                .await?;
            return Ok(Self::of(Engine::Postgres(Kept::new(pool))));
        }
        Err(DbError::Address(
            "must start with `sqlite:` (a file) or `postgres://` (a server)".to_owned(),
        ))
    }

    fn open_sqlite(path: &Path) -> Result<Self, DbError> {
        let lock = writer::lock_file(path)?;
        let writer = Some(Writer::start(path, lock)?);
        let readers = Readers::File(lite::Readers::open(lite::Options::reader(path))?);
        Ok(Self::of(Engine::Sqlite { readers, writer }))
    }

    fn of(engine: Engine) -> Self {
        Self { engine, writes: Writes::default() }
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
            Engine::Sqlite { readers: Readers::File(file), .. } => Conn::reader(file.take().await?),
            #[cfg(test)]
            Engine::Sqlite { readers: Readers::Simulated(station), .. } => {
                Conn::simulated(station.link()?)
            }
            Engine::Postgres(kept) => Conn::pg(kept.take().await?),
        })
    }

    /// A connection for reading much: nobody else's work waits for its statements.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_much(&self) -> Result<Conn, DbError> {
        match &self.engine {
            Engine::Sqlite { readers: Readers::File(file), .. } => {
                let mut lent = file.take().await?;
                lent.apart();
                Ok(Conn::reader(lent))
            }
            #[cfg(test)]
            Engine::Sqlite { readers: Readers::Simulated(_), .. } => self.read().await,
            Engine::Postgres(_) => self.read().await,
        }
    }

    /// A connection whose every look is at one moment, whatever is written meanwhile.
    ///
    /// # Errors
    /// When none is free within five seconds or the engine is away.
    pub async fn snapshot(&self) -> Result<Conn, DbError> {
        Ok(match &self.engine {
            Engine::Sqlite { readers: Readers::File(file), .. } => {
                let mut lent = file.take().await?;
                lent.apart();
                lent.begin()?;
                let mut conn = Conn::reader(lent);
                // The moment is that of the first look.
                sql("SELECT COUNT(*) FROM sqlite_master").one::<(i64,)>(&mut conn).await?;
                conn
            }
            #[cfg(test)]
            Engine::Sqlite { readers: Readers::Simulated(_), .. } => self.read().await?,
            Engine::Postgres(kept) => {
                begin_pg(kept, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?
            }
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
        let started = Instant::now();
        let written = match &self.engine {
            Engine::Sqlite { writer: Some(writer), .. } => writer.run(unit).await,
            Engine::Sqlite { writer: None, .. } => Err(DbError::ReadOnly),
            Engine::Postgres(kept) => {
                let kept = kept.clone();
                let task = tokio::spawn(async move { run_pg(&kept, unit).await });
                task.await.unwrap_or(Err(DbError::Panicked))
            }
        };
        self.writes.ended(written.as_ref().err());
        let error = written.as_ref().err().map(trouble::name);
        metrics::get().db.wrote(started.elapsed(), error);
        written
    }

    /// Writes are accepted again: whoever knows has written something of some length.
    pub fn accepts_writes(&self) {
        self.writes.accepted();
    }

    /// Why writes are refused, as [`DbError::trouble`] names it, if one was since [`Self::accepts_writes`].
    #[must_use]
    pub fn refuses_writes(&self) -> Option<&'static str> {
        self.writes.refused()
    }

    /// Resolves when [`Self::refuses_writes`] has changed. For one listener.
    pub async fn news(&self) {
        self.writes.news().await;
    }

    /// The database's lead over this machine's clock, in milliseconds (zero on SQLite); none if it took too long to ask.
    ///
    /// # Errors
    /// When the engine is away.
    pub async fn clock_lead_millis(&self, clock: &Clock) -> Result<Option<i64>, DbError> {
        match &self.engine {
            Engine::Sqlite { .. } => Ok(Some(0)),
            Engine::Postgres(_) => {
                let mut conn = self.read().await?;
                let before = clock.here().millis();
                let (there,): (i64,) =
                    sql("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")
                        .one(&mut conn)
                        .await?;
                // It was read somewhere in between; after a slow answer nobody knows where.
                let round_trip = clock.here().millis() - before;
                let close = (0..=LONGEST_ROUND_TRIP_MS).contains(&round_trip);
                Ok(close.then_some(there - before - round_trip / 2))
            }
        }
    }

    /// Finishes queued units, then closes every connection.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { readers, writer } => {
                if let Some(writer) = writer {
                    writer.close().await;
                }
                match readers {
                    Readers::File(file) => file.close().await,
                    #[cfg(test)]
                    Readers::Simulated(_) => {}
                }
            }
            Engine::Postgres(kept) => kept.close().await,
        }
    }

    fn migration_target(&self) -> Result<migrate::Target<'_>, DbError> {
        Ok(match &self.engine {
            Engine::Sqlite { writer, .. } => {
                migrate::Target::Sqlite(writer.as_ref().ok_or(DbError::ReadOnly)?)
            }
            Engine::Postgres(kept) => migrate::Target::Postgres(kept.pool()),
        })
    }
}

fn sqlite_path(url: &str) -> Option<&Path> {
    url.strip_prefix("sqlite:").map(|path| Path::new(path.trim_start_matches("//")))
}

/// A transaction on a connection that lives: nothing has happened yet when BEGIN fails.
async fn begin_pg(kept: &Kept<Postgres>, begin: &'static str) -> Result<Conn, DbError> {
    match Conn::pg_tx(kept.take().await?, begin).await {
        Err(error) if error.is_unavailable() => {
            kept.doubt();
            Conn::pg_tx(kept.take().await?, begin).await
        }
        begun => begun,
    }
}

async fn run_pg<T, F>(kept: &Kept<Postgres>, mut unit: F) -> Result<T, DbError>
where
    F: for<'c> FnMut(&'c mut Conn) -> UnitFuture<'c, T> + Send,
{
    let mut tries = 0;
    loop {
        let started = Instant::now();
        let begin = if Guard::SyncedCommit.is_broken() {
            "BEGIN; SET LOCAL synchronous_commit = off"
        } else {
            "BEGIN"
        };
        let mut conn = begin_pg(kept, begin).await?;
        let result = match unit(&mut conn).await {
            Ok(value) if Guard::AckAfterCommit.is_broken() => {
                tokio::spawn(conn.commit());
                Ok(value)
            }
            Ok(value) => conn.commit().await.map(|()| value),
            Err(error) => {
                conn.rollback().await;
                Err(error)
            }
        };
        match result {
            Err(DbError::Conflict) if tries < CONFLICT_RETRIES => {
                tries += 1;
                metrics::get().db.retries.add(&[]);
                // A little apart, so that two that met do not meet again: 1 to 8 ms, growing.
                tokio::time::sleep(Duration::from_millis(u64::from(tries.min(8)))).await;
            }
            other => {
                if other.is_ok() {
                    metrics::get().db.committed(1, started.elapsed());
                }
                return other;
            }
        }
    }
}
