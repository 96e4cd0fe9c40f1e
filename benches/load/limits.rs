//! What this machine can do at most, in the same run: plain HTTP, plain sockets, the disk, the bare model server.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Message;

use super::child::Child;
use super::http::Connection;
use super::judgement::{Latencies, Quantiles};
use super::scenario::Scenario;
use super::{machine, model, pace};

/// What came out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Requests a second of the bare model server, each a stream of the scenario's tokens.
    pub model: Rate,
    /// Requests a second that axum answers with a word.
    pub hello: Rate,
    /// Echoes a second over sockets.
    pub echo: Rate,
    /// The disk.
    pub fsync: Quantiles,
}

/// How often, and what each cost the serving process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rate {
    pub per_second: f64,
    pub cpu_us: f64,
    pub latencies: Quantiles,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}/s, {:.0} µs CPU each, {}", self.per_second, self.cpu_us, self.latencies)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bare model server: {}", self.model)?;
        writeln!(f, "loopback HTTP: {}", self.hello)?;
        writeln!(f, "socket echo: {}", self.echo)?;
        write!(f, "fsync of the disk: {}", self.fsync)
    }
}

/// The servers of the limits; serves until killed.
pub async fn serve() -> anyhow::Result<()> {
    let router =
        Router::new().route("/hello", get(|| async { "hello" })).route("/echo", get(upgraded));
    model::listen(router).await
}

async fn upgraded(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Measures all of them, one after the other.
pub async fn measure(scenario: &Scenario, model: &Child, folder: &Path) -> anyhow::Result<Limits> {
    let (time, connections) = (scenario.limits.time(), scenario.limits.connections);
    model::think(model, Duration::ZERO).await?;
    let streamed: Arc<str> = model::request(true).into();
    let model =
        requests(model, "POST", "/v1/chat/completions", streamed, connections, time).await?;
    let servers = Child::own("limits").await?;
    let hello = requests(&servers, "GET", "/hello", "".into(), connections, time).await?;
    let echo = echoes(&servers, connections, time).await?;
    servers.stop().await?;
    let folder = folder.to_owned();
    let fsync = tokio::task::spawn_blocking(move || machine::fsync(&folder, time)).await??;
    Ok(Limits { model, hello, echo, fsync: Quantiles::from(&fsync) })
}

async fn requests(
    server: &Child,
    method: &'static str,
    path: &'static str,
    body: Arc<str>,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Rate> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(server.address).await?);
    }
    let before = server.cpu()?;
    let one = move |mut connection: Connection| {
        let body = Arc::clone(&body);
        async move {
            let answer = connection.send(method, path, "", &body).await?;
            anyhow::ensure!(answer.status == 200, "{path}: status {}", answer.status);
            Ok(connection)
        }
    };
    let (per_second, latencies) = pace::as_fast_as_it_goes(opened, time, one).await?;
    let cpu_us = each(server.cpu()? - before, &latencies);
    Ok(Rate { per_second, cpu_us, latencies: Quantiles::from(&latencies) })
}

async fn echoes(server: &Child, connections: usize, time: Duration) -> anyhow::Result<Rate> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        let address = format!("ws://{}/echo", server.address);
        opened.push(tokio_tungstenite::connect_async(address).await?.0);
    }
    let before = server.cpu()?;
    let (per_second, latencies) = pace::as_fast_as_it_goes(opened, time, |mut socket| async move {
        socket.send(Message::text("a message of a person, as long as they are")).await?;
        socket.next().await.context("the socket ended")??;
        Ok(socket)
    })
    .await?;
    let cpu_us = each(server.cpu()? - before, &latencies);
    Ok(Rate { per_second, cpu_us, latencies: Quantiles::from(&latencies) })
}

/// Processor time for each, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn each(cpu: Duration, latencies: &Latencies) -> f64 {
    cpu.as_secs_f64() * 1e6 / latencies.count().max(1) as f64
}
