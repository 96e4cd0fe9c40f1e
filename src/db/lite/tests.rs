//! What sqlx's own driver would answer, this one answers too.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::error::ErrorKind;
use sqlx::{Column, Row, TypeInfo};

use super::{Lite, Options, Readers};
use crate::db::query::Arg;

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

/// An empty file, and its writer.
fn fresh() -> (File, Lite) {
    let folder = tempfile::tempdir().expect("makes a temporary folder");
    let path = folder.path().join("test.db");
    let mut lite = Lite::open(&Options::writer(&path)).expect("opens");
    lite.execute(
        "CREATE TABLE probe (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE, size REAL, good BOOLEAN, bytes BLOB,
            other INTEGER REFERENCES probe (id), CHECK (word <> 'bad'))",
        &[],
    )
    .expect("makes a table");
    (File { _folder: folder, path }, lite)
}

fn put(lite: &mut Lite, id: i64, word: &str) -> Result<u64, sqlx::Error> {
    lite.execute("INSERT INTO probe (id, word) VALUES ($1, $2)", &[id.into(), word.into()])
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Probe {
    // Not in the order of the statement.
    bytes: Option<Vec<u8>>,
    word: String,
    good: Option<bool>,
    id: i64,
    size: Option<f64>,
}

const PROBES: &str = "SELECT id, word, size, good, bytes FROM probe ORDER BY id";

#[test]
fn values_come_back_as_they_went_in() {
    let (_file, mut lite) = fresh();
    // Numbers say which value is meant, wherever they stand, and one may be meant twice.
    let insert =
        "INSERT INTO probe (bytes, good, size, word, id, other) VALUES ($5, $4, $3, $2, $1, $1)";
    let values: [Arg; 5] =
        [7.into(), "größer\0 als".into(), 2.5.into(), true.into(), vec![0u8, 255].into()];
    assert_eq!(lite.execute(insert, &values).expect("inserts"), 1);
    let none: [Arg; 5] =
        [8.into(), "".into(), Arg::Real(None), Arg::Bool(None), Vec::<u8>::new().into()];
    lite.execute(insert, &none).expect("inserts");
    let full = Probe {
        bytes: Some(vec![0, 255]),
        word: "größer\0 als".to_owned(),
        good: Some(true),
        id: 7,
        size: Some(2.5),
    };
    let empty =
        Probe { bytes: Some(Vec::new()), word: String::new(), good: None, id: 8, size: None };
    assert_eq!(lite.all::<Probe>(PROBES, &[]).expect("reads"), [full, empty]);
    let (id, word): (i64, String) =
        lite.one("SELECT id, word FROM probe WHERE word = $1", &["".into()]).expect("reads");
    assert_eq!((id, word.as_str()), (8, ""));
}

#[test]
fn the_first_row_is_enough_and_the_one_row_must_be_there() {
    let (_file, mut lite) = fresh();
    let none = lite.optional::<(i64,)>("SELECT id FROM probe", &[]).expect("reads");
    assert_eq!(none, None);
    let missing = lite.one::<(i64,)>("SELECT id FROM probe", &[]);
    assert!(matches!(missing, Err(sqlx::Error::RowNotFound)), "{missing:?}");
    for id in 1..=3 {
        put(&mut lite, id, &id.to_string()).expect("inserts");
    }
    let first = lite.optional::<(i64,)>("SELECT id FROM probe ORDER BY id DESC", &[]);
    assert_eq!(first.expect("reads"), Some((3,)));
    let changed =
        lite.execute("UPDATE probe SET good = $1 WHERE id > $2", &[true.into(), 1.into()]);
    assert_eq!(changed.expect("updates"), 2);
    let told = "INSERT INTO probe (id, word) VALUES ($1, $2), ($3, $4) RETURNING id";
    let values = [4.into(), "4".into(), 5.into(), "5".into()];
    assert_eq!(lite.all::<(i64,)>(told, &values).expect("inserts"), [(4,), (5,)]);
    // One who takes only the first row of what was inserted has inserted all.
    let values = [6.into(), "6".into(), 7.into(), "7".into()];
    lite.one::<(i64,)>(told, &values).expect("inserts");
    let (count,): (i64,) = lite.one("SELECT COUNT(*) FROM probe", &[]).expect("counts");
    assert_eq!(count, 7);
}

#[test]
fn what_the_engine_refuses_has_its_code_and_kind() {
    let (file, mut lite) = fresh();
    put(&mut lite, 1, "one").expect("inserts");
    let refused = |done: Result<u64, sqlx::Error>| {
        let error = done.expect_err("is refused").into_database_error().expect("by the engine");
        let code = error.code().expect("has a code").into_owned();
        (code, error.kind(), error.message().to_owned())
    };
    let (code, kind, message) = refused(put(&mut lite, 2, "one"));
    assert_eq!((code.as_str(), message.as_str()), ("2067", "UNIQUE constraint failed: probe.word"));
    assert!(matches!(kind, ErrorKind::UniqueViolation));
    let (code, kind, _) = refused(put(&mut lite, 1, "two"));
    assert!(code == "1555" && matches!(kind, ErrorKind::UniqueViolation), "{code} {kind:?}");
    let (code, kind, _) = refused(put(&mut lite, 2, "bad"));
    assert!(code == "275" && matches!(kind, ErrorKind::CheckViolation), "{code} {kind:?}");
    let stray = lite.execute("UPDATE probe SET other = 9", &[]);
    let (code, kind, _) = refused(stray);
    assert!(code == "787" && matches!(kind, ErrorKind::ForeignKeyViolation), "{code} {kind:?}");
    let nothing = lite.execute("UPDATE probe SET word = $1", &[Arg::Text(None)]);
    let (code, kind, _) = refused(nothing);
    assert!(code == "1299" && matches!(kind, ErrorKind::NotNullViolation), "{code} {kind:?}");
    let mut reader = Lite::open(&Options::reader(&file.path)).expect("opens");
    let (code, _, _) = refused(put(&mut reader, 3, "three"));
    assert_eq!(code, "8", "a reader writes nothing");
}

#[test]
fn what_does_not_fit_is_said_with_its_column() {
    let (_file, mut lite) = fresh();
    put(&mut lite, 1, "one").expect("inserts");
    let wrong = lite.one::<(i64, i64)>("SELECT id, word FROM probe", &[]);
    assert!(
        matches!(&wrong, Err(sqlx::Error::ColumnDecode { index, .. }) if index == "1"),
        "{wrong:?}"
    );
    let nothing = lite.one::<(f64,)>("SELECT size FROM probe", &[]);
    assert!(matches!(nothing, Err(sqlx::Error::ColumnDecode { .. })), "{nothing:?}");
    let missing = lite.one::<Probe>("SELECT id FROM probe", &[]);
    assert!(matches!(missing, Err(sqlx::Error::ColumnNotFound(_))), "{missing:?}");
    let more = lite.one::<(i64, i64)>("SELECT id FROM probe", &[]);
    assert!(matches!(more, Err(sqlx::Error::ColumnIndexOutOfBounds { .. })), "{more:?}");
    let unbound = lite.one::<(i64,)>("SELECT id FROM probe WHERE id = $2", &[1.into()]);
    assert!(matches!(unbound, Err(sqlx::Error::InvalidArgument(_))), "{unbound:?}");
    // After all that the connection is as good as before.
    assert_eq!(lite.one::<(i64,)>("SELECT id FROM probe", &[]).expect("reads"), (1,));
}

#[test]
fn a_row_knows_its_columns() {
    let (_file, mut lite) = fresh();
    put(&mut lite, 1, "one").expect("inserts");
    let mut seen = Vec::new();
    lite.each("SELECT id, word AS said, size FROM probe", &[], |row| {
        let of = |column: &super::row::LiteColumn| {
            (column.ordinal(), column.name().to_owned(), column.type_info().name().to_owned())
        };
        seen.extend(row.columns().iter().map(of));
        Ok(ControlFlow::Continue(()))
    })
    .expect("reads");
    let named = |n, name: &str, holds: &str| (n, name.to_owned(), holds.to_owned());
    assert_eq!(
        seen,
        [named(0, "id", "INTEGER"), named(1, "said", "TEXT"), named(2, "size", "NULL")]
    );
}

#[test]
fn a_statement_that_was_prepared_before_the_schema_changed_is_prepared_again() {
    let (file, mut lite) = fresh();
    put(&mut lite, 1, "one").expect("inserts");
    let all = "SELECT * FROM probe";
    let columns = |lite: &mut Lite| {
        let mut count = 0;
        let counted = lite.each(all, &[], |row| {
            count = row.len();
            Ok(ControlFlow::Continue(()))
        });
        counted.map(|()| count)
    };
    assert_eq!(columns(&mut lite).expect("reads"), 6);
    let mut other = Lite::open(&Options::writer(&file.path)).expect("opens");
    other.execute("ALTER TABLE probe ADD COLUMN late TEXT", &[]).expect("alters");
    assert_eq!(columns(&mut lite).expect("reads"), 7);
}

#[tokio::test]
async fn a_reader_sees_what_was_committed_and_a_snapshot_its_own_moment() {
    let (file, mut lite) = fresh();
    put(&mut lite, 1, "one").expect("inserts");
    let readers = Readers::open(Options::reader(&file.path)).expect("opens");
    let count = |lite: &mut Lite| lite.one::<(i64,)>("SELECT COUNT(*) FROM probe", &[]);
    let mut still = readers.take().await.expect("takes");
    still.begin().expect("begins");
    assert_eq!(still.run(count).expect("reads"), (1,));
    put(&mut lite, 2, "two").expect("inserts");
    let mut now = readers.take().await.expect("takes");
    assert_eq!(now.run(count).expect("reads"), (2,));
    assert_eq!(still.run(count).expect("reads"), (1,));
    drop(still);
    // Its transaction went with it: nobody gets that moment again.
    for _ in 0..8 {
        let mut lent = readers.take().await.expect("takes");
        assert_eq!(lent.run(count).expect("reads"), (2,));
    }
}

#[tokio::test(start_paused = true)]
async fn readers_wait_for_each_other_and_closing_waits_for_them() {
    let (file, _lite) = fresh();
    let readers = Readers::open(Options::reader(&file.path)).expect("opens");
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(readers.take().await.expect("takes"));
    }
    let late = readers.take().await.err().expect("is refused");
    assert_eq!(late.trouble(), Some("exhausted"));
    let waiting = tokio::spawn({
        let readers = readers.clone();
        async move { readers.take().await.map(drop) }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    taken.pop();
    waiting.await.expect("runs").expect("takes");
    let closing = tokio::spawn({
        let readers = readers.clone();
        async move { readers.close().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!closing.is_finished());
    drop(taken);
    closing.await.expect("closes");
    let closed = readers.take().await.err().expect("is refused");
    assert_eq!(closed.trouble(), Some("closed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whoever_reads_much_keeps_nobody_waiting() {
    let (file, _lite) = fresh();
    let readers = Readers::open(Options::reader(&file.path)).expect("opens");
    let mut lent = readers.take().await.expect("takes");
    lent.apart();
    let (send, ran) = std::sync::mpsc::channel();
    let reading = tokio::spawn(async move {
        lent.run(|lite| {
            // Another task of the only thread must run before this ends.
            tokio::spawn(async move { send.send(()) });
            let waited = ran.recv_timeout(Duration::from_secs(20));
            waited.map_err(|_| sqlx::Error::WorkerCrashed)?;
            lite.one::<(i64,)>("SELECT 1", &[])
        })
    });
    assert_eq!(reading.await.expect("runs").expect("reads"), (1,));
}
