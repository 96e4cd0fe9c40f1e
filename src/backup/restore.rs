//! Puts a backup into an empty database, all of it or nothing.

use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::format::{self, Header};
use super::read::{Reader, check};
use super::{BackupError, blocking, fresh};
use crate::clock::{Clock, Timestamp};
use crate::conversation::audit::{Counts, Finding, audit};
use crate::db::bulk::{self, ROWS_AT_ONCE, Row};
use crate::db::schema::{self, Table};
use crate::db::{Conn, Db, DbError, applied, migrate, migrate_to, newest};

/// Batches that may wait for the database.
const BATCHES_AHEAD: usize = 8;

/// What a restore did.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What the file held.
    pub header: Header,
    /// How many rows were stored.
    pub rows: u64,
    /// Rows of sign-ins and open invitations, which stayed out.
    pub left_out: u64,
    /// What the laws say of it.
    pub counts: Counts,
}

/// Checks the file, makes the schema that it was taken from, stores everything in one transaction, reads it back, brings the
/// schema up to date, and reads the laws off the result.
///
/// # Errors
/// [`BackupError`]; nothing is stored then.
pub async fn restore(
    db: &Db,
    clock: &Clock,
    file: &Path,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<Restored, BackupError> {
    let path = file.to_owned();
    let header = blocking(move || check(&path)).await?;
    if header.schema > newest() {
        let (baton, schema) = (&header.baton, header.schema);
        return Err(BackupError::Newer(format!("Baton {baton}, schema {schema}")));
    }
    prepare(db, &header).await?;
    let (path, header, now) = (Arc::new(file.to_owned()), Arc::new(header), clock.now());
    let shared = Arc::clone(&header);
    let (rows, left_out) = db
        .write(move |conn| {
            let (path, header) = (Arc::clone(&path), Arc::clone(&shared));
            Box::pin(async move {
                // Reads its file anew each time it runs, so it can run again.
                load(conn, &path, &header, now).await.map_err(|error| match error {
                    BackupError::Db(error) => error,
                    other => DbError::Broken(other.to_string()),
                })
            })
        })
        .await?;
    migrate(db).await?;
    let counts = audit(db, None, tell).await?;
    Ok(Restored { header: Header::clone(&header), rows, left_out, counts })
}

/// An empty database with the schema of the backup.
async fn prepare(db: &Db, header: &Header) -> Result<(), BackupError> {
    let mut conn = db.read().await?;
    if let Some(table) = schema::first_with_rows(&mut conn, fresh::is_data).await? {
        return Err(BackupError::NotEmpty(table));
    }
    let there = applied(&mut conn).await?;
    drop(conn);
    if there > header.schema {
        return Err(BackupError::Schema(format!(
            "it has seen migration {there}, the backup only {}: name a database without tables",
            header.schema
        )));
    }
    migrate_to(db, header.schema).await?;
    let tables = schema::tables(&mut db.read().await?).await?;
    let same = |found: &Table| tables.iter().any(|table| table == found);
    match header.tables.iter().find(|contents| !same(&contents.table)) {
        Some(contents) => Err(BackupError::Schema(format!(
            "`{}` is another table in migration {}",
            contents.table.name, header.schema
        ))),
        None => Ok(()),
    }
}

/// Stores every row and reads all of them back.
async fn load(
    conn: &mut Conn,
    path: &Path,
    header: &Header,
    now: Timestamp,
) -> Result<(u64, u64), BackupError> {
    let (send, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let path = path.to_owned();
    let reading = tokio::spawn(blocking(move || read(&path, &send)));
    let mut sums = vec![Sum::default(); header.tables.len()];
    let mut left_out = 0;
    while let Some((place, rows)) = batches.recv().await {
        let table = &header.tables[place].table;
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            match fresh::restored(table, row, now) {
                Some(row) => {
                    sums[place].add(&row)?;
                    kept.push(row);
                }
                None => left_out += 1,
            }
        }
        bulk::insert(conn, table, kept).await?;
    }
    reading.await.map_err(|_| DbError::Panicked)??;
    schema::reset_counters(conn).await?;
    let mut stored = 0;
    for (contents, wanted) in header.tables.iter().zip(sums) {
        let mut sum = Sum::default();
        let mut rows = bulk::rows(conn, &contents.table);
        while let Some(row) = rows.try_next().await? {
            sum.add(&row)?;
        }
        if sum != wanted {
            return Err(BackupError::Differs(contents.table.name.clone()));
        }
        stored += sum.rows;
    }
    Ok((stored, left_out))
}

/// Hands the rows on in batches of one table.
fn read(path: &Path, send: &mpsc::Sender<(usize, Vec<Row>)>) -> Result<(), BackupError> {
    let mut file = Reader::open(path)?;
    let (mut place, mut batch) = (0, Vec::new());
    while let Some((table, row)) = file.next()? {
        if table != place || batch.len() == ROWS_AT_ONCE {
            // Whoever stopped taking them says why.
            if send.blocking_send((place, std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
            place = table;
        }
        batch.push(row);
    }
    let _gone = send.blocking_send((place, batch));
    Ok(())
}

/// The rows of a table, whatever their order: engines sort text differently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    hashes: u128,
}

impl Sum {
    fn add(&mut self, row: &Row) -> Result<(), BackupError> {
        let mut line = Vec::new();
        format::put_row(&mut line, row).map_err(|e| DbError::Broken(e.to_string()))?;
        let hash = Sha256::digest(&line);
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(u128::from_be_bytes(half));
        Ok(())
    }
}
