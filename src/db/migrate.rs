//! Brings the schema up to date. The two folders hold equal numbers; a test asserts it.

use std::path::Path;
use std::time::Duration;

use sqlx::Executor;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::writer::Writer;
use super::{Conn, Db, DbError, EngineKind, sql};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

pub(super) enum Target<'a> {
    Sqlite(&'a Writer),
    Postgres(&'a PgPool),
}

/// Applies every migration that is still missing.
///
/// # Errors
/// [`DbError::Migration`] with what failed.
pub async fn migrate(db: &Db) -> Result<(), DbError> {
    migrate_to(db, newest()).await
}

/// Applies every migration up to and including `number` that is still missing.
///
/// # Errors
/// [`DbError::Migration`] with what failed.
pub async fn migrate_to(db: &Db, number: i64) -> Result<(), DbError> {
    match db.migration_target()? {
        Target::Sqlite(writer) => writer.migrate(number).await,
        Target::Postgres(pool) => {
            let mut conn = pool.acquire().await?;
            // A migration may take long, and waits for one that another node runs.
            conn.execute("SET lock_timeout = 0; SET statement_timeout = 0").await?;
            let done = POSTGRES.run_to(number, &mut *conn).await;
            conn.close().await?;
            done.map_err(|e| DbError::Migration(e.to_string()))
        }
    }
}

/// The number of the newest migration that this binary knows.
#[must_use]
pub fn newest() -> i64 {
    SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The number of the newest migration that the database has seen; 0 if it has seen none.
///
/// # Errors
/// What the engine says.
pub async fn applied(conn: &mut Conn) -> Result<i64, DbError> {
    Ok(seen(conn).await?.into_iter().max().unwrap_or(0))
}

/// How many migrations this binary knows that the database has not seen; every one when it has seen none at all.
///
/// # Errors
/// What the engine says.
pub async fn missing(db: &Db) -> Result<usize, DbError> {
    let seen = seen(&mut db.read().await?).await?;
    Ok(SQLITE.iter().filter(|known| !seen.contains(&known.version)).count())
}

async fn seen(conn: &mut Conn) -> Result<Vec<i64>, DbError> {
    let table = match conn.kind() {
        EngineKind::Sqlite => {
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
        }
        EngineKind::Postgres => {
            "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')"
        }
    };
    let (there,): (i64,) = sql(table).one(conn).await?;
    if there == 0 {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64,)> =
        sql("SELECT version FROM _sqlx_migrations WHERE success").all(conn).await?;
    Ok(rows.into_iter().map(|(version,)| version).collect())
}

/// Runs on a connection of its own: the writer is idle meanwhile.
pub(super) async fn sqlite(path: &Path, number: i64) -> Result<(), DbError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let done = SQLITE.run_to(number, &pool).await.map_err(|e| DbError::Migration(e.to_string()));
    pool.close().await;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations() {
        let numbers =
            |m: &Migrator| m.iter().map(|m| (m.version, m.description.clone())).collect::<Vec<_>>();
        assert_eq!(numbers(&SQLITE), numbers(&POSTGRES));
    }

    #[tokio::test]
    async fn missing_migrations_are_counted() {
        for db in crate::db::testing::databases().await {
            assert_eq!(missing(&db).await.expect("counted"), 0);
        }
        let folder = tempfile::tempdir().expect("folder");
        let url = format!("sqlite:{}", folder.path().join("empty.db").display());
        let empty = Db::open(&url).await.expect("opens");
        assert_eq!(missing(&empty).await.expect("counted"), SQLITE.iter().count());
    }
}
