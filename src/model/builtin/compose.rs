//! Answers composed of excerpts from passages.

use super::phrases::{Own, SmallTalk, small_talk};
use crate::model::Material;
use crate::model::extract::{excerpts, informative};

/// How an answer sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The built-in answerer: what the help centre says, nothing else.
    Plain,
    /// The scripted model of the demonstration: minds the return note, and offers more help at the end.
    Chatty,
}

/// An answer in the protocol of the answer prompt: plain text with `[n]` marks, or the mark that says there is none.
#[must_use]
pub fn answer(material: &Material, voice: Voice) -> String {
    let own = Own::of(&material.locale);
    let messages: Vec<&str> =
        material.question.lines().filter(|line| !line.trim().is_empty()).collect();
    let talk: Vec<Option<SmallTalk>> = messages.iter().map(|text| small_talk(text)).collect();
    match talk.last() {
        Some(Some(SmallTalk::Thanks)) if talk.iter().all(Option::is_some) => {
            return own.welcome().to_owned();
        }
        Some(_) if talk.iter().all(Option::is_some) => return own.greeting().to_owned(),
        _ => {}
    }
    let question: Vec<&str> = messages
        .iter()
        .zip(&talk)
        .filter(|(_, talk)| talk.is_none())
        .map(|(text, _)| *text)
        .collect();
    let question = question.join("\n");
    let note = (voice == Voice::Chatty).then(|| from_note(material, &question, own)).flatten();
    let mut picked = excerpts(&question, &material.locale, &material.passages);
    if voice == Voice::Chatty && !is_about(material, &question) {
        picked.clear();
    }
    if picked.is_empty() && note.is_none() {
        return "[[no_answer]]".to_owned();
    }
    let mut parts: Vec<String> = note.clone().into_iter().collect();
    for picked in picked.iter().take(if note.is_some() { 1 } else { 2 }) {
        parts.push(format!("{} [{}]", picked.text, picked.number));
    }
    if voice == Voice::Chatty {
        parts.push(
            own.pick(
                "Let me know if anything else is unclear.",
                "Kabari saya kalau ada yang masih kurang jelas ya.",
            )
            .to_owned(),
        );
    }
    parts.join("\n\n")
}

/// Whether the passages share any word with the question. A model would say so if they did not.
fn is_about(material: &Material, question: &str) -> bool {
    let asked = informative(question, &material.locale);
    material.passages.iter().any(|passage| {
        let text = format!("{} {}", passage.title, passage.text);
        informative(&text, &material.locale).iter().any(|term| {
            asked.iter().any(|asked| asked.forms.iter().any(|f| term.forms.contains(f)))
        })
    })
}

/// What the colleague's note says, if it is what was asked about.
fn from_note(material: &Material, question: &str, own: Own) -> Option<String> {
    let note = material.note.as_deref()?.trim().trim_end_matches('.');
    let noted = informative(note, &material.locale);
    let shared = informative(question, &material.locale).iter().any(|asked| {
        noted.iter().any(|noted| noted.forms.iter().any(|form| asked.forms.contains(form)))
    });
    // A question that names nothing ("and now?") is about what the colleague settled.
    let vague = informative(question, &material.locale).len() <= 1;
    let lead = own.pick("I have an update from my colleague:", "Ada kabar dari rekan saya:");
    (shared || vague).then(|| format!("{lead} {note}."))
}
