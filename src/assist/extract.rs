//! Help put together from the visitor's own words and from passages, without a model. Pure.
//!
//! It quotes and never concludes: what a person wants is their own sentence, what was tried is what was said with its
//! sources, and a suggested reply is sentences of one passage in a courteous frame.

use std::collections::HashSet;

use super::phrases::Own;
use super::prompt::{Brief, MAX_SUGGESTIONS, Mood, Summary};
use super::thread::Thread;
use super::view::Reply;
use crate::conditions::asks_for_person;
use crate::conversation::{Actor, Holder, Message, MessageKind};
use crate::knowledge::{Audience, Passage};
use crate::model::MaterialPassage;
use crate::model::extract::{best_sentences, informative, is_list_item};
use crate::text::{sentences, tables_as_lists};

/// The longest sentence quoted of anybody, in characters.
const QUOTE_CHARS: usize = 160;
/// How many things tried a brief lists, the newest.
const MAX_TRIED: usize = 4;
/// How many of the visitor's last messages are looked at for what they want.
const LOOK_BACK: usize = 12;
/// The longest body of a suggested reply, in characters.
const BODY_CHARS: usize = 480;
/// Replies that share this much of their words are one reply twice.
const SAME: f64 = 0.6;

const GREETINGS: &str = "hi hello hey dear good morning afternoon evening day there team all \
halo hai hallo helo permisi assalamualaikum selamat pagi siang sore malam kak kakak min admin mas mbak gan sis bro pak bu";
const ASKING: &str = "how what when where why which who whose can could do does did is are may will would should \
apa apakah berapa kapan bagaimana gimana dimana mana kenapa mengapa bisakah bisa boleh bolehkah siapa";
const NEEDING: &str = "need want help problem broken wrong missing late never cancel refund return not cannot can't doesn't \
didn't won't isn't mau ingin minta butuh tolong belum tidak gak ga nggak rusak salah hilang batal retur kembali";

/// A sentence of the visitor's.
struct Said {
    text: String,
    words: HashSet<u32>,
    asks: bool,
    score: f64,
}

fn words_of(text: &str, locale: &str) -> HashSet<u32> {
    informative(text, locale).into_iter().flat_map(|term| term.forms).collect()
}

fn has_any(text: &str, list: &str) -> bool {
    let lower = text.to_lowercase();
    lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’')
        .any(|word| list.split_whitespace().any(|known| known == word.replace('’', "'")))
}

/// A sentence without the greeting it begins with, on one line.
fn without_greeting(sentence: &str) -> String {
    let line = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = line.as_str();
    while let Some(word) = rest.split_whitespace().next() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if !bare.is_empty() && !GREETINGS.split_whitespace().any(|known| known == bare) {
            break;
        }
        rest = rest[word.len()..].trim_start();
    }
    // "Good question" is not a greeting: what is left must still say something.
    if rest.is_empty() { String::new() } else { upper_first(rest) }
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// One line without marks, cut at a word.
fn quote(text: &str, max: usize) -> String {
    let plain = text.replace("**", "").replace('`', "");
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max {
        return line;
    }
    let cut: String = line.chars().take(max).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
    format!("{} …", whole.trim_end_matches([',', ';', ':', '.']))
}

/// The sentences in which the visitor says something, oldest first.
fn said<'m>(messages: impl Iterator<Item = (&'m Message, bool)>, locale: &str) -> Vec<Said> {
    messages
        .flat_map(|(message, unanswered)| {
            sentences(&message.text).into_iter().map(move |text| (text, unanswered))
        })
        .filter_map(|(text, unanswered)| {
            let text = without_greeting(&text);
            let words = words_of(&text, locale);
            let telling = informative(&text, locale).len();
            let asks = text.contains(['?', '？']) || has_any(text.split(' ').next()?, ASKING);
            let says = telling >= 2 || (telling == 1 && asks);
            if !says || asks_for_person(&text).is_some() {
                return None;
            }
            let share = f64::from(u32::try_from(telling.min(8)).unwrap_or(8));
            let score = f64::from(u8::from(asks)) * 2.0
                + f64::from(u8::from(has_any(&text, NEEDING)))
                + f64::from(u8::from(unanswered)) * 1.5
                + share * 0.15;
            Some(Said { text, words, asks, score })
        })
        .collect()
}

fn recent(thread: &Thread) -> Vec<Said> {
    let open: HashSet<u64> = thread.unanswered().map(|m| m.seq).collect();
    let skip = thread.visitor().count().saturating_sub(LOOK_BACK);
    let messages = thread.visitor().skip(skip).map(|m| (m, open.contains(&m.seq)));
    said(messages, &thread.locale)
}

fn open(thread: &Thread) -> Vec<Said> {
    said(thread.unanswered().map(|m| (m, true)), &thread.locale)
}

/// What the visitor wants: one or two of their own sentences.
fn wants(thread: &Thread) -> Option<String> {
    let said = recent(thread);
    let best = said.iter().max_by(|a, b| a.score.total_cmp(&b.score))?;
    let others = said.iter().filter(|other| {
        !std::ptr::eq(*other, best)
            && other.score >= best.score * 0.6
            && overlap(&other.words, &best.words) < 0.5
    });
    let second = others.max_by(|a, b| a.score.total_cmp(&b.score));
    let chosen = said
        .iter()
        .filter(|s| std::ptr::eq(*s, best) || second.is_some_and(|other| std::ptr::eq(*s, other)));
    let mut wants = chosen.map(|s| quote(&s.text, QUOTE_CHARS)).collect::<Vec<_>>().join(" ");
    let missing = mentioned(thread);
    let missing: Vec<&str> =
        missing.iter().map(String::as_str).filter(|m| !wants.contains(*m)).collect();
    if !missing.is_empty() {
        wants = format!("{wants} ({})", missing.join(", "));
    }
    Some(wants)
}

/// Numbers and addresses the visitor gave: what an agent looks things up by.
fn mentioned(thread: &Thread) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for message in thread.visitor().rev().take(LOOK_BACK) {
        for word in message.text.split_whitespace() {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            let address = word.split_once('@').is_some_and(|(_, host)| host.contains('.'));
            let tells = (digits >= 4 && word.len() <= 40) || address;
            if tells && found.len() < 3 && !found.iter().any(|known| known == word) {
                found.push(word.to_owned());
            }
        }
    }
    found
}

/// The question that waits for an answer, in the visitor's words; empty if none.
fn open_question(thread: &Thread) -> String {
    let said = open(thread);
    let question = said.iter().rfind(|s| s.asks).or_else(|| said.last());
    question.map(|s| quote(&s.text, QUOTE_CHARS * 2)).unwrap_or_default()
}

/// The sentence of an answer that says the most.
fn gist(text: &str, locale: &str) -> String {
    let plain = tables_as_lists(text);
    let all = sentences(&plain);
    let telling = all.iter().find(|s| informative(s, locale).len() >= 3);
    quote(telling.or_else(|| all.first()).map_or("", String::as_str), QUOTE_CHARS)
}

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
fn mood(thread: &Thread) -> Mood {
    let last: Vec<&str> = thread.visitor().rev().take(2).map(|m| m.text.as_str()).collect();
    super::mood::of(&last.into_iter().rev().collect::<Vec<_>>().join("\n"))
}

/// A brief for the agent who takes over; `found` is what the knowledge holds on the open question.
pub(super) fn brief(thread: &Thread, found: &[Passage]) -> Brief {
    let own = Own::of(&thread.agents_locale);
    let open_question = open_question(thread);
    let mood = mood(thread);
    let reason = thread.reason.as_ref();
    let nothing =
        if reason.is_some_and(|r| r.code == crate::conversation::HandoffCode::AskedForPerson) {
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

/// What to look for in the knowledge: what is open, and what it is about if those words are few.
pub(super) fn question(thread: &Thread) -> String {
    let open: Vec<String> = open(thread).into_iter().map(|s| s.text).collect();
    let mut parts = open;
    if informative(&parts.join("\n"), &thread.locale).len() < 3 {
        let before = recent(thread).into_iter().rev().map(|s| s.text);
        let before = before.filter(|text| !parts.contains(text)).take(1).collect::<Vec<_>>();
        parts.splice(0..0, before);
    }
    parts.join("\n")
}

/// Up to three replies, each from one passage, in the visitor's language where the knowledge has it.
pub(super) fn suggestions(thread: &Thread, question: &str, passages: &[Passage]) -> Vec<Reply> {
    let upset = matches!(mood(thread), Mood::Angry | Mood::Annoyed);
    let spoken = Own::of_text(question).or_else(|| Own::known(&thread.locale));
    let mut ranked: Vec<&Passage> = passages.iter().filter(|p| p.kept).collect();
    let foreign = |p: &Passage| matches!((spoken, Own::of_text(&p.text)), (Some(spoken), Some(written)) if spoken != written);
    if ranked.iter().any(|p| !foreign(p)) {
        ranked.retain(|p| !foreign(p));
    }
    // What is for colleagues comes last, and once: it must be read before it is sent.
    ranked.sort_by_key(|p| p.audience == Audience::Internal);
    let mut replies: Vec<Reply> = Vec::new();
    let mut bodies: Vec<HashSet<u32>> = Vec::new();
    for passage in ranked {
        let internal = passage.audience == Audience::Internal;
        let twice = internal && replies.iter().any(Reply::is_internal);
        if replies.len() >= MAX_SUGGESTIONS || twice {
            break;
        }
        let body = body(question, &thread.locale, passage);
        let words = words_of(&body, &thread.locale);
        if body.is_empty() || bodies.iter().any(|other| overlap(other, &words) >= SAME) {
            continue;
        }
        let text = match spoken {
            Some(own) if !internal && !foreign(passage) => {
                let tone = thread.settings.tone;
                let number = replies.len();
                let name = thread.contact_name.as_deref().filter(|_| number == 0);
                framed(&own.opening(number, tone, name, upset), &body, own.closing(number, tone))
            }
            _ => body,
        };
        bodies.push(words);
        replies.push(Reply { text, citations: vec![passage.citation()] });
    }
    replies
}

/// What a passage says to the question: sentences in a line, list items on lines of their own.
fn body(question: &str, locale: &str, passage: &Passage) -> String {
    let material = MaterialPassage {
        number: 1,
        title: passage.title.clone(),
        section: passage.section.clone(),
        text: tables_as_lists(&passage.text),
        internal: false,
    };
    let Some(picked) = best_sentences(question, locale, &[material]).into_iter().next() else {
        return String::new();
    };
    let mut body = String::new();
    let mut in_list = false;
    for sentence in picked.sentences {
        if !body.is_empty() && body.chars().count() + sentence.chars().count() > BODY_CHARS {
            break;
        }
        let item = is_list_item(&sentence);
        body.push_str(match (body.is_empty(), in_list, item) {
            (true, _, _) => "",
            (false, true, true) => "\n",
            (false, false, true) | (false, true, false) => "\n\n",
            (false, false, false) => " ",
        });
        body.push_str(&sentence);
        in_list = item;
    }
    body
}

fn framed(opening: &str, body: &str, closing: &str) -> String {
    let is_block = |line: Option<&str>| line.is_some_and(is_list_item);
    let before = if is_block(body.lines().next()) { "\n\n" } else { " " };
    let after = if is_block(body.lines().last()) { "\n\n" } else { " " };
    let mut text = format!("{opening}{before}{body}");
    if !closing.is_empty() {
        text.push_str(after);
        text.push_str(closing);
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "counts of words")]
fn overlap(a: &HashSet<u32>, b: &HashSet<u32>) -> f64 {
    let shared = a.intersection(b).count();
    shared as f64 / a.len().min(b.len()).max(1) as f64
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
