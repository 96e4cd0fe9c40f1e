//! A row of SQLite as sqlx reads rows: whatever derives `sqlx::FromRow` reads ours too.
//!
//! sqlx's traits tie a row to a whole driver. Here there are rows and nothing else ([`super::nothing`]).

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use rusqlite::types::ValueRef as Engine;
use sqlx::error::BoxDynError;
use sqlx::{ColumnIndex, Database, Decode, Error, Row, Type};

use super::nothing::{NoArguments, Nothing};

/// One row; its memory holds the next one after it.
#[derive(Default)]
pub struct LiteRow {
    /// The columns' names, one after the other, and where each ends.
    names: String,
    ends: Vec<usize>,
    cells: Vec<Cell>,
    /// What texts and blobs are made of.
    bytes: Vec<u8>,
    /// Only for whoever asks what columns there are.
    columns: OnceLock<Vec<LiteColumn>>,
}

enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

/// A value in a row.
#[derive(Clone, Copy)]
pub enum LiteValue<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r [u8]),
    Blob(&'r [u8]),
}

impl LiteRow {
    /// Takes the columns of a statement that has begun to run.
    pub(super) fn begin(&mut self, statement: &rusqlite::Statement<'_>) -> rusqlite::Result<()> {
        self.names.clear();
        self.ends.clear();
        self.columns = OnceLock::new();
        for place in 0..statement.column_count() {
            self.names.push_str(statement.column_name(place)?);
            self.ends.push(self.names.len());
        }
        Ok(())
    }

    /// Takes the values of a row.
    pub(super) fn read(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        self.cells.clear();
        self.bytes.clear();
        for place in 0..self.ends.len() {
            let cell = match row.get_ref(place)? {
                Engine::Null => Cell::Null,
                Engine::Integer(number) => Cell::Integer(number),
                Engine::Real(number) => Cell::Real(number),
                Engine::Text(text) => Cell::Text(self.keep(text)),
                Engine::Blob(blob) => Cell::Blob(self.keep(blob)),
            };
            self.cells.push(cell);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn value(&self, place: usize) -> Option<LiteValue<'_>> {
        let bytes = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        Some(match self.cells.get(place)? {
            Cell::Null => LiteValue::Null,
            Cell::Integer(number) => LiteValue::Integer(*number),
            Cell::Real(number) => LiteValue::Real(*number),
            Cell::Text(range) => LiteValue::Text(bytes(range)),
            Cell::Blob(range) => LiteValue::Blob(bytes(range)),
        })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.names.get(start..*end).unwrap_or_default())
    }
}

impl Row for LiteRow {
    type Database = LiteRows;

    fn len(&self) -> usize {
        self.cells.len()
    }

    fn columns(&self) -> &[LiteColumn] {
        self.columns.get_or_init(|| {
            let of = |(ordinal, name): (usize, &str)| LiteColumn {
                ordinal,
                name: name.to_owned(),
                holds: self.value(ordinal).map_or(LiteType::Null, |value| value.holds()),
            };
            self.names().enumerate().map(of).collect()
        })
    }

    fn try_get_raw<I: ColumnIndex<Self>>(&self, index: I) -> Result<LiteValue<'_>, Error> {
        let index = index.index(self)?;
        self.value(index).ok_or(Error::ColumnIndexOutOfBounds { index, len: self.cells.len() })
    }
}

impl ColumnIndex<LiteRow> for usize {
    fn index(&self, row: &LiteRow) -> Result<usize, Error> {
        let (index, len) = (*self, row.cells.len());
        if index < len { Ok(index) } else { Err(Error::ColumnIndexOutOfBounds { index, len }) }
    }
}

impl ColumnIndex<LiteRow> for str {
    fn index(&self, row: &LiteRow) -> Result<usize, Error> {
        row.names()
            .position(|name| name == self)
            .ok_or_else(|| Error::ColumnNotFound(self.to_owned()))
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteType {
    Null,
    Integer,
    Real,
    Text,
    Blob,
}

impl fmt::Display for LiteType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(sqlx::TypeInfo::name(self))
    }
}

impl sqlx::TypeInfo for LiteType {
    fn is_null(&self) -> bool {
        *self == Self::Null
    }

    fn name(&self) -> &str {
        match self {
            Self::Null => "NULL",
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Text => "TEXT",
            Self::Blob => "BLOB",
        }
    }
}

impl LiteValue<'_> {
    fn holds(&self) -> LiteType {
        match self {
            Self::Null => LiteType::Null,
            Self::Integer(_) => LiteType::Integer,
            Self::Real(_) => LiteType::Real,
            Self::Text(_) => LiteType::Text,
            Self::Blob(_) => LiteType::Blob,
        }
    }
}

impl<'r> sqlx::ValueRef<'r> for LiteValue<'r> {
    type Database = LiteRows;

    fn to_owned(&self) -> Owned {
        match *self {
            Self::Null => Owned::Null,
            Self::Integer(number) => Owned::Integer(number),
            Self::Real(number) => Owned::Real(number),
            Self::Text(text) => Owned::Text(text.to_vec()),
            Self::Blob(blob) => Owned::Blob(blob.to_vec()),
        }
    }

    fn type_info(&self) -> Cow<'_, LiteType> {
        Cow::Owned(self.holds())
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// A value without its row.
pub enum Owned {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl sqlx::Value for Owned {
    type Database = LiteRows;

    fn as_ref(&self) -> LiteValue<'_> {
        match self {
            Self::Null => LiteValue::Null,
            Self::Integer(number) => LiteValue::Integer(*number),
            Self::Real(number) => LiteValue::Real(*number),
            Self::Text(text) => LiteValue::Text(text),
            Self::Blob(blob) => LiteValue::Blob(blob),
        }
    }

    fn type_info(&self) -> Cow<'_, LiteType> {
        Cow::Owned(self.as_ref().holds())
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

macro_rules! reads {
    ($($type:ty as $holds:ident: $($pattern:pat => $value:expr),+;)*) => {$(
        impl Type<LiteRows> for $type {
            fn type_info() -> LiteType {
                LiteType::$holds
            }
        }

        impl<'r> Decode<'r, LiteRows> for $type {
            fn decode(value: LiteValue<'r>) -> Result<Self, BoxDynError> {
                match value {
                    $($pattern => Ok($value),)+
                    other => Err(format!("{} where {} belongs", other.holds(), stringify!($holds)).into()),
                }
            }
        }
    )*};
}

reads! {
    i64 as Integer: LiteValue::Integer(number) => number;
    i32 as Integer: LiteValue::Integer(number) => number.try_into()?;
    bool as Integer: LiteValue::Integer(number) => number != 0;
    f64 as Real: LiteValue::Real(number) => number;
    String as Text: LiteValue::Text(text) => std::str::from_utf8(text)?.to_owned();
    Vec<u8> as Blob: LiteValue::Blob(blob) => blob.to_vec();
}

/// A column.
#[derive(Debug)]
pub struct LiteColumn {
    ordinal: usize,
    name: String,
    holds: LiteType,
}

impl sqlx::Column for LiteColumn {
    type Database = LiteRows;

    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn type_info(&self) -> &LiteType {
        &self.holds
    }
}

/// Rows of SQLite, as a database of sqlx's.
#[derive(Debug)]
pub struct LiteRows;

impl Database for LiteRows {
    type Connection = Nothing;
    type TransactionManager = Nothing;
    type Row = LiteRow;
    type QueryResult = ();
    type Column = LiteColumn;
    type TypeInfo = LiteType;
    type Value = Owned;
    type ValueRef<'r> = LiteValue<'r>;
    type Arguments = NoArguments;
    type ArgumentBuffer = ();
    type Statement = Nothing;
    const NAME: &'static str = "SQLite";
    const URL_SCHEMES: &'static [&'static str] = &[];
}
