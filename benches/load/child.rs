//! Processes beside this one: the server under test, the model, the limits' servers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdout, Command};

use super::http::Connection;
use super::machine;
use super::scenario::Scenario;

/// How long a process may take to start: an index of many chunks is built meanwhile.
const START: Duration = Duration::from_secs(120);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(20);

/// Opens `/metrics`: it is on in every run, so that what it costs is in the figures.
const METRICS_TOKEN: &str = "a-token-for-the-benchmark";

/// A running process that listens on loopback; it is killed when this is dropped.
pub struct Child {
    process: tokio::process::Child,
    pub address: SocketAddr,
    id: u32,
}

impl Child {
    /// This program again, in another role; it says its address first.
    pub async fn own(role: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(role);
        Self::start(command, role).await
    }

    /// `baton serve` on a database, with this model.
    pub async fn baton(
        binary: &Path,
        database: &str,
        model: SocketAddr,
        scenario: &Scenario,
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::start(serve(binary, database, model, scenario, log)?, "baton").await
    }

    async fn start(mut command: Command, what: &str) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().with_context(|| format!("{what} cannot be started"))?;
        let out = process.stdout.take().context("no standard output")?;
        let id = process.id().with_context(|| format!("{what} has ended"))?;
        let address = tokio::time::timeout(START, address_on(out))
            .await
            .with_context(|| format!("{what} does not start"))?
            .with_context(|| format!("{what} did not say where it listens"))?;
        Ok(Self { process, address, id })
    }

    /// The processor time it has used so far, in itself and the kernel.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        machine::cpu_of(self.id)
    }

    /// Its memory now, in bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        machine::memory_of(self.id)
    }

    /// What it says of itself at `/metrics`.
    pub async fn figure(&self, series: &str) -> anyhow::Result<f64> {
        let mut connection = Connection::open(self.address).await?;
        let headers = format!("authorization: Bearer {METRICS_TOKEN}\r\n");
        let answer = connection.send("GET", "/metrics", &headers, "").await?;
        let text = String::from_utf8_lossy(&answer.body);
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.with_context(|| format!("no {series} at /metrics: status {}", answer.status))
    }

    /// Asks it to end, and waits.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").arg(self.id.to_string()).status().await?;
        anyhow::ensure!(asked.success(), "the process {} had ended before", self.id);
        tokio::time::timeout(STOP, self.process.wait()).await.context("does not stop")??;
        Ok(())
    }
}

/// The command that serves a database, on any free port.
fn serve(
    binary: &Path,
    database: &str,
    model: SocketAddr,
    scenario: &Scenario,
    log: &Path,
) -> anyhow::Result<Command> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(binary);
    command
        .args(["serve", "--database", database, "--model-name", "bench"])
        .env("BATON_LISTEN__PORT", "0")
        .env("BATON_METRICS__TOKEN", METRICS_TOKEN)
        .args(["--model-url", &format!("http://{model}/v1")])
        .env("BATON_TURN__DEBOUNCE_MS", scenario.debounce_ms.to_string())
        .stderr(log);
    // The load comes from few people: nobody is held back by rates.
    for limit in [
        "SIGN_IN_PER_MINUTE",
        "VISITOR_MESSAGES_PER_MINUTE",
        "VISITOR_MESSAGES_BURST",
        "VISITOR_SESSIONS_PER_MINUTE",
        "AGENT_REQUESTS_PER_SECOND",
    ] {
        command.env(format!("BATON_LIMITS__{limit}"), "1000000");
    }
    Ok(command)
}

/// Reads until a line names an address; what comes later is read and dropped, so that the writer is never held up.
async fn address_on(out: ChildStdout) -> anyhow::Result<SocketAddr> {
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await? {
        let Some((_, rest)) = line.split_once("http://") else { continue };
        let address = rest.trim_end_matches('/').parse().with_context(|| line.clone())?;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(address);
    }
    anyhow::bail!("it ended")
}
