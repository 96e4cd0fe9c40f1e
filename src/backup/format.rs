//! What is in the file: gzip of JSON lines, then a seal.
//!
//! The first line is the [`Header`]. Then come the rows, a JSON array each, table by table as the header lists them, in the
//! number it says; bytes are base64. The last line is `{"end":true}`. The seal is a second gzip member of fixed size with the
//! SHA-256 of everything before it, so `zcat` shows the whole file and no bit of it can change unnoticed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::db::bulk::Row;
use crate::db::schema::{Column, Kind, Table};
use crate::db::{Arg, EngineKind};

/// The number of the format that this binary writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;
/// What the first line calls itself.
pub(super) const NAME: &str = "baton-backup";
/// The last line.
pub(super) const END: &[u8] = b"{\"end\":true}\n";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always the same.
    pub format: String,
    /// The number of the format.
    pub version: u32,
    /// The Baton that made it.
    pub baton: String,
    /// The engine it was taken from.
    pub engine: String,
    /// The number of the newest migration of that database.
    pub schema: i64,
    /// The moment it shows.
    pub made_at: Timestamp,
    /// What follows.
    pub tables: Vec<Contents>,
}

/// One table in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The table.
    #[serde(flatten)]
    pub table: Table,
    /// How many rows follow.
    pub rows: u64,
}

impl Header {
    pub(super) fn new(
        engine: EngineKind,
        schema: i64,
        made_at: Timestamp,
        tables: Vec<Contents>,
    ) -> Self {
        let engine = match engine {
            EngineKind::Sqlite => "sqlite",
            EngineKind::Postgres => "postgres",
        };
        Self {
            format: NAME.to_owned(),
            version: VERSION,
            baton: env!("CARGO_PKG_VERSION").to_owned(),
            engine: engine.to_owned(),
            schema,
            made_at,
            tables,
        }
    }

    /// How many rows there are of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|contents| contents.rows).sum()
    }

    /// How many rows there are of one table.
    #[must_use]
    pub fn rows_of(&self, table: &str) -> u64 {
        self.tables.iter().find(|c| c.table.name == table).map_or(0, |contents| contents.rows)
    }
}

/// Appends one line.
pub(super) fn put_line(out: &mut Vec<u8>, line: &impl Serialize) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *out, line)?;
    out.push(b'\n');
    Ok(())
}

/// Appends a row as one line.
pub(super) fn put_row(out: &mut Vec<u8>, row: &[Arg]) -> Result<(), serde_json::Error> {
    let value = |arg: &Arg| match arg {
        Arg::Text(value) => value.as_deref().map_or(Value::Null, Value::from),
        Arg::Int(value) => Value::from(*value),
        Arg::Bool(value) => Value::from(*value),
        Arg::Real(value) => Value::from(*value),
        Arg::Blob(value) => value.as_ref().map_or(Value::Null, |v| STANDARD.encode(v).into()),
    };
    put_line(out, &row.iter().map(value).collect::<Vec<_>>())
}

/// Reads the line of a row.
pub(super) fn row(columns: &[Column], line: &[u8]) -> Result<Row, String> {
    let values: Vec<Value> = serde_json::from_slice(line).map_err(|_| "a row does not read")?;
    if values.len() != columns.len() {
        return Err(format!("a row has {} values instead of {}", values.len(), columns.len()));
    }
    let read = |(column, value): (&Column, Value)| {
        let wrong = || format!("a value of `{}` is of another kind", column.name);
        Ok(match (column.kind, value) {
            (Kind::Text, Value::Null) => Arg::Text(None),
            (Kind::Int, Value::Null) => Arg::Int(None),
            (Kind::Bool, Value::Null) => Arg::Bool(None),
            (Kind::Real, Value::Null) => Arg::Real(None),
            (Kind::Blob, Value::Null) => Arg::Blob(None),
            (Kind::Text, Value::String(text)) => Arg::Text(Some(text)),
            (Kind::Int, Value::Number(n)) => Arg::Int(Some(n.as_i64().ok_or_else(wrong)?)),
            (Kind::Bool, Value::Bool(value)) => Arg::Bool(Some(value)),
            (Kind::Real, Value::Number(n)) => Arg::Real(Some(n.as_f64().ok_or_else(wrong)?)),
            (Kind::Blob, Value::String(text)) => {
                Arg::Blob(Some(STANDARD.decode(text).map_err(|_| wrong())?))
            }
            _ => return Err(wrong()),
        })
    };
    columns.iter().zip(values).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went() {
        let kinds = [Kind::Text, Kind::Int, Kind::Bool, Kind::Real, Kind::Blob];
        let columns: Vec<Column> =
            kinds.map(|kind| Column { name: format!("{kind:?}"), kind }).to_vec();
        let full = vec![
            Arg::from("é \"\\ \n 😀"),
            Arg::from(i64::MIN),
            Arg::from(true),
            Arg::from(0.1_f64 + 0.2),
            Arg::from(vec![0_u8, 255, 10]),
        ];
        let none: Row = vec![
            Arg::Text(None),
            Arg::Int(None),
            Arg::Bool(None),
            Arg::Real(None),
            Arg::Blob(None),
        ];
        for before in [full, none] {
            let mut line = Vec::new();
            put_row(&mut line, &before).expect("writes");
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let after = row(&columns, &line).expect("reads");
            assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
        assert!(row(&columns, b"[1]").is_err());
        assert!(row(&columns[..1], b"[1]").is_err());
        assert!(row(&columns[1..2], b"[1.5]").is_err());
    }
}
