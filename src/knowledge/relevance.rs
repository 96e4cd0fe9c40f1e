//! Whether a passage answers a question, judged by words alone. Pure.
//!
//! A hit always exists: some passage is always best. The floor asks how much of what the question is *about* the passage
//! mentions: the share of the question's words, weighted by how much each tells chunks of this base apart.

use std::collections::HashSet;

use crate::text::Term;

use super::index::Statistics;

/// The share of the question's weight that a passage must mention to count as an answer.
pub const FLOOR: f64 = 0.5;

/// A question with the weight of each of its words.
#[derive(Debug, Clone)]
pub struct Question {
    words: Vec<Word>,
    total: f64,
}

#[derive(Debug, Clone)]
struct Word {
    term: Term,
    weight: f64,
}

/// How well a passage fits a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// From 0 (mentions nothing of it) to 1 (mentions everything).
    pub coverage: f64,
    /// Whether that is enough to count as an answer.
    pub kept: bool,
    /// Why, in words.
    pub why: String,
}

impl Question {
    /// Weighs distinct `terms`; `statistics` holds the frequency of each form, in order.
    #[must_use]
    pub fn new(terms: &[Term], statistics: &Statistics) -> Self {
        let mut frequencies = statistics.frequencies.iter().copied();
        let words: Vec<Word> = terms
            .iter()
            .map(|term| {
                let known = frequencies.by_ref().take(term.forms.len()).max().unwrap_or(0);
                Word { term: term.clone(), weight: weight(known, statistics.chunks) }
            })
            .collect();
        let total = words.iter().map(|word| word.weight).sum();
        Self { words, total }
    }

    /// Judges a passage by the token ids it holds.
    #[must_use]
    pub fn fit(&self, passage: &HashSet<u32>) -> Fit {
        let (found, missing): (Vec<&Word>, Vec<&Word>) = self
            .words
            .iter()
            .partition(|word| word.term.forms.iter().any(|form| passage.contains(form)));
        let sum = |words: &[&Word]| words.iter().map(|word| word.weight).sum::<f64>();
        let coverage = if self.total > 0.0 { sum(&found) / self.total } else { 0.0 };
        let kept = coverage >= FLOOR;
        let mut why = format!(
            "mentions {:.0} % of what the question asks ({})",
            coverage * 100.0,
            named(found)
        );
        if !missing.is_empty() {
            why.push_str(&format!("; not {}", named(missing)));
        }
        Fit { coverage, kept, why }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of chunks")]
fn weight(frequency: u64, chunks: u64) -> f64 {
    let (frequency, chunks) = (frequency as f64, chunks as f64);
    (1.0 + (chunks - frequency + 0.5) / (frequency + 0.5)).ln()
}

/// The weightiest words, for people.
fn named(mut words: Vec<&Word>) -> String {
    const SHOWN: usize = 5;
    words.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    if words.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<&str> = words.iter().take(SHOWN).map(|word| word.term.word.as_str()).collect();
    let more = if words.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
