//! Brings the schema up to date. The two folders hold equal numbers; a test asserts it.

use sqlx::Executor;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::writer::Writer;
use super::{Db, DbError, EngineKind, sql};

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
    match db.migration_target() {
        Target::Sqlite(writer) => writer.migrate().await,
        Target::Postgres(pool) => {
            let mut conn = pool.acquire().await?;
            // A migration may take long, and waits for one that another node runs.
            conn.execute("SET lock_timeout = 0; SET statement_timeout = 0").await?;
            let done = POSTGRES.run(&mut *conn).await;
            conn.close().await?;
            done.map_err(|e| DbError::Migration(e.to_string()))
        }
    }
}

/// How many migrations this binary knows that the database has not seen; every one when it has seen none at all.
///
/// # Errors
/// What the engine says.
pub async fn missing(db: &Db) -> Result<usize, DbError> {
    let mut conn = db.read().await?;
    let (known, table) = match conn.kind() {
        EngineKind::Sqlite => (
            &SQLITE,
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
        ),
        EngineKind::Postgres => {
            (&POSTGRES, "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')")
        }
    };
    let (there,): (i64,) = sql(table).one(&mut conn).await?;
    let seen: Vec<(i64,)> = match there {
        0 => Vec::new(),
        _ => sql("SELECT version FROM _sqlx_migrations WHERE success").all(&mut conn).await?,
    };
    Ok(known.iter().filter(|known| !seen.iter().any(|(seen,)| *seen == known.version)).count())
}

/// Runs on a connection of its own: the writer is idle meanwhile.
pub(super) async fn sqlite(options: &SqliteConnectOptions) -> Result<(), DbError> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let done = SQLITE.run(&pool).await.map_err(|e| DbError::Migration(e.to_string()));
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
