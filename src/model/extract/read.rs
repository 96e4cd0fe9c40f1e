//! Reading a passage: its sentences and list items, and the words they are about.

use std::collections::HashSet;

use crate::model::MaterialPassage;
use crate::text::{self, Language, Term};

/// Words that say nothing about a topic, in the languages the built-in answerer speaks.
const STOP_WORDS: &str = "a an the and or but if of to in on at by for from with about as is are was were be been am do \
does did done have has had having can could will would shall should may might must i me my mine we us our you your he him \
his she her it its they them their this that these those there here what which who whom whose when where why how not no yes \
so than then too very just also any some all more most much many please hi hello hey thanks thank ok okay want need like get \
got know tell let im ive id whats dont doesnt cant isnt \
yang dan di ke dari untuk pada dengan itu ini atau ada adalah apa apakah bagaimana gimana berapa kapan dimana mana kenapa \
mengapa siapa saya aku kami kita anda kamu kak mas mbak pak bu min gan sis dia mereka bisa boleh dapat mau ingin akan sudah \
udah belum tidak tak gak ga nggak enggak bukan jangan ya iya tolong mohon dong sih kok deh nih kah pun juga lagi saja aja \
kalau jika cara caranya agar supaya karena tapi tetapi halo hai selamat pagi siang sore malam terima kasih makasih nya";

/// The words of a text that say what it is about.
#[must_use]
pub fn informative(text: &str, locale: &str) -> Vec<Term> {
    let stop: HashSet<&str> = STOP_WORDS.split_whitespace().collect();
    let mut languages = vec![Language::English, Language::Indonesian];
    languages.extend(Language::of_locale(locale));
    languages.dedup();
    text::terms(text, &languages)
        .into_iter()
        .filter(|term| !stop.contains(term.word.as_str()) && term.word.len() > 1)
        .collect()
}

/// A passage, read.
#[derive(Clone)]
pub(super) struct Read {
    pub number: usize,
    pub units: Vec<Unit>,
    /// Tokens of text, title and section.
    pub all: HashSet<u32>,
}

/// A sentence or a list item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub text: String,
    pub kind: Kind,
    pub tokens: HashSet<u32>,
    /// Tokens of the heading over it.
    pub heading: HashSet<u32>,
    /// A blank line, or the end, follows.
    pub ends_paragraph: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sentence,
    /// One of several that belong together in their order.
    Step,
    /// One of several that stand for themselves.
    Bullet,
}

/// Whether a line is an item of a list.
#[must_use]
pub fn is_list_item(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.starts_with("- ") || (rest.len() < text.len() && rest.starts_with(". "))
}

pub(super) fn read(passage: &MaterialPassage, locale: &str) -> Read {
    let units = units(&passage.text, locale);
    let mut all = tokens(&passage.title, locale);
    all.extend(tokens(passage.section.as_deref().unwrap_or(""), locale));
    all.extend(units.iter().flat_map(|unit| &unit.tokens));
    Read { number: passage.number, units, all }
}

fn tokens(text: &str, locale: &str) -> HashSet<u32> {
    informative(text, locale).into_iter().flat_map(|term| term.forms).collect()
}

/// The sentences and list items of a passage, each on one line. Headings only lend their words; rules, code fences and quote
/// marks go; table rows are items.
fn units(passage: &str, locale: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut heading = HashSet::new();
    let mut prose = String::new();
    let mut flush = |prose: &mut String, heading: &HashSet<u32>| {
        for sentence in text::sentences(&std::mem::take(prose)) {
            let line = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = line.strip_prefix("* ").map_or(line.clone(), |item| format!("- {item}"));
            if line.contains(char::is_alphanumeric) {
                units.push(Unit {
                    kind: kind(&line),
                    tokens: tokens(&line, locale),
                    heading: heading.clone(),
                    ends_paragraph: sentence.trim_end_matches(' ').ends_with("\n\n"),
                    text: line,
                });
            }
        }
        if let Some(last) = units.last_mut() {
            last.ends_paragraph = true;
        }
    };
    for line in text::tables_as_lists(passage).lines() {
        let line = line.trim();
        if line.starts_with('#') {
            flush(&mut prose, &heading);
            heading = tokens(line, locale);
        } else if !line.starts_with("```") && line != "---" {
            prose.push_str(line.trim_start_matches(['>', ' ']));
            prose.push('\n');
        }
    }
    flush(&mut prose, &heading);
    units
}

fn kind(line: &str) -> Kind {
    if line.starts_with("- ") {
        Kind::Bullet
    } else if is_list_item(line) {
        Kind::Step
    } else {
        Kind::Sentence
    }
}
