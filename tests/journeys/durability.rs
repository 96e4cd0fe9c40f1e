//! A message is on disk before anybody is told that it is stored: read off the system calls of the real process, and of the
//! real PostgreSQL server behind it, alone and with 64 writers at once.
//!
//! Every message carries a mark of its own. In the trace there must be, for each: a write to the write-ahead log that contains
//! the mark, then a call of fsync or fdatasync on that very file which began after the write and ended without error, and only then the
//! answer on the socket that contains the mark.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::people::fresh_client_id;
use crate::support::postgres::Cluster;
use crate::support::trace::{self, Proof};
use crate::support::{Agent, Engine, Launch, Place, Scene, Setup, Visitor, engine, say};
use baton::model::scripted::Script;

/// Messages one after another, by visitor and agent each.
const ALONE: usize = 16;
/// Writers at once.
const WRITERS: usize = 64;
/// Messages of each.
const EACH: usize = 2;

/// The words of a message: its mark three times, since the end of a page of the log may cut one of them in two.
fn words(mark: &str) -> String {
    format!("{mark} and {mark} and {mark}")
}

async fn visitor_writes(scene: &Scene, visitor: &Visitor, mark: &str) -> String {
    let body = json!({ "client_id": fresh_client_id(), "text": words(mark) });
    let request = visitor.request(reqwest::Method::POST, "/widget/messages").json(&body);
    // What is compressed cannot be read in the trace.
    let request = request.header("accept-encoding", "identity");
    scene.acknowledge(&crate::support::people::send(request, "a visitor writes").await.ok())
}

async fn agent_writes(scene: &Scene, ana: &Agent, conversation: &str, mark: &str) {
    let epoch = ana.epoch(conversation).await;
    let body =
        json!({ "client_id": fresh_client_id(), "text": words(mark), "expected_epoch": epoch });
    let path = format!("/conversations/{conversation}/messages");
    let request = ana.request(reqwest::Method::POST, &path).json(&body);
    let request = request.header("accept-encoding", "identity");
    let answer = crate::support::people::send(request, "an agent writes").await.ok();
    scene.remember(&answer);
}

/// Writes everything; returns the marks.
async fn traffic(scene: &Scene, process: &crate::support::Process) -> Vec<String> {
    let mut marks = Vec::new();
    let ana = scene.agent(process);
    let visitor = scene.visitor(process, "Rina").await;
    let first = "mark-first-0".to_owned();
    let conversation = visitor_writes(scene, &visitor, &first).await;
    marks.push(first);
    ana.take_over(&conversation).await;
    for number in 0..ALONE {
        let (theirs, ours) = (format!("mark-visitor-{number}-"), format!("mark-agent-{number}-"));
        visitor_writes(scene, &visitor, &theirs).await;
        agent_writes(scene, &ana, &conversation, &ours).await;
        marks.extend([theirs, ours]);
    }
    let visitors = join_all((0..WRITERS).map(|_| scene.visitor(process, "Rina"))).await;
    let writers = visitors.iter().enumerate().map(|(writer, visitor)| async move {
        let mut marks = Vec::new();
        for number in 0..EACH {
            let mark = format!("mark-writer-{writer}-{number}-");
            visitor_writes(scene, visitor, &mark).await;
            marks.push(mark);
        }
        marks
    });
    marks.extend(join_all(writers).await.into_iter().flatten());
    marks
}

#[track_caller]
fn kept(engine: Engine, proof: &Proof, marks: &[String], syncs: usize) {
    assert!(
        proof.broken.is_empty(),
        "{} of {}: {:#?}",
        proof.broken.len(),
        marks.len(),
        proof.broken
    );
    assert_eq!(proof.kept, marks.len());
    say(&format!(
        "{engine:?}: {} acknowledged messages were on disk before, {syncs} syncs of the log, {WRITERS} writers at once",
        proof.kept
    ));
}

fn syncs(calls: &[trace::Call], log: &str) -> usize {
    let is = |call: &&trace::Call| call.name.ends_with("sync") && call.on.contains(log);
    calls.iter().filter(is).count()
}

/// Nobody but people writes here: the AI is asked to keep silent by taking over first, and its answers carry no mark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_has_every_message_on_disk_before_its_acknowledgement() {
    let place = Place::fresh(Engine::Sqlite).await;
    let file = place.folder().join("calls.trace");
    let through = trace::strace(&file);
    let launch = Launch { through, ..Launch::default() };
    let scene = Scene::at(place, Script::instant(), launch, &Setup::default()).await;
    let process = scene.start().await;
    let marks = traffic(&scene, &process).await;
    let last = marks.last().cloned().unwrap_or_default();
    let calls = trace::read(file, |text| text.contains(&last)).await;
    let proof = trace::prove(&calls, "baton.db-wal", &calls, &marks);
    kept(Engine::Sqlite, &proof, &marks, syncs(&calls, "baton.db-wal"));
    scene.end(process, "durability by the system calls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_has_every_message_on_disk_before_its_acknowledgement() {
    if !engine::has_postgres() {
        return;
    }
    let traces = tempfile::tempdir().expect("makes a temporary folder");
    let (disk, network) = (traces.path().join("disk.trace"), traces.path().join("net.trace"));
    let cluster = Cluster::start(&trace::strace(&disk)).await;
    let place = Place::given(Engine::Postgres, cluster.url());
    let launch = Launch { through: trace::strace(&network), ..Launch::default() };
    let scene = Scene::at(place, Script::instant(), launch, &Setup::default()).await;
    let process = scene.start().await;
    let marks = traffic(&scene, &process).await;
    let last = marks.last().cloned().unwrap_or_default();
    let network = trace::read(network, |text| text.contains(&last)).await;
    let disk = trace::read(disk, |text| text.contains(&last)).await;
    let proof = trace::prove(&disk, "/pg_wal/", &network, &marks);
    kept(Engine::Postgres, &proof, &marks, syncs(&disk, "/pg_wal/"));
    scene.end(process, "durability by the system calls").await;
    cluster.end().await;
}
