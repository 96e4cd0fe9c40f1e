//! Picking the sentences of passages that speak to a question, by the words they share. No model, no index: a handful of
//! passages is small enough to look at whole.

use std::collections::{HashMap, HashSet};

use super::MaterialPassage;
use crate::text::{self, Language, Term};

/// Sentences of one passage in an answer at most.
const SENTENCES_A_PASSAGE: usize = 3;

/// Characters of one passage in an answer, beyond the first sentence.
const CHARS_A_PASSAGE: usize = 420;

/// List items kept behind a sentence that announces them.
const MAX_ITEMS: usize = 6;

/// A second passage must speak to this share of the question that the first left open.
const WORTH_ADDING: f64 = 0.25;

/// Words that say nothing about a topic, in the languages the built-in answerer speaks.
const STOP_WORDS: &str = "a an the and or but if of to in on at by for from with about as is are was were be been am do \
does did done have has had having can could will would shall should may might must i me my mine we us our you your he him \
his she her it its they them their this that these those there here what which who whom whose when where why how not no yes \
so than then too very just also any some all more most much many please hi hello hey thanks thank ok okay want need like get \
got know tell let im ive id whats dont doesnt cant isnt \
yang dan di ke dari untuk pada dengan itu ini atau ada adalah apa apakah bagaimana gimana berapa kapan dimana mana kenapa \
mengapa siapa saya aku kami kita anda kamu kak mas mbak pak bu min gan sis dia mereka bisa boleh dapat mau ingin akan sudah \
udah belum tidak tak gak ga nggak enggak bukan jangan ya iya tolong mohon dong sih kok deh nih kah pun juga lagi saja aja \
kalau jika agar supaya karena tapi tetapi halo hai selamat pagi siang sore malam terima kasih makasih nya";

/// What was picked of one passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// The passage's number.
    pub number: usize,
    /// Sentences of it, in its order, without marks.
    pub sentences: Vec<String>,
}

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

/// Sentences for an answer: of the passage that fits best, and of a second one if it adds something. Empty only without
/// passages.
#[must_use]
pub fn best_sentences(question: &str, locale: &str, passages: &[MaterialPassage]) -> Vec<Picked> {
    let asked = Asked::new(question, locale, passages);
    let mut ranked: Vec<(f64, &Read)> = (1_u32..)
        .zip(&asked.passages)
        .map(|(rank, read)| {
            // The search has ranked them already, and knows more than shared words.
            let prior = 1.0 + 0.5 / f64::from(rank);
            ((asked.coverage(&read.all) + 0.05) * prior, read)
        })
        .collect();
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let Some((_, best)) = ranked.first() else { return Vec::new() };
    let mut picked = vec![asked.pick(best, SENTENCES_A_PASSAGE)];
    let open = asked.without(&best.all);
    let second = ranked.iter().skip(1).map(|(_, read)| (open.coverage(&read.all), *read));
    let second = second.filter(|(coverage, _)| coverage * open.share >= WORTH_ADDING);
    if let Some((_, read)) = second.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        picked.push(asked.pick(read, 2));
    }
    picked.retain(|picked| !picked.sentences.is_empty());
    picked
}

/// A question and the passages it may be answered from.
struct Asked {
    words: Vec<(Term, f64)>,
    /// The part of the whole question's weight in `words`.
    share: f64,
    passages: Vec<Read>,
}

/// A passage, read.
#[derive(Clone)]
struct Read {
    number: usize,
    sentences: Vec<(String, HashSet<u32>)>,
    /// Tokens of text, title and section.
    all: HashSet<u32>,
}

impl Asked {
    fn new(question: &str, locale: &str, passages: &[MaterialPassage]) -> Self {
        let passages: Vec<Read> = passages.iter().map(|passage| read(passage, locale)).collect();
        let mut frequency: HashMap<u32, u32> = HashMap::new();
        let texts =
            || passages.iter().flat_map(|read| read.sentences.iter().map(|(_, tokens)| tokens));
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
        Self { words, share: 1.0, passages }
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
        Self { words, share: 1.0 - self.coverage(tokens), passages: Vec::new() }
    }

    /// The best sentence of a passage and what follows it, or stands before it where it answers the rest.
    fn pick(&self, read: &Read, limit: usize) -> Picked {
        let scores: Vec<f64> =
            read.sentences.iter().map(|(_, tokens)| self.coverage(tokens)).collect();
        let best = scores
            .iter()
            .enumerate()
            .max_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)))
            .map_or(0, |(at, _)| at);
        let mut chosen: Vec<usize> = vec![best];
        let mut chars = 0;
        let mut others: Vec<usize> = (0..scores.len()).filter(|at| *at != best).collect();
        // What stands right behind the best sentence usually continues it.
        let bonus = |at: usize| if at == best + 1 { 0.15 } else { 0.0 };
        others.sort_by(|i, j| (scores[*j] + bonus(*j)).total_cmp(&(scores[*i] + bonus(*i))));
        for at in others {
            let length = read.sentences[at].0.chars().count();
            let fits = chars + length <= CHARS_A_PASSAGE;
            if chosen.len() < limit && fits && scores[at] + bonus(at) > 0.1 {
                chosen.push(at);
                chars += length;
            }
        }
        chosen.sort_unstable();
        let chosen = with_items(&chosen, &read.sentences);
        let sentences = chosen.into_iter().map(|at| read.sentences[at].0.clone()).collect();
        Picked { number: read.number, sentences }
    }
}

/// A sentence that ends in a colon is nothing without the list behind it, nor is a list item without its sentence.
fn with_items(chosen: &[usize], sentences: &[(String, HashSet<u32>)]) -> Vec<usize> {
    let is_item = |at: usize| sentences.get(at).is_some_and(|(text, _)| is_list_item(text));
    let mut whole: Vec<usize> = Vec::new();
    for &at in chosen {
        let mut head = at;
        while is_item(head) && head > 0 {
            head -= 1;
        }
        let announces = sentences.get(head).is_some_and(|(text, _)| text.ends_with(':'));
        if announces {
            let items = (head + 1..sentences.len()).take_while(|at| is_item(*at));
            whole.push(head);
            whole.extend(items.take(MAX_ITEMS));
        }
        whole.push(at);
    }
    whole.sort_unstable();
    whole.dedup();
    whole
}

/// Whether a line is an item of a list.
#[must_use]
pub fn is_list_item(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.starts_with("- ") || (rest.len() < text.len() && rest.starts_with(". "))
}

fn read(passage: &MaterialPassage, locale: &str) -> Read {
    let tokens = |text: &str| -> HashSet<u32> {
        informative(text, locale).into_iter().flat_map(|term| term.forms).collect()
    };
    let sentences: Vec<(String, HashSet<u32>)> =
        sentences(&passage.text).into_iter().map(|text| (text.clone(), tokens(&text))).collect();
    let mut all = tokens(&passage.title);
    all.extend(tokens(passage.section.as_deref().unwrap_or("")));
    all.extend(sentences.iter().flat_map(|(_, tokens)| tokens));
    Read { number: passage.number, sentences, all }
}

/// The sentences and list items of a passage, without headings, rules, tables and quote marks, each on one line.
#[must_use]
pub fn sentences(passage: &str) -> Vec<String> {
    let shown: Vec<&str> = passage
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', '|']) && !line.starts_with("```") && *line != "---")
        .map(|line| line.trim_start_matches(['>', ' ']))
        .collect();
    text::sentences(&shown.join("\n"))
        .into_iter()
        .map(|sentence| {
            let line = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
            line.strip_prefix("* ").map_or(line.clone(), |item| format!("- {item}"))
        })
        .filter(|sentence| sentence.contains(char::is_alphanumeric))
        .collect()
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
