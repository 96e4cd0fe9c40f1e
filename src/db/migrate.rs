//! Brings the schema up to date. The two folders hold equal numbers; a test asserts it.

use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::writer::Writer;
use super::{Db, DbError};

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
            POSTGRES.run(pool).await.map_err(|e| DbError::Migration(e.to_string()))
        }
    }
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
}
