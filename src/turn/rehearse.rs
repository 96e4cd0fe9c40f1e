//! One turn outside any conversation: for the Test stage and for `baton ask`. Nothing is stored, nobody is told.

use tokio_util::sync::CancellationToken;

use super::plan::{Plan, Settings};
use super::produce::{Produced, Producer, Release};
use super::record::Explained;
use crate::clock::Timestamp;
use crate::conversation::{Actor, Conversation, Mark, Message, Speaker};
use crate::ids::Ids;

/// What was said before and now, oldest first; the visitor's last words are what is answered.
#[derive(Debug, Clone)]
pub struct Said {
    /// Visitor or assistant.
    pub speaker: Speaker,
    /// The words.
    pub text: String,
}

/// Makes the reply that a conversation with these words would get.
pub async fn rehearse(
    producer: &Producer,
    settings: Settings,
    locale: &str,
    said: &[Said],
    ids: Ids,
) -> (Produced, Explained) {
    let plan = plan(settings, locale, said, ids, producer.clock.now());
    producer.produce(&plan, &Aside(CancellationToken::new())).await
}

fn plan(settings: Settings, locale: &str, said: &[Said], ids: Ids, now: Timestamp) -> Plan {
    let mut c =
        Conversation::unborn(ids.fresh(), settings.workspace, ids.fresh(), ids.fresh(), now);
    let assistant = settings.assistant;
    let thread: Vec<Message> = (1..)
        .zip(said)
        .map(|(seq, line)| {
            let author = match line.speaker {
                Speaker::Visitor => Actor::Visitor(c.contact),
                Speaker::Assistant | Speaker::Agent => Actor::Assistant(assistant),
            };
            Message::said(ids.fresh(), seq, author, line.text.as_str(), now)
        })
        .collect();
    let answered = said.iter().rposition(|line| line.speaker != Speaker::Visitor);
    let first = u64::try_from(answered.map_or(0, |i| i + 1)).unwrap_or(0) + 1;
    c.unanswered = Some(Mark { seq: first, at: now });
    c.ai_turns = u32::try_from(said.iter().filter(|l| l.speaker != Speaker::Visitor).count())
        .unwrap_or(u32::MAX);
    Plan::new(settings, locale, &c, u64::MAX, &thread)
}

/// Nobody listens; nothing stops it.
struct Aside(CancellationToken);

impl Release for Aside {
    fn release(&self, _index: u32, _sentence: &str) -> bool {
        true
    }

    fn stopped(&self) -> &CancellationToken {
        &self.0
    }
}
