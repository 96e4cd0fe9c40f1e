//! One run of one seed, from the first message to the last promise.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;

use super::sights::{Sight, Sights};
use super::sim::Sim;
use super::world::World;
use super::{agent, oracle, trouble, visitor};
use crate::db::{Db, migrate, sql};
use crate::ids::seeded::Seeded;

/// How long those who still wait for an acknowledgement may take once nothing goes wrong any more.
const SETTLE: Duration = Duration::from_secs(120);
/// How long afterwards every promise, lease, pause and timer of a run has had its time.
const CALM: Duration = Duration::from_secs(230);
/// So long that an assignee who went away loses what they hold.
const LONG_CALM: Duration = Duration::from_secs(700);

/// What a run came to.
pub struct Ran {
    pub seed: u64,
    pub wrong: Vec<String>,
    pub sights: Sights,
    pub fingerprint: u64,
    pub trace: Vec<String>,
}

/// Runs a seed, alone on this thread.
pub fn run(seed: u64) -> Ran {
    let folder = scratch();
    let file = folder.path().join("sim.db");
    for end in ["", "-wal"] {
        let (from, to) = (named(migrated(), end), named(&file, end));
        if from.exists() {
            std::fs::copy(from, to).expect("copies the migrated database");
        }
    }
    let _ids = Seeded::from(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime starts");
    let sim = runtime.block_on(live(seed, &file));
    drop(runtime);
    Ran {
        seed,
        wrong: sim.wrongs(),
        sights: sim.sights(),
        fingerprint: sim.fingerprint(),
        trace: sim.trace(),
    }
}

async fn live(seed: u64, file: &Path) -> Arc<Sim> {
    let world = World::furnish(seed, file).await;
    let sim = Arc::clone(&world.sim);
    sim.note(&format!("{:?}", sim.weather));
    for place in 0..world.places() {
        world.start(place).await;
    }
    let mut people = JoinSet::new();
    for index in 0..world.contacts.len() {
        people.spawn(visitor::live(Arc::clone(&world), index));
    }
    for name in 0..world.people.len() {
        people.spawn(agent::live(Arc::clone(&world), name));
    }
    let mut troubles = JoinSet::new();
    troubles.spawn(trouble::of_nodes(Arc::clone(&world)));
    troubles.spawn(trouble::of_clocks(Arc::clone(&world)));
    troubles.spawn(trouble::of_the_database(Arc::clone(&world)));
    troubles.spawn(trouble::of_the_assistant(Arc::clone(&world)));
    let sampler = tokio::spawn(sample(Arc::clone(&world)));
    sim.pause(sim.weather.active).await;
    sim.end();
    while let Some(ended) = troubles.join_next().await {
        ended.expect("troubles do not panic");
    }
    sim.calm_down();
    world.heal().await;
    let settled = tokio::time::timeout(SETTLE, async {
        while let Some(ended) = people.join_next().await {
            ended.expect("people do not panic");
        }
    });
    if settled.await.is_err() {
        sim.wrong("somebody never got an answer");
    }
    sim.pause(if seed.is_multiple_of(agent::GOES_HOME) { LONG_CALM } else { CALM }).await;
    sampler.abort();
    sim.hear_all();
    oracle::judge(&world).await;
    sim
}

/// Looks now and then at what leaves no trace.
async fn sample(world: Arc<World>) {
    loop {
        world.sim.pause(Duration::from_secs(3)).await;
        let again = async {
            let mut conn = world.plain.read().await?;
            sql("SELECT COUNT(*) FROM job WHERE attempt > 1").one::<(i64,)>(&mut conn).await
        };
        if again.await.is_ok_and(|(jobs,)| jobs > 0) {
            world.sim.saw(Sight::JobTriedAgain);
        }
    }
}

/// The file beside a database with this end of its name.
fn named(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A folder in memory where there is one: the files are many and nobody pulls the plug.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("makes a folder")
}

/// A migrated, empty database, made once.
fn migrated() -> &'static Path {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let make = || {
        let folder = scratch();
        let file = folder.path().join("empty.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(async {
            let db = Db::open(&format!("sqlite:{}", file.display())).await.expect("opens");
            migrate(&db).await.expect("migrates");
            db.close().await;
        });
        (folder, file)
    };
    &MADE.get_or_init(make).1
}
