//! Everything that is measured on one engine, in order.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use baton::clock::Clock;
use serde::{Deserialize, Serialize};

use super::bare::{Bare, Program};
use super::business::{self, Business};
use super::child::Child;
use super::footprint::{self, Footprint};
use super::judgement::Quantiles;
use super::people::{self, Acknowledged, Console, Messages};
use super::scenario::Scenario;
use super::turns::{self, Driven, Turns};
use super::visitor::Visitor;
use super::{model, say, stored};

/// Questions before anything counts: connections, caches and the allocator settle.
const WARM_UP: (f64, usize) = (50.0, 150);
/// How long the index of the knowledge may take to be built.
const INDEX: Duration = Duration::from_secs(25);
/// Seconds for which bare calls and commits are made at the rate of a phase.
const COMPARED_SECONDS: f64 = 10.0;

/// A database, and how it is served.
#[derive(Clone)]
pub struct Place {
    pub name: &'static str,
    pub url: String,
    pub binary: PathBuf,
    pub log: PathBuf,
}

impl Place {
    /// The same for another database.
    pub fn at(&self, url: String) -> Self {
        Self { url, ..self.clone() }
    }

    /// Serves it.
    pub async fn start(&self, scenario: &Scenario, model: &Child) -> anyhow::Result<Child> {
        Child::baton(&self.binary, &self.url, model.address, scenario, &self.log).await
    }
}

/// What is to be done.
pub struct EngineRun<'a> {
    pub place: Place,
    pub scenario: &'a Scenario,
    pub model: &'a Child,
}

/// What came out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    pub name: String,
    pub footprint: Footprint,
    /// From the first question ever to its answer: the index of the knowledge is built meanwhile.
    pub index_seconds: f64,
    /// What that index takes, in bytes.
    pub index: u64,
    pub at_delays: Vec<AtDelay>,
    pub saturated: Turns,
    pub people: Messages,
    pub acknowledged: Acknowledged,
    pub stored: Stored,
    pub bare: Bare,
    /// The bare program's commits at the rate of each phase.
    pub commit_one: Quantiles,
    pub commit_one_delayed: Quantiles,
    pub commit_many: Quantiles,
    pub commit_people: Quantiles,
    /// Resident memory after all of this, in bytes.
    pub memory: u64,
}

/// Turns at one delay of the model.
#[derive(Debug, Serialize, Deserialize)]
pub struct AtDelay {
    pub delay_ms: u64,
    pub one: Turns,
    pub many: Turns,
    /// A bare client's call of the judge at the rate of each phase.
    pub judge_one: Quantiles,
    pub judge_many: Quantiles,
}

/// The same beside many stored conversations.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stored {
    pub conversations: usize,
    pub many: Turns,
    pub saturated: Turns,
}

/// A server with somebody at its console.
struct Running {
    server: Child,
    _console: Console,
}

impl EngineRun<'_> {
    pub async fn measure(self) -> anyhow::Result<Measured> {
        let (scenario, place) = (self.scenario, &self.place);
        let footprint = footprint::measure(place, scenario, self.model).await?;
        self.say(&format!("a business with {} chunks", scenario.chunks));
        let business = business::found(&place.url, scenario).await?;
        let running = self.start(&business).await?;
        let driven = self.driven(&running, &business);
        let index_seconds = self.settle(driven).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes")]
        let index = running.server.figure("baton_index_bytes").await? as u64;
        let mut at_delays = Vec::new();
        for delay in scenario.delays() {
            at_delays.push(self.at_delay(driven, delay).await?);
        }
        model::think(self.model, Duration::ZERO).await?;
        let saturated = self.saturated(driven).await?;
        let people = people::write(&running.server, &business, &scenario.people).await?;
        self.say(&format!("a person's message to the visitor's socket: {}", people.shown));
        let writers = &scenario.writers;
        let (count, time) = (writers.conversations, writers.time());
        let acknowledged = people::acknowledged(&running.server, &business, count, time).await?;
        self.say(&format!(
            "acknowledged: {:.0}/s, {:.3} ms CPU each, {}",
            acknowledged.per_second, acknowledged.cpu_ms, acknowledged.latencies
        ));
        let memory = running.server.memory()?;
        // The last ones, so that they are known by their time.
        let since = Clock::system().now();
        self.templates(driven).await?;
        running.server.stop().await?;
        let program = Program::open(&place.url, writers.conversations).await?;
        let (one, many) = (&scenario.one, &scenario.many);
        let bare = |per_second| program.scheduled(per_second, compared(per_second));
        let commit_one = bare(one.per_second).await?;
        let commit_one_delayed = bare(one.per_second_delayed).await?;
        // Each question is two commits.
        let commit_many = bare(many.per_second * 2.0).await?;
        let commit_people = bare(scenario.people.per_second).await?;
        let bare = program.as_fast_as_it_goes(writers.time()).await?;
        self.say(&format!("bare group commit: {:.0}/s, {}", bare.per_second, bare.latencies));
        drop(program);
        let stored = self.stored(&business, since).await?;
        Ok(Measured {
            name: place.name.to_owned(),
            footprint,
            index_seconds,
            index,
            at_delays,
            saturated,
            people,
            acknowledged,
            stored,
            bare,
            commit_one,
            commit_one_delayed,
            commit_many,
            commit_people,
            memory,
        })
    }

    fn say(&self, what: &str) {
        say(&format!("{}: {what}", self.place.name));
    }

    async fn start(&self, business: &Business) -> anyhow::Result<Running> {
        let server = self.place.start(self.scenario, self.model).await?;
        let console = people::console(server.address, business).await?;
        Ok(Running { server, _console: console })
    }

    fn driven<'b>(&'b self, running: &'b Running, business: &'b Business) -> Driven<'b> {
        Driven { server: &running.server, model: self.model, business }
    }

    /// Returns how long the first question took.
    async fn settle(&self, driven: Driven<'_>) -> anyhow::Result<f64> {
        model::think(self.model, Duration::ZERO).await?;
        let address = driven.server.address;
        // The first question builds the index of the knowledge; nothing else comes before it is there.
        let mut first = Visitor::arrive(address, driven.business).await?;
        let asked = Instant::now();
        first.write("Is anybody there?").await?;
        let answered = first.ear.until(1, INDEX).await;
        anyhow::ensure!(answered, "the first question has no answer after {INDEX:?}");
        let took = asked.elapsed().as_secs_f64();
        let count = self.scenario.many.conversations;
        let visitors = Visitor::arrive_all(address, driven.business, count).await?;
        turns::scheduled(driven, visitors, WARM_UP).await?;
        Ok(took)
    }

    async fn at_delay(&self, driven: Driven<'_>, delay: Duration) -> anyhow::Result<AtDelay> {
        let (one, many) = (&self.scenario.one, &self.scenario.many);
        model::think(self.model, delay).await?;
        let judge = |per_second| model::judge(self.model, per_second, compared(per_second));
        let judge_one = judge(one.at(delay).0).await?;
        let judge_many = judge(many.at(delay).0).await?;
        let arrive = |count| Visitor::arrive_all(driven.server.address, driven.business, count);
        let visitors = arrive(one.conversations).await?;
        let (one, _) = turns::scheduled(driven, visitors, one.at(delay)).await?;
        self.say(&format!("one conversation, model {delay:?}: {}", told(&one)));
        let visitors = arrive(many.conversations).await?;
        let (many, _) = turns::scheduled(driven, visitors, many.at(delay)).await?;
        self.say(&format!("many conversations, model {delay:?}: {}", told(&many)));
        let delay_ms = u64::try_from(delay.as_millis())?;
        Ok(AtDelay { delay_ms, one, many, judge_one, judge_many })
    }

    async fn saturated(&self, driven: Driven<'_>) -> anyhow::Result<Turns> {
        let saturated = &self.scenario.saturated;
        let count = saturated.conversations;
        let visitors = Visitor::arrive_all(driven.server.address, driven.business, count).await?;
        let (turns, _) = turns::saturated(driven, visitors, saturated.time()).await?;
        self.say(&format!("as fast as they come: {}", told(&turns)));
        Ok(turns)
    }

    /// Conversations of one question each, to be copied.
    async fn templates(&self, driven: Driven<'_>) -> anyhow::Result<()> {
        let count = self.scenario.many.conversations;
        let visitors = Visitor::arrive_all(driven.server.address, driven.business, count).await?;
        turns::scheduled(driven, visitors, (WARM_UP.0, count)).await?;
        Ok(())
    }

    async fn stored(
        &self,
        business: &Business,
        since: baton::clock::Timestamp,
    ) -> anyhow::Result<Stored> {
        let wanted = self.scenario.stored.conversations;
        let conversations = stored::copy(&self.place.url, since, wanted).await?;
        let running = self.start(business).await?;
        let driven = self.driven(&running, business);
        self.settle(driven).await?;
        let many = &self.scenario.many;
        let address = running.server.address;
        let visitors = Visitor::arrive_all(address, business, many.conversations).await?;
        let (many, _) = turns::scheduled(driven, visitors, many.at(Duration::ZERO)).await?;
        self.say(&format!("beside {conversations} stored conversations: {}", told(&many)));
        let saturated = self.saturated(driven).await?;
        running.server.stop().await?;
        Ok(Stored { conversations, many, saturated })
    }
}

/// How many bare calls are made at a rate.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few thousand at most"
)]
fn compared(per_second: f64) -> usize {
    (per_second * COMPARED_SECONDS) as usize
}

fn told(turns: &Turns) -> String {
    format!(
        "{} answers, {:.1}/s, {:.2} ms CPU each, first sentence {}, acknowledged {}, {}; processors: server {:.2}, \
         model {:.2}, load {:.2}",
        turns.answers,
        turns.per_second(),
        turns.cpu_ms,
        turns.first,
        turns.acknowledged,
        turns.errors,
        turns.load.server,
        turns.load.model,
        turns.load.generator
    )
}
