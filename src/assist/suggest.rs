//! Suggested replies put together from passages: sentences of one passage each, in a courteous frame. Pure.

use std::collections::HashSet;

use super::extract::mood;
use super::phrases::Own;
use super::pick::{Picked, pick};
use super::prompt::{MAX_SUGGESTIONS, Mood};
use super::said::{overlap, words_of};
use super::thread::Thread;
use super::view::Reply;
use crate::knowledge::{Audience, Passage};
use crate::model::extract::is_list_item;

/// A reply that speaks to less than this share of what the best one does is not worth reading.
const WORTH: f64 = 0.4;
/// Replies that share this much of their words are one reply twice.
const SAME: f64 = 0.6;

/// Up to three replies, each from one passage, in the visitor's language where the knowledge has it.
pub(super) fn suggestions(thread: &Thread, question: &str, passages: &[Passage]) -> Vec<Reply> {
    let upset = matches!(mood(thread), Mood::Angry | Mood::Annoyed);
    let spoken = Own::of_text(question).or_else(|| Own::known(&thread.locale));
    let mut ranked: Vec<&Passage> = passages.iter().filter(|p| p.kept).collect();
    let foreign = |p: &Passage| matches!((spoken, Own::of_text(&p.text)), (Some(spoken), Some(written)) if spoken != written);
    if ranked.iter().any(|p| !foreign(p)) {
        ranked.retain(|p| !foreign(p));
    }
    let picked = pick(question, &thread.locale, &ranked);
    let mut ranked: Vec<(&Passage, Picked)> = ranked.into_iter().zip(picked).collect();
    // What is for colleagues comes last, and once: it must be read before it is sent.
    ranked.sort_by(|(a, at), (b, bt)| {
        let internal = |p: &Passage| p.audience == Audience::Internal;
        internal(a).cmp(&internal(b)).then(bt.score.total_cmp(&at.score))
    });
    let mut replies: Vec<Reply> = Vec::new();
    let mut bodies: Vec<HashSet<u32>> = Vec::new();
    let enough = ranked.first().map_or(0.0, |(_, best)| best.score * WORTH);
    for (passage, Picked { text: body, score }) in ranked {
        let internal = passage.audience == Audience::Internal;
        let twice = internal && replies.iter().any(Reply::is_internal);
        if replies.len() >= MAX_SUGGESTIONS || twice {
            break;
        }
        let words = words_of(&body, &thread.locale);
        let same = bodies.iter().any(|other| overlap(other, &words) >= SAME);
        if body.is_empty() || same || score < enough {
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
