//! Does the database open, take writes, have our schema and something to answer from?

use std::path::Path;

use super::Check;
use crate::clock::{Clock, Timestamp};
use crate::db::{Db, DbError, missing, sql, stored};
use crate::ids::Ids;
use crate::jobs::{self, store::Parked};
use crate::knowledge::{Knowledge, KnowledgeError};

/// A row that is made and removed again within one unit.
const PROBE: &str = "ws_doctor";

pub(super) struct Examined {
    pub(super) checks: Vec<Check>,
    /// Another baton owns the file.
    pub(super) in_use: bool,
}

impl From<Check> for Examined {
    fn from(check: Check) -> Self {
        Self { checks: vec![check], in_use: false }
    }
}

pub(super) async fn check(url: &str) -> Examined {
    let shown = without_password(url);
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = Path::new(path.trim_start_matches("//"));
        if !path.exists() {
            return not_yet(path).into();
        }
    }
    match Db::open(url).await {
        Ok(db) => {
            let checks = open(&db, &shown).await;
            db.close().await;
            Examined { checks, in_use: false }
        }
        Err(error @ DbError::InUse(_)) => Examined {
            checks: vec![Check::warn(
                "database",
                error.to_string(),
                "nothing, if it should run; to check the file, stop it first",
            )],
            in_use: true,
        },
        Err(error) => {
            let remedy = "check database.url, and that the server runs and lets you in";
            Check::fail("database", format!("{shown} does not open: {error}"), remedy).into()
        }
    }
}

/// A file that the first start will make: is there a place for it?
fn not_yet(path: &Path) -> Check {
    let shown = path.display();
    let existing =
        path.ancestors().skip(1).find(|folder| folder.as_os_str().is_empty() || folder.exists());
    let folder = match existing {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let writable = folder.is_dir()
        && std::fs::metadata(folder).is_ok_and(|meta| !meta.permissions().readonly());
    if writable {
        return Check::ok("database", format!("{shown} will be made at the first start"));
    }
    Check::fail(
        "database",
        format!("{shown} cannot be made: {} is not a folder we may write to", folder.display()),
        "change database.url or the folder's rights",
    )
}

async fn open(db: &Db, shown: &str) -> Vec<Check> {
    let missing = match missing(db).await {
        Ok(missing) => missing,
        Err(error) => {
            let remedy = "look at the database's own log";
            return vec![Check::fail(
                "database",
                format!("{shown} cannot be read: {error}"),
                remedy,
            )];
        }
    };
    if missing > 0 {
        let found = format!("{shown} opens; its schema lacks {missing} of our migrations");
        return vec![Check::warn("database", found, "`baton serve` applies them; back up first")];
    }
    if let Err(error) = write(db).await {
        let remedy = "free disk space, or give the database's user the right to write";
        return vec![Check::fail("database", format!("{shown} takes no writes: {error}"), remedy)];
    }
    let fine = Check::ok("database", format!("{shown} opens, takes writes, schema up to date"));
    vec![fine, knowledge(db).await, index(db).await, parked(db).await]
}

async fn write(db: &Db) -> Result<(), DbError> {
    db.write(|conn| {
        Box::pin(async move {
            sql("INSERT INTO workspace (id, name, created_at) VALUES ($1, 'doctor', $2)")
                .bind(PROBE)
                .bind(Timestamp::from_millis(0))
                .execute(conn)
                .await?;
            sql("DELETE FROM workspace WHERE id = $1").bind(PROBE).execute(conn).await?;
            Ok(())
        })
    })
    .await
}

async fn knowledge(db: &Db) -> Check {
    match count(db).await {
        Ok((_, 0)) => Check::warn(
            "knowledge",
            "no articles: the AI agent hands every question to a person",
            "`baton ingest FOLDER`, or add articles in the console",
        ),
        Ok((articles, chunks)) => {
            Check::ok("knowledge", format!("{articles} articles, {chunks} passages"))
        }
        Err(error) => Check::fail("knowledge", error.to_string(), "look at the database's own log"),
    }
}

/// Work that was given up after its last try: it waits for whoever runs the installation.
async fn parked(db: &Db) -> Check {
    let asked = async { jobs::store::parked(&mut db.read().await?).await };
    match asked.await {
        Ok(parked) if parked.is_empty() => Check::ok("jobs", "none was given up"),
        Ok(parked) => {
            let each = |p: &Parked| format!("{} × {} ({})", p.jobs, p.kind, p.error);
            let shown: Vec<String> = parked.iter().map(each).collect();
            Check::warn(
                "jobs",
                format!("given up: {}", shown.join(", ")),
                "look in the log for `a job is given up`; after 30 days they are removed",
            )
        }
        Err(error) => Check::fail("jobs", error.to_string(), "look at the database's own log"),
    }
}

/// Builds the index of every base, as a search would.
async fn index(db: &Db) -> Check {
    match load(db).await {
        Ok(0) => Check::ok("index", "nothing to load yet"),
        Ok(bases) => {
            Check::ok("index", format!("{bases} knowledge bases load and can be searched"))
        }
        Err(error) => Check::fail(
            "index",
            error.to_string(),
            "read the articles in again with `baton ingest`, or save them again in the console",
        ),
    }
}

async fn load(db: &Db) -> Result<usize, KnowledgeError> {
    let mut conn = db.read().await?;
    let rows: Vec<(String,)> = sql("SELECT id FROM workspace").all(&mut conn).await?;
    drop(conn);
    let knowledge = Knowledge::new(db.clone(), Clock::system(), Ids, None);
    let mut loaded = 0;
    for (id,) in rows {
        let workspace = stored(&id)?;
        for base in knowledge.bases(workspace).await? {
            knowledge.search_for_agents(workspace, &[base.id], "hello", None, 1).await?;
            loaded += 1;
        }
    }
    Ok(loaded)
}

async fn count(db: &Db) -> Result<(i64, i64), DbError> {
    let mut conn = db.read().await?;
    sql("SELECT (SELECT COUNT(*) FROM article) AS articles, (SELECT COUNT(*) FROM chunk) AS chunks")
        .one(&mut conn)
        .await
}

/// The address as it may be shown.
fn without_password(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if url.starts_with("postgres") => {
            // Addresses that cannot have a password have none to hide.
            let _none = parsed.set_password(None);
            parsed.set_query(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let shown = without_password("postgres://baton:hunter2@db.example:5432/baton?password=x");
        assert_eq!(shown, "postgres://baton@db.example:5432/baton");
        assert_eq!(without_password("sqlite:data/baton.db"), "sqlite:data/baton.db");
    }
}
