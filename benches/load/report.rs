//! What came out: kept as JSON, judged, and written into the page.
//!
//! The page is made of the file alone, so that a change of its words needs no new run.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::engine::Measured;
use super::judgement::{Judgement, Quantiles};
use super::limits::Limits;
use super::machine::Machine;
use super::page;
use super::scenario::Scenario;
use super::turns::Turns;

/// Where the figures of the last whole run are kept, from the root of the repository.
const KEPT: &str = "benches/measured.json";

/// Commits between a visitor's question and the first sentence of its answer: the one that stores the question leases its turn.
const COMMITS_BEFORE_FIRST: f64 = 1.0;

/// An arrival that is this late was not made by schedule, in milliseconds.
const LATE_MS: f64 = 5.0;
/// The bare model server must be able to do so many times what was asked of it.
const MODEL_TO_SPARE: f64 = 2.0;

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub scenario: Scenario,
    pub limits: Limits,
    pub engines: Vec<Measured>,
    /// How long the whole run took.
    pub minutes: f64,
}

/// A time without the parts of it that the machine takes, each at the same quantile.
pub struct Added<'a> {
    pub total: &'a Quantiles,
    pub judge: &'a Quantiles,
    pub commit: &'a Quantiles,
}

impl Added<'_> {
    /// At a quantile that is kept: total, judge, commit, and what is left.
    pub fn at(&self, quantile: fn(&Quantiles) -> f64) -> [f64; 4] {
        let (total, judge) = (quantile(self.total), quantile(self.judge));
        let commit = COMMITS_BEFORE_FIRST * quantile(self.commit);
        [total, judge, commit, (total - judge - commit).max(0.0)]
    }
}

/// The middle.
pub fn p50(all: &Quantiles) -> f64 {
    all.p50
}

/// All but the worst of a hundred.
pub fn p99(all: &Quantiles) -> f64 {
    all.p99
}

impl Report {
    /// What was wanted, and whether it holds.
    pub fn judgements(&self) -> Vec<Judgement> {
        let mut all = Vec::new();
        for engine in &self.engines {
            self.judge_turns(engine, &mut all);
            self.judge_messages(engine, &mut all);
            judge_footprint(engine, &mut all);
        }
        all
    }

    fn judge_turns(&self, engine: &Measured, all: &mut Vec<Judgement>) {
        let name = &engine.name;
        for at in &engine.at_delays {
            let ms = at.delay_ms;
            let what = format!("{name}: CPU per turn, model {ms} ms");
            all.push(Judgement::at_most(what, 1.0, at.many.cpu_ms, " ms"));
            #[expect(clippy::cast_precision_loss, reason = "a count of errors")]
            let errors = (at.one.errors.sum() + at.many.errors.sum()) as f64;
            let turns = at.one.answers + at.many.answers;
            let what = format!("{name}: errors in {turns} turns, model {ms} ms");
            all.push(Judgement::at_most(what, 0.0, errors, ""));
            let (one, many) = engine.added(at);
            let what =
                format!("{name}: added to the first sentence, 1 conversation, model {ms} ms, p50");
            all.push(Judgement::at_most(what, 1.0, one.at(p50)[3], " ms"));
            let what = format!("{name}: the same, p99");
            all.push(Judgement::at_most(what, 5.0, one.at(p99)[3], " ms"));
            let count = self.scenario.many.conversations;
            let what = format!("{name}: the same, {count} conversations, p99");
            all.push(Judgement::at_most(what, 20.0, many.at(p99)[3], " ms"));
        }
        let share = engine.saturated.per_second() / self.limits.model.per_second * 100.0;
        let what = format!("{name}: turns/s of the bare model server's requests/s");
        all.push(Judgement::at_least(what, 5.0, share, " %"));
        let flat = &engine.stored;
        if let Some(fresh) = engine.at_delays.first() {
            let ratio = flat.many.cpu_ms / fresh.many.cpu_ms;
            let what =
                format!("{name}: CPU per turn beside {} stored conversations", flat.conversations);
            all.push(Judgement::at_most(what, 1.1, ratio, "×"));
        }
        let slower = engine.saturated.per_second() / flat.saturated.per_second();
        let what = format!("{name}: time per turn when saturated, beside them");
        all.push(Judgement::at_most(what, 1.1, slower, "×"));
    }

    fn judge_messages(&self, engine: &Measured, all: &mut Vec<Judgement>) {
        let name = &engine.name;
        let shown = engine.people.shown.p50 - engine.commit_people.p50;
        let count = self.scenario.people.conversations;
        let what = format!(
            "{name}: added to a person's message on the visitor's socket, {count} conversations, p50"
        );
        all.push(Judgement::at_most(what, 3.0, shown.max(0.0), " ms"));
        let share = engine.acknowledged.per_second / engine.bare.per_second * 100.0;
        let what = format!("{name}: acknowledged messages/s of the bare program's");
        all.push(Judgement::at_least(what, 50.0, share, " %"));
    }

    /// Why the figures say nothing: what held the server up was not the server.
    pub fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        for engine in &self.engines {
            let delays = engine.at_delays.iter();
            let phases = delays.flat_map(|at| [&at.one, &at.many]).chain([&engine.stored.many]);
            for late in phases.filter_map(|turns| turns.load.late.as_ref()) {
                if late.p99 > LATE_MS {
                    flaws.push(format!(
                        "{}: one arrival in a hundred was sent {:.1} ms late: something else keeps the processors busy",
                        engine.name, late.p99
                    ));
                }
            }
            for turns in [&engine.saturated, &engine.stored.saturated] {
                flaws.extend(self.flaw(&engine.name, turns));
            }
        }
        flaws
    }

    /// Two calls of the model for each turn, and a load that costs less than what it drives.
    fn flaw(&self, name: &str, turns: &Turns) -> Option<String> {
        let asked = turns.per_second() * 2.0;
        let can = self.limits.model.per_second;
        if asked * MODEL_TO_SPARE > can {
            return Some(format!(
                "{name}: the model server was asked {asked:.0}/s and can {can:.0}/s"
            ));
        }
        let load = &turns.load;
        (load.generator > load.server).then(|| {
            format!(
                "{name}: the load took {:.2} processors and the server {:.2}",
                load.generator, load.server
            )
        })
    }

    /// For whoever ran it.
    pub fn summary(&self) -> String {
        let judged = self.judgements().into_iter().map(|judged| {
            let mark = if judged.holds { "holds " } else { "MISSED" };
            format!("{mark} {}: {} ({})\n", judged.what, judged.measured, judged.wanted)
        });
        let minutes = self.minutes;
        format!("\n{}in {minutes:.1} minutes", judged.collect::<String>())
    }

    /// As it was kept.
    pub fn kept() -> anyhow::Result<Self> {
        let path = path();
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Keeps it.
    pub fn keep(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        let path = path();
        std::fs::write(&path, text + "\n").with_context(|| path.display().to_string())
    }

    /// Puts it into the page.
    pub fn write_page(&self) -> anyhow::Result<()> {
        page::write(self)
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT)
}

fn judge_footprint(engine: &Measured, all: &mut Vec<Judgement>) {
    let (name, footprint) = (&engine.name, &engine.footprint);
    for (what, bytes) in
        [("an empty workspace", footprint.idle_empty), ("a small one", footprint.idle)]
    {
        let what = format!("{name}: idle memory, {what}");
        all.push(Judgement::at_most(what, 30.0, page::mib(bytes), " MiB"));
    }
    let what = format!("{name}: memory of each of {} idle visitor sockets", footprint.sockets);
    all.push(Judgement::at_most(what, 12.0, footprint.each_socket / 1000.0, " kB"));
    let what = format!("{name}: start to the first answer of /ready, p50");
    all.push(Judgement::at_most(what, 150.0, footprint.ready.p50, " ms"));
    let what = format!("{name}: start to the AI's first whole answer, p50");
    all.push(Judgement::at_most(what, 150.0, footprint.first_answer.p50, " ms"));
}
