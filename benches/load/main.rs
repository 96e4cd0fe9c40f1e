//! `make bench`: the real server under load, and the limits of the machine beside it, in one run.
//!
//! Starts `baton serve` as a child process on each engine, a model server as another, drives visitors, people and a console
//! over HTTP and sockets, keeps what it saw in `benches/measured.json` and writes it into `docs/BENCHMARKS.md`. Arrivals come by a schedule and latencies
//! count from the scheduled time, so that a slow server cannot slow its own measurement. What is driven stands in
//! `benches/scenario.toml`.

mod bare;
mod business;
mod child;
mod engine;
mod footprint;
mod http;
mod judgement;
mod limits;
mod machine;
mod model;
mod pace;
mod page;
mod people;
mod report;
mod scenario;
mod stored;
mod turns;
mod visitor;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use engine::{EngineRun, Place};
use scenario::Scenario;

/// Where PostgreSQL is, made by `tools/with-postgres --durable`.
const POSTGRES: &str = "BATON_TEST_POSTGRES";

/// What was asked for on the command line, for work on the bench itself; `make bench` asks for nothing.
struct Asked {
    /// Only this engine.
    engine: Option<String>,
    /// Everything shorter by this factor.
    shorter: f64,
    /// Another server than the one that was built with this.
    server: PathBuf,
    /// Print, but leave the figures and the document alone.
    dry: bool,
    /// Write the document from the figures of the last run, and run nothing.
    page: bool,
}

/// How much shorter a quick run is.
const QUICK: f64 = 8.0;

impl Asked {
    fn of_process() -> anyhow::Result<Self> {
        let mut asked = Self {
            engine: None,
            shorter: 1.0,
            server: PathBuf::from(env!("CARGO_BIN_EXE_baton")),
            dry: false,
            page: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
            match arg.as_str() {
                // Cargo says so to every bench.
                "--bench" => {}
                "--engine" => asked.engine = Some(value()?),
                "--shorter" => asked.shorter = value()?.parse().context("--shorter")?,
                "--server" => asked.server = value()?.into(),
                "--dry" => asked.dry = true,
                "--page" => asked.page = true,
                "--quick" => {
                    asked.shorter = QUICK;
                    asked.dry = true;
                }
                other => anyhow::bail!(
                    "unknown argument {other}: --engine NAME, --shorter FACTOR, --server PATH, --dry, --quick, --page"
                ),
            }
        }
        Ok(asked)
    }

    fn wants(&self, engine: &str) -> bool {
        self.engine.as_deref().is_none_or(|only| only == engine)
    }
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("model") => runtime().and_then(|runtime| runtime.block_on(model::serve())),
        Some("limits") => runtime().and_then(|runtime| runtime.block_on(limits::serve())),
        _ => runtime().and_then(|runtime| runtime.block_on(Box::pin(run()))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

async fn run() -> anyhow::Result<()> {
    let asked = Asked::of_process()?;
    if asked.page {
        return report::Report::kept()?.write_page();
    }
    let started = Instant::now();
    let scenario = Scenario::read()?.shorter(asked.shorter);
    let files = machine::most_files()?;
    let sockets = scenario.footprint.sockets;
    anyhow::ensure!(
        usize::try_from(files)? > sockets + sockets / 5,
        "{sockets} sockets do not fit into a limit of {files} open files: raise it with `ulimit -Hn`"
    );
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let machine = machine::describe(&asked.server, folder.path())?;
    say(&machine.to_string());
    let model = child::Child::own("model").await?;
    let limits = limits::measure(&scenario, &model, folder.path()).await?;
    say(&limits.to_string());
    let place = |name, url| Place {
        name,
        url,
        binary: asked.server.clone(),
        log: folder.path().join("server.log"),
    };
    let mut places = Vec::new();
    if asked.wants("sqlite") {
        let url = format!("sqlite:{}", folder.path().join("baton.db").display());
        places.push(place("SQLite", url));
    }
    if asked.wants("postgres") {
        let url = std::env::var(POSTGRES).with_context(|| {
            format!("{POSTGRES} is not set: run under tools/with-postgres --durable")
        })?;
        places.push(place("PostgreSQL", url));
    }
    let mut engines = Vec::new();
    for place in places {
        let run = EngineRun { place, scenario: &scenario, model: &model };
        engines.push(Box::pin(run.measure()).await?);
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let report = report::Report { machine, scenario, limits, engines, minutes };
    say(&report.summary());
    let flaws = report.flaws();
    if !asked.dry {
        report.keep()?;
        report.write_page()?;
    }
    anyhow::ensure!(flaws.is_empty(), "not a measurement:\n{}", flaws.join("\n"));
    Ok(())
}

/// One line, or several, for whoever watches.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone is no error.
    let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
}
