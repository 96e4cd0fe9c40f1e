//! Fresh databases for store tests: SQLite always, PostgreSQL where `BATON_TEST_POSTGRES` names a server.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::{Db, migrate};
use crate::ids::{Ids, NodeId};

/// One migrated, empty database of each engine there is. They are left behind; temporary folders and throw-away servers
/// are cleaned up by whoever made them.
///
/// # Panics
/// When a database cannot be made: the test cannot run.
pub async fn databases() -> Vec<Db> {
    let mut all = vec![open(&fresh_sqlite()).await];
    if let Ok(server) = std::env::var("BATON_TEST_POSTGRES") {
        all.push(open(&fresh_postgres(&server, None).await).await);
    }
    all
}

/// Addresses of databases as [`databases`] makes them, closed.
///
/// # Panics
/// When a database cannot be made: the test cannot run.
pub async fn fresh() -> Vec<String> {
    let mut all = vec![fresh_sqlite()];
    if let Ok(server) = std::env::var("BATON_TEST_POSTGRES") {
        all.push(fresh_postgres(&server, None).await);
    }
    for url in &all {
        open(url).await.close().await;
    }
    all
}

/// An empty database of SQLite's that nobody has opened yet.
///
/// # Panics
/// When there is no place for it: the test cannot run.
pub fn fresh_sqlite() -> String {
    let folder = tempfile::tempdir().expect("makes a temporary folder").keep();
    format!("sqlite:{}", folder.join("test.db").display())
}

/// A copy of a closed database.
///
/// # Panics
/// When it cannot be copied: the test cannot run.
pub async fn copy_of(url: &str) -> String {
    let Some(path) = url.strip_prefix("sqlite:") else {
        return fresh_postgres(url, Some(url)).await;
    };
    let copy = fresh_sqlite();
    // What was written last may stand in the log beside the file.
    for end in ["", "-wal"] {
        let from = format!("{path}{end}");
        if std::path::Path::new(&from).exists() {
            let to = format!("{}{end}", copy.trim_start_matches("sqlite:"));
            std::fs::copy(from, to).expect("copies");
        }
    }
    copy
}

async fn open(url: &str) -> Db {
    let db = Db::open(url).await.expect("opens the database");
    migrate(&db).await.expect("migrates");
    db
}

/// Makes a database with a random name on `server` and returns its address.
async fn fresh_postgres(server: &str, template: Option<&str>) -> String {
    let name = format!("baton_test_{}", Ids.fresh::<NodeId>());
    let address = |url: &str| PgConnectOptions::from_str(url).expect("an address of PostgreSQL");
    let mut made = format!("CREATE DATABASE \"{name}\"");
    if let Some(template) = template {
        let template = address(template);
        made = format!("{made} TEMPLATE \"{}\"", template.get_database().expect("a name"));
    }
    let options = address(server);
    let mut conn = options
        .clone()
        .database("postgres")
        .connect()
        .await
        .expect("reaches the PostgreSQL server");
    conn.execute(AssertSqlSafe(made.as_str())).await.expect("makes a database");
    options.database(&name).to_url_lossy().to_string()
}

/// Puts an empty workspace into a database.
///
/// # Panics
/// When it cannot be stored: the test cannot run.
pub async fn workspace(db: &Db, workspace: crate::ids::WorkspaceId) {
    db.write(move |conn| {
        Box::pin(async move {
            super::sql("INSERT INTO workspace (id, name, created_at) VALUES ($1, 'Test', 0)")
                .bind(workspace)
                .execute(conn)
                .await
        })
    })
    .await
    .expect("stores a workspace");
}
