//! A fresh database on either engine.

use std::path::PathBuf;
use std::str::FromStr;

use baton::ids::{Ids, NodeId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;

/// Which engine a journey runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The server that PostgreSQL's databases are made on.
fn server() -> Option<String> {
    std::env::var("BATON_TEST_POSTGRES").ok().filter(|url| !url.is_empty())
}

/// Whether there is a PostgreSQL server to run on.
pub fn has_postgres() -> bool {
    server().is_some()
}

/// Where a journey's database is. The file goes when this is dropped; a database of PostgreSQL goes with its throw-away server.
pub struct Place {
    pub engine: Engine,
    pub url: String,
    folder: TempDir,
}

impl Place {
    /// A new, empty database.
    pub async fn fresh(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("makes a temporary folder");
        let url = match engine {
            Engine::Sqlite => format!("sqlite:{}", folder.path().join("baton.db").display()),
            Engine::Postgres => fresh_postgres().await,
        };
        Self { engine, url, folder }
    }

    /// A database that somebody else has made.
    pub fn given(engine: Engine, url: String) -> Self {
        Self { engine, url, folder: tempfile::tempdir().expect("makes a temporary folder") }
    }

    /// A folder that goes with the database.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

async fn fresh_postgres() -> String {
    let server = server().expect("BATON_TEST_POSTGRES names a server");
    let name = format!("baton_journey_{}", Ids.fresh::<NodeId>());
    let options = PgConnectOptions::from_str(&server).expect("BATON_TEST_POSTGRES is an address");
    let mut conn = options.connect().await.expect("reaches the PostgreSQL server");
    let made = format!("CREATE DATABASE \"{name}\"");
    conn.execute(AssertSqlSafe(made.as_str())).await.expect("makes a database");
    options.database(&name).to_url_lossy().to_string()
}
