//! A business whose data outlives its processes, and what was acknowledged to whom.

use std::sync::Mutex;
use std::time::Duration;

use baton::db::{Db, sql};
use baton::model::Task;
use baton::model::scripted::{Script, ScriptedServer};
use baton::server::{self, Extras};
use serde_json::Value;

use super::people::conversation_of;
use super::process::{Launch, Process};
use super::world::{Business, configuration, found, http};
use super::{Agent, Engine, Place, Setup, Visitor, prompts};

/// Data that outlives its processes.
pub struct Scene {
    pub place: Place,
    pub model: ScriptedServer,
    pub business: Business,
    pub http: reqwest::Client,
    pub launch: Launch,
    starts: Mutex<Vec<Duration>>,
    /// Every message that was acknowledged: its id.
    acknowledged: Mutex<Vec<String>>,
}

impl Scene {
    /// On a fresh database.
    pub async fn new(engine: Engine, script: Script, launch: Launch) -> Self {
        Self::at(Place::fresh(engine).await, script, launch, &Setup::default()).await
    }

    /// On this empty database.
    pub async fn at(place: Place, script: Script, launch: Launch, setup: &Setup) -> Self {
        let model = ScriptedServer::start(script).await.expect("starts a model");
        let config = configuration(&place, &model);
        let built = server::build(&config, &Extras::default()).await.expect("builds");
        let business = found(&built.state, "Tanah Tinggi Coffee", setup).await;
        built.state.conversations.db().close().await;
        drop(built);
        let (starts, acknowledged) = (Mutex::default(), Mutex::default());
        Self { place, model, business, http: http(), launch, starts, acknowledged }
    }

    pub async fn start(&self) -> Process {
        let process = Process::start(&self.place, &self.model.base_url(), &self.launch).await;
        self.starts.lock().expect("not poisoned").push(process.took);
        process
    }

    pub async fn visitor(&self, process: &Process, name: &str) -> Visitor {
        Visitor::arrive(name, &self.http, &process.origin, &self.business.key).await
    }

    pub fn agent(&self, process: &Process) -> Agent {
        self.business.agent("Ana", &self.http, &process.origin)
    }

    /// Remembers what was acknowledged; returns the conversation.
    pub fn acknowledge(&self, answer: &Value) -> String {
        let id = answer["message"]["id"].as_str().unwrap_or_else(|| panic!("no id in {answer}"));
        self.acknowledged.lock().expect("not poisoned").push(id.to_owned());
        conversation_of(answer)
    }

    /// Remembers a message that somebody was told is stored.
    pub fn remember(&self, message: &Value) {
        let id = message["id"].as_str().unwrap_or_else(|| panic!("no id in {message}"));
        self.acknowledged.lock().expect("not poisoned").push(id.to_owned());
    }

    /// How often the model was asked to answer these words.
    pub fn asked(&self, words: &str) -> usize {
        let unanswered = |prompt: &String| prompt.contains(words);
        prompts(&self.model, Task::Answer).iter().filter(|prompt| unanswered(prompt)).count()
    }

    /// The laws, every acknowledged message, and what was measured.
    pub async fn end(self, process: Process, what: &str) {
        process.kill().await;
        let url = &self.place.url;
        crate::laws::assert_lawful(url).await;
        let db = Db::open(url).await.expect("opens what the process left");
        let mut conn = db.read().await.expect("a connection");
        let acknowledged = self.acknowledged.lock().expect("not poisoned").clone();
        for id in &acknowledged {
            let (count,): (i64,) = sql("SELECT count(*) FROM message WHERE id = $1")
                .bind(id.as_str())
                .one(&mut conn)
                .await
                .expect("counts");
            assert_eq!(count, 1, "the acknowledged message {id} is there {count} times");
        }
        drop(conn);
        db.close().await;
        let starts = self.starts.lock().expect("not poisoned").clone();
        let longest = starts.iter().max().copied().unwrap_or_default();
        let mean =
            starts.iter().sum::<Duration>() / u32::try_from(starts.len().max(1)).unwrap_or(1);
        say(&format!(
            "{:?} {what}; {} acknowledged; {} starts, {mean:?} on average, {longest:?} at most",
            self.place.engine,
            acknowledged.len(),
            starts.len(),
        ));
    }
}

/// A number for whoever reads the test's output.
#[expect(clippy::print_stderr, reason = "numbers for whoever reads the test's output")]
pub fn say(line: &str) {
    eprintln!("measured: {line}");
}
