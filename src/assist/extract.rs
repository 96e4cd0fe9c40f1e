//! Briefs and summaries put together from the visitor's own words, without a model. Pure.
//!
//! It quotes and never concludes: what a person wants is their own sentence, what was tried is what was said with its
//! sources.

use super::phrases::Own;
use super::prompt::{Brief, Mood, Summary};
use super::said::{QUOTE_CHARS, gist, open_question, quote, wants};
use super::thread::Thread;
use crate::conversation::{Actor, HandoffCode, Holder, Message, MessageKind};
use crate::knowledge::{Audience, Passage};

/// How many things tried a brief lists, the newest.
const MAX_TRIED: usize = 4;

fn titles(message: &Message) -> Vec<String> {
    let mut titles: Vec<String> = Vec::new();
    for citation in &message.citations {
        if !titles.contains(&citation.title) {
            titles.push(citation.title.clone());
        }
    }
    titles
}

fn quoted(titles: &[String]) -> String {
    titles.iter().map(|title| format!("“{title}”")).collect::<Vec<_>>().join(", ")
}

/// What was told or done already, newest last.
fn tried(thread: &Thread, own: Own) -> Vec<String> {
    let answers = thread.messages.iter().filter(|m| {
        let spoken = matches!(m.author, Actor::Assistant(_) | Actor::Agent(_));
        spoken && m.kind != MessageKind::ReturnNote
    });
    let mut tried: Vec<String> = answers
        .map(|m| {
            let said = gist(&m.text, &thread.locale);
            let name = m.author_name.as_deref().unwrap_or(own.pick("A colleague", "Rekan"));
            if m.flags.iter().any(|flag| flag == "still_unanswered") {
                return own.pick("The AI could not answer.", "AI tidak dapat menjawab.").to_owned();
            }
            match (m.kind, m.author, titles(m)) {
                (MessageKind::Note, _, _) => {
                    format!("{name} {}: “{said}”", own.pick("noted", "mencatat"))
                }
                (_, Actor::Assistant(_), titles) if titles.is_empty() => {
                    format!("{}: “{said}”", own.pick("The AI said", "AI berkata"))
                }
                (_, Actor::Assistant(_), titles) => {
                    let from = own.pick("The AI answered from", "AI menjawab dari");
                    format!("{from} {}: “{said}”", quoted(&titles))
                }
                _ => format!("{name}: “{said}”"),
            }
        })
        .collect();
    tried.drain(..tried.len().saturating_sub(MAX_TRIED));
    tried
}

/// How the visitor feels, by their last words.
pub(super) fn mood(thread: &Thread) -> Mood {
    let last: Vec<&str> = thread.visitor().rev().take(2).map(|m| m.text.as_str()).collect();
    Mood::of(&last.into_iter().rev().collect::<Vec<_>>().join("\n"))
}

/// A brief for the agent who takes over; `found` is what the knowledge holds on the open question.
pub(super) fn brief(thread: &Thread, found: &[Passage]) -> Brief {
    let own = Own::of(&thread.agents_locale);
    let open_question = open_question(thread);
    let mood = mood(thread);
    let reason = thread.reason.as_ref();
    let nothing = if reason.is_some_and(|r| r.code == HandoffCode::AskedForPerson) {
        own.pick(
            "A person. They have not said yet what it is about.",
            "Berbicara dengan staf. Keperluannya belum disebutkan.",
        )
    } else {
        own.pick("They have not said yet what it is about.", "Keperluannya belum disebutkan.")
    };
    let mut steps = Vec::new();
    match mood {
        Mood::Angry | Mood::Annoyed => steps
            .push(own.pick("Apologise for the trouble.", "Minta maaf atas kendalanya.").to_owned()),
        Mood::Worried => {
            steps.push(own.pick("Reassure them first.", "Tenangkan dulu.").to_owned());
        }
        Mood::Calm | Mood::Happy => {}
    }
    steps.push(own.next_step(reason.map(|r| r.code), !open_question.is_empty()).to_owned());
    if let Some(reason) = reason
        && let Some(condition) = &reason.condition
    {
        let words = reason.quote.as_deref().map(|q| format!(": “{}”", quote(q, QUOTE_CHARS)));
        let label = own.pick("Condition", "Syarat");
        steps.push(format!("{label} “{condition}”{}.", words.unwrap_or_default()));
    }
    if let Some(passage) = found.iter().find(|p| p.kept) {
        let inside = match passage.audience {
            Audience::Internal => own.pick(" (internal)", " (internal)"),
            Audience::Public => "",
        };
        let see = own.pick("See", "Lihat");
        steps.push(format!("{see} “{}”{inside}.", passage.title));
    }
    Brief {
        wants: wants(thread).unwrap_or_else(|| nothing.to_owned()),
        tried: tried(thread, own),
        mood,
        open_question,
        next_step: steps.join(" "),
    }
}

/// A few sentences on everything so far.
pub(super) fn summary(thread: &Thread) -> Summary {
    let own = Own::of(&thread.agents_locale);
    let who = thread.contact_name.as_deref().unwrap_or(own.pick("The visitor", "Pengunjung"));
    let mut parts = Vec::new();
    match wants(thread) {
        Some(wants) => parts.push(format!("{who} {}: “{wants}”", own.pick("wrote", "menulis"))),
        None => {
            let silent =
                own.pick("has not said yet what it is about.", "belum menyampaikan keperluannya.");
            parts.push(format!("{who} {silent}"));
        }
    }
    let by_ai: Vec<&Message> =
        thread.messages.iter().filter(|m| matches!(m.author, Actor::Assistant(_))).collect();
    let mut cited: Vec<String> = Vec::new();
    for title in by_ai.iter().flat_map(|m| titles(m)) {
        if !cited.contains(&title) && cited.len() < 3 {
            cited.push(title);
        }
    }
    if !cited.is_empty() {
        let from = own.pick("The AI answered from", "AI menjawab dari");
        parts.push(format!("{from} {}.", quoted(&cited)));
    } else if !by_ai.is_empty() {
        parts.push(own.pick("The AI replied.", "AI sudah membalas.").to_owned());
    }
    if let Some(reason) = &thread.reason {
        let label = own.pick("It went to a person because", "Diteruskan ke staf karena");
        parts.push(format!("{label} {}.", own.reason(reason.code)));
    }
    let by_agents = |kind: MessageKind| {
        thread.messages.iter().rfind(|m| m.kind == kind && matches!(m.author, Actor::Agent(_)))
    };
    for (kind, verb) in [
        (MessageKind::Text, own.pick("replied", "membalas")),
        (MessageKind::Note, own.pick("noted", "mencatat")),
    ] {
        if let Some(m) = by_agents(kind) {
            let name = m.author_name.as_deref().unwrap_or(own.pick("A colleague", "Rekan"));
            parts.push(format!("{name} {verb}: “{}”", gist(&m.text, &thread.locale)));
        }
    }
    let question = open_question(thread);
    match &thread.conversation.holder {
        Holder::Closed { outcome, .. } => parts.push(own.outcome(*outcome).to_owned()),
        _ if question.is_empty() => {
            parts.push(own.pick("Nothing is open.", "Tidak ada yang terbuka.").to_owned());
        }
        _ => {
            parts.push(format!("{}: “{question}”", own.pick("Still open", "Masih terbuka")));
        }
    }
    Summary { text: parts.join("\n") }
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
