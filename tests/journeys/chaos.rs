//! Two `baton serve` behind a load balancer that knows nothing, on one PostgreSQL with fsync on. A node is killed every 20
//! seconds and started again, the database is restarted twice (once in good order, once as by a power cut), while visitors
//! and agents go on. In the end nothing is lost, doubled, reordered or stale: by what the clients wrote down themselves and by
//! the laws read off the log.
//!
//! One minute; `BATON_TEST_CHAOS_SECONDS` makes it longer.

mod clients;
mod crashed;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton::conversation::audit;
use baton::db::{Db, sql};
use baton::ids::WorkspaceId;
use baton::model::scripted::{Behaviour, Reply, Script, ScriptedServer};
use baton::server::{self, Extras};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::clients::{
    AgentBook, Trouble, VisitorBook, agent_listens, agent_works, locked, visitor_listens,
    visitor_writes,
};
use crate::support::balancer::Balancer;
use crate::support::cluster::{Cluster, Stop, free_port};
use crate::support::engine::has_postgres;
use crate::support::world::{Business, configuration_at, found, http_without_memory};
use crate::support::{Agent, Setup, Visitor, eventually};

const VISITORS: usize = 8;
const AGENTS: [&str; 2] = ["Ana", "Budi"];
/// A node is killed so often.
const KILL_EVERY: Duration = Duration::from_secs(20);
/// A killed node comes back after this.
const BACK_AFTER: Duration = Duration::from_secs(2);
/// How long everything that is under way may take to come to rest in the end.
const REST: Duration = Duration::from_secs(90);

fn seconds() -> u64 {
    let given = std::env::var("BATON_TEST_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(60)
}

/// One `baton serve` at a place of its own, killed and started again.
struct Node {
    address: SocketAddr,
    child: Option<Child>,
    command: Box<dyn Fn() -> Command + Send>,
}

impl Node {
    fn new(url: &str, model: &str, folder: &Path, name: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (url, model) = (url.to_owned(), model.to_owned());
        let (folder, log) = (folder.to_owned(), folder.join(format!("{name}.log")));
        let command = move || {
            let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log);
            let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("BATON_") {
                    command.env_remove(&name);
                }
            }
            command
                .args(["serve", "--port", &address.port().to_string(), "--log", "info"])
                .args(["--model-name", "scripted", "--database", &url, "--model-url", &model])
                .env("BATON_TURN__DEBOUNCE_MS", "0")
                .env("BATON_LIMITS__VISITOR_SESSIONS_PER_MINUTE", "100000")
                .env("BATON_LIMITS__VISITOR_MESSAGES_PER_MINUTE", "100000")
                .env("BATON_LIMITS__VISITOR_MESSAGES_BURST", "100000")
                .env("BATON_LIMITS__AGENT_REQUESTS_PER_SECOND", "100000")
                .current_dir(&folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(stderr.expect("a log file"))
                .kill_on_drop(true);
            command
        };
        Self { address, child: None, command: Box::new(command) }
    }

    /// Starts it if it does not run: at first, after a kill, or when it found no database.
    fn tend(&mut self) {
        let gone = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        if gone {
            self.child = Some((self.command)().spawn().expect("starts baton"));
        }
    }

    /// Kills it: nothing can be tidied up.
    async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.start_kill().expect("kills baton");
            child.wait().await.expect("waits for its end");
        }
    }
}

/// How often what happened.
#[derive(Default)]
struct Faults {
    kills: usize,
    restarts: usize,
}

/// Everything that goes wrong, on time.
async fn break_things(nodes: &mut [Node], cluster: &Cluster, length: Duration) -> Faults {
    let begun = Instant::now();
    let mut faults = Faults::default();
    let mut next_kill = begun + KILL_EVERY / 2;
    let mut back_at: Option<(usize, Instant)> = None;
    let mut restarts =
        vec![(begun + length * 2 / 3, Stop::Immediate), (begun + length / 3, Stop::Fast)];
    while begun.elapsed() < length {
        sleep_until(Instant::now() + Duration::from_millis(200)).await;
        let now = Instant::now();
        let down = match back_at {
            Some((which, at)) if now < at => Some(which),
            _ => None,
        };
        if now >= next_kill {
            let which = faults.kills % nodes.len();
            nodes[which].kill().await;
            faults.kills += 1;
            next_kill += KILL_EVERY;
            back_at = Some((which, now + BACK_AFTER));
            continue;
        }
        for (which, node) in nodes.iter_mut().enumerate() {
            if down != Some(which) {
                node.tend();
            }
        }
        if restarts.last().is_some_and(|(at, _)| now >= *at)
            && let Some((_, how)) = restarts.pop()
        {
            cluster.restart(how).await;
            faults.restarts += 1;
        }
    }
    for node in nodes {
        node.tend();
    }
    faults
}

/// Everybody who takes part, and what they wrote down.
struct People {
    visitors: Vec<(Visitor, Arc<Mutex<VisitorBook>>)>,
    agents: Vec<(Agent, Arc<Mutex<AgentBook>>)>,
    trouble: Arc<Trouble>,
    listening: CancellationToken,
    working: CancellationToken,
    tasks: TaskTracker,
    workers: TaskTracker,
}

impl People {
    async fn arrive(business: &Business, origin: &str) -> Self {
        let http = http_without_memory();
        let mut people = Self {
            visitors: Vec::new(),
            agents: Vec::new(),
            trouble: Arc::default(),
            listening: CancellationToken::new(),
            working: CancellationToken::new(),
            tasks: TaskTracker::new(),
            workers: TaskTracker::new(),
        };
        for name in AGENTS {
            let (agent, book) = (business.agent(name, &http, origin), Arc::default());
            let (trouble, listening) = (Arc::clone(&people.trouble), people.listening.clone());
            people.tasks.spawn(agent_listens(agent.clone(), Arc::clone(&book), trouble, listening));
            people.agents.push((agent, book));
        }
        for n in 0..VISITORS {
            let visitor =
                Visitor::arrive(&format!("visitor {n}"), &http, origin, &business.key).await;
            let book = Arc::default();
            let (trouble, listening) = (Arc::clone(&people.trouble), people.listening.clone());
            let listens = visitor_listens(visitor.clone(), Arc::clone(&book), trouble, listening);
            people.tasks.spawn(listens);
            people.visitors.push((visitor, book));
        }
        people
    }

    fn work(&self) {
        for (visitor, book) in &self.visitors {
            let (trouble, stop) = (Arc::clone(&self.trouble), self.working.clone());
            self.workers.spawn(visitor_writes(visitor.clone(), Arc::clone(book), trouble, stop));
        }
        for (agent, book) in &self.agents {
            let (trouble, stop) = (Arc::clone(&self.trouble), self.working.clone());
            self.workers.spawn(agent_works(agent.clone(), Arc::clone(book), trouble, stop));
        }
    }

    async fn rest(&self) {
        self.working.cancel();
        self.workers.close();
        self.workers.wait().await;
    }

    async fn leave(&self) {
        self.listening.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What is stored of one conversation: its last numbers and its public messages.
struct Stored {
    seq: u64,
    public: Vec<(u64, String)>,
    client_ids: BTreeMap<String, Vec<String>>,
}

async fn stored(db: &Db, id: &str) -> Stored {
    let mut conn = db.read().await.expect("a connection");
    let row = sql("SELECT seq FROM conversation WHERE id = $1").bind(id);
    let (seq,): (i64,) = row.one(&mut conn).await.expect("the conversation is there");
    let rows: Vec<(String, Option<i64>, Option<String>)> =
        sql("SELECT id, public_seq, client_id FROM message WHERE conversation = $1 ORDER BY seq")
            .bind(id)
            .all(&mut conn)
            .await
            .expect("reads");
    let mut stored = Stored {
        seq: u64::try_from(seq).expect("a number"),
        public: Vec::new(),
        client_ids: BTreeMap::new(),
    };
    for (id, public, client_id) in rows {
        if let Some(client_id) = client_id {
            stored.client_ids.entry(client_id).or_default().push(id.clone());
        }
        if let Some(number) = public {
            stored.public.push((u64::try_from(number).expect("a number"), id));
        }
    }
    stored
}

/// Waits until no turn is under way and everybody has seen everything, then compares what they saw with what is stored.
async fn judge(people: &People, db: &Db, workspace: WorkspaceId) -> Counts {
    let since = Instant::now();
    loop {
        let (rests, seen) = (no_turns(db).await, all_seen(people, db).await);
        if rests && seen {
            break;
        }
        if since.elapsed() > REST {
            people
                .trouble
                .wrong(format!("no rest after {REST:?}: turns done {rests}, all seen {seen}"));
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    let mut counts = Counts::default();
    let mut all: BTreeMap<String, Stored> = BTreeMap::new();
    for (visitor, book) in &people.visitors {
        let Some(id) = locked(book).conversation.clone() else { continue };
        let stored = stored(db, &id).await;
        let book = locked(book);
        let pair = |m: &Value| Some((m["public_seq"].as_u64()?, m["id"].as_str()?.to_owned()));
        let seen: Vec<(u64, String)> = book.seen.iter().filter_map(pair).collect();
        if seen != stored.public {
            let what = format!("{}: saw {seen:?}, stored is {:?}", visitor.name, stored.public);
            people.trouble.wrong(what);
        }
        acknowledged(&visitor.name, &book.acknowledged, &stored, &people.trouble);
        voices(&visitor.name, &book.seen, &people.trouble);
        counts.messages += seen.len();
        counts.acknowledged += book.acknowledged.len();
        counts.drafts += book.drafts;
        all.insert(id, stored);
    }
    let written: BTreeMap<&String, &Vec<String>> =
        all.values().flat_map(|stored| &stored.client_ids).collect();
    for (agent, book) in &people.agents {
        let book = locked(book);
        counts.takeovers += book.takeovers;
        counts.acknowledged += book.acknowledged.len();
        for (client_id, id) in &book.acknowledged {
            if written.get(client_id).is_none_or(|ids| ids.as_slice() != [id.clone()]) {
                people.trouble.wrong(format!("lost or doubled: {} wrote {id}", agent.name));
            }
        }
        for (id, stored) in &all {
            let known = book.events.get(id).map_or(0, BTreeMap::len);
            counts.events += known;
            if u64::try_from(known) != Ok(stored.seq) {
                let what = format!("{}: {known} of {} events of {id}", agent.name, stored.seq);
                people.trouble.wrong(what);
            }
        }
    }
    counts.answers = answers(db, workspace).await;
    counts
}

/// What was acknowledged is stored once, under the id that was named.
fn acknowledged(
    name: &str,
    acknowledged: &BTreeMap<String, String>,
    stored: &Stored,
    trouble: &Trouble,
) {
    for (client_id, id) in acknowledged {
        let there = stored.client_ids.get(client_id).map_or(&[][..], Vec::as_slice);
        if there != [id.clone()] {
            trouble.wrong(format!(
                "lost or doubled: {name} was acknowledged {id}, stored is {there:?}"
            ));
        }
    }
}

/// By what the visitor saw alone: between an agent's coming and going the AI is silent.
fn voices(name: &str, seen: &[Value], trouble: &Trouble) {
    let mut by_human = false;
    for message in seen {
        match (message["notice"].as_str(), message["author"]["kind"].as_str()) {
            (Some("agent_joined"), _) => by_human = true,
            (Some("returned_to_ai" | "closed"), _) => by_human = false,
            (_, Some("assistant")) if by_human => {
                trouble.wrong(format!("stale: {name} read {message} while an agent was there"));
            }
            _ => {}
        }
    }
}

async fn no_turns(db: &Db) -> bool {
    let mut conn = db.read().await.expect("a connection");
    let open = sql("SELECT count(*) FROM turn WHERE status IN ('due', 'running')");
    open.one::<(i64,)>(&mut conn).await.expect("counts").0 == 0
}

async fn answers(db: &Db, workspace: WorkspaceId) -> usize {
    let mut conn = db.read().await.expect("a connection");
    let count =
        sql("SELECT count(*) FROM message WHERE workspace = $1 AND author_kind = 'assistant'");
    let (count,): (i64,) = count.bind(workspace).one(&mut conn).await.expect("counts");
    usize::try_from(count).unwrap_or(0)
}

/// Whether every visitor's socket and every console have brought what is stored.
async fn all_seen(people: &People, db: &Db) -> bool {
    for (_, book) in &people.visitors {
        let (last, id) = {
            let book = locked(book);
            (book.last(), book.conversation.clone())
        };
        let Some(id) = id else { continue };
        let stored = stored(db, &id).await;
        if stored.public.last().map(|(number, _)| *number) != Some(last) {
            return false;
        }
        for (_, book) in &people.agents {
            let known = locked(book).events.get(&id).map_or(0, BTreeMap::len);
            if u64::try_from(known) != Ok(stored.seq) {
                return false;
            }
        }
    }
    true
}

#[derive(Debug, Default)]
struct Counts {
    messages: usize,
    acknowledged: usize,
    answers: usize,
    events: usize,
    drafts: usize,
    takeovers: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_are_killed_and_the_database_restarts_and_nothing_is_lost() {
    if !has_postgres() {
        return;
    }
    let length = Duration::from_secs(seconds());
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().expect("makes a temporary folder");
    let paced = Behaviour::reply(Reply::ByTask)
        .with_delays(Duration::from_millis(20), Duration::from_millis(4));
    let script = Script::instant().with(baton::model::scripted::Rule::always(paced));
    let model = ScriptedServer::start(script).await.expect("starts a model");
    let business = opened(&cluster, &model).await;
    let (url, base) = (cluster.url(), model.base_url());
    let mut nodes: Vec<Node> =
        ["one", "two"].map(|name| Node::new(&url, &base, folder.path(), name)).into();
    for node in &mut nodes {
        node.tend();
    }
    all_ready(&nodes).await;
    let balancer = Balancer::start(nodes.iter().map(|node| node.address).collect()).await;
    let people = People::arrive(&business, &balancer.origin).await;
    people.work();
    let faults = break_things(&mut nodes, &cluster, length).await;
    all_ready(&nodes).await;
    people.rest().await;
    let db = Db::open(&url).await.expect("opens the database");
    let counts = judge(&people, &db, business.workspace).await;
    people.leave().await;
    for node in &mut nodes {
        node.kill().await;
    }
    let broken = audit::findings(&db).await.expect("reads what is stored");
    db.close().await;
    let trouble = &people.trouble;
    let wrong = locked(&trouble.wrong).clone();
    let of = |kind: &str| wrong.iter().filter(|what| what.starts_with(kind)).count();
    say(&format!(
        "{length:?}: {} kills, {} restarts of the database; connections by node {:?}; {counts:?}; asked again {}, sockets \
         lost {}, consoles that started over {}; lost {}, doubled or reordered {}, stale {}, laws broken {}, wrong in all {}",
        faults.kills,
        faults.restarts,
        balancer.taken(),
        trouble.asked_again.load(Ordering::Relaxed),
        trouble.sockets_lost.load(Ordering::Relaxed),
        trouble.started_over.load(Ordering::Relaxed),
        of("lost"),
        of("doubled") + of("reordered"),
        of("stale"),
        broken.len(),
        wrong.len(),
    ));
    let logs: Vec<String> =
        ["one", "two"].map(|name| tail(&folder.path().join(format!("{name}.log")))).into();
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), logs.join("\n---\n"));
    assert!(broken.is_empty(), "the laws are broken:\n{broken:#?}");
    let kills = (length.as_secs() + KILL_EVERY.as_secs() / 2) / KILL_EVERY.as_secs();
    assert_eq!(u64::try_from(faults.kills), Ok(kills), "as often as said");
    assert_eq!(faults.restarts, 2);
    assert!(counts.answers > 0 && counts.takeovers > 0 && counts.drafts > 0, "{counts:?}");
    drop(cluster);
}

/// A business on a database that nobody uses yet.
async fn opened(cluster: &Cluster, model: &ScriptedServer) -> Business {
    let config = configuration_at(&cluster.url(), model);
    let built = server::build(&config, &Extras::default()).await.expect("builds");
    let business = found(&built.state, "Tanah Tinggi Coffee", &Setup::default()).await;
    built.state.conversations.db().close().await;
    business
}

/// Waits until all nodes serve and hear each other.
async fn all_ready(nodes: &[Node]) {
    let http = http_without_memory();
    for node in nodes {
        let address = format!("http://{}/ready", node.address);
        eventually("every node to be ready", || async {
            let answer = http.get(&address).send().await.map_err(|error| error.to_string())?;
            let ready: Value = answer.json().await.map_err(|error| error.to_string())?;
            let fine = ready["ready"] == true && ready["bridge"] == "ok";
            if fine { Ok(()) } else { Err(ready.to_string()) }
        })
        .await;
    }
}

fn tail(log: &PathBuf) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
    let errors = text.lines().filter(|line| line.contains("ERROR")).take(20);
    let last = text.lines().skip(text.lines().count().saturating_sub(40));
    errors.chain(last).collect::<Vec<_>>().join("\n")
}

#[expect(clippy::print_stderr, reason = "numbers for whoever reads the test's output")]
fn say(line: &str) {
    eprintln!("chaos: {line}");
}
