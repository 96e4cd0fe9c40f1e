//! Backup and restore, as an operator does it: beside a running server, from each engine into each.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baton::db::{Db, sql};
use fs4::fs_std::FileExt;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::on_both_engines;
use crate::support::command::{Ended, baton, clean};
use crate::support::engine::has_postgres;
use crate::support::people::{conversation_of, fresh_client_id};
use crate::support::{Engine, Place, Setup, Visitor, World};

async fn back_up(url: &str, file: &Path, more: &[&str]) -> Ended {
    let file = file.display().to_string();
    Ended::of(baton(&["backup", &file, "--database", url]).args(more)).await
}

async fn restore(file: &Path, place: &Place) -> Ended {
    let file = file.display().to_string();
    Ended::of(&mut baton(&["restore", &file, "--database", &place.url])).await
}

/// Writes until told to stop; returns the ids of what was acknowledged, and how many of them before `mark` was set.
async fn keeps_writing(
    visitor: Visitor,
    mark: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
) -> (Vec<String>, usize) {
    let (mut written, mut before) = (Vec::new(), 0);
    while !stop.load(Ordering::SeqCst) || written.len() < before + 3 {
        let words = format!("How long does a refund take? ({})", written.len());
        let answer = visitor.write(&words).await;
        written.push(answer["message"]["id"].as_str().expect("an id").to_owned());
        if !mark.load(Ordering::SeqCst) {
            before = written.len();
        }
    }
    (written, before)
}

async fn a_backup_under_load_goes_on_in_either_engine(engine: Engine) {
    for target in [Engine::Sqlite, Engine::Postgres] {
        if target == Engine::Postgres && !has_postgres() {
            continue;
        }
        Box::pin(moves(engine, target)).await;
    }
}

async fn moves(from: Engine, to: Engine) {
    let world = World::new(from, Setup::default()).await;
    let ana = world.agent("Ana");
    // One conversation with a past: answered, taken over, noted, answered by a person.
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("How long does a refund take?").await);
    page.message("five working days").await;
    ana.take_over(&id).await;
    let mut console = ana.live(None).await;
    ana.write(&id, "Ana here, your refund is on its way.").await;
    page.message("on its way").await;
    let (heard, _) = console.event(&id, "agent_wrote").await;
    let cursor = heard["cursor"].as_str().expect("a cursor").to_owned();

    let (mark, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut writers = Vec::new();
    for n in 0..4 {
        let visitor = world.visitor(&format!("Visitor {n}")).await;
        let (mark, stop) = (Arc::clone(&mark), Arc::clone(&stop));
        // What comes first is acknowledged before the backup begins.
        let first = visitor.write("Hello?").await;
        writers.push((visitor.clone(), first, tokio::spawn(keeps_writing(visitor, mark, stop))));
    }
    let place = Place::fresh(to).await;
    let file = place.folder().join("baton.backup");
    mark.store(true, Ordering::SeqCst);
    let made = back_up(world.url(), &file, &[]).await;
    stop.store(true, Ordering::SeqCst);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.output.contains("made in") && made.output.contains("read back"), "{made:?}");
    let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner may read it");
    let whole = Ended::of(&mut baton(&["backup", "--verify", &file.display().to_string()])).await;
    assert_eq!(whole.code, Some(0), "{whole:?}");

    let mut written = Vec::new();
    for (visitor, first, writer) in writers {
        let (ids, before) = writer.await.expect("writes");
        assert!(ids.len() >= before + 3, "the server took messages while the backup was made");
        let first = first["message"]["id"].as_str().expect("an id").to_owned();
        written.push((visitor, [vec![first], ids[..before].to_vec()].concat()));
    }
    let restored = restore(&file, &place).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(restored.output.contains("; 0 findings."), "{restored:?}");
    let again = restore(&file, &place).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.errors.contains("empty database"), "{again:?}");

    let world = Box::pin(world.moved_to(place)).await;
    let ana = world.agent("Ana");
    ana.get("/conversations").await.refused(401, "unauthenticated");
    world.business.sign_in(&world.state).await;
    for (visitor, wanted) in written {
        // Every message that was acknowledged before the backup began, in one order.
        let visitor = visitor.at(&world.origin);
        let all = ana.timeline(&conversation_of_visitor(&visitor).await).await;
        let stored: Vec<&str> =
            all.iter().filter_map(|item| item["message"]["id"].as_str()).collect();
        for id in &wanted {
            assert!(stored.contains(&id.as_str()), "{id} was acknowledged and is gone");
        }
        let seqs: Vec<u64> = all.iter().filter_map(|item| item["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..).take(seqs.len()).collect::<Vec<u64>>());
    }
    // The conversation with a past goes on: by the visitor's number, by the agent's cursor, with the AI again.
    let rina = rina.at(&world.origin);
    let mut page = rina.live_after(2).await;
    page.reads("on its way").await;
    let mut console = ana.live_from(Some(&cursor), None).await;
    console
        .ever("the agent resumes or starts over", |frame| {
            frame["type"] == "resync" || frame["type"] == "changed"
        })
        .await;
    ana.write(&id, "Here is Ana again.").await;
    page.message("Ana again").await;
    console.event(&id, "agent_wrote").await;
    ana.command(&id, "assign-to-ai", json!({})).await.ok();
    rina.write("And how long does a parcel to Papua take?").await;
    page.message("nine days").await;
    world.end().await;
}

async fn conversation_of_visitor(visitor: &Visitor) -> String {
    visitor.conversation().await["id"].as_str().expect("a conversation").to_owned()
}

/// Rows of a table in a database that no server uses.
async fn count(url: &str, text: &'static str) -> i64 {
    let db = Db::open_to_read(url).await.expect("opens");
    let counted = sql(text).one(&mut db.read().await.expect("a connection")).await;
    db.close().await;
    let (rows,): (i64,) = counted.expect("counts");
    rows
}

async fn what_ran_when_the_backup_was_made_runs_again(engine: Engine) {
    use baton::model::Task;
    use baton::model::scripted::{Behaviour, Gate, Rule};
    let world = World::new(engine, Setup::default()).await;
    let gate = Gate::after(1);
    let held = Behaviour::say("Refunds take five working days.").with_gate(gate.clone());
    world.model.add(Rule::on(Task::Answer, held).once());
    let visitor = world.visitor("Rina").await;
    visitor.write("How long does a refund take?").await;
    gate.arrived().await;
    let place = Place::fresh(engine).await;
    let file = place.folder().join("baton.backup");
    assert_eq!(back_up(world.url(), &file, &[]).await.code, Some(0));
    let restored = restore(&file, &place).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let held = "SELECT COUNT(*) FROM turn WHERE status = 'running' AND node IS NULL";
    assert_eq!(count(&place.url, held).await, 1, "its lease is nobody's");
    assert_eq!(count(&place.url, "SELECT COUNT(*) FROM session").await, 0);
    assert_eq!(count(&place.url, "SELECT COUNT(*) FROM event WHERE tx <> 0").await, 0);
    gate.open();
    let world = Box::pin(world.moved_to(place)).await;
    let visitor = visitor.at(&world.origin);
    let mut page = visitor.live().await;
    page.reads("five working days").await;
    let answers = visitor.messages().await;
    let answers: Vec<&Value> =
        answers.iter().filter(|m| m["author"]["kind"] == "assistant").collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    world.end().await;
}

/// A folder with nothing in it but what is named.
fn folder_has(folder: &Path, wanted: &[&str]) {
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("baton.db"))
        .collect();
    found.sort();
    assert_eq!(found, wanted);
}

async fn a_full_disk_and_a_taken_name_leave_what_was_there(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let visitor = world.visitor("Rina").await;
    // Words that do not compress.
    for _ in 0..24 {
        let words: String = (0..200).map(|_| fresh_client_id()).collect::<Vec<_>>().join(" ");
        visitor.write(&words[..7_000]).await;
    }
    let place = Place::fresh(Engine::Sqlite).await;
    let (folder, file) = (place.folder(), place.folder().join("baton.backup"));
    // Files may grow to 32 kB; more is refused as a full disk refuses it.
    let limited = "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\"";
    let on_full_disk = async |more: &[&str]| {
        let mut command = Command::new("bash");
        command.args(["-c", limited, env!("CARGO_BIN_EXE_baton"), "backup"]);
        command.arg(&file).args(["--database", world.url()]).args(more);
        clean(&mut command);
        Ended::of(&mut command).await
    };
    let full = on_full_disk(&[]).await;
    assert_eq!(full.code, Some(1), "{full:?}");
    assert!(
        full.errors.contains("File too large") && full.errors.contains("no file is left"),
        "{full:?}"
    );
    folder_has(&folder, &[]);

    // What a killed backup left is used again; what is being written is not.
    let partial: PathBuf = folder.join("baton.backup.partial");
    std::fs::write(&partial, "half a backup").expect("writes");
    let busy = std::fs::File::open(&partial).expect("opens");
    assert!(busy.try_lock_exclusive().expect("locks"));
    let refused = back_up(world.url(), &file, &[]).await;
    assert!(refused.code == Some(1) && refused.errors.contains("another backup"), "{refused:?}");
    drop(busy);
    let made = back_up(world.url(), &file, &[]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    folder_has(&folder, &["baton.backup"]);

    let before = std::fs::read(&file).expect("reads");
    let taken = back_up(world.url(), &file, &[]).await;
    assert!(taken.code == Some(1) && taken.errors.contains("--force"), "{taken:?}");
    assert_eq!(on_full_disk(&["--force"]).await.code, Some(1));
    assert_eq!(std::fs::read(&file).expect("reads"), before, "the old one stays");
    folder_has(&folder, &["baton.backup"]);
    assert_eq!(back_up(world.url(), &file, &["--force"]).await.code, Some(0));
    world.end().await;
}

on_both_engines!(
    a_backup_under_load_goes_on_in_either_engine,
    what_ran_when_the_backup_was_made_runs_again,
    a_full_disk_and_a_taken_name_leave_what_was_there,
);
