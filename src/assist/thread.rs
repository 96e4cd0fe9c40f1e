//! A conversation as help for agents sees it: this episode's words, notes included, and why people hold it. Pure.

use crate::conversation::{
    Actor, Conversation, Entry, Evidence, HandoffCode, Logged, Message, MessageKind, Record,
};
use crate::ids::{KnowledgeBaseId, MessageId};
use crate::model::Tone;

/// Why people hold a conversation, in code and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub code: HandoffCode,
    /// The name of the condition that fired.
    pub condition: Option<String>,
    /// What the visitor said.
    pub quote: Option<String>,
    pub message: Option<MessageId>,
}

/// What the inbox's assistant is configured to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Settings {
    /// Where it may look; empty = everywhere.
    pub bases: Vec<KnowledgeBaseId>,
    /// Which models play it.
    pub model: String,
    pub tone: Tone,
}

/// Everything that help is made from.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    pub conversation: Conversation,
    /// The visitor's language.
    pub locale: String,
    /// The language of the agents who will read it.
    pub agents_locale: String,
    pub contact_name: Option<String>,
    /// Who holds it.
    pub agent_name: Option<String>,
    pub settings: Settings,
    /// What was said in this episode, oldest first; notices left out.
    pub messages: Vec<Message>,
    pub reason: Option<Reason>,
}

/// What was said and why people hold it, from the log's last stretch, oldest first.
pub(super) fn read(log: Vec<Logged>) -> (Vec<Message>, Option<Reason>) {
    let mut reason = None;
    let mut start = 0;
    for logged in &log {
        match &logged.record {
            Record::Started { to, .. } | Record::Reopened { to, .. } => {
                start = logged.seq;
                reason = match to {
                    Entry::Queue { reason } => Some(Reason::of(*reason, None)),
                    Entry::Assistant | Entry::Agent { .. } => None,
                };
            }
            Record::HandedOff { reason: code, .. } => {
                reason = Some(Reason::of(*code, logged.evidence.as_ref()));
            }
            Record::Queued { reason: code, .. } => reason = Some(Reason::of(*code, None)),
            Record::PersonRequested { .. } => {
                reason = Some(Reason::of(HandoffCode::AskedForPerson, None));
            }
            Record::ReturnedToAi { .. } => reason = None,
            _ => {}
        }
    }
    let words = log.into_iter().filter_map(|logged| logged.message);
    let (mut now, mut before) = (Vec::new(), Vec::new());
    for message in words.filter(|m| m.kind != MessageKind::Notice) {
        if message.seq >= start { &mut now } else { &mut before }.push(message);
    }
    // An agent may reopen before anything new is said: then the last episode is what it is about.
    (if now.is_empty() { before } else { now }, reason)
}

impl Reason {
    fn of(code: HandoffCode, evidence: Option<&Evidence>) -> Self {
        let evidence = evidence.cloned().unwrap_or_default();
        Self {
            code,
            condition: evidence.condition,
            quote: evidence.quote,
            message: evidence.message,
        }
    }
}

impl Thread {
    /// Whether nothing is to be made of it.
    pub fn is_silent(&self) -> bool {
        self.conversation.erased || self.conversation.blocked
    }

    /// The visitor's messages.
    pub fn visitor(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.iter().filter(|m| matches!(m.author, Actor::Visitor(_)))
    }

    /// Those that nobody has answered in public yet.
    pub fn unanswered(&self) -> impl DoubleEndedIterator<Item = &Message> {
        let from = self.conversation.unanswered.map_or(u64::MAX, |mark| mark.seq);
        self.visitor().filter(move |m| m.seq >= from)
    }

    /// The messages help rests on: the unanswered ones, or else the visitor's last.
    pub fn refs(&self) -> Vec<MessageId> {
        let mut refs: Vec<MessageId> = self.unanswered().map(|m| m.id).collect();
        if refs.is_empty() {
            refs.extend(self.visitor().next_back().map(|m| m.id));
        }
        let evidence = self.reason.as_ref().and_then(|reason| reason.message);
        refs.extend(evidence.filter(|id| !refs.contains(id)));
        refs
    }

    /// Why people hold it, as the model is told.
    pub fn reason_in_words(&self) -> Option<String> {
        let reason = self.reason.as_ref()?;
        let mut words = reason.code.as_str().replace('_', " ");
        if let Some(condition) = &reason.condition {
            words.push_str(": ");
            words.push_str(condition);
        }
        Some(words)
    }
}
