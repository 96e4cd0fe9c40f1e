//! What is stored, table by table, seen on a connection of its own: so that a test can say that nothing has changed.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::support::eventually;

/// Which rows.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All.
    Everything,
    /// A workspace's.
    Workspace(&'a str),
    /// A conversation's.
    Conversation(&'a str),
}

enum Connected {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Looks at a database from beside the server.
pub struct Witness {
    connected: Connected,
    tables: BTreeMap<String, Vec<String>>,
}

/// One digest a table.
pub type Digest = BTreeMap<String, String>;

impl Witness {
    /// Of the database at this address.
    pub async fn of(url: &str) -> Self {
        let (mut connected, columns) = if url.starts_with("sqlite:") {
            let conn = SqliteConnection::connect(url).await.expect("opens the file");
            let columns = "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid";
            (Connected::Sqlite(conn), columns)
        } else {
            let conn = PgConnection::connect(url).await.expect("reaches the server");
            let columns = "SELECT table_name::text, column_name::text FROM information_schema.columns \
                WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
            (Connected::Postgres(conn), columns)
        };
        let rows = pairs(&mut connected, columns).await;
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (table, column) in rows {
            // A node goes on telling that it lives, and who is with it, whatever is asked.
            if !["_sqlx_migrations", "node", "agent_presence"].contains(&table.as_str()) {
                tables.entry(table).or_default().push(column);
            }
        }
        assert!(tables.len() > 15, "only {} tables", tables.len());
        Self { connected, tables }
    }

    /// The digest of every table that the scope touches.
    pub async fn digest(&mut self, scope: Scope<'_>) -> Digest {
        let sqlite = matches!(self.connected, Connected::Sqlite(_));
        let mut parts = Vec::new();
        for (table, columns) in &self.tables {
            let Some(condition) = condition(table, columns, scope) else { continue };
            let part = if sqlite {
                let row: Vec<String> = columns.iter().map(|c| format!("quote(\"{c}\")")).collect();
                let row = row.join("||'|'||");
                format!(
                    "SELECT '{table}', coalesce(group_concat(r, '\n'), '') FROM \
                    (SELECT {row} AS r FROM \"{table}\" WHERE {condition} ORDER BY 1)"
                )
            } else {
                format!(
                    "SELECT '{table}', coalesce(md5(string_agg(r, '' ORDER BY r)), '') FROM \
                    (SELECT t::text AS r FROM \"{table}\" t WHERE {condition}) x"
                )
            };
            parts.push(part);
        }
        let text = parts.join(" UNION ALL ");
        pairs(&mut self.connected, &text).await.into_iter().collect()
    }

    /// Waits until no job and no turn is left to run.
    pub async fn quiet(&mut self) {
        let text = "SELECT 'job', CAST(count(*) AS TEXT) FROM job WHERE status IN ('due', 'running') \
            UNION ALL SELECT 'turn', CAST(count(*) AS TEXT) FROM turn WHERE status IN ('due', 'running')";
        let cell = tokio::sync::Mutex::new(&mut self.connected);
        eventually("the end of all work", || async {
            let left = pairs(*cell.lock().await, text).await;
            if left.iter().all(|(_, count)| count == "0") {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
        .await;
    }
}

/// The tables in which two digests differ.
pub fn changed(before: &Digest, after: &Digest) -> Vec<String> {
    let tables = before.keys().chain(after.keys());
    let differ = tables.filter(|table| before.get(*table) != after.get(*table));
    differ.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Ids hold letters, digits and an underscore, so that they can stand in the text of a query.
fn condition(table: &str, columns: &[String], scope: Scope<'_>) -> Option<String> {
    let (column, id) = match scope {
        Scope::Everything => return Some("true".to_owned()),
        Scope::Workspace(id) => ("workspace", id),
        Scope::Conversation(id) => ("conversation", id),
    };
    assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{id}");
    if table == column {
        return Some(format!("id = '{id}'"));
    }
    columns.iter().any(|c| c == column).then(|| format!("{column} = '{id}'"))
}

async fn pairs(connected: &mut Connected, text: &str) -> Vec<(String, String)> {
    let rows = match connected {
        Connected::Sqlite(conn) => sqlx::query_as(AssertSqlSafe(text)).fetch_all(conn).await,
        Connected::Postgres(conn) => sqlx::query_as(AssertSqlSafe(text)).fetch_all(conn).await,
    };
    rows.unwrap_or_else(|error| panic!("{error} in {text}"))
}
