//! SQLite on the thread that asks: a statement is a call, and a row is read where it is found.
//!
//! sqlx gives every SQLite connection a thread of its own and hands it each statement and takes from it each row; two
//! switches of thread cost more than most statements of ours. Here a connection belongs to whoever uses it. sqlx stays
//! what reads a row into a type ([`row`]), what an error looks like ([`error`]), what runs the migrations, and all of
//! PostgreSQL.
//!
//! Invariants: whoever waits for the disk has a thread of its own (the writer); a reader finds pages in memory and takes
//! microseconds, and one that reads a whole table says so ([`Lent::apart`]). Text and numbering of parameters are as with
//! sqlx: `$1` is the first value, wherever it stands.

mod error;
mod nothing;
mod readers;
pub(super) mod row;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement};

use super::query::Arg;
use crate::guard::Guard;
pub(super) use readers::{Lent, Readers};
use row::LiteRow;

/// How long a statement waits for the file before it is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statements kept prepared: more than there are.
const PREPARED: usize = 256;
/// A statement that takes longer is told of.
const SLOW: Duration = Duration::from_secs(1);

/// How a file is opened.
#[derive(Debug, Clone)]
pub(super) struct Options {
    path: PathBuf,
    read_only: bool,
    durable: bool,
}

impl Options {
    /// For the writer: made if there is none, synced at every commit.
    pub fn writer(path: &Path) -> Self {
        Self { path: path.to_owned(), read_only: false, durable: true }
    }

    /// For readers of a file that is there.
    pub fn reader(path: &Path) -> Self {
        Self { read_only: true, ..Self::writer(path) }
    }

    /// Where processes die, but machines do not.
    #[cfg(test)]
    pub fn simulated(path: &Path) -> Self {
        Self { durable: false, ..Self::writer(path) }
    }
}

/// One connection.
pub(super) struct Lite {
    connection: Connection,
    /// The row that was read last; its memory is used again.
    row: LiteRow,
}

/// What a caller makes of a row, and whether it wants another.
type Next = Result<ControlFlow<()>, sqlx::Error>;

impl Lite {
    /// Opens the file.
    pub fn open(options: &Options) -> Result<Self, sqlx::Error> {
        let mode = if options.read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        };
        // A connection is used by one thread at a time.
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&options.path, flags).map_err(error::of_engine)?;
        let prepare = || {
            connection.busy_timeout(PATIENCE)?;
            connection.set_prepared_statement_cache_capacity(PREPARED);
            if !options.read_only {
                connection.execute_batch("PRAGMA journal_mode = WAL")?;
            }
            connection.execute_batch(
                "PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536; PRAGMA temp_store = memory;
                 PRAGMA journal_size_limit = 67108864",
            )?;
            let synced = options.durable && !Guard::SyncedCommit.is_broken();
            let synchronous = if synced { "FULL" } else { "OFF" };
            connection.pragma_update(None, "synchronous", synchronous)
        };
        prepare().map_err(error::of_engine)?;
        Ok(Self { connection, row: LiteRow::default() })
    }

    /// Runs a statement and returns how many rows it changed.
    pub fn execute(&mut self, text: &str, args: &[Arg]) -> Result<u64, sqlx::Error> {
        self.each(text, args, |_| Ok(ControlFlow::Continue(())))?;
        Ok(self.connection.changes())
    }

    /// Every row.
    pub fn all<T>(&mut self, text: &str, args: &[Arg]) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> sqlx::FromRow<'r, LiteRow>,
    {
        let mut all = Vec::new();
        self.each(text, args, |row| {
            all.push(T::from_row(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// The first row, if any.
    pub fn optional<T>(&mut self, text: &str, args: &[Arg]) -> Result<Option<T>, sqlx::Error>
    where
        T: for<'r> sqlx::FromRow<'r, LiteRow>,
    {
        let mut first = None;
        self.each(text, args, |row| {
            first = Some(T::from_row(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// The one row that must be there.
    pub fn one<T>(&mut self, text: &str, args: &[Arg]) -> Result<T, sqlx::Error>
    where
        T: for<'r> sqlx::FromRow<'r, LiteRow>,
    {
        self.optional(text, args)?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs a statement and shows each row as it is found.
    pub fn each(
        &mut self,
        text: &str,
        args: &[Arg],
        mut show: impl FnMut(&LiteRow) -> Next,
    ) -> Result<(), sqlx::Error> {
        let began = Instant::now();
        let Self { connection, row } = self;
        let mut statement = connection.prepare_cached(text).map_err(error::of_engine)?;
        bind(&mut statement, args)?;
        let mut rows = statement.raw_query();
        let mut is_first = true;
        while let Some(found) = rows.next().map_err(error::of_engine)? {
            // Not before: what the schema has outrun is prepared again only when it runs.
            if std::mem::take(&mut is_first) {
                row.begin(found.as_ref()).map_err(error::of_engine)?;
            }
            row.read(found).map_err(error::of_engine)?;
            if show(row)?.is_break() {
                break;
            }
        }
        let took = began.elapsed();
        if took > SLOW {
            tracing::warn!(
                statement = text,
                duration_ms = took.as_millis(),
                "a statement was slow"
            );
        }
        Ok(())
    }
}

/// Binds by number: SQLite itself numbers `$3` by where it stands.
fn bind(statement: &mut Statement<'_>, args: &[Arg]) -> Result<(), sqlx::Error> {
    for place in 1..=statement.parameter_count() {
        let number = statement
            .parameter_name(place)
            .and_then(|name| name.get(1..)?.parse::<usize>().ok())
            .unwrap_or(place);
        let value = number.checked_sub(1).and_then(|index| args.get(index)).ok_or_else(|| {
            sqlx::Error::InvalidArgument(format!("a statement wants a value ${number}"))
        })?;
        statement.raw_bind_parameter(place, value).map_err(error::of_engine)?;
    }
    Ok(())
}

impl ToSql for Arg {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Int(Some(number)) => ValueRef::Integer(*number),
            Self::Bool(Some(yes)) => ValueRef::Integer(i64::from(*yes)),
            Self::Real(Some(number)) => ValueRef::Real(*number),
            Self::Blob(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Text(None)
            | Self::Int(None)
            | Self::Bool(None)
            | Self::Real(None)
            | Self::Blob(None) => ValueRef::Null,
        }))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
