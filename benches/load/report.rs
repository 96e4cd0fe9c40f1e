//! What came out, as a page.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use super::engine::{AtDelay, Measured};
use super::judgement::{Judgement, Latencies};
use super::limits::{Limits, Rate};
use super::machine::Machine;
use super::scenario::Scenario;
use super::turns::Turns;

/// Where the page is, from the root of the repository.
const PAGE: &str = "docs/BENCHMARKS.md";
/// Between these lines the page is written by this program.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Commits between a visitor's question and the first sentence of its answer: the one that stores the question leases its turn.
const COMMITS_BEFORE_FIRST: f64 = 1.0;

/// Everything.
pub struct Report {
    pub machine: Machine,
    pub scenario: Scenario,
    pub limits: Limits,
    pub engines: Vec<Measured>,
}

/// A time without the parts of it that the machine takes, each at the same quantile.
struct Added<'a> {
    total: &'a Latencies,
    judge: &'a Latencies,
    commit: &'a Latencies,
    commits: f64,
}

impl Added<'_> {
    fn at(&self, quantile: f64) -> f64 {
        let taken = self.judge.ms(quantile) + self.commits * self.commit.ms(quantile);
        (self.total.ms(quantile) - taken).max(0.0)
    }
}

impl Report {
    /// What was wanted, and whether it holds.
    fn judgements(&self) -> Vec<Judgement> {
        let mut all = Vec::new();
        for engine in &self.engines {
            self.judge(engine, &mut all);
        }
        all
    }

    fn judge(&self, engine: &Measured, all: &mut Vec<Judgement>) {
        let name = engine.name;
        for at in &engine.at_delays {
            let ms = at.delay.as_millis();
            let what = format!("{name}: CPU per turn, model {ms} ms");
            all.push(Judgement::at_most(what, 1.0, at.many.cpu_ms, " ms"));
            #[expect(clippy::cast_precision_loss, reason = "a count of errors")]
            let errors = (at.one.errors + at.many.errors) as f64;
            let what = format!("{name}: errors, model {ms} ms");
            all.push(Judgement::at_most(what, 0.0, errors, ""));
            let one = added(&at.one, &at.judge_one, &engine.commit_one);
            let what =
                format!("{name}: added to the first sentence, 1 conversation, model {ms} ms, p50");
            all.push(Judgement::at_most(what, 1.0, one.at(0.5), " ms"));
            let what = format!("{name}: the same, p99");
            all.push(Judgement::at_most(what, 5.0, one.at(0.99), " ms"));
            let many = added(&at.many, &at.judge_many, &engine.commit_many);
            let count = self.scenario.many.conversations;
            let what = format!("{name}: the same, {count} conversations, p99");
            all.push(Judgement::at_most(what, 20.0, many.at(0.99), " ms"));
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
        let shown = engine.people.shown.p50() - engine.commit_people.p50();
        let what = format!("{name}: added to a person's message on the visitor's socket, p50");
        all.push(Judgement::at_most(what, 3.0, shown.max(0.0), " ms"));
        let share = engine.acknowledged.per_second / engine.bare.per_second * 100.0;
        let what = format!("{name}: acknowledged messages/s of the bare program's");
        all.push(Judgement::at_least(what, 50.0, share, " %"));
    }

    /// For whoever ran it.
    pub fn summary(&self) -> String {
        let mut text = String::from("\n");
        for judged in self.judgements() {
            let mark = if judged.holds { "holds " } else { "MISSED" };
            let _written =
                writeln!(text, "{mark} {}: {} ({})", judged.what, judged.measured, judged.wanted);
        }
        text
    }

    /// Puts the measured part into the page, and leaves the rest of it.
    pub fn write(&self) -> anyhow::Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let page = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no {BEGIN}"))?;
        let (_, after) = rest.split_once(END).with_context(|| format!("no {END}"))?;
        let page = format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.measured()?);
        std::fs::write(&path, page).with_context(|| path.display().to_string())
    }

    fn measured(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        writeln!(text, "Machine: {}.\n", self.machine)?;
        writeln!(text, "| wanted | measured | |\n|---|---|---|")?;
        for judged in self.judgements() {
            let mark = if judged.holds { "holds" } else { "**missed**" };
            writeln!(text, "| {} {} | {} | {mark} |", judged.what, judged.wanted, judged.measured)?;
        }
        writeln!(text, "\nThe machine's limits in the same run:\n")?;
        writeln!(text, "| | per second | CPU each | p50 | p99 |\n|---|---|---|---|---|")?;
        let tokens = self.scenario.tokens;
        rate(
            &mut text,
            &format!("bare model server, {tokens} streamed tokens"),
            &self.limits.model,
        )?;
        rate(&mut text, "loopback HTTP, axum", &self.limits.hello)?;
        rate(&mut text, "socket echo, axum", &self.limits.echo)?;
        let fsync = &self.limits.fsync;
        writeln!(text, "| fsync of 4 KiB | | | {:.2} ms | {:.2} ms |", fsync.p50(), fsync.p99())?;
        for engine in &self.engines {
            self.engine(&mut text, engine)?;
        }
        Ok(text)
    }

    fn engine(&self, text: &mut String, engine: &Measured) -> anyhow::Result<()> {
        writeln!(text, "\n### {}\n", engine.name)?;
        writeln!(
            text,
            "| turns | answers | per second | CPU each | errors |\n|---|---|---|---|---|"
        )?;
        for at in &engine.at_delays {
            let ms = at.delay.as_millis();
            turns(text, &format!("1 conversation, model {ms} ms"), &at.one)?;
            let many = self.scenario.many.conversations;
            turns(text, &format!("{many} conversations, model {ms} ms"), &at.many)?;
        }
        turns(text, "as fast as they come", &engine.saturated)?;
        let stored = &engine.stored;
        let beside = format!("beside {} stored conversations", stored.conversations);
        turns(text, &beside, &stored.many)?;
        turns(text, &format!("as fast as they come, {beside}"), &stored.saturated)?;
        writeln!(
            text,
            "\nFrom a question's scheduled time to the first sentence on the visitor's socket:\n"
        )?;
        writeln!(text, "| | | total | judge | commit | added |\n|---|---|---|---|---|---|")?;
        for at in &engine.at_delays {
            first(text, at, engine)?;
        }
        writeln!(text, "\n| messages | per second | p50 | p99 |\n|---|---|---|---|")?;
        let people = &engine.people;
        let per_second = self.scenario.people.per_second;
        let writers = self.scenario.writers.conversations;
        latencies(text, "a person's message to the visitor's socket", per_second, &people.shown)?;
        latencies(text, "of this the commit (bare)", per_second, &engine.commit_people)?;
        let acknowledged = &engine.acknowledged;
        let what = format!("acknowledged, {writers} writers");
        latencies(text, &what, acknowledged.per_second, &acknowledged.latencies)?;
        let what = format!("bare group commit, {writers} writers");
        latencies(text, &what, engine.bare.per_second, &engine.bare.latencies)?;
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
        let mib = engine.memory as f64 / 1024.0 / 1024.0;
        writeln!(
            text,
            "\nProcessor time for each acknowledged message: {:.3} ms. Errors of people's messages: {}. Resident memory \
             after the load, {} chunks and their index included: {mib:.0} MiB.",
            acknowledged.cpu_ms, people.errors, self.scenario.chunks
        )?;
        Ok(())
    }
}

fn added<'a>(turns: &'a Turns, judge: &'a Latencies, commit: &'a Latencies) -> Added<'a> {
    Added { total: &turns.first, judge, commit, commits: COMMITS_BEFORE_FIRST }
}

fn first(text: &mut String, at: &AtDelay, engine: &Measured) -> std::fmt::Result {
    let ms = at.delay.as_millis();
    let one = added(&at.one, &at.judge_one, &engine.commit_one);
    let many = added(&at.many, &at.judge_many, &engine.commit_many);
    for (who, added) in [("one", one), ("many", many)] {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            writeln!(
                text,
                "| {who}, model {ms} ms | {name} | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms |",
                added.total.ms(quantile),
                added.judge.ms(quantile),
                added.commits * added.commit.ms(quantile),
                added.at(quantile)
            )?;
        }
    }
    Ok(())
}

fn rate(text: &mut String, what: &str, rate: &Rate) -> std::fmt::Result {
    let Rate { per_second, cpu_us, latencies } = rate;
    let (p50, p99) = (latencies.p50(), latencies.p99());
    writeln!(text, "| {what} | {per_second:.0} | {cpu_us:.0} µs | {p50:.2} ms | {p99:.2} ms |")
}

fn turns(text: &mut String, what: &str, turns: &Turns) -> std::fmt::Result {
    let Turns { answers, cpu_ms, errors, .. } = turns;
    let per_second = turns.per_second();
    writeln!(text, "| {what} | {answers} | {per_second:.1} | {cpu_ms:.2} ms | {errors} |")
}

fn latencies(text: &mut String, what: &str, per_second: f64, all: &Latencies) -> std::fmt::Result {
    writeln!(text, "| {what} | {per_second:.0} | {:.2} ms | {:.2} ms |", all.p50(), all.p99())
}
