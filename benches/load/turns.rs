//! Questions to the AI: by a schedule, and as fast as answers come.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::business::Business;
use super::child::Child;
use super::judgement::{Latencies, Quantiles};
use super::visitor::Visitor;
use super::{machine, pace};

/// How long an answer may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came out of some turns.
#[derive(Debug, Serialize, Deserialize)]
pub struct Turns {
    pub answers: u64,
    pub seconds: f64,
    /// Processor time of the server for each answer, in milliseconds.
    pub cpu_ms: f64,
    /// From a question's scheduled time to its first sentence on the visitor's socket.
    pub first: Quantiles,
    /// From a question's scheduled time to its acknowledgement.
    pub acknowledged: Quantiles,
    pub errors: Errors,
    pub load: Load,
}

impl Turns {
    #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.seconds
    }
}

/// What went wrong, each by itself: a sum explains nothing.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Errors {
    /// Requests that failed.
    pub refused: u64,
    /// Conversations whose last answer never came.
    pub unanswered: u64,
    /// Questions whose answer came without a sentence shown before.
    pub unannounced: u64,
    /// Conversations that the AI gave away.
    pub handed_off: u64,
}

impl Errors {
    pub fn sum(&self) -> u64 {
        self.refused + self.unanswered + self.unannounced + self.handed_off
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sum() == 0 {
            return f.write_str("no errors");
        }
        let Self { refused, unanswered, unannounced, handed_off } = self;
        write!(
            f,
            "{refused} refused, {unanswered} unanswered, {unannounced} unannounced, {handed_off} handed off"
        )
    }
}

/// What the load and the model took beside the server, to see that none of them was what held the others up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    /// Processor seconds for each second, of this program and of the model server.
    pub generator: f64,
    pub model: f64,
    pub server: f64,
    /// How late arrivals were sent; nothing where nothing was scheduled.
    pub late: Option<Quantiles>,
}

/// What is driven.
#[derive(Clone, Copy)]
pub struct Driven<'a> {
    pub server: &'a Child,
    pub model: &'a Child,
    pub business: &'a Business,
}

/// Where everybody's processor time stands.
struct Times {
    at: Instant,
    server: Duration,
    model: Duration,
    generator: Duration,
}

impl Times {
    fn now(driven: Driven<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server: driven.server.cpu()?,
            model: driven.model.cpu()?,
            generator: machine::cpu_of(std::process::id())?,
        })
    }
}

/// One who asks by themselves, with their questions.
struct Asker {
    visitor: Visitor,
    acknowledged: Latencies,
    errors: Errors,
}

impl Asker {
    fn new(visitor: Visitor) -> Self {
        Self { visitor, acknowledged: Latencies::default(), errors: Errors::default() }
    }
}

/// Asks by schedule, whatever becomes of the questions before.
pub async fn scheduled(
    driven: Driven<'_>,
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
    let texts: Vec<Arc<str>> =
        driven.business.questions.iter().map(|text| text.as_str().into()).collect();
    let (before, mut late) = (Times::now(driven)?, Latencies::default());
    let mut arriving = pace::schedule(per_second, questions);
    while let Some((number, at)) = arriving.recv().await {
        late.add(at.elapsed());
        let text = Arc::clone(&texts[(number * 7) % texts.len()]);
        // An asker that has failed shows in its errors.
        let _gone = senders[number % count].send((at, text));
    }
    drop(senders);
    let mut askers = Vec::with_capacity(count);
    for asker in running {
        askers.push(asker.await?);
    }
    finish(driven, &before, askers, Some(&late))
}

async fn ask(visitor: Visitor, mut due: mpsc::UnboundedReceiver<(Instant, Arc<str>)>) -> Asker {
    let mut asker = Asker::new(visitor);
    while let Some((at, text)) = due.recv().await {
        asker.visitor.ear.expect(at);
        match asker.visitor.write(&text).await {
            Ok(()) => asker.acknowledged.add(at.elapsed()),
            Err(_) => {
                asker.visitor.ear.expect_no_more();
                asker.errors.refused += 1;
            }
        }
    }
    // Several questions may have one answer; the last one has it when nothing waits any more.
    if !asker.visitor.ear.settled(PATIENCE).await {
        asker.errors.unanswered += 1;
    }
    asker
}

/// Asks again as soon as the answer is there.
pub async fn saturated(
    driven: Driven<'_>,
    visitors: Vec<Visitor>,
    time: Duration,
) -> anyhow::Result<(Turns, Vec<Visitor>)> {
    let texts: Arc<Vec<String>> = Arc::new(driven.business.questions.clone());
    let before = Times::now(driven)?;
    let end = before.at + time;
    let mut running = Vec::with_capacity(visitors.len());
    for (first, visitor) in visitors.into_iter().enumerate() {
        visitor.ear.take();
        let texts = Arc::clone(&texts);
        running.push(tokio::spawn(async move {
            let mut asker = Asker::new(visitor);
            let mut number = first * 131;
            while Instant::now() < end {
                let at = Instant::now();
                let answers = asker.visitor.ear.answers();
                asker.visitor.ear.expect(at);
                if asker.visitor.write(&texts[number % texts.len()]).await.is_err() {
                    asker.visitor.ear.expect_no_more();
                    asker.errors.refused += 1;
                    break;
                }
                asker.acknowledged.add(at.elapsed());
                if !asker.visitor.ear.until(answers + 1, PATIENCE).await {
                    asker.errors.unanswered += 1;
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
    finish(driven, &before, askers, None)
}

fn finish(
    driven: Driven<'_>,
    before: &Times,
    askers: Vec<Asker>,
    late: Option<&Latencies>,
) -> anyhow::Result<(Turns, Vec<Visitor>)> {
    let after = Times::now(driven)?;
    let seconds = (after.at - before.at).as_secs_f64();
    let (mut answers, mut errors) = (0, Errors::default());
    let (mut first, mut acknowledged) = (Latencies::default(), Latencies::default());
    let mut visitors = Vec::with_capacity(askers.len());
    for asker in askers {
        let heard = asker.visitor.ear.take();
        answers += heard.answers;
        errors.refused += asker.errors.refused;
        errors.unanswered += asker.errors.unanswered;
        errors.unannounced += heard.unannounced;
        errors.handed_off += u64::from(heard.handed_off);
        first.merge(&heard.first);
        acknowledged.merge(&asker.acknowledged);
        visitors.push(asker.visitor);
    }
    let server = (after.server - before.server).as_secs_f64();
    let load = Load {
        generator: (after.generator - before.generator).as_secs_f64() / seconds,
        model: (after.model - before.model).as_secs_f64() / seconds,
        server: server / seconds,
        late: late.map(Quantiles::from),
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
    let cpu_ms = server * 1000.0 / answers.max(1) as f64;
    let (first, acknowledged) = (Quantiles::from(&first), Quantiles::from(&acknowledged));
    Ok((Turns { answers, seconds, cpu_ms, first, acknowledged, errors, load }, visitors))
}
