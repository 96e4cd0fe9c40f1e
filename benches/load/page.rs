//! The measured part of `docs/BENCHMARKS.md`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use super::engine::{AtDelay, Measured};
use super::judgement::Quantiles;
use super::limits::Rate;
use super::report::{Added, Report, p50, p99};
use super::turns::Turns;

/// Where the page is, from the root of the repository.
const PAGE: &str = "docs/BENCHMARKS.md";
/// Between these lines the page is written by this program.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

impl Measured {
    /// What is added to the first sentence, for one conversation and for many.
    pub fn added<'a>(&'a self, at: &'a AtDelay) -> (Added<'a>, Added<'a>) {
        let commit = if at.delay_ms == 0 { &self.commit_one } else { &self.commit_one_delayed };
        let one = Added { total: &at.one.first, judge: &at.judge_one, commit };
        let commit = &self.commit_many;
        (one, Added { total: &at.many.first, judge: &at.judge_many, commit })
    }
}

/// Puts the measured part into the page, and leaves the rest of it.
pub fn write(report: &Report) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no {END}"))?;
    let page = format!("{before}{BEGIN}\n\n{}\n{END}{after}", measured(report)?);
    std::fs::write(&path, page).with_context(|| path.display().to_string())
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn measured(report: &Report) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "Machine: {}. The run took {:.0} minutes.\n", report.machine, report.minutes)?;
    for flaw in report.flaws() {
        writeln!(text, "**Not a measurement**: {flaw}.\n")?;
    }
    writeln!(text, "| wanted | measured | |\n|---|---|---|")?;
    for judged in report.judgements() {
        let mark = if judged.holds { "holds" } else { "**missed**" };
        writeln!(text, "| {} {} | {} | {mark} |", judged.what, judged.wanted, judged.measured)?;
    }
    writeln!(text, "\nThe machine's limits in the same run:\n")?;
    writeln!(text, "| | per second | CPU each | p50 | p99 |\n|---|---|---|---|---|")?;
    let (limits, tokens) = (&report.limits, report.scenario.tokens);
    rate(&mut text, &format!("bare model server, {tokens} streamed tokens"), &limits.model)?;
    rate(&mut text, "loopback HTTP, axum", &limits.hello)?;
    rate(&mut text, "socket echo, axum", &limits.echo)?;
    let Quantiles { p50, p99, .. } = limits.fsync;
    writeln!(text, "| fsync of 4 KiB | | | {p50:.2} ms | {p99:.2} ms |")?;
    for measured in &report.engines {
        engine(&mut text, report, measured)?;
    }
    Ok(text)
}

fn engine(text: &mut String, report: &Report, engine: &Measured) -> anyhow::Result<()> {
    let scenario = &report.scenario;
    writeln!(text, "\n### {}\n", engine.name)?;
    writeln!(
        text,
        "| turns | answers | per second | CPU each | errors | processors: server, model, load |\n|---|---|---|---|---|---|"
    )?;
    for at in &engine.at_delays {
        let ms = at.delay_ms;
        turns(text, &format!("1 conversation, model {ms} ms"), &at.one)?;
        let many = scenario.many.conversations;
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
    let per_second = scenario.people.per_second;
    let writers = scenario.writers.conversations;
    latencies(text, "a person's message to the visitor's socket", per_second, &people.shown)?;
    latencies(text, "of this the commit (bare)", per_second, &engine.commit_people)?;
    let acknowledged = &engine.acknowledged;
    let what = format!("acknowledged, {writers} writers");
    latencies(text, &what, acknowledged.per_second, &acknowledged.latencies)?;
    let what = format!("bare group commit, {writers} writers");
    latencies(text, &what, engine.bare.per_second, &engine.bare.latencies)?;
    writeln!(
        text,
        "\nProcessor time for each acknowledged message: {:.3} ms. Errors of people's messages: {}.",
        acknowledged.cpu_ms, people.errors
    )?;
    footprint(text, report, engine)
}

fn footprint(text: &mut String, report: &Report, engine: &Measured) -> anyhow::Result<()> {
    let (footprint, chunks) = (&engine.footprint, report.scenario.chunks);
    let small = report.scenario.footprint.chunks;
    writeln!(text, "\n| footprint | |\n|---|---|")?;
    writeln!(text, "| idle memory, an empty workspace | {:.1} MiB |", mib(footprint.idle_empty))?;
    writeln!(
        text,
        "| idle memory, {small} chunks, no search yet | {:.1} MiB |",
        mib(footprint.idle)
    )?;
    let index = mib(footprint.index);
    let first = mib(footprint.after_first);
    writeln!(
        text,
        "| the same after the first answer, index of {index:.1} MiB included | {first:.1} MiB |"
    )?;
    let each = footprint.each_socket / 1000.0;
    writeln!(text, "| each of {} idle visitor sockets | {each:.1} kB |", footprint.sockets)?;
    for (what, took) in [
        ("start to the first 200 of /ready", &footprint.ready),
        ("start to the AI's first whole answer", &footprint.first_answer),
    ] {
        let Quantiles { count, p50, max, .. } = took;
        writeln!(text, "| {what}, {count} starts | p50 {p50:.0} ms, longest {max:.0} ms |")?;
    }
    writeln!(
        text,
        "| first question to {chunks} chunks, their index built meanwhile | {:.1} s |",
        engine.index_seconds
    )?;
    writeln!(
        text,
        "| memory after the whole load, index of {:.0} MiB included | {:.0} MiB |",
        mib(engine.index),
        mib(engine.memory)
    )?;
    Ok(())
}

fn first(text: &mut String, at: &AtDelay, engine: &Measured) -> std::fmt::Result {
    let ms = at.delay_ms;
    let (one, many) = engine.added(at);
    for (who, added) in [("one", one), ("many", many)] {
        for (name, quantile) in [("p50", p50 as fn(&Quantiles) -> f64), ("p99", p99)] {
            let [total, judge, commit, left] = added.at(quantile);
            writeln!(
                text,
                "| {who}, model {ms} ms | {name} | {total:.2} ms | {judge:.2} ms | {commit:.2} ms | {left:.2} ms |"
            )?;
        }
    }
    Ok(())
}

fn rate(text: &mut String, what: &str, rate: &Rate) -> std::fmt::Result {
    let Rate { per_second, cpu_us, latencies } = rate;
    let Quantiles { p50, p99, .. } = latencies;
    writeln!(text, "| {what} | {per_second:.0} | {cpu_us:.0} µs | {p50:.2} ms | {p99:.2} ms |")
}

fn turns(text: &mut String, what: &str, turns: &Turns) -> std::fmt::Result {
    let Turns { answers, cpu_ms, errors, load, .. } = turns;
    let per_second = turns.per_second();
    let (server, model, generator) = (load.server, load.model, load.generator);
    writeln!(
        text,
        "| {what} | {answers} | {per_second:.1} | {cpu_ms:.2} ms | {errors} | {server:.2}, {model:.2}, {generator:.2} |"
    )
}

fn latencies(text: &mut String, what: &str, per_second: f64, all: &Quantiles) -> std::fmt::Result {
    writeln!(text, "| {what} | {per_second:.0} | {:.2} ms | {:.2} ms |", all.p50, all.p99)
}
