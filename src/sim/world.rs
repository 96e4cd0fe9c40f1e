//! The nodes of a run: each the product's own parts over the one database, started, killed and started again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::chance::Chance;
use super::model::Moody;
use super::power::{Plain, Power};
use super::sights::Sight;
use super::sim::{START, Sim};
use super::visitor::Diary;
use super::weather::Weather;
use crate::assist::Assistance;
use crate::assistant::config::AssistantConfig;
use crate::clock::Clock;
use crate::conversation::{Conversations, Pace, Wire};
use crate::db::simulated::Shared;
use crate::db::{Db, DbError, sql};
use crate::handoff::Timers;
use crate::handoff::testing::Shop;
use crate::health::Pulse;
use crate::ids::{AgentId, ContactId, Ids, MessageId};
use crate::jobs;
use crate::knowledge::article::ArticleDraft;
use crate::knowledge::{Audience, Knowledge};
use crate::model::prompt::Prompts;
use crate::model::{ChatModel, ModelSet, Models};
use crate::turn::{Limits, Producer, Published, TurnWorker};

/// How many turns a node runs at once.
const PLACES: usize = 4;
/// How long a node that is stopped in order may take.
const GRACE: Duration = Duration::from_secs(10);

/// Everybody and everything of a run.
pub struct World {
    pub sim: Arc<Sim>,
    pub shop: Shop,
    pub contacts: Vec<ContactId>,
    pub people: Vec<AgentId>,
    /// What the visitors know.
    pub diary: Diary,
    /// What the agents know: every message that was acknowledged, by its client id.
    pub agents_said: Mutex<BTreeMap<String, MessageId>>,
    /// The database as the simulation sees it: nothing fails.
    pub plain: Db,
    shared: Shared,
    knowledge: Knowledge,
    slots: Vec<Mutex<Slot>>,
}

/// The place of a node: its clock goes on while the node is down.
struct Slot {
    life: u32,
    ahead: Arc<AtomicI64>,
    node: Option<Arc<Node>>,
}

/// One life of a node.
pub struct Node {
    pub conversations: Conversations,
    pub power: Arc<Power>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

fn prompts() -> Arc<Prompts> {
    static PROMPTS: OnceLock<Arc<Prompts>> = OnceLock::new();
    let embedded = || Arc::new(Prompts::embedded().expect("the prompts are good"));
    Arc::clone(PROMPTS.get_or_init(embedded))
}

impl World {
    /// A furnished shop in a migrated file; no node runs yet.
    pub async fn furnish(seed: u64, file: &Path) -> Arc<Self> {
        let weather = Weather::of(seed);
        let shared = Shared::at(file);
        let plain = shared.open(Arc::new(Plain)).expect("the database opens");
        let shop = Shop::open(plain.clone()).await;
        let clock = Clock::of_runtime(START, tokio::time::Instant::now(), Arc::default());
        let knowledge = Knowledge::new(plain.clone(), clock, Ids, None);
        let base = knowledge.create_base(shop.workspace, "Help").await.expect("makes a base").id;
        let draft = ArticleDraft {
            title: "Refunds".to_owned(),
            body: "A refund takes five working days after we receive the parcel.".to_owned(),
            audience: Audience::Public,
            locale: "en".to_owned(),
            url: None,
            updated: None,
        };
        knowledge
            .put_article(shop.workspace, base, "text", "refunds", draft)
            .await
            .expect("stores");
        // The index is filled here, where nothing else runs: it takes a thread of its own.
        knowledge
            .search_public(shop.workspace, &[base], "refund", Some("en"), 3)
            .await
            .expect("searches");
        let angry = json!({"name": "Angry", "text": "The visitor is angry."});
        let worded = if weather.judged { vec![angry] } else { Vec::new() };
        let published = json!({
            "identity": { "name": "Bo", "avatar": "", "tone": "friendly", "languages": ["en"],
                "greeting": {}, "disclosure": {} },
            "knowledge_bases": [base],
            "job_description": "",
            "model": "default",
            "conditions": { "worded": worded },
        });
        let _reads: AssistantConfig =
            serde_json::from_value(published.clone()).expect("the configuration reads");
        shop.publish(&published).await;
        let settings = sql("UPDATE inbox SET settings = $1").bind(weather.inbox().to_string());
        shop.write(vec![settings]).await;
        let mut people = vec![shop.agent];
        for name in ["Budi", "Citra"].iter().take(weather.agents - 1) {
            let agent: AgentId = Ids.fresh();
            shop.hire(agent, name, "agent").await;
            people.push(agent);
        }
        let mut contacts = Vec::new();
        for _ in 0..weather.visitors {
            contacts.push(shop.visitor(None, "en").await.contact);
        }
        let slots = (0..weather.nodes)
            .map(|_| Mutex::new(Slot { life: 0, ahead: Arc::default(), node: None }))
            .collect();
        let sim = Sim::new(seed, weather, plain.clone(), shop.workspace);
        let (diary, agents_said) = (Diary::default(), Mutex::default());
        Arc::new(Self {
            sim,
            shop,
            contacts,
            people,
            diary,
            agents_said,
            plain,
            shared,
            knowledge,
            slots,
        })
    }

    fn slot<T>(&self, index: usize, f: impl FnOnce(&mut Slot) -> T) -> T {
        f(&mut self.slots[index].lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The node at a place, if it runs.
    pub fn node(&self, place: usize) -> Option<Arc<Node>> {
        self.slot(place, |slot| slot.node.clone())
    }

    /// Some node that runs, as a load balancer would choose one; waits for one.
    pub async fn some_node(&self, chance: &mut Chance) -> Arc<Node> {
        loop {
            let running: Vec<_> = (0..self.places()).filter_map(|place| self.node(place)).collect();
            if !running.is_empty() {
                return Arc::clone(chance.pick(&running));
            }
            self.sim.pause(Duration::from_millis(200)).await;
        }
    }

    /// Sets the clock of a place so many milliseconds ahead.
    pub fn set_clock(&self, place: usize, ahead: i64) {
        self.slot(place, |slot| slot.ahead.store(ahead, Ordering::Relaxed));
    }

    /// Starts a node where none runs.
    pub async fn start(self: &Arc<Self>, place: usize) {
        let (life, ahead) = self.slot(place, |slot| {
            slot.life += 1;
            (slot.life, Arc::clone(&slot.ahead))
        });
        let power = Power::new(&self.sim, (place, life));
        let db = self.shared.open(Arc::clone(&power) as _).expect("the database opens");
        let clock = Clock::of_runtime(START, self.sim.began(), ahead);
        let wire = Arc::new(Wire::default());
        let pace = Pace {
            debounce_ms: self.sim.weather.debounce_ms,
            max_supersedes: 2,
            supersede_within_ms: 15_000,
        };
        let conversations =
            Conversations::new(db.clone(), clock.clone(), Ids, Arc::clone(&wire)).with_pace(pace);
        let model: Arc<dyn ChatModel> = Moody::new(&self.sim, &power);
        let mut set = ModelSet::of_one(&model);
        set.fallback = self.sim.seed.is_multiple_of(3).then(|| Arc::clone(&model));
        let models = Arc::new(Models::new(&model).with_default(set));
        let producer = Producer {
            knowledge: self.knowledge.clone(),
            prompts: prompts(),
            models: Arc::clone(&models),
            clock: clock.clone(),
            limits: Limits::default(),
        };
        let assistance = Assistance::new(
            conversations.clone(),
            self.knowledge.clone(),
            models,
            producer.prompts.clone(),
        );
        let worker =
            assistance.register(jobs::Worker::new(db.clone(), clock, conversations.node()));
        if self.places() == 1 && life > 1 {
            self.recover(&conversations, &worker).await;
        }
        let node = Arc::new(Node {
            conversations: conversations.clone(),
            power,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        for contact in &self.contacts {
            let ear = wire.visitors.subscribe((self.shop.inbox, *contact));
            self.sim.listen(node.power.life, ear);
        }
        let (tasks, stop) = (node.tasks.clone(), node.stop.clone());
        let jobs = worker.run(Arc::clone(&wire), tasks.clone(), stop.clone(), Pulse::default());
        node.tasks.spawn(jobs);
        let timers = Timers::new(conversations.clone());
        node.tasks.spawn(timers.run(stop.clone(), Pulse::default()));
        let turns = TurnWorker::new(
            conversations,
            producer,
            Arc::new(Published::new(db)),
            PLACES,
            tasks,
            stop,
        );
        node.tasks.spawn(turns.run(Pulse::default()));
        self.sim.note(&format!("node {place}.{life} started"));
        self.slot(place, |slot| slot.node = Some(Arc::clone(&node)));
        super::visitor::watch(self, &node);
        super::agent::lie_in_wait(self, &node);
        super::trouble::steal_wake_ups(self, &node);
        if life > 1 {
            self.sim.saw(Sight::Restarted);
        }
    }

    /// Starts the node at a place, if none runs there.
    pub async fn start_if_down(self: &Arc<Self>, place: usize) {
        if self.node(place).is_none() {
            self.start(place).await;
        }
    }

    /// As the server does before it serves; it starts again until that works.
    async fn recover(&self, conversations: &Conversations, worker: &jobs::Worker) {
        loop {
            let recovered = async {
                let turns = conversations.recover().await?;
                Ok::<_, DbError>(turns + worker.recover().await?)
            };
            match recovered.await {
                Ok(0) => return,
                Ok(_) => return self.sim.saw(Sight::Recovered),
                Err(_) => self.sim.pause(Duration::from_secs(1)).await,
            }
        }
    }

    /// Kills the node at a place: from one moment to the next it does nothing more.
    pub fn kill(&self, place: usize) {
        let Some(node) = self.slot(place, |slot| slot.node.take()) else { return };
        self.sim.note(&format!("node {place}.{} killed", node.power.life.1));
        self.sim.saw(Sight::Killed);
        node.power.kill();
        node.stop.cancel();
    }

    /// Stops the node at a place in order.
    pub async fn stop(&self, place: usize) {
        let Some(node) = self.slot(place, |slot| slot.node.take()) else { return };
        self.sim.note(&format!("node {place}.{} stops", node.power.life.1));
        self.sim.saw(Sight::StoppedInOrder);
        node.stop.cancel();
        node.tasks.close();
        let _late = tokio::time::timeout(GRACE, node.tasks.wait()).await;
        node.power.dead.cancel();
    }

    /// Every node runs and is well, and its clock is right.
    pub async fn heal(self: &Arc<Self>) {
        for place in 0..self.places() {
            self.set_clock(place, 0);
            if let Some(node) = self.node(place) {
                node.power.heal();
            }
            self.start_if_down(place).await;
        }
    }
}
