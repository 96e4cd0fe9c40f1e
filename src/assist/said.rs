//! What a visitor says: their sentences, which of them matter, and how to quote them. Pure.

use std::collections::HashSet;

use super::thread::Thread;
use crate::conditions::asks_for_person;
use crate::conversation::Message;
use crate::model::extract::informative;
use crate::text::{sentences, tables_as_lists};

/// The longest sentence quoted of anybody, in characters.
pub(super) const QUOTE_CHARS: usize = 160;
/// How many of the visitor's last messages are looked at for what they want.
const LOOK_BACK: usize = 12;

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

pub(super) fn words_of(text: &str, locale: &str) -> HashSet<u32> {
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
pub(super) fn quote(text: &str, max: usize) -> String {
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
pub(super) fn wants(thread: &Thread) -> Option<String> {
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
pub(super) fn open_question(thread: &Thread) -> String {
    let said = open(thread);
    let telling = || said.iter().max_by(|a, b| a.score.total_cmp(&b.score));
    let question = said.iter().rfind(|s| s.asks).or_else(telling);
    question.map(|s| quote(&s.text, QUOTE_CHARS * 2)).unwrap_or_default()
}

/// The sentence of an answer that says the most.
pub(super) fn gist(text: &str, locale: &str) -> String {
    let plain = tables_as_lists(text);
    let all = sentences(&plain);
    let telling = all.iter().find(|s| informative(s, locale).len() >= 3);
    quote(telling.or_else(|| all.first()).map_or("", String::as_str), QUOTE_CHARS)
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

#[expect(clippy::cast_precision_loss, reason = "counts of words")]
pub(super) fn overlap(a: &HashSet<u32>, b: &HashSet<u32>) -> f64 {
    let shared = a.intersection(b).count();
    shared as f64 / a.len().min(b.len()).max(1) as f64
}
