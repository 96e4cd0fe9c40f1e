//! Questions to the AI: by a schedule, and as fast as answers come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::business::Business;
use super::child::Child;
use super::judgement::Latencies;
use super::pace;
use super::visitor::Visitor;

/// How long an answer may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came out of some turns.
pub struct Turns {
    pub answers: u64,
    pub seconds: f64,
    /// Processor time of the server for each answer, in milliseconds.
    pub cpu_ms: f64,
    /// From a question's scheduled time to its first sentence on the visitor's socket.
    pub first: Latencies,
    /// From a question's scheduled time to its acknowledgement.
    pub acknowledged: Latencies,
    /// Requests that failed, answers that never came or came without a sentence, conversations handed off.
    pub errors: u64,
}

impl Turns {
    #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.seconds
    }
}

/// One who asks by themselves, with their questions.
struct Asker {
    visitor: Visitor,
    acknowledged: Latencies,
    errors: u64,
}

/// Asks by schedule, whatever becomes of the questions before.
pub async fn scheduled(
    server: &Child,
    business: &Business,
    visitors: Vec<Visitor>,
    (per_second, questions): (f64, usize),
) -> anyhow::Result<(Turns, Vec<Visitor>)> {
    let count = visitors.len();
    let mut senders = Vec::with_capacity(count);
    let mut running = Vec::with_capacity(count);
    for visitor in visitors {
        visitor.ear.take();
        let (send, due) = mpsc::unbounded_channel();
        senders.push(send);
        running.push(tokio::spawn(ask(visitor, due)));
    }
    let texts: Vec<Arc<str>> = business.questions.iter().map(|text| text.as_str().into()).collect();
    let before = server.cpu()?;
    let started = Instant::now();
    let mut arriving = pace::schedule(per_second, questions);
    while let Some((number, at)) = arriving.recv().await {
        let text = Arc::clone(&texts[(number * 7) % texts.len()]);
        // An asker that has failed shows in its errors.
        let _gone = senders[number % count].send((at, text));
    }
    drop(senders);
    let mut askers = Vec::with_capacity(count);
    for asker in running {
        askers.push(asker.await?);
    }
    let seconds = started.elapsed().as_secs_f64();
    finish(server, before, seconds, askers)
}

async fn ask(visitor: Visitor, mut due: mpsc::UnboundedReceiver<(Instant, Arc<str>)>) -> Asker {
    let mut asker = Asker { visitor, acknowledged: Latencies::default(), errors: 0 };
    let mut asked = 0;
    while let Some((at, text)) = due.recv().await {
        asker.visitor.ear.expect(at);
        match asker.visitor.write(&text).await {
            Ok(()) => asker.acknowledged.add(at.elapsed()),
            Err(_) => asker.errors += 1,
        }
        asked += 1;
    }
    // Several questions may have one answer; the last one has it when nothing waits any more.
    if asked > 0 && !asker.visitor.ear.settled(PATIENCE).await {
        asker.errors += 1;
    }
    asker
}

/// Asks again as soon as the answer is there.
pub async fn saturated(
    server: &Child,
    business: &Business,
    visitors: Vec<Visitor>,
    time: Duration,
) -> anyhow::Result<(Turns, Vec<Visitor>)> {
    let texts: Arc<Vec<String>> = Arc::new(business.questions.clone());
    let before = server.cpu()?;
    let started = Instant::now();
    let end = started + time;
    let mut running = Vec::with_capacity(visitors.len());
    for (first, visitor) in visitors.into_iter().enumerate() {
        visitor.ear.take();
        let texts = Arc::clone(&texts);
        running.push(tokio::spawn(async move {
            let mut asker = Asker { visitor, acknowledged: Latencies::default(), errors: 0 };
            let mut number = first * 131;
            while Instant::now() < end {
                let at = Instant::now();
                let answers = asker.visitor.ear.answers();
                asker.visitor.ear.expect(at);
                if asker.visitor.write(&texts[number % texts.len()]).await.is_err() {
                    asker.errors += 1;
                    break;
                }
                asker.acknowledged.add(at.elapsed());
                if !asker.visitor.ear.until(answers + 1, PATIENCE).await {
                    asker.errors += 1;
                    break;
                }
                number += 1;
            }
            asker
        }));
    }
    let mut askers = Vec::with_capacity(running.len());
    for asker in running {
        askers.push(asker.await?);
    }
    let seconds = started.elapsed().as_secs_f64();
    finish(server, before, seconds, askers)
}

fn finish(
    server: &Child,
    before: Duration,
    seconds: f64,
    askers: Vec<Asker>,
) -> anyhow::Result<(Turns, Vec<Visitor>)> {
    let cpu = server.cpu()? - before;
    let mut turns = Turns {
        answers: 0,
        seconds,
        cpu_ms: 0.0,
        first: Latencies::default(),
        acknowledged: Latencies::default(),
        errors: 0,
    };
    let mut visitors = Vec::with_capacity(askers.len());
    for asker in askers {
        let heard = asker.visitor.ear.take();
        turns.answers += heard.answers;
        turns.errors += asker.errors + heard.unannounced + u64::from(heard.handed_off);
        turns.first.merge(&heard.first);
        turns.acknowledged.merge(&asker.acknowledged);
        visitors.push(asker.visitor);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
    let answers = turns.answers.max(1) as f64;
    turns.cpu_ms = cpu.as_secs_f64() * 1000.0 / answers;
    Ok((turns, visitors))
}
