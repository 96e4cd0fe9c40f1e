//! Suggested replies put together from passages: what stands together in one passage each, in a courteous frame. Pure.

use std::collections::HashSet;

use super::extract::mood;
use super::phrases::Own;
use super::prompt::{MAX_SUGGESTIONS, Mood};
use super::said::{overlap, words_of};
use super::thread::Thread;
use super::view::Reply;
use crate::knowledge::{Audience, Passage};
use crate::model::MaterialPassage;
use crate::model::extract::{excerpts, is_list_item};

/// A list longer than this is cut to the items that the question names.
const WHOLE_LIST: usize = 5;
/// Replies that share this much of their words are one reply twice.
const SAME: f64 = 0.6;

/// Up to three replies, each from one passage, in the visitor's language where the knowledge has it.
pub(super) fn suggestions(thread: &Thread, question: &str, passages: &[Passage]) -> Vec<Reply> {
    let upset = matches!(mood(thread), Mood::Angry | Mood::Annoyed);
    let spoken = Own::of_text(question).or_else(|| Own::known(&thread.locale));
    let foreign = |p: &Passage| {
        let written = Own::of_text(&p.text);
        spoken.is_some_and(|spoken| written.is_some_and(|written| written != spoken))
    };
    let mut kept: Vec<&Passage> = passages.iter().filter(|p| p.kept).collect();
    if kept.iter().any(|p| !foreign(p)) {
        kept.retain(|p| !foreign(p));
    }
    // What is for colleagues comes last, and once: it must be read before it is sent.
    let (internal, public): (Vec<&Passage>, Vec<&Passage>) =
        kept.into_iter().partition(|p| p.audience == Audience::Internal);
    let mut replies: Vec<Reply> = Vec::new();
    let mut bodies: Vec<HashSet<u32>> = Vec::new();
    for (found, most) in [(public, MAX_SUGGESTIONS), (internal, 1)] {
        let most = (replies.len() + most).min(MAX_SUGGESTIONS);
        for (passage, body) in best_first(question, &thread.locale, &found) {
            let words = words_of(&body, &thread.locale);
            let same = bodies.iter().any(|other| overlap(other, &words) >= SAME);
            if replies.len() >= most || words.is_empty() || same {
                continue;
            }
            let text = match spoken {
                Some(own) if passage.audience == Audience::Public && !foreign(passage) => {
                    let (number, tone) = (replies.len(), thread.settings.tone);
                    let opening = own.opening(number, tone, thread.contact_name.as_deref(), upset);
                    framed(&opening, &body, own.closing(number, tone))
                }
                _ => body,
            };
            bodies.push(words);
            replies.push(Reply { text, citations: vec![passage.citation()] });
        }
    }
    replies
}

/// The passages with what each says to the question, the one that says most first.
fn best_first<'p>(
    question: &str,
    locale: &str,
    passages: &[&'p Passage],
) -> Vec<(&'p Passage, String)> {
    let mut left: Vec<MaterialPassage> = (1..)
        .zip(passages)
        .map(|(number, passage)| MaterialPassage {
            number,
            title: passage.title.clone(),
            section: passage.section.clone(),
            text: passage.text.clone(),
            internal: false,
        })
        .collect();
    let mut ranked = Vec::new();
    while let Some(picked) = excerpts(question, locale, &left).into_iter().next() {
        left.retain(|passage| passage.number != picked.number);
        let passage = picked.number.checked_sub(1).and_then(|at| passages.get(at));
        ranked.extend(passage.map(|p| (*p, named_items(question, locale, &picked.text))));
    }
    ranked
}

/// A text whose long lists hold only the items that the question names most. Numbered steps stay whole.
fn named_items(question: &str, locale: &str, text: &str) -> String {
    let asked = words_of(question, locale);
    let fit = |line: &str| words_of(line, locale).intersection(&asked).count();
    let items = || text.lines().filter(|line| line.starts_with("- "));
    let most = items().map(fit).max().unwrap_or(0);
    if most == 0 || items().count() <= WHOLE_LIST {
        return text.to_owned();
    }
    let kept = text.lines().filter(|line| !line.starts_with("- ") || fit(line) == most);
    kept.collect::<Vec<_>>().join("\n")
}

fn framed(opening: &str, body: &str, closing: &str) -> String {
    let is_block = |line: Option<&str>| line.is_some_and(is_list_item);
    let announced = body.lines().next().is_some_and(|line| line.ends_with(':'));
    let before = if announced || is_block(body.lines().next()) { "\n\n" } else { " " };
    let after = if is_block(body.lines().last()) { "\n\n" } else { " " };
    let mut text = format!("{opening}{before}{body}");
    if !closing.is_empty() {
        text.push_str(after);
        text.push_str(closing);
    }
    text
}
