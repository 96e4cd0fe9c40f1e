//! The part of a passage that answers, word for word: what the built-in answerer says where there is no model. Pure.
//!
//! The answer is one unbroken stretch of whole sentences and whole list items, so that it reads well and its Markdown stays
//! valid. Words are compared by their beginnings, since the language is not known here.

use std::ops::Range;

use crate::text::{sentences, terms};

/// The stretch of `passage` that best answers `query`, at most `max_chars` characters. The whole passage if it fits.
#[must_use]
pub fn best_sentences(query: &str, passage: &str, max_chars: usize) -> String {
    let passage = passage.trim();
    if chars(passage) <= max_chars {
        return passage.to_owned();
    }
    let units = units(passage);
    let scores = scores(query, passage, &units);
    // The earliest of the best; where nothing matches, the beginning.
    let best =
        (0..units.len()).fold(0, |best, i| if scores[i] > scores[best] + 1e-9 { i } else { best });
    let (mut first, mut last) = (best, best);
    let fits = |first: usize, last: usize| {
        chars(passage[units[first].place.start..units[last].place.end].trim()) <= max_chars
    };
    if let Some(intro) = introduction(&units, best).filter(|&intro| fits(intro, best)) {
        first = intro;
    }
    while last + 1 < units.len() && units[last + 1].kind != Kind::Heading && fits(first, last + 1) {
        last += 1;
    }
    while first > 0
        && units[first - 1].kind != Kind::Heading
        && scores[first - 1] > 0.0
        && fits(first - 1, last)
    {
        first -= 1;
    }
    // Nothing is announced or asked that does not follow.
    while last > best && passage[units[last].place.clone()].trim_end().ends_with([':', '?']) {
        last -= 1;
    }
    let text = passage[units[first].place.start..units[last].place.end].trim();
    if chars(text) <= max_chars { text.to_owned() } else { shortened(text, max_chars) }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heading,
    /// A list item or a table row with what belongs to it.
    Item,
    Sentence,
}

#[derive(Debug, Clone)]
struct Unit {
    place: Range<usize>,
    kind: Kind,
}

/// Whole list items, table rows and headings; all else by sentence. Together they are the passage.
fn units(passage: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut at = 0;
    let mut prose: Option<usize> = None;
    for line in passage.split_inclusive('\n') {
        let place = at..at + line.len();
        at = place.end;
        let kind = kind_of(line);
        let indented = line.starts_with([' ', '\t']) || line.trim().is_empty();
        if kind == Kind::Sentence {
            match units.last_mut() {
                Some(item) if prose.is_none() && item.kind == Kind::Item && indented => {
                    item.place.end = place.end;
                }
                _ => prose = prose.or(Some(place.start)),
            }
            continue;
        }
        if let Some(start) = prose.take() {
            cut(passage, start..place.start, &mut units);
        }
        let nested = line.starts_with([' ', '\t']) && kind == Kind::Item;
        match units.last_mut() {
            Some(item) if nested && item.kind == Kind::Item => item.place.end = place.end,
            _ => units.push(Unit { place, kind }),
        }
    }
    if let Some(start) = prose {
        cut(passage, start..passage.len(), &mut units);
    }
    units
}

fn cut(passage: &str, place: Range<usize>, units: &mut Vec<Unit>) {
    let mut at = place.start;
    for sentence in sentences(&passage[place]) {
        let end = at + sentence.len();
        units.push(Unit { place: at..end, kind: Kind::Sentence });
        at = end;
    }
}

fn kind_of(line: &str) -> Kind {
    let text = line.trim_start();
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered =
        number.len() < text.len() && (number.starts_with(". ") || number.starts_with(") "));
    if text.starts_with("# ") || text.starts_with("##") {
        Kind::Heading
    } else if numbered || ["- ", "* ", "+ ", "|"].iter().any(|mark| text.starts_with(mark)) {
        Kind::Item
    } else {
        Kind::Sentence
    }
}

/// How much of the question each unit mentions; a word counts less the more units have it. A heading speaks for what
/// follows it, and the first unit wins between equals.
fn scores(query: &str, passage: &str, units: &[Unit]) -> Vec<f64> {
    let wanted: Vec<String> = terms(query, &[]).into_iter().map(|term| term.word).collect();
    let words: Vec<Vec<String>> = units
        .iter()
        .map(|unit| terms(&passage[unit.place.clone()], &[]).into_iter().map(|t| t.word).collect())
        .collect();
    let mut scores = vec![0.0; units.len()];
    for (i, word) in wanted.iter().enumerate().filter(|(i, w)| !wanted[..*i].contains(w)) {
        let has: Vec<bool> = words.iter().map(|unit| unit.iter().any(|w| akin(w, word))).collect();
        let times = u32::try_from(has.iter().filter(|has| **has).count()).unwrap_or(u32::MAX);
        for (score, _) in scores.iter_mut().zip(&has).filter(|(_, has)| **has) {
            // Long words say more than short ones.
            let weight = f64::from(u32::try_from(wanted[i].chars().count().min(8)).unwrap_or(8));
            *score += weight / f64::from(1 + times);
        }
    }
    let mut heading = 0.0;
    for (unit, score) in units.iter().zip(&mut scores) {
        if unit.kind == Kind::Heading {
            heading = std::mem::take(score);
        } else {
            *score += heading;
            heading *= 0.5;
        }
    }
    scores
}

/// The same word, or two forms of one: the same first five letters and not much more.
fn akin(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let shared = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let longer = a.chars().count().max(b.chars().count());
    shared >= 4 && shared * 10 >= longer * 6
}

/// The sentence that announces the list an item stands in.
fn introduction(units: &[Unit], item: usize) -> Option<usize> {
    if units[item].kind != Kind::Item {
        return None;
    }
    (0..item)
        .rev()
        .find(|&i| units[i].kind != Kind::Item)
        .filter(|&i| units[i].kind == Kind::Sentence)
}

/// Cut after a word, with a sign that it goes on.
fn shortened(text: &str, max_chars: usize) -> String {
    let end = text.char_indices().nth(max_chars.saturating_sub(1)).map_or(text.len(), |(i, _)| i);
    let cut = &text[..end];
    let word = cut.rfind(char::is_whitespace).filter(|&i| i * 2 > cut.len()).unwrap_or(cut.len());
    format!("{}…", cut[..word].trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RETURNS: &str = "Our shop opened in 1998. You can return unopened goods within 30 days. The refund takes five \
        working days. \n\n## How to send it back\n\nPack it well:\n\n- Put the slip inside.\n- Use the old box, or\n  \
        another strong one.\n- Bring it to the post office.\n\nQuestions? Write to us any time you like.";

    #[test]
    fn a_short_passage_is_the_answer() {
        assert_eq!(best_sentences("anything", " All of it. ", 50), "All of it.");
    }

    #[test]
    fn the_sentence_that_answers_and_what_follows_it() {
        assert_eq!(
            best_sentences("how long do refunds take?", RETURNS, 80),
            "The refund takes five \
        working days."
        );
        let more = best_sentences("within how many days can I return goods", RETURNS, 110);
        assert!(
            more.starts_with("You can return unopened goods") && more.ends_with("working days."),
            "{more}"
        );
    }

    #[test]
    fn lists_stay_whole_and_keep_their_introduction() {
        let list = best_sentences("which box do I use to send it back", RETURNS, 130);
        assert!(list.starts_with("Pack it well:\n\n- Put the slip inside."), "{list}");
        assert!(list.ends_with("- Bring it to the post office."), "{list}");
    }

    #[test]
    fn one_endless_sentence_is_cut_after_a_word() {
        let endless = "word ".repeat(50);
        let cut = best_sentences("word", &endless, 22);
        assert_eq!(cut, "word word word word…");
    }

    proptest! {
        #[test]
        fn never_longer_than_asked_and_always_from_the_passage(
            passage in "([A-Z][a-z]{2,6}( [a-z]{1,6}){1,6}[.!?] |\n- [a-z]{2,6}|\n\n|## [a-z]{3}\n|退款需要三天。){1,12}",
            query in "[a-z]{2,6}( [a-z]{2,6}){0,4}",
            max in 1_usize..120,
        ) {
            let answer = best_sentences(&query, &passage, max);
            prop_assert!(answer.chars().count() <= max);
            prop_assert!(passage.contains(answer.trim_end_matches('…')));
        }
    }
}
