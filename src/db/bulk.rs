//! Whole tables out and in, for whoever moves a database as it is: a backup. Nobody else steps around the stores.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Postgres, Row as _, SqlSafeStr, Sqlite};

use super::query::{Arg, Inner, sql_made};
use super::schema::{Column, Kind, Quoted, Table};
use super::{Conn, DbError, EngineKind};

/// One row, a value for each column of its table.
pub type Row = Vec<Arg>;

/// How many rows one statement puts in at most; engines take some ten thousand bound values, a row has some twenty.
pub const ROWS_AT_ONCE: usize = 100;

macro_rules! decode {
    ($row:ty, $name:ident) => {
        fn $name(columns: &[Column], row: &$row) -> Result<Row, DbError> {
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
decode!(SqliteRow, from_sqlite);
decode!(PgRow, from_postgres);

/// Every row of a table in the order of its key, one after the other, so that memory does not grow with the table.
pub fn rows<'c>(conn: &'c mut Conn, table: &'c Table) -> BoxStream<'c, Result<Row, DbError>> {
    let columns = &table.columns;
    let mut text = format!("SELECT {} FROM {}", names(columns), Quoted(&table.name));
    if !table.key.is_empty() {
        let key: Vec<String> = table.key.iter().map(|name| Quoted(name).to_string()).collect();
        text = format!("{text} ORDER BY {}", key.join(", "));
    }
    let text = sqlx::AssertSqlSafe(text).into_sql_str();
    macro_rules! stream {
        ($engine:ty, $conn:expr, $decode:ident) => {
            sqlx::query::<$engine>(text)
                .fetch($conn)
                .map(|row| row.map_err(DbError::from).and_then(|row| $decode(columns, &row)))
                .boxed()
        };
    }
    match &mut conn.inner {
        Inner::SqliteWriter(c) => stream!(Sqlite, &mut **c, from_sqlite),
        Inner::SqliteReader(lent) | Inner::SqliteTx(lent) => match lent.begin() {
            Ok(c) => stream!(Sqlite, c, from_sqlite),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        },
        Inner::Pg(lent) | Inner::PgTx(lent) => match lent.begin() {
            Ok(c) => stream!(Postgres, c, from_postgres),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        },
        #[cfg(test)]
        Inner::Simulated(link) => stream!(Sqlite, link.conn(), from_sqlite),
    }
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
