//! Picking the sentences of passages that speak to a question, by the words they share. No model, no index: a handful of
//! passages is small enough to look at whole.

mod read;

use std::collections::{HashMap, HashSet};

use super::MaterialPassage;
use crate::text::{self, Term};
use read::{Kind, Read, Unit, read};

pub use read::{informative, is_list_item};

/// Sentences of one passage in an answer at most.
const SENTENCES_A_PASSAGE: usize = 3;

/// Characters of one passage in an answer, beyond the first sentence.
const CHARS_A_PASSAGE: usize = 420;

/// List items kept at most.
const MAX_ITEMS: usize = 8;

/// How much a word counts that stands in the heading over a sentence and not in it.
const HEADING: f64 = 0.4;

/// A second passage must speak to this share of the question that the first left open.
const WORTH_ADDING: f64 = 0.25;

/// What was picked of one passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// The passage's number.
    pub number: usize,
    /// Sentences of it, in its order, without marks.
    pub sentences: Vec<String>,
}

/// Sentences for an answer: of the passage that fits best, and of a second one if it adds something. Empty only without
/// passages.
#[must_use]
pub fn best_sentences(question: &str, locale: &str, passages: &[MaterialPassage]) -> Vec<Picked> {
    let asked = Asked::new(question, locale, passages);
    let mentions = |number| {
        asked.passages.iter().any(|read| read.number == number && asked.coverage(&read.all) > 0.0)
    };
    let first = passages.iter().find(|passage| mentions(passage.number)).or(passages.first());
    let Some(first) = first else { return Vec::new() };
    // The search knows more than shared words: its best article stays. Which part of it, words tell best.
    let of_first =
        |read: &&Read| passages.iter().any(|p| p.number == read.number && p.title == first.title);
    let score = |read: &Read| {
        let best = read.units.iter().map(|unit| asked.score(unit)).fold(0.0, f64::max);
        asked.coverage(&read.all) * 0.5 + best
    };
    let parts = asked.passages.iter().filter(of_first).map(|read| (score(read), read));
    // Of equals, the first.
    let best = parts.reduce(|a, b| if b.0 > a.0 + 1e-9 { b } else { a });
    let Some((_, best)) = best else { return Vec::new() };
    let mut picked = vec![asked.pick(best, SENTENCES_A_PASSAGE)];
    let open = asked.without(&best.all);
    let others =
        asked.passages.iter().filter(|read| has_two_parts(question) && read.number != best.number);
    let second = others.map(|read| (open.coverage(&read.all), read));
    let second = second.filter(|(coverage, _)| coverage * open.share >= WORTH_ADDING);
    if let Some((_, read)) = second.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        picked.push(asked.pick(read, 2));
    }
    picked.retain(|picked| !picked.sentences.is_empty());
    picked
}

/// Whether somebody may have asked two things at once.
fn has_two_parts(question: &str) -> bool {
    let joins = [" and ", " dan ", " also ", " juga ", ", ", "\n"];
    joins.iter().any(|join| question.trim().contains(join)) || text::sentences(question).len() > 1
}

/// A question and the passages it may be answered from.
struct Asked {
    words: Vec<(Term, f64)>,
    /// The part of the whole question's weight in `words`.
    share: f64,
    wish: Wish,
    passages: Vec<Read>,
}

/// What kind of answer a question asks for.
#[derive(Debug, Clone, Copy, Default)]
struct Wish {
    /// A price, a number, a time span.
    number: bool,
    /// A time of day.
    hours: bool,
    /// What to do.
    steps: bool,
}

impl Wish {
    fn of(question: &str) -> Self {
        let lower = format!(" {} ", question.to_lowercase());
        let asks = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        Self {
            number: asks(&[
                "how long", "how much", "how many", "when ", "price", "cost", "fee", "berapa",
                "brp", "kapan", "lama ", "harga", "biaya", "ongkir",
            ]),
            hours: asks(&["hours", "opening", "open ", "close", " jam ", "buka", "tutup"]),
            steps: asks(&[
                "how do",
                "how can",
                "how to",
                "what should",
                "what do i",
                "forgot",
                " cara",
                "gimana",
                "bagaimana",
                "gmn",
                "lupa ",
            ]),
        }
    }

    fn bonus(self, unit: &Unit) -> f64 {
        let has_digit = unit.text.contains(|c: char| c.is_ascii_digit());
        let digits: Vec<&str> = unit.text.split(|c: char| !c.is_ascii_digit()).collect();
        let has_time = unit.text.contains([':', '.'])
            && digits.windows(2).any(|pair| pair.iter().all(|digits| digits.len() == 2));
        let tells_steps = unit.kind == Kind::Step || unit.text.contains("**");
        let part = |wanted: bool, told: bool, bonus: f64| if wanted && told { bonus } else { 0.0 };
        part(self.number, has_digit && unit.kind != Kind::Step, 0.15)
            + part(self.hours, has_time, 0.3)
            + part(self.steps, tells_steps, 0.2)
    }
}

impl Asked {
    fn new(question: &str, locale: &str, passages: &[MaterialPassage]) -> Self {
        let passages: Vec<Read> = passages.iter().map(|passage| read(passage, locale)).collect();
        let mut frequency: HashMap<u32, u32> = HashMap::new();
        let texts = || passages.iter().flat_map(|read| read.units.iter().map(|unit| &unit.tokens));
        for token in texts().chain(passages.iter().map(|read| &read.all)).flatten() {
            *frequency.entry(*token).or_default() += 1;
        }
        let count = texts().count() + passages.len();
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let mut seen = HashSet::new();
        let words = informative(question, locale)
            .into_iter()
            .filter(|term| seen.insert(term.word.clone()))
            .map(|term| {
                let found = term.forms.iter().filter_map(|form| frequency.get(form)).max();
                let found = f64::from(found.copied().unwrap_or(0));
                let weight = (1.0 + (count - found + 0.5) / (found + 0.5)).ln();
                (term, weight, found)
            })
            // A word that no passage has tells none from another.
            .filter(|(_, _, found)| *found > 0.0)
            .map(|(term, weight, _)| (term, weight))
            .collect();
        Self { words, share: 1.0, wish: Wish::of(question), passages }
    }

    /// The share of the question's weight that these tokens mention.
    fn coverage(&self, tokens: &HashSet<u32>) -> f64 {
        let total: f64 = self.words.iter().map(|(_, weight)| weight).sum();
        let found: f64 = self
            .words
            .iter()
            .filter(|(term, _)| term.forms.iter().any(|form| tokens.contains(form)))
            .map(|(_, weight)| weight)
            .sum();
        if total > 0.0 { found / total } else { 0.0 }
    }

    /// The part of the question that these tokens leave open.
    fn without(&self, tokens: &HashSet<u32>) -> Self {
        let words: Vec<(Term, f64)> = self
            .words
            .iter()
            .filter(|(term, _)| !term.forms.iter().any(|form| tokens.contains(form)))
            .cloned()
            .collect();
        Self { words, share: 1.0 - self.coverage(tokens), wish: self.wish, passages: Vec::new() }
    }

    /// How well a sentence speaks to the question.
    fn score(&self, unit: &Unit) -> f64 {
        let under = self.without(&unit.tokens);
        let said = 1.0 - under.share;
        said + HEADING * under.share * under.coverage(&unit.heading) + self.wish.bonus(unit)
    }

    /// The best sentence of a passage with what belongs to it: one stretch of a paragraph, or of a list with the sentence
    /// that announces it.
    fn pick(&self, read: &Read, limit: usize) -> Picked {
        let units = &read.units;
        let scores: Vec<f64> = units.iter().map(|unit| self.score(unit)).collect();
        // The first of the best.
        let best =
            (0..units.len()).fold(0, |a, b| if scores[b] > scores[a] + 1e-9 { b } else { a });
        let chosen = match units.get(best).map(|unit| unit.kind) {
            None => Vec::new(),
            Some(Kind::Sentence) => stretch(units, &scores, best, limit),
            Some(Kind::Step) => with_list(units, best, |_| true),
            // What the question names is told alone; of a list to go through, everything.
            Some(Kind::Bullet) => {
                let named = self.coverage(&units[best].tokens) >= 0.6 || !is_announced(units, best);
                with_list(units, best, |at| !named || scores[at] >= scores[best] * 0.8)
            }
        };
        let sentences = chosen.into_iter().map(|at| units[at].text.clone()).collect();
        Picked { number: read.number, sentences }
    }
}

/// A sentence with its neighbours in the paragraph, as far as they speak to the question too; the one behind it is taken in
/// any case, because it usually goes on with it. A list that the last one announces comes along.
fn stretch(units: &[Unit], scores: &[f64], best: usize, limit: usize) -> Vec<usize> {
    let (mut first, mut last) = (best, best);
    let mut chars = 0;
    let mut fits = |at: usize| {
        chars += units[at].text.chars().count();
        chars <= CHARS_A_PASSAGE
    };
    while last + 1 < units.len()
        && last - first + 1 < limit
        && !units[last].ends_paragraph
        && units[last + 1].kind == Kind::Sentence
        && (last == best || scores[last + 1] > 0.1)
        && fits(last + 1)
    {
        last += 1;
    }
    while first > 0
        && last - first + 1 < limit
        && !units[first - 1].ends_paragraph
        && units[first - 1].kind == Kind::Sentence
        && scores[first - 1] > 0.1
        && fits(first - 1)
    {
        first -= 1;
    }
    let mut chosen: Vec<usize> = (first..=last).collect();
    if units[last].text.ends_with(':') && last + 1 < units.len() {
        let list = last + 1..units.len();
        let items: Vec<usize> = list.take_while(|at| units[*at].kind != Kind::Sentence).collect();
        // What the question names is told alone; of a list to go through, everything.
        let named: Vec<usize> = items.iter().copied().filter(|at| scores[*at] >= 0.6).collect();
        let steps = items.iter().any(|at| units[*at].kind == Kind::Step);
        let all = steps || named.is_empty();
        chosen.extend(if all { items } else { named }.iter().take(MAX_ITEMS));
    }
    chosen
}

/// Where the list around `at` starts.
fn list_start(units: &[Unit], at: usize) -> usize {
    let items = (0..at).rev().take_while(|at| units[*at].kind != Kind::Sentence);
    items.last().unwrap_or(at)
}

fn is_announced(units: &[Unit], at: usize) -> bool {
    let before = list_start(units, at).checked_sub(1);
    before.is_some_and(|before| units[before].text.ends_with(':'))
}

/// Items of the list around `best`, and the sentence that announces it.
fn with_list(units: &[Unit], best: usize, keep: impl Fn(usize) -> bool) -> Vec<usize> {
    let is_item = |at: &usize| units.get(*at).is_some_and(|unit| unit.kind != Kind::Sentence);
    let start = list_start(units, best);
    let items = (start..units.len()).take_while(is_item).filter(|at| *at == best || keep(*at));
    let announced = start.checked_sub(1).filter(|at| units[*at].text.ends_with(':'));
    announced.into_iter().chain(items.take(MAX_ITEMS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(number: usize, title: &str, text: &str) -> MaterialPassage {
        MaterialPassage {
            number,
            title: title.into(),
            text: text.into(),
            ..MaterialPassage::default()
        }
    }

    fn picked(question: &str, passages: &[MaterialPassage]) -> Vec<(usize, String)> {
        best_sentences(question, "en", passages)
            .into_iter()
            .map(|picked| (picked.number, picked.sentences.join(" ")))
            .collect()
    }

    #[test]
    fn the_sentence_that_shares_the_question_s_words_is_picked() {
        let passages = [
            passage(
                1,
                "Shipping",
                "## Shipping\n\nWe ship on weekdays. Parcels to Bali take four days. Nothing leaves on Sunday.",
            ),
            passage(
                2,
                "Refunds",
                "Refunds take five working days. Write to us with your order number.",
            ),
        ];
        assert_eq!(
            picked("How long does a parcel to Bali take?", &passages)[0],
            (1, "Parcels to Bali take four days. Nothing leaves on Sunday.".into())
        );
        let refund = picked("when do refunds arrive", &passages);
        assert_eq!(refund[0].0, 2);
        assert!(refund[0].1.starts_with("Refunds take five working days."));
        assert!(picked("anything", &[]).is_empty());
        assert_eq!(
            picked("zzz", &passages)[0].0,
            1,
            "without shared words the search's rank decides"
        );
    }

    #[test]
    fn a_second_passage_joins_when_it_answers_the_rest() {
        let passages = [
            passage(1, "Refunds", "Refunds take five working days."),
            passage(2, "Shipping", "Parcels to Bali take four days."),
        ];
        let both = picked("How long is a refund, and how long a parcel to Bali?", &passages);
        let numbers: Vec<usize> = both.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers.len(), 2, "{both:?}");
    }

    #[test]
    fn lists_stay_whole() {
        let text = "To cancel a subscription:\n\n1. Open your account.\n2. Choose Subscriptions.\n3. Press Cancel.\n\nYou can come back.";
        let one = picked("How do I cancel my subscription?", &[passage(1, "Cancel", text)]);
        assert!(
            one[0].1.contains("1. Open your account. 2. Choose Subscriptions. 3. Press Cancel."),
            "{one:?}"
        );
    }

    #[test]
    fn indonesian_words_meet_in_their_stems() {
        let passages = [passage(
            1,
            "Lama refund",
            "Pengembalian dana masuk dalam lima hari kerja. Kami tutup hari Minggu.",
        )];
        let one = best_sentences("kapan dana saya dikembalikan?", "id", &passages);
        assert!(one[0].sentences[0].starts_with("Pengembalian dana"), "{one:?}");
    }
}
