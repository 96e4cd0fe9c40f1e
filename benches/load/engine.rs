//! Everything that is measured on one engine, in order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton::clock::Clock;

use super::bare::{Bare, Program};
use super::business::{self, Business};
use super::child::Child;
use super::judgement::Latencies;
use super::people::{self, Acknowledged, Console, Messages};
use super::scenario::Scenario;
use super::turns::{self, Turns};
use super::visitor::Visitor;
use super::{model, say, stored};

/// Questions before anything counts: connections, caches and the allocator settle.
const WARM_UP: (f64, usize) = (50.0, 150);
/// How long the index of the knowledge may take to be built.
const INDEX: Duration = Duration::from_secs(25);
/// Calls of the bare judge and commits of the bare program that are compared with.
const COMPARED: usize = 300;

/// What is to be done.
pub struct EngineRun<'a> {
    name: &'static str,
    url: String,
    binary: PathBuf,
    log: PathBuf,
    scenario: &'a Scenario,
    model: &'a Child,
}

/// What came out.
pub struct Measured {
    pub name: &'static str,
    pub at_delays: Vec<AtDelay>,
    pub saturated: Turns,
    pub people: Messages,
    pub acknowledged: Acknowledged,
    pub stored: Stored,
    pub bare: Bare,
    /// The bare program's commits at the rate of each phase.
    pub commit_one: Latencies,
    pub commit_many: Latencies,
    pub commit_people: Latencies,
    /// Resident memory after all of this, in bytes.
    pub memory: u64,
}

/// Turns at one delay of the model.
pub struct AtDelay {
    pub delay: Duration,
    pub one: Turns,
    pub many: Turns,
    /// A bare client's call of the judge at the rate of each phase.
    pub judge_one: Latencies,
    pub judge_many: Latencies,
}

/// The same beside many stored conversations.
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

impl<'a> EngineRun<'a> {
    pub fn new(
        name: &'static str,
        url: String,
        binary: &Path,
        folder: &Path,
        scenario: &'a Scenario,
        model: &'a Child,
    ) -> Self {
        Self {
            name,
            url,
            binary: binary.to_owned(),
            log: folder.join("server.log"),
            scenario,
            model,
        }
    }

    pub async fn measure(self) -> anyhow::Result<Measured> {
        let scenario = self.scenario;
        say(&format!("{}: a business with {} chunks", self.name, scenario.chunks));
        let business = business::found(&self.url, scenario).await?;
        let running = self.start(&business).await?;
        let server = &running.server;
        self.settle(server, &business).await?;
        let mut at_delays = Vec::new();
        for delay in scenario.delays() {
            at_delays.push(self.at_delay(server, &business, delay).await?);
        }
        model::think(self.model, Duration::ZERO).await?;
        let saturated = self.saturated(server, &business).await?;
        let people = people::write(server, &business, &scenario.people).await?;
        self.say(&format!("a person's message to the visitor's socket: {}", people.shown));
        let writers = &scenario.writers;
        let acknowledged =
            people::acknowledged(server, &business, writers.conversations, writers.time()).await?;
        self.say(&format!(
            "acknowledged: {:.0}/s, {:.3} ms CPU each, {}",
            acknowledged.per_second, acknowledged.cpu_ms, acknowledged.latencies
        ));
        let memory = server.memory()?;
        // The last ones, so that they are known by their time.
        let since = Clock::system().now();
        self.templates(server, &business).await?;
        running.stop().await?;
        let program = Program::open(&self.url, writers.conversations).await?;
        let (many, _) = scenario.many.at(Duration::ZERO);
        let commit_one = program.scheduled(scenario.one.per_second, COMPARED).await?;
        let commit_many = program.scheduled(many * 2.0, COMPARED * 4).await?;
        let commit_people = program.scheduled(scenario.people.per_second, COMPARED).await?;
        let bare = program.as_fast_as_it_goes(writers.time()).await?;
        self.say(&format!("bare group commit: {:.0}/s, {}", bare.per_second, bare.latencies));
        drop(program);
        let stored = self.stored(&business, since).await?;
        Ok(Measured {
            name: self.name,
            at_delays,
            saturated,
            people,
            acknowledged,
            stored,
            bare,
            commit_one,
            commit_many,
            commit_people,
            memory,
        })
    }

    fn say(&self, what: &str) {
        say(&format!("{}: {what}", self.name));
    }

    async fn start(&self, business: &Business) -> anyhow::Result<Running> {
        let address = self.model.address;
        let server =
            Child::baton(&self.binary, &self.url, address, self.scenario, &self.log).await?;
        let console = people::console(server.address, business).await?;
        Ok(Running { server, _console: console })
    }

    async fn settle(&self, server: &Child, business: &Business) -> anyhow::Result<()> {
        model::think(self.model, Duration::ZERO).await?;
        // The first question builds the index of the knowledge; nothing else comes before it is there.
        let mut first = Visitor::arrive(server.address, business).await?;
        first.write("Is anybody there?").await?;
        let answered = first.ear.until(1, INDEX).await;
        anyhow::ensure!(answered, "the first question has no answer after {INDEX:?}");
        let count = self.scenario.many.conversations;
        let visitors = Visitor::arrive_all(server.address, business, count).await?;
        turns::scheduled(server, business, visitors, WARM_UP).await?;
        Ok(())
    }

    async fn at_delay(
        &self,
        server: &Child,
        business: &Business,
        delay: Duration,
    ) -> anyhow::Result<AtDelay> {
        let (one, many) = (&self.scenario.one, &self.scenario.many);
        model::think(self.model, delay).await?;
        let judge_one =
            model::judge(self.model, one.at(delay).0, COMPARED.min(one.at(delay).1)).await?;
        let judge_many = model::judge(self.model, many.at(delay).0, COMPARED).await?;
        let visitors = Visitor::arrive_all(server.address, business, one.conversations).await?;
        let (one, _) = turns::scheduled(server, business, visitors, one.at(delay)).await?;
        self.say(&format!("one conversation, model {delay:?}: {}", told(&one)));
        let visitors = Visitor::arrive_all(server.address, business, many.conversations).await?;
        let (many, _) = turns::scheduled(server, business, visitors, many.at(delay)).await?;
        self.say(&format!("many conversations, model {delay:?}: {}", told(&many)));
        Ok(AtDelay { delay, one, many, judge_one, judge_many })
    }

    async fn saturated(&self, server: &Child, business: &Business) -> anyhow::Result<Turns> {
        let saturated = &self.scenario.saturated;
        let visitors =
            Visitor::arrive_all(server.address, business, saturated.conversations).await?;
        let (turns, _) = turns::saturated(server, business, visitors, saturated.time()).await?;
        self.say(&format!("as fast as they come: {}", told(&turns)));
        Ok(turns)
    }

    /// Conversations of one question each, to be copied.
    async fn templates(&self, server: &Child, business: &Business) -> anyhow::Result<()> {
        let count = self.scenario.many.conversations;
        let visitors = Visitor::arrive_all(server.address, business, count).await?;
        turns::scheduled(server, business, visitors, (WARM_UP.0, count)).await?;
        Ok(())
    }

    async fn stored(
        &self,
        business: &Business,
        since: baton::clock::Timestamp,
    ) -> anyhow::Result<Stored> {
        let conversations =
            stored::copy(&self.url, since, self.scenario.stored.conversations).await?;
        let running = self.start(business).await?;
        let server = &running.server;
        self.settle(server, business).await?;
        let many = &self.scenario.many;
        let visitors = Visitor::arrive_all(server.address, business, many.conversations).await?;
        let at = many.at(Duration::ZERO);
        let (many, _) = turns::scheduled(server, business, visitors, at).await?;
        self.say(&format!("beside {conversations} stored conversations: {}", told(&many)));
        let saturated = self.saturated(server, business).await?;
        running.stop().await?;
        Ok(Stored { conversations, many, saturated })
    }
}

impl Running {
    async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

fn told(turns: &Turns) -> String {
    format!(
        "{} answers, {:.1}/s, {:.2} ms CPU each, first sentence {}, acknowledged {}, {} errors",
        turns.answers,
        turns.per_second(),
        turns.cpu_ms,
        turns.first,
        turns.acknowledged,
        turns.errors
    )
}
