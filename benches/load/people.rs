//! People of the business: their messages to visitors, visitors' messages to them, and their console.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::business::Business;
use super::child::Child;
use super::http::Connection;
use super::judgement::{Latencies, Quantiles};
use super::pace;
use super::scenario::People;
use super::visitor::{Visitor, hello_socket};

/// How long a message may be on its way before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A console that hears everything until it is dropped.
pub struct Console(JoinHandle<()>);

impl Drop for Console {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn headers(business: &Business) -> String {
    format!("cookie: {}\r\nx-baton-csrf: {}\r\n", business.cookie, business.csrf)
}

/// Opens the console's socket.
pub async fn console(address: SocketAddr, business: &Business) -> anyhow::Result<Console> {
    let mut http = Connection::open(address).await?;
    let ticket =
        http.send("POST", "/api/v1/live/ticket", &headers(business), "{}").await?.json()?;
    let hello = json!({ "type": "hello", "ticket": ticket["ticket"] }).to_string();
    let mut socket = hello_socket(address, hello).await?;
    Ok(Console(tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} })))
}

/// A conversation that a person holds.
struct Held {
    visitor: Visitor,
    id: String,
    epoch: u64,
}

/// Makes conversations that a person has taken over.
async fn held(server: &Child, business: &Business, count: usize) -> anyhow::Result<Vec<Held>> {
    let mut http = Connection::open(server.address).await?;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut visitor = Visitor::arrive(server.address, business).await?;
        visitor.write("I would like to talk about my order.").await?;
        visitor.ear.until(1, PATIENCE).await;
        let id = visitor.conversation.clone().context("a conversation without an id")?;
        let path = format!("/api/v1/conversations/{id}/take-over");
        let taken = http.send("POST", &path, &headers(business), "{}").await?.json()?;
        let epoch = taken["epoch"].as_u64().context("no epoch")?;
        visitor.ear.take();
        held.push(Held { visitor, id, epoch });
    }
    Ok(held)
}

/// What came of people's messages.
#[derive(Debug, Serialize, Deserialize)]
pub struct Messages {
    /// From the scheduled time to the visitor's socket.
    pub shown: Quantiles,
    pub errors: u64,
}

/// People write by schedule, each message to the next conversation.
pub async fn write(
    server: &Child,
    business: &Business,
    people: &People,
) -> anyhow::Result<Messages> {
    let held = held(server, business, people.conversations).await?;
    let mut senders = Vec::with_capacity(held.len());
    let mut running = Vec::with_capacity(held.len());
    for conversation in held {
        let (send, mut due) = mpsc::unbounded_channel();
        senders.push(send);
        let mut http = Connection::open(server.address).await?;
        let headers = headers(business);
        running.push(tokio::spawn(async move {
            let Held { visitor, id, epoch } = conversation;
            let path = format!("/api/v1/conversations/{id}/messages");
            let (mut sent, mut errors) = (0_u64, 0_u64);
            while let Some((number, at)) = due.recv().await {
                let body = format!(
                    r#"{{"client_id":"person-{number}","text":"We have found your order.","expected_epoch":{epoch}}}"#
                );
                visitor.ear.expect(at);
                match http.send("POST", &path, &headers, &body).await {
                    Ok(answer) if answer.status == 200 => sent += 1,
                    Ok(_) | Err(_) => {
                        visitor.ear.expect_no_more();
                        errors += 1;
                    }
                }
            }
            visitor.ear.settled(PATIENCE).await;
            let shown = visitor.ear.take().people;
            errors += sent.saturating_sub(shown.count());
            (shown, errors)
        }));
    }
    let mut arriving = pace::schedule(people.per_second, people.messages);
    while let Some((number, at)) = arriving.recv().await {
        let _gone = senders[number % senders.len()].send((number, at));
    }
    drop(senders);
    let (mut all, mut errors) = (Latencies::default(), 0);
    for one in running {
        let (shown, wrong) = one.await?;
        all.merge(&shown);
        errors += wrong;
    }
    Ok(Messages { shown: Quantiles::from(&all), errors })
}

/// What came of visitors who write as fast as they get their acknowledgement.
#[derive(Debug, Serialize, Deserialize)]
pub struct Acknowledged {
    pub per_second: f64,
    pub latencies: Quantiles,
    /// Processor time of the server for each, in milliseconds.
    pub cpu_ms: f64,
}

/// Visitors write to people, each as fast as it goes.
pub async fn acknowledged(
    server: &Child,
    business: &Business,
    writers: usize,
    time: Duration,
) -> anyhow::Result<Acknowledged> {
    let held = held(server, business, writers).await?;
    let visitors: Vec<Visitor> = held.into_iter().map(|held| held.visitor).collect();
    let before = server.cpu()?;
    let text: Arc<str> = "Here is the number of my order again, it is on the receipt.".into();
    let one = move |mut visitor: Visitor| {
        let text = Arc::clone(&text);
        async move {
            visitor.write(&text).await?;
            Ok(visitor)
        }
    };
    let (per_second, latencies) = pace::as_fast_as_it_goes(visitors, time, one).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    let cpu_ms = (server.cpu()? - before).as_secs_f64() * 1000.0 / latencies.count().max(1) as f64;
    Ok(Acknowledged { per_second, latencies: Quantiles::from(&latencies), cpu_ms })
}
