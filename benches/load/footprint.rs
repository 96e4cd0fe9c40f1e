//! What the process takes when nobody asks anything, and how soon it is there after a start.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::business::{self, Business};
use super::child::Child;
use super::engine::Place;
use super::http::Connection;
use super::judgement::{Latencies, Quantiles};
use super::scenario::Scenario;
use super::visitor::{Socket, Visitor, hello_socket};
use super::{model, say};

/// Until memory is looked at: what a start leaves is given back by then.
const REST: Duration = Duration::from_secs(3);
/// How often a starting server is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How long a start or a first answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Visitors who arrive at once.
const ARRIVING: usize = 50;
/// Sockets that were open before anything counts: code, caches and the allocator settle.
const WARM_UP: usize = 200;

/// What came out. Memory in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Footprint {
    /// After a start on a workspace in which nothing is.
    pub idle_empty: u64,
    /// After a start on a small one.
    pub idle: u64,
    /// After its first answer, and what of that its index says it takes.
    pub after_first: u64,
    pub index: u64,
    /// With idle visitors, above the same process without.
    pub sockets: usize,
    pub each_socket: f64,
    /// From the start of the process to the first 200 of `/ready`.
    pub ready: Quantiles,
    /// From there to a whole answer of the AI on a new visitor's socket, through session, socket and message.
    pub first_answer: Quantiles,
}

/// Measures all of it on databases of its own.
pub async fn measure(
    place: &Place,
    scenario: &Scenario,
    model: &Child,
) -> anyhow::Result<Footprint> {
    model::think(model, Duration::ZERO).await?;
    let empty = place.at(fresh(&place.url, "empty").await?);
    // The first start makes the schema.
    empty.start(scenario, model).await?.stop().await?;
    let idle_empty = idle(&empty, scenario, model).await?;

    let small = place.at(fresh(&place.url, "small").await?);
    let less = Scenario { chunks: scenario.footprint.chunks, ..scenario.clone() };
    let business = business::found(&small.url, &less).await?;
    small.start(scenario, model).await?.stop().await?;
    let idle = idle(&small, scenario, model).await?;

    let (mut ready, mut first_answer) = (Latencies::default(), Latencies::default());
    for _ in 0..scenario.footprint.starts {
        let (there, answered) = start_once(&small, scenario, model, &business).await?;
        ready.add(there);
        first_answer.add(answered);
    }

    let server = small.start(scenario, model).await?;
    let mut first = Visitor::arrive(server.address, &business).await?;
    first.write(&business.questions[0]).await?;
    anyhow::ensure!(first.ear.until(1, PATIENCE).await, "the first question has no answer");
    tokio::time::sleep(REST).await;
    let after_first = server.memory()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of memory")]
    let index = server.figure("baton_index_bytes").await? as u64;
    let each_socket = idle_sockets(&server, &business, scenario.footprint.sockets).await?;
    server.stop().await?;

    let footprint = Footprint {
        idle_empty,
        idle,
        after_first,
        index,
        sockets: scenario.footprint.sockets,
        each_socket,
        ready: Quantiles::from(&ready),
        first_answer: Quantiles::from(&first_answer),
    };
    say(&format!("{}: {footprint:?}", place.name));
    Ok(footprint)
}

/// A database that nothing is in.
async fn fresh(url: &str, name: &str) -> anyhow::Result<String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(format!("sqlite:{path}.{name}"));
    }
    let options = PgConnectOptions::from_str(url)?;
    let name = format!("bench_{name}");
    let made = format!("CREATE DATABASE {name}");
    options.connect().await?.execute(AssertSqlSafe(made.as_str())).await?;
    Ok(options.database(&name).to_url_lossy().to_string())
}

async fn idle(place: &Place, scenario: &Scenario, model: &Child) -> anyhow::Result<u64> {
    let server = place.start(scenario, model).await?;
    tokio::time::sleep(REST).await;
    let memory = server.memory()?;
    server.stop().await?;
    Ok(memory)
}

/// One start, until it is ready, and until a visitor who comes then has an answer; both from the start of the process.
async fn start_once(
    place: &Place,
    scenario: &Scenario,
    model: &Child,
    business: &Business,
) -> anyhow::Result<(Duration, Duration)> {
    let started = Instant::now();
    let server = place.start(scenario, model).await?;
    let address = server.address;
    tokio::time::timeout(PATIENCE, until_ready(address)).await.context("it does not get ready")?;
    let ready = started.elapsed();
    let mut visitor = Visitor::arrive(address, business).await?;
    visitor.write(&business.questions[0]).await?;
    anyhow::ensure!(visitor.ear.until(1, PATIENCE).await, "no answer after a start");
    let answered = started.elapsed();
    server.stop().await?;
    Ok((ready, answered))
}

async fn until_ready(address: SocketAddr) {
    loop {
        if let Ok(mut connection) = Connection::open(address).await
            && let Ok(answer) = connection.send("GET", "/ready", "", "").await
            && answer.status == 200
        {
            return;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What one idle visitor's socket takes of the server's memory.
async fn idle_sockets(server: &Child, business: &Business, count: usize) -> anyhow::Result<f64> {
    drop(open(server, business, WARM_UP).await?);
    tokio::time::sleep(REST).await;
    let before = server.memory()?;
    let open = open(server, business, count).await?;
    tokio::time::sleep(REST).await;
    let counted = server.figure("baton_sockets_open{kind=\"visitor\"}").await?;
    let after = server.memory()?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory, counts of sockets")]
    let (more, count) = (after.saturating_sub(before) as f64, open.len() as f64);
    anyhow::ensure!(counted >= count, "{counted} sockets are open, not {count}");
    drop(open);
    Ok(more / count)
}

/// Visitors with a session and a socket each, who say nothing.
async fn open(server: &Child, business: &Business, count: usize) -> anyhow::Result<Vec<Socket>> {
    let address = server.address;
    let mut running = tokio::task::JoinSet::new();
    for first in 0..ARRIVING {
        let share = count / ARRIVING + usize::from(first < count % ARRIVING);
        let path = format!("/api/v1/widget/{}/session", business.key);
        running.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut sockets = Vec::with_capacity(share);
            for _ in 0..share {
                let session = connection.send("POST", &path, "", r#"{"locale":"en"}"#).await?;
                let session = session.json()?;
                let hello = json!({ "type": "hello", "token": session["token"], "after": 0 });
                sockets.push(hello_socket(address, hello.to_string()).await?);
            }
            anyhow::Ok(sockets)
        });
    }
    let mut sockets = Vec::with_capacity(count);
    while let Some(some) = running.join_next().await {
        sockets.extend(some??);
    }
    Ok(sockets)
}
