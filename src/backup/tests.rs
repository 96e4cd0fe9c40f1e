//! Files that are not as they were written, and databases that are not empty.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::Digest;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::conversation::audit::Finding;
use crate::db::testing::{fresh_sqlite, workspace};
use crate::db::{Db, migrate, newest};
use crate::ids::Ids;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// A small backup.
async fn small() -> (PathBuf, Header) {
    let url = fresh_sqlite();
    let db = Db::open(&url).await.expect("opens");
    migrate(&db).await.expect("migrates");
    workspace(&db, Ids.fresh()).await;
    let file = PathBuf::from(format!("{}.backup", url.trim_start_matches("sqlite:")));
    let made = back_up(&db, &Clock::manual(NOW), &file, false).await.expect("backs up");
    assert_eq!(made.bytes, file.metadata().expect("a file").len());
    assert_eq!((made.header.rows(), made.header.rows_of("workspace")), (1, 1));
    db.close().await;
    (file, made.header)
}

/// A file of these lines, with a seal.
fn sealed(path: &std::path::Path, lines: &[Vec<u8>]) {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for line in lines {
        gzip.write_all(line).expect("compresses");
    }
    let mut bytes = gzip.finish().expect("compresses");
    let seal = seal::of(sha2::Sha256::new_with_prefix(&bytes));
    bytes.extend(seal);
    std::fs::write(path, bytes).expect("writes");
}

async fn restored(db: &Db, file: &std::path::Path) -> Result<Restored, BackupError> {
    let mut tell = |finding: Finding| panic!("{finding}");
    restore(db, &Clock::manual(NOW), file, &mut tell).await
}

#[tokio::test]
async fn no_bit_may_change_and_no_byte_may_go() {
    let (file, header) = small().await;
    assert_eq!(check(&file).expect("whole"), header);
    let whole = std::fs::read(&file).expect("reads");
    let other = file.with_extension("other");
    let refused = |bytes: &[u8], what: String| {
        std::fs::write(&other, bytes).expect("writes");
        assert!(check(&other).is_err(), "{what} was not noticed");
    };
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        refused(&bytes, format!("a bit of byte {place} of {}", whole.len()));
    }
    for length in (0..whole.len()).step_by(97).chain(whole.len() - 120..whole.len()) {
        refused(&whole[..length], format!("an end at {length}"));
    }
    refused(&[whole.clone(), vec![0]].concat(), "a byte more".to_owned());
    refused(&[whole.clone(), whole.clone()].concat(), "the same twice".to_owned());
    refused(b"SQLite format 3\0", "a file of SQLite".to_owned());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_says_why() {
    let (file, header) = small().await;
    let line = |header: &Header| {
        let mut line = Vec::new();
        format::put_line(&mut line, header).expect("writes");
        line
    };
    let other = file.with_extension("other");
    let end = format::END.to_vec();
    let empty = Db::open(&fresh_sqlite()).await.expect("opens");

    let newer = Header { version: format::VERSION + 1, ..header.clone() };
    sealed(&other, &[line(&newer), end.clone()]);
    assert!(matches!(check(&other), Err(BackupError::Newer(_))));
    let newer = Header { schema: newest() + 1, tables: Vec::new(), ..header.clone() };
    sealed(&other, &[line(&newer), end.clone()]);
    assert!(matches!(restored(&empty, &other).await, Err(BackupError::Newer(_))));
    // A row fewer and a row more than the header says.
    sealed(&other, &[line(&header), end.clone()]);
    assert!(matches!(check(&other), Err(BackupError::Damaged { .. })));
    let none = Header { tables: Vec::new(), ..header.clone() };
    sealed(&other, &[line(&none), b"[1]\n".to_vec(), end.clone()]);
    assert!(matches!(check(&other), Err(BackupError::Damaged { .. })));
    // A table that the schema does not have.
    let mut strange = header.clone();
    strange.tables[0].table.name = "strange".to_owned();
    for contents in &mut strange.tables {
        contents.rows = 0;
    }
    sealed(&other, &[line(&strange), end]);
    assert!(matches!(restored(&empty, &other).await, Err(BackupError::Schema(_))));

    let first = restored(&empty, &file).await.expect("restores");
    assert_eq!((first.rows, first.left_out), (1, 0));
    let again = restored(&empty, &file).await;
    assert!(matches!(&again, Err(BackupError::NotEmpty(table)) if table == "workspace"));
    let reader = Db::open_to_read(&fresh_sqlite()).await;
    assert!(reader.is_err(), "nothing is made where something is to be read");
}
