//! The disk is full: writes are refused plainly, reads go on, and the service returns when there is room.

use std::path::{Path, PathBuf};

use baton::model::scripted::Script;
use serde_json::Value;

use super::{database_is_away, database_is_back};
use crate::support::people::fresh_client_id;
use crate::support::process::run;
use crate::support::{Engine, Launch, Place, Process, Scene, Setup, say};

/// Long enough for a full disk to come soon.
const LONG: usize = 7_000;
/// More than that many messages fit on no disk of these tests.
const MOST: usize = 2_000;

/// How the disk is made full.
enum Full {
    /// No file may grow beyond a limit (EFBIG): works for everybody.
    Limit,
    /// A small file system (ENOSPC): needs the right to mount.
    FileSystem(tempfile::TempDir),
}

impl Full {
    fn database(&self, own: &Path) -> PathBuf {
        match self {
            Self::Limit => own.join("baton.db"),
            Self::FileSystem(folder) => folder.path().join("baton.db"),
        }
    }

    /// From now on there is little room.
    async fn begins(&self, process: &Process, database: &Path) {
        let Self::Limit = self else { return };
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
        let wal = size(PathBuf::from(format!("{}-wal", database.display())));
        let room = wal.max(size(database.to_owned())) + 256 * 1024;
        let limit = format!("--fsize={room}:");
        run("prlimit", &["--pid", &process.id().to_string(), &limit]).await;
    }

    /// There is room again.
    async fn ends(&self, process: &Process) {
        match self {
            Self::Limit => {
                run("prlimit", &["--pid", &process.id().to_string(), "--fsize=unlimited:"]).await;
            }
            Self::FileSystem(folder) => {
                let at = folder.path().to_str().expect("a plain path");
                run("mount", &["-o", "remount,size=256m", at]).await;
            }
        }
    }

    async fn forget(self) {
        if let Self::FileSystem(folder) = self {
            run("umount", &[folder.path().to_str().expect("a plain path")]).await;
        }
    }
}

async fn small_file_system() -> Option<Full> {
    let folder = tempfile::tempdir().expect("makes a temporary folder");
    let at = folder.path().to_str().expect("a plain path");
    let words = ["-t", "tmpfs", "-o", "size=3m", "none", at];
    let mounted = tokio::process::Command::new("mount").args(words).output().await;
    mounted.is_ok_and(|done| done.status.success()).then_some(Full::FileSystem(folder))
}

async fn the_disk_fills_up(full: Full, codes: &[&str]) {
    let own = tempfile::tempdir().expect("makes a temporary folder");
    let database = full.database(own.path());
    let place = Place::given(Engine::Sqlite, format!("sqlite:{}", database.display()));
    // The kernel tells of a file too large by a signal too, which kills who does not ignore it.
    let launch = Launch::default().through(&["env", "--ignore-signal=XFSZ"]);
    let scene = Scene::at(place, Script::instant(), launch, &Setup::default()).await;
    let process = scene.start().await;
    let visitor = scene.visitor(&process, "Rina").await;
    let id = scene.acknowledge(&visitor.write("Hello.").await);
    // A person holds the conversation: what fills the disk is the visitor alone.
    scene.agent(&process).take_over(&id).await;
    full.begins(&process, &database).await;
    let text = "x".repeat(LONG);
    let mut stored = 0;
    let refused = loop {
        assert!(stored < MOST, "the disk never filled up");
        let client_id = fresh_client_id();
        let answer = visitor.write_as(&client_id, &text).await;
        if answer.status != 200 {
            answer.refused(503, "unavailable");
            break client_id;
        }
        scene.acknowledge(&answer.ok());
        stored += 1;
    };
    let body = database_is_away(&scene, &process).await;
    let found = &body["database"]["last_error"];
    // A write that meets the limit half-way is a short one, and the next fails: both are this fault.
    assert!(codes.iter().any(|code| found == code), "why writes are refused: {found}");
    assert_eq!(body["database"]["answers"], true, "{body}");
    assert!(body["database"]["refuses_writes"].is_string(), "{body}");
    // Reading goes on, and what was refused is not there.
    assert_eq!(long_ones(&visitor.messages().await), stored.min(50), "{stored} were stored");
    for _ in 0..5 {
        visitor.write_as(&fresh_client_id(), &text).await.refused(503, "unavailable");
    }
    full.ends(&process).await;
    database_is_back(&scene, &process).await;
    scene.acknowledge(&visitor.write_as(&refused, &text).await.ok());
    say(&format!(
        "disk full ({found}): refused after {stored} messages of {LONG} characters, back by itself"
    ));
    scene.end(process, "the disk was full").await;
    full.forget().await;
}

fn long_ones(messages: &[Value]) -> usize {
    messages.iter().filter(|m| m["text"].as_str().is_some_and(|text| text.len() == LONG)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_may_grow_any_more() {
    Box::pin(the_disk_fills_up(Full::Limit, &["io", "full"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_system_is_full() {
    match small_file_system().await {
        Some(full) => Box::pin(the_disk_fills_up(full, &["full"])).await,
        None => say("no right to mount a small file system here: ENOSPC was not tried, EFBIG was"),
    }
}
