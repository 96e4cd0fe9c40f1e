//! Briefs, summaries and suggestions composed of what was said.

use serde_json::{Value, json};

use super::phrases::{Own, small_talk};
use crate::model::extract::{excerpts, informative};
use crate::model::{Line, Material, MaterialPassage};
use crate::text::Mood;

/// The longest quotation, in characters.
const QUOTE_CHARS: usize = 200;

/// How many things tried are listed, the newest.
const MAX_TRIED: usize = 4;

/// A brief in the shape of the brief prompt.
pub(super) fn brief(material: &Material) -> Value {
    let own = Own::of(&material.locale);
    let open = open_question(material);
    let last = visitor(material).next_back().map_or("", |line| line.text.as_str());
    let mood = Mood::of(last);
    let next_step = match (&open, mood) {
        (None, _) => own
            .pick(
                "Ask whether anything else is needed.",
                "Tanyakan apakah ada yang masih dibutuhkan.",
            )
            .to_owned(),
        (Some(_), Mood::Angry | Mood::Annoyed) => own
            .pick(
                "Apologise for the trouble, then answer the open question.",
                "Minta maaf atas kendalanya, lalu jawab pertanyaan yang masih terbuka.",
            )
            .to_owned(),
        (Some(_), Mood::Worried) => own
            .pick(
                "Reassure the visitor and answer the open question first.",
                "Tenangkan pengunjung dan jawab dulu pertanyaan yang masih terbuka.",
            )
            .to_owned(),
        (Some(_), _) => {
            own.pick("Answer the open question.", "Jawab pertanyaan yang masih terbuka.").to_owned()
        }
    };
    json!({
        "wants": wants(material).unwrap_or_else(|| own.pick("Not clear yet.", "Belum jelas.").to_owned()),
        "tried": tried(material, own),
        "mood": mood.as_str(),
        "open_question": open.unwrap_or_default(),
        "next_step": next_step,
    })
}

/// A summary in the shape of the summary prompt.
pub(super) fn summary(material: &Material) -> Value {
    let own = Own::of(&material.locale);
    let mut sentences = Vec::new();
    match wants(material) {
        Some(wants) => sentences
            .push(format!("{} “{wants}”", own.pick("The visitor wrote:", "Pengunjung menulis:"))),
        None => sentences.push(
            own.pick(
                "The visitor has not said yet what it is about.",
                "Pengunjung belum menyampaikan keperluannya.",
            )
            .to_owned(),
        ),
    }
    if let Some(done) = tried(material, own).pop() {
        sentences.push(format!("{} {done}", own.pick("Latest answer:", "Jawaban terakhir:")));
    }
    let noted = material.transcript.iter().rfind(|line| line.speaker.ends_with("note"));
    if let Some(note) = noted {
        sentences.push(format!("{} “{}”", own.pick("Note:", "Catatan:"), quote(&note.text)));
    }
    sentences.push(match open_question(material) {
        Some(open) => format!("{} “{open}”", own.pick("Still open:", "Masih terbuka:")),
        None => own.pick("Nothing is open.", "Tidak ada yang terbuka.").to_owned(),
    });
    json!({ "text": sentences.join("\n") })
}

/// Suggestions in the shape of the suggestion prompt: one from each of the passages that fit best.
pub(super) fn suggestions(material: &Material) -> Value {
    let own = Own::of(&material.locale);
    let question = if material.question.trim().is_empty() {
        wants(material)
    } else {
        Some(material.question.clone())
    };
    let question = question.unwrap_or_default();
    let mut rest: Vec<MaterialPassage> = material.passages.clone();
    let mut replies = Vec::new();
    while replies.len() < 3 {
        let Some(picked) = excerpts(&question, &material.locale, &rest).into_iter().next() else {
            break;
        };
        rest.retain(|passage| passage.number != picked.number);
        replies.push(json!({ "text": picked.text, "sources": [picked.number] }));
    }
    if replies.is_empty() {
        let ask = own.pick(
            "Thank you for your message. Could you tell me a little more, so that I can help?",
            "Terima kasih atas pesannya. Boleh dijelaskan sedikit lagi supaya bisa saya bantu?",
        );
        replies.push(json!({ "text": ask, "sources": [] }));
    }
    json!({ "replies": replies })
}

fn visitor(material: &Material) -> impl DoubleEndedIterator<Item = &Line> {
    material.transcript.iter().filter(|line| line.speaker == "visitor")
}

/// The visitor's main message: the first unanswered one that says something, else the last answered one that does.
fn wants(material: &Material) -> Option<String> {
    let telling = |line: &&Line| informative(&line.text, &material.locale).len() >= 2;
    let waiting = visitor(material).filter(|line| line.unanswered).find(telling);
    let said = waiting.or_else(|| visitor(material).rfind(telling));
    said.or_else(|| visitor(material).next_back()).map(|line| quote(&line.text))
}

/// The last unanswered question, or else the last unanswered message.
fn open_question(material: &Material) -> Option<String> {
    let waiting = || visitor(material).filter(|line| line.unanswered);
    let talk = |line: &&Line| small_talk(&line.text).is_none();
    let asked = waiting().rfind(|line| line.text.contains('?'));
    asked.or_else(|| waiting().rfind(talk)).map(|line| quote(&line.text))
}

/// What was answered already, newest last.
fn tried(material: &Material, own: Own) -> Vec<String> {
    let answers = material.transcript.iter().filter(|line| {
        matches!(line.speaker, "assistant" | "agent") && small_talk(&line.text).is_none()
    });
    let mut tried: Vec<String> = answers
        .map(|line| {
            let who = match (line.speaker, &line.name) {
                ("agent", Some(name)) => name.as_str(),
                ("agent", None) => own.pick("a colleague", "rekan"),
                _ => own.pick("AI agent", "agen AI"),
            };
            let said = quote(&line.text);
            if line.sources.is_empty() {
                format!("{who}: {said}")
            } else {
                format!("{who}: {said} ({})", line.sources.join(", "))
            }
        })
        .collect();
    tried.drain(..tried.len().saturating_sub(MAX_TRIED));
    tried
}

/// One line, of a length people read, cut at a word.
fn quote(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= QUOTE_CHARS {
        return line;
    }
    let cut: String = line.chars().take(QUOTE_CHARS).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
    format!("{whole} …")
}
