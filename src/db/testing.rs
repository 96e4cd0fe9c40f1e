//! Fresh databases for tests: SQLite always, PostgreSQL when `BATON_TEST_POSTGRES` names a server.

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Db, migrate};
use crate::ids::Ids;

/// One migrated, empty database of each engine that is at hand.
pub async fn databases() -> Vec<Db> {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let mut all = vec![open(&format!("sqlite:{}", folder.join("test.db").display())).await];
    if let Ok(server) = std::env::var("BATON_TEST_POSTGRES") {
        all.push(open(&create(&server).await).await);
    }
    all
}

async fn open(url: &str) -> Db {
    let db = Db::open(url).await.expect("opens");
    migrate(&db).await.expect("migrates");
    db
}

/// Creates a database of its own on the server and returns its URL.
async fn create(server: &str) -> String {
    let id: Uuid = Ids.fresh();
    let name = format!("baton_test_{}", id.as_simple());
    let mut conn = PgConnection::connect(server).await.expect("the test server answers");
    let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(statement).execute(&mut conn).await.expect("creates a database");
    let (base, query) = server.split_once('?').map_or((server, None), |(b, q)| (b, Some(q)));
    let root = base.rsplit_once('/').map_or(base, |(root, _)| root);
    query.map_or_else(|| format!("{root}/{name}"), |q| format!("{root}/{name}?{q}"))
}
