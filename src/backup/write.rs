//! Makes a backup.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::format::{self, Contents, Header};
use super::partial::Partial;
use super::{BackupError, blocking, read, seal};
use crate::clock::Clock;
use crate::db::{Conn, Db, DbError, applied, bulk, schema};

/// Lines go to the compressing thread in pieces of this size.
const PIECE: usize = 256 * 1024;
/// Pieces that may wait for it: what is read beyond waits for the disk.
const PIECES_AHEAD: usize = 4;

/// A backup that was made and read back.
#[derive(Debug, Clone)]
pub struct Made {
    /// What is in it.
    pub header: Header,
    /// The file's size.
    pub bytes: u64,
}

/// Writes one moment of the database to `file`, reads it back, and only then gives it that name.
///
/// # Errors
/// [`BackupError`]; no file is left then.
pub async fn back_up(
    db: &Db,
    clock: &Clock,
    file: &Path,
    replace: bool,
) -> Result<Made, BackupError> {
    let wanted = file.to_owned();
    let partial = blocking(move || Partial::create(&wanted, replace)).await?;
    let mut conn = db.snapshot().await?;
    let mut tables = Vec::new();
    for table in schema::tables(&mut conn).await?.into_iter().filter(super::fresh::is_data) {
        let rows = schema::count(&mut conn, &table).await?;
        tables.push(Contents { table, rows });
    }
    let header = Header::new(conn.kind(), applied(&mut conn).await?, clock.now(), tables);
    let (pieces, received) = mpsc::channel(PIECES_AHEAD);
    let (handle, path) = (partial.handle()?, partial.path().to_owned());
    let writing = tokio::spawn(blocking(move || write(handle, path, received)));
    let read = send(&mut conn, &header, pieces).await;
    let written = writing.await.map_err(|_| DbError::Panicked)?;
    // A reader that stopped because nobody takes its pieces is not the cause.
    written?;
    read?;
    drop(conn);
    let path = partial.path().to_owned();
    let found = blocking(move || read::check(&path)).await?;
    if found != header {
        let what = "the header reads back otherwise".to_owned();
        return Err(BackupError::Damaged { path: file.to_owned(), what });
    }
    blocking(move || {
        let bytes = partial.path().metadata().map_err(BackupError::io(partial.path()))?.len();
        partial.finish()?;
        Ok(Made { header, bytes })
    })
    .await
}

/// Reads every table and hands its lines on.
async fn send(
    conn: &mut Conn,
    header: &Header,
    pieces: mpsc::Sender<Vec<u8>>,
) -> Result<(), BackupError> {
    let broken = |e: serde_json::Error| DbError::Broken(e.to_string());
    // The other end is gone only if it could not write, and says so itself.
    let gone = |_| DbError::Closed;
    let mut piece = Vec::new();
    format::put_line(&mut piece, header).map_err(broken)?;
    for contents in &header.tables {
        let mut rows = bulk::rows(conn, &contents.table);
        while let Some(row) = rows.try_next().await? {
            format::put_row(&mut piece, &row).map_err(broken)?;
            if piece.len() >= PIECE {
                pieces.send(std::mem::take(&mut piece)).await.map_err(gone)?;
            }
        }
    }
    piece.extend(format::END);
    pieces.send(piece).await.map_err(gone)?;
    Ok(())
}

/// Compresses, hashes and stores what comes, until it is on disk.
fn write(
    file: File,
    path: PathBuf,
    mut pieces: mpsc::Receiver<Vec<u8>>,
) -> Result<(), BackupError> {
    let put = || {
        let hashing = Hashing { to: BufWriter::new(file), hash: Sha256::new() };
        let mut gzip = GzEncoder::new(hashing, Compression::new(4));
        while let Some(piece) = pieces.blocking_recv() {
            gzip.write_all(&piece)?;
        }
        let Hashing { mut to, hash } = gzip.finish()?;
        to.write_all(&seal::of(hash))?;
        to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    };
    put().map_err(BackupError::io(path))
}

/// Hashes what passes.
struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
