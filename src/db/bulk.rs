//! Whole tables out and in, for whoever moves a database as it is: a backup. Nobody else steps around the stores.

use std::ops::ControlFlow;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, Stream};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _, SqlSafeStr};
use tokio::sync::mpsc;

use super::lite::row::LiteRow;
use super::lite::{Lent, Lite};
use super::query::{Arg, Inner, sql_made};
use super::schema::{Column, Kind, Quoted, Table};
use super::{Conn, DbError, EngineKind};

/// One row, a value for each column of its table.
pub type Row = Vec<Arg>;

/// How many rows one statement puts in at most; engines take some ten thousand bound values, a row has some twenty.
pub const ROWS_AT_ONCE: usize = 100;

/// Rows that are read ahead of whoever takes them.
const AHEAD: usize = 64;

macro_rules! decode {
    ($row:ty, $name:ident) => {
        fn $name(columns: &[Column], row: &$row) -> Result<Row, sqlx::Error> {
            let value = |(place, column): (usize, &Column)| {
                Ok(match column.kind {
                    Kind::Text => Arg::Text(row.try_get(place)?),
                    Kind::Int => Arg::Int(row.try_get(place)?),
                    Kind::Bool => Arg::Bool(row.try_get(place)?),
                    Kind::Real => Arg::Real(row.try_get(place)?),
                    Kind::Blob => Arg::Blob(row.try_get(place)?),
                })
            };
            columns.iter().enumerate().map(value).collect()
        }
    };
}
decode!(LiteRow, from_sqlite);
decode!(PgRow, from_postgres);

/// Every row of a table in the order of its key, one after the other, so that memory does not grow with the table.
pub fn rows<'c>(conn: &'c mut Conn, table: &'c Table) -> BoxStream<'c, Result<Row, DbError>> {
    let columns = &table.columns;
    let mut text = format!("SELECT {} FROM {}", names(columns), Quoted(&table.name));
    if !table.key.is_empty() {
        let key: Vec<String> = table.key.iter().map(|name| Quoted(name).to_string()).collect();
        text = format!("{text} ORDER BY {}", key.join(", "));
    }
    match &mut conn.inner {
        Inner::Reader(lent) => file(lent, columns.clone(), text).boxed(),
        Inner::Writer(lite) => all(lite, columns, &text),
        Inner::Pg(lent) | Inner::PgTx(lent) => match lent.begin() {
            Ok(c) => sqlx::query::<Postgres>(sqlx::AssertSqlSafe(text).into_sql_str())
                .fetch(c)
                .map(|row| Ok(from_postgres(columns, &row?)?))
                .boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        },
        #[cfg(test)]
        Inner::Simulated(link) => all(link.lite(), columns, &text),
    }
}

/// Rows of a connection that goes to a thread of its own until they are read. Whoever stops half-way loses it.
fn file(
    lent: &mut Lent,
    columns: Vec<Column>,
    text: String,
) -> impl Stream<Item = Result<Row, DbError>> + Send {
    let (send, rows) = mpsc::channel(AHEAD);
    let read = lent.take().map(|mut lite| {
        tokio::task::spawn_blocking(move || {
            let read = lite.each(&text, &[], |row| {
                let kept = send.blocking_send(from_sqlite(&columns, row)?);
                Ok(if kept.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            });
            (lite, read)
        })
    });
    stream::unfold((lent, rows, Some(read)), async |(lent, mut rows, mut read)| {
        if let Some(row) = rows.recv().await {
            return Some((Ok(row), (lent, rows, read)));
        }
        let ended = match read.take()? {
            Ok(reading) => match reading.await {
                Ok((lite, ended)) => {
                    lent.put_back(lite);
                    ended
                }
                Err(_) => Err(sqlx::Error::WorkerCrashed),
            },
            Err(error) => Err(error),
        };
        ended.err().map(|error| (Err(error.into()), (lent, rows, None)))
    })
}

/// Rows where nobody waits for the thread.
fn all<'c>(lite: &mut Lite, columns: &[Column], text: &str) -> BoxStream<'c, Result<Row, DbError>> {
    let mut rows = Vec::new();
    let read = lite.each(text, &[], |row| {
        rows.push(Ok(from_sqlite(columns, row)?));
        Ok(ControlFlow::Continue(()))
    });
    rows.extend(read.err().map(|error| Err(error.into())));
    stream::iter(rows).boxed()
}

/// Puts rows into a table, at most [`ROWS_AT_ONCE`], with the numbers they have.
///
/// # Errors
/// What the engine says.
pub async fn insert(conn: &mut Conn, table: &Table, rows: Vec<Row>) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let overriding = match conn.kind() {
        EngineKind::Sqlite => "",
        EngineKind::Postgres => " OVERRIDING SYSTEM VALUE",
    };
    let width = table.columns.len();
    let values: Vec<String> = (0..rows.len())
        .map(|row| {
            let places: Vec<String> =
                (1..=width).map(|n| format!("${}", row * width + n)).collect();
            format!("({})", places.join(", "))
        })
        .collect();
    let mut query = sql_made(format!(
        "INSERT INTO {} ({}){overriding} VALUES {}",
        Quoted(&table.name),
        names(&table.columns),
        values.join(", ")
    ));
    for value in rows.into_iter().flatten() {
        query = query.bind(value);
    }
    query.execute(conn).await?;
    Ok(())
}

fn names(columns: &[Column]) -> String {
    let names: Vec<String> =
        columns.iter().map(|column| Quoted(&column.name).to_string()).collect();
    names.join(", ")
}
