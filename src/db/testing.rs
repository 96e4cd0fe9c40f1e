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
    let folder = tempfile::tempdir().expect("makes a temporary folder").keep();
    let mut all = vec![open(&format!("sqlite:{}", folder.join("test.db").display())).await];
    if let Ok(server) = std::env::var("BATON_TEST_POSTGRES") {
        all.push(open(&fresh_postgres(&server).await).await);
    }
    all
}

async fn open(url: &str) -> Db {
    let db = Db::open(url).await.expect("opens the database");
    migrate(&db).await.expect("migrates");
    db
}

/// Makes a database with a random name on `server` and returns its address.
async fn fresh_postgres(server: &str) -> String {
    let name = format!("baton_test_{}", Ids.fresh::<NodeId>());
    let options = PgConnectOptions::from_str(server).expect("BATON_TEST_POSTGRES is an address");
    let mut conn = options.connect().await.expect("reaches the PostgreSQL server");
    let made = format!("CREATE DATABASE \"{name}\"");
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
