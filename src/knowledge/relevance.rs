//! What a question is looked for by, and whether a passage answers it, judged by words alone. Pure.
//!
//! A hit always exists: some passage is always best. The floor asks how well the passage covers what the question is
//! *about*: its BM25 score over the most a question of this weight could get, which grows with the square root of the
//! weight (a long question never finds all of its words). All weights come from the searched bases' own chunks, so that the
//! same floor fits bases of any size and subject.

use std::collections::HashMap;

use crate::text::{Language, Term, related};

use super::index::{Statistics, TokenCounts};

/// The fit below which a passage is no answer. On thirteen collections of questions in seven languages 93 to 100 of 100
/// answerable questions reach it; of the demo's chatty questions 72 of 78 do, and 9 of the 12 that its base cannot answer
/// do not.
pub const FLOOR: f64 = 0.40;

/// A passage that mentions this share of the question's weight counts whatever its fit: very short questions cannot get a
/// high one.
pub const COVERED: f64 = 0.8;

/// How much the folded word counts beside its stem; better than either alone (nDCG@10, ten of thirteen sets).
const WORD_BESIDE_STEM: f32 = 0.5;

/// How much the related words of a word count together beside the word itself, spread evenly over the root of their number:
/// high enough that "postage" finds shipping, low enough that many loose relatives do not outweigh the words of the question
/// (50 of 78 chatty questions answered first, 62 in the top three; 47 and 60 with a fixed half each).
const RELATED: f32 = 1.0;

/// How many distinct words of a question are looked for: the first ones.
const MAX_WORDS: usize = 128;

/// A question's words, each once, and the weighted tokens they are looked for by.
#[derive(Debug, Clone, Default)]
pub struct Wording {
    words: Vec<Term>,
    /// Token ids with their weights, each once.
    pub tokens: Vec<(u32, f32)>,
}

impl Wording {
    /// Leaves out words that carry grammar only, unless there are no others. A word that comes back counts more, but less
    /// each time.
    #[must_use]
    pub fn new(terms: Vec<Term>, languages: &[Language]) -> Self {
        let grammar_only = terms.iter().all(|term| term.common);
        let mut words: Vec<Term> = Vec::new();
        let mut tokens: Vec<(u32, f32, f32)> = Vec::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        for term in terms.into_iter().filter(|term| grammar_only || !term.common) {
            let stemmed = term.forms.len() > 1;
            for (i, &form) in term.forms.iter().enumerate() {
                let weight = if stemmed && i == 0 { WORD_BESIDE_STEM } else { 1.0 };
                match places.get(&form) {
                    Some(&place) => {
                        tokens[place].1 = tokens[place].1.max(weight);
                        tokens[place].2 += 1.0;
                    }
                    None => {
                        places.insert(form, tokens.len());
                        tokens.push((form, weight, 1.0));
                    }
                }
            }
            if words.len() < MAX_WORDS && !words.iter().any(|word| word.forms[0] == term.forms[0]) {
                words.push(term);
            }
        }
        for word in &words {
            let forms = related(word, languages);
            // Together they must not outweigh the word itself, however many there are.
            let share =
                RELATED / f32::from(u16::try_from(forms.len().max(1)).unwrap_or(u16::MAX)).sqrt();
            for form in forms {
                if let std::collections::hash_map::Entry::Vacant(place) = places.entry(form) {
                    place.insert(tokens.len());
                    tokens.push((form, share, 1.0));
                }
            }
        }
        let tokens = tokens.into_iter().map(|(id, weight, times)| (id, weight * times.sqrt()));
        Self { words, tokens: tokens.collect() }
    }

    /// The ids of [`Self::tokens`], in order.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|(id, _)| *id).collect()
    }
}

/// A question weighed by the statistics of the bases it is asked of.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    wording: &'a Wording,
    statistics: &'a Statistics,
    /// Of each word.
    weights: Vec<f64>,
    /// Of each token, by id.
    worths: HashMap<u32, f64>,
}

/// How well a passage fits a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The share of the question's weight that the passage mentions, from 0 to 1.
    pub coverage: f64,
    /// How well it covers it; mostly below 1.5.
    pub fit: f64,
    /// Whether that is enough to count as an answer.
    pub kept: bool,
    /// Why, in words.
    pub why: String,
}

impl<'a> Question<'a> {
    /// Weighs a wording; the frequencies are those of [`Wording::ids`].
    #[must_use]
    pub fn new(wording: &'a Wording, statistics: &'a Statistics) -> Self {
        let known: HashMap<u32, u64> =
            wording.ids().into_iter().zip(statistics.frequencies.iter().copied()).collect();
        let frequency = |form: &u32| known.get(form).copied().unwrap_or(0);
        let weight =
            |term: &Term| statistics.idf(term.forms.iter().map(frequency).max().unwrap_or(0));
        let worth =
            |&(id, weight): &(u32, f32)| (id, statistics.idf(frequency(&id)) * f64::from(weight));
        Self {
            wording,
            statistics,
            weights: wording.words.iter().map(weight).collect(),
            worths: wording.tokens.iter().map(worth).collect(),
        }
    }

    /// Judges a passage by what it is found by.
    #[must_use]
    pub fn fit(&self, passage: &TokenCounts) -> Fit {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (term, &weight) in self.wording.words.iter().zip(&self.weights) {
            let is_there = term.forms.iter().any(|&form| passage.count(form) > 0.0);
            let list = if is_there { &mut found } else { &mut missing };
            list.push((term.word.as_str(), weight));
        }
        let total: f64 = self.weights.iter().sum();
        let covered: f64 = found.iter().map(|(_, weight)| weight).sum();
        let coverage = if total > 0.0 { covered / total } else { 0.0 };
        let score: f64 = self
            .worths
            .iter()
            .map(|(&id, worth)| {
                worth * self.statistics.saturation(passage.count(id), passage.length)
            })
            .sum();
        let most = (total * self.statistics.idf(0)).sqrt();
        let fit = if most > 0.0 { score / most } else { 0.0 };
        let kept = !found.is_empty() && (fit >= FLOOR || coverage >= COVERED);
        let mut why = format!(
            "{}: fit {fit:.2} of {FLOOR:.2}, mentions {}",
            if kept { "kept" } else { "below the floor" },
            named(found)
        );
        if !missing.is_empty() {
            why.push_str(&format!("; not {}", named(missing)));
        }
        Fit { coverage, fit, kept, why }
    }
}

/// The weightiest words, for people.
fn named(mut words: Vec<(&str, f64)>) -> String {
    const SHOWN: usize = 5;
    words.sort_by(|a, b| b.1.total_cmp(&a.1));
    if words.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<&str> = words.iter().take(SHOWN).map(|(word, _)| *word).collect();
    let more = if words.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Language, terms};

    const ENGLISH: &[Language] = &[Language::English];

    #[track_caller]
    fn check(question: &str, passage: &str, kept: bool) {
        let wording = Wording::new(terms(question, ENGLISH), ENGLISH);
        let counts = TokenCounts::of_chunk("", "", passage, "en");
        // A hundred chunks of thirty words; every word of the passage is in three of them.
        let frequencies =
            wording.ids().iter().map(|&id| if counts.count(id) > 0.0 { 3 } else { 0 }).collect();
        let statistics = Statistics { chunks: 100, words: 3_000, frequencies };
        let fit = Question::new(&wording, &statistics).fit(&counts);
        assert_eq!(fit.kept, kept, "{}", fit.why);
    }

    const REFUND: &str = "A refund takes five working days once we have approved your return.";

    #[test]
    fn what_the_question_is_about_decides() {
        check("refund?", REFUND, true);
        check("How long does a refund take?", REFUND, true);
        check("How do I become a partner and open a franchise shop in five cities?", REFUND, false);
        check("do you have it", REFUND, false);
        check("", REFUND, false);
    }

    #[test]
    fn the_reason_names_words() {
        let wording = Wording::new(terms("refund in bitcoin", ENGLISH), ENGLISH);
        let statistics = Statistics { chunks: 9, words: 90, frequencies: vec![1, 0] };
        let fit =
            Question::new(&wording, &statistics).fit(&TokenCounts::of_chunk("", "", REFUND, "en"));
        assert!(fit.why.contains("mentions refund; not bitcoin"), "{}", fit.why);
    }
}
