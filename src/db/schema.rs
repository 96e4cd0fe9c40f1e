//! What the engine's catalogue says of our tables: for whoever handles every table alike, such as a backup.
//!
//! Read from the catalogue, not written down here, so that a new table cannot be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::query::{FromRow, sql_made};
use super::{Conn, DbError, EngineKind, sql};

/// What a column holds, on either engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// TEXT
    Text,
    /// BIGINT
    Int,
    /// BOOLEAN
    Bool,
    /// DOUBLE PRECISION
    Real,
    /// BLOB / BYTEA
    Blob,
}

impl Kind {
    fn of(declared: &str) -> Option<Self> {
        Some(match declared.to_ascii_lowercase().as_str() {
            "text" => Self::Text,
            "bigint" | "integer" => Self::Int,
            "boolean" => Self::Bool,
            "double precision" | "real" => Self::Real,
            "blob" | "bytea" => Self::Blob,
            _ => return None,
        })
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A table with its columns, in the order of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The columns of its primary key.
    pub key: Vec<String>,
}

impl Table {
    /// The place of a column.
    #[must_use]
    pub fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }
}

/// A name in a statement.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// Every table but the migrations' own, each after those that it references.
///
/// # Errors
/// What the engine says; [`DbError::Broken`] if a column has a type that we do not use.
pub async fn tables(conn: &mut Conn) -> Result<Vec<Table>, DbError> {
    let columns: Vec<(String, String, String)> = match conn.kind() {
        EngineKind::Sqlite => {
            sql("SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.name <> '_sqlx_migrations'
             ORDER BY m.name, c.cid")
        }
        EngineKind::Postgres => {
            sql("SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_class c
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
                AND c.relname <> '_sqlx_migrations'
             ORDER BY c.relname, a.attnum")
        }
    }
    .all(conn)
    .await?;
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for (table, name, declared) in columns {
        let kind = Kind::of(&declared)
            .ok_or_else(|| DbError::Broken(format!("{table}.{name} has the type {declared}")))?;
        tables.entry(table).or_default().push(Column { name, kind });
    }
    let keys = keys(conn).await?;
    let order = order(tables.keys().cloned().collect(), &references(conn).await?);
    Ok(order
        .into_iter()
        .map(|name| {
            let columns = tables.remove(&name).unwrap_or_default();
            let key = keys.get(&name).cloned().unwrap_or_default();
            Table { name, columns, key }
        })
        .collect())
}

/// The columns of each table's primary key.
async fn keys(conn: &mut Conn) -> Result<BTreeMap<String, Vec<String>>, DbError> {
    let rows: Vec<(String, String)> = match conn.kind() {
        EngineKind::Sqlite => {
            sql("SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
             WHERE m.type = 'table' AND c.pk > 0 ORDER BY m.name, c.pk")
        }
        EngineKind::Postgres => {
            sql("SELECT c.relname::text, a.attname::text FROM pg_index i
             JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = current_schema()::regnamespace
             JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place) ON TRUE
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indisprimary ORDER BY c.relname, k.place")
        }
    }
    .all(conn)
    .await?;
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column) in rows {
        keys.entry(table).or_default().push(column);
    }
    Ok(keys)
}

/// Which table references which other.
async fn references(conn: &mut Conn) -> Result<Vec<(String, String)>, DbError> {
    match conn.kind() {
        EngineKind::Sqlite => sql(
            "SELECT m.name, f.\"table\" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
             WHERE m.type = 'table'",
        ),
        EngineKind::Postgres => sql("SELECT f.relname::text, t.relname::text FROM pg_constraint c
             JOIN pg_class f ON f.oid = c.conrelid JOIN pg_class t ON t.oid = c.confrelid
             WHERE c.contype = 'f' AND f.relnamespace = current_schema()::regnamespace"),
    }
    .all(conn)
    .await
}

/// By name, but each after what it references; the same on both engines.
fn order(mut names: BTreeSet<String>, references: &[(String, String)]) -> Vec<String> {
    let mut order = Vec::with_capacity(names.len());
    while !names.is_empty() {
        let waits = |name: &&String| {
            references.iter().any(|(from, to)| from == *name && to != from && names.contains(to))
        };
        // References in a circle cannot be ordered: then by name.
        let next = names.iter().find(|name| !waits(name)).or_else(|| names.first()).cloned();
        let Some(next) = next else { break };
        names.remove(&next);
        order.push(next);
    }
    order
}

/// How many rows a table has.
///
/// # Errors
/// What the engine says.
pub async fn count(conn: &mut Conn, table: &Table) -> Result<u64, DbError> {
    let (rows,): (i64,) =
        one(conn, format!("SELECT COUNT(*) FROM {}", Quoted(&table.name))).await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The first table that has rows, if any; some do not count.
///
/// # Errors
/// What the engine says.
pub async fn first_with_rows(
    conn: &mut Conn,
    counts: fn(&Table) -> bool,
) -> Result<Option<String>, DbError> {
    for table in tables(conn).await?.into_iter().filter(counts) {
        let text = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT 1) AS probe",
            Quoted(&table.name)
        );
        let (some,): (i64,) = one(conn, text).await?;
        if some > 0 {
            return Ok(Some(table.name));
        }
    }
    Ok(None)
}

/// Sets every counter that numbers rows by itself behind the largest number there is. SQLite does that while rows come in.
///
/// # Errors
/// What the engine says.
pub async fn reset_counters(conn: &mut Conn) -> Result<(), DbError> {
    if conn.kind() == EngineKind::Sqlite {
        return Ok(());
    }
    let identities: Vec<(String, String)> =
        sql("SELECT c.relname::text, a.attname::text FROM pg_class c
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attidentity <> ''
             WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace")
        .all(conn)
        .await?;
    for (table, column) in identities {
        let (table, column) = (Quoted(&table), Quoted(&column));
        let text = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', '{}'), COALESCE(MAX({column}), 1), MAX({column}) IS NOT NULL) FROM {table}",
            column.0.replace('\'', "''"),
        );
        let _next: (i64,) = one(conn, text).await?;
    }
    Ok(())
}

async fn one<T: FromRow>(conn: &mut Conn, text: String) -> Result<T, DbError> {
    sql_made(text).one(conn).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::databases;

    /// The tables that the files of migrations make and no later one drops.
    fn declared(engine: &str) -> BTreeSet<String> {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        let mut names = BTreeSet::new();
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("migrations")
            .map(|entry| entry.expect("a file").path())
            .collect();
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(file).expect("reads");
            for line in text.lines() {
                let words: Vec<&str> =
                    line.split([' ', '(', ';']).filter(|w| !w.is_empty()).collect();
                match words.as_slice() {
                    ["CREATE", "TABLE", "IF", "NOT", "EXISTS", name, ..]
                    | ["CREATE", "TABLE", name, ..] => {
                        names.insert((*name).to_owned());
                    }
                    ["DROP", "TABLE", name, ..] => {
                        names.remove(*name);
                    }
                    _ => {}
                }
            }
        }
        names
    }

    #[tokio::test]
    async fn every_table_is_found_and_both_engines_agree() {
        let mut seen = Vec::new();
        for db in databases().await {
            let mut conn = db.read().await.expect("a connection");
            let tables = tables(&mut conn).await.expect("tables");
            let names: BTreeSet<String> = tables.iter().map(|table| table.name.clone()).collect();
            for engine in ["sqlite", "postgres"] {
                assert_eq!(names, declared(engine), "{engine}");
            }
            assert!(tables.iter().all(|table| !table.key.is_empty()), "{tables:?}");
            for (from, to) in references(&mut conn).await.expect("references") {
                let place = |name: &str| tables.iter().position(|table| table.name == name);
                assert!(from == to || place(&to) < place(&from), "{from} stands before {to}");
            }
            seen.push(tables);
        }
        let first = &seen[0];
        assert!(seen.iter().all(|tables| tables == first), "{seen:#?}");
    }

    #[test]
    fn circles_do_not_hang() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let references = [("a", "b"), ("b", "a"), ("c", "c")];
        let references = references.map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(order(BTreeSet::from(names), &references).len(), 3);
    }
}
