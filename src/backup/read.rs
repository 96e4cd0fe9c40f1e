//! Reads a backup: first whether it is whole, then row by row.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::format::{self, Header, NAME, VERSION};
use super::{BackupError, seal};
use crate::db::bulk::Row;

/// Whether a file is a whole backup: every byte by its seal, and every row by what the header says.
///
/// # Errors
/// [`BackupError`] with what is wrong.
pub fn check(path: &Path) -> Result<Header, BackupError> {
    let mut file = Reader::open(path)?;
    while file.next()?.is_some() {}
    Ok(file.header)
}

/// An open backup whose seal is unbroken.
pub(super) struct Reader {
    pub(super) header: Header,
    path: PathBuf,
    lines: Lines,
    line: Vec<u8>,
    /// The table that is being read, and how many of its rows were.
    place: (usize, u64),
}

type Lines = BufReader<GzDecoder<BufReader<Take<File>>>>;

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let damaged =
            |what: &str| BackupError::Damaged { path: path.to_owned(), what: what.to_owned() };
        let mut file = File::open(path).map_err(BackupError::io(path))?;
        let mut magic = [0; 2];
        if file.read_exact(&mut magic).is_err() || magic != [0x1f, 0x8b] {
            return Err(BackupError::NotABackup(path.to_owned()));
        }
        let length = file.metadata().map_err(BackupError::io(path))?.len();
        let sealed = length.saturating_sub(seal::LEN as u64);
        // What it calls itself comes first: a newer format may be sealed otherwise.
        let mut lines = lines(file, sealed).map_err(BackupError::io(path))?;
        let mut line = Vec::new();
        let first = lines.read_until(b'\n', &mut line);
        if first.is_ok() && !line.ends_with(b"\n") || first.is_err() {
            return Err(damaged("its first line does not read"));
        }
        let header = header(path, &line)?;
        let file = lines.into_inner().into_inner().into_inner().into_inner();
        if !is_sealed(&file, sealed).map_err(BackupError::io(path))? {
            return Err(damaged("its content does not match its seal"));
        }
        let mut lines = self::lines(file, sealed).map_err(BackupError::io(path))?;
        line.clear();
        lines.read_until(b'\n', &mut line).map_err(BackupError::io(path))?;
        Ok(Self { header, path: path.to_owned(), lines, line, place: (0, 0) })
    }

    /// The next row and the place of its table in the header; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Row)>, BackupError> {
        let Self { header, path, lines, line, place } = self;
        let damaged = |what: String| BackupError::Damaged { path: path.clone(), what };
        line.clear();
        lines.read_until(b'\n', line).map_err(|e| damaged(e.to_string()))?;
        let (table, read) = place;
        while header.tables.get(*table).is_some_and(|contents| *read == contents.rows) {
            *table += 1;
            *read = 0;
        }
        let Some(contents) = header.tables.get(*table) else {
            return if line == format::END {
                Ok(None)
            } else {
                Err(damaged("it has more rows than its header says".to_owned()))
            };
        };
        if line.is_empty() || line == format::END {
            let what = format!("`{}` has fewer rows than its header says", contents.table.name);
            return Err(damaged(what));
        }
        let row = format::row(&contents.table.columns, line).map_err(damaged)?;
        *read += 1;
        Ok(Some((*table, row)))
    }
}

fn lines(mut file: File, sealed: u64) -> std::io::Result<Lines> {
    file.seek(SeekFrom::Start(0))?;
    Ok(BufReader::new(GzDecoder::new(BufReader::new(file.take(sealed)))))
}

/// Reads the first line, whoever wrote it.
fn header(path: &Path, line: &[u8]) -> Result<Header, BackupError> {
    #[derive(Deserialize)]
    struct Named {
        format: String,
        version: u32,
        #[serde(default)]
        baton: String,
    }
    let not = || BackupError::NotABackup(path.to_owned());
    let named: Named = serde_json::from_slice(line).map_err(|_| not())?;
    if named.format != NAME {
        return Err(not());
    }
    if named.version > VERSION {
        let what = format!("Baton {}, format {}", named.baton, named.version);
        return Err(BackupError::Newer(what));
    }
    serde_json::from_slice(line).map_err(|error| BackupError::Damaged {
        path: path.to_owned(),
        what: format!("its header does not read: {error}"),
    })
}

/// Whether the last bytes are the seal of those before.
fn is_sealed(mut file: &File, sealed: u64) -> std::io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut before = file.take(sealed);
    loop {
        let read = before.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let mut last = Vec::new();
    file.take(seal::LEN as u64 + 1).read_to_end(&mut last)?;
    Ok(last == seal::of(hash))
}
