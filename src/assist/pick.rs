//! The part of a passage that answers a question: one section of it, and there one stretch that reads on its own. Pure.
//!
//! Sentences are never torn out of their place: what is picked is a stretch as it was written, or the items of a list that
//! the question names, under the words that announce them.

use std::collections::{HashMap, HashSet};

use super::said::words_of;
use crate::knowledge::Passage;
use crate::model::extract::informative;
use crate::text::{Term, sentences, tables_as_lists};

/// How long a picked stretch may grow, in characters.
const CHARS: usize = 340;
/// A list up to this length is quoted whole; of a longer one only the items that the question names.
const WHOLE_LIST: usize = 5;

/// The search has ranked the passages already, and knows more than shared words.
const PRIOR: f64 = 0.05;

/// What was picked of a passage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picked {
    /// Ready to be sent: plain sentences and list items.
    pub text: String,
    /// How much of the question it speaks to.
    pub score: f64,
}

struct Unit {
    text: String,
    item: bool,
    words: HashSet<u32>,
}

struct Section {
    heading: String,
    heading_words: HashSet<u32>,
    units: Vec<Unit>,
}

/// What each of the passages says to the question; in their order.
pub(super) fn pick(question: &str, locale: &str, passages: &[&Passage]) -> Vec<Picked> {
    let read: Vec<Vec<Section>> =
        passages.iter().map(|passage| sections(&passage.text, locale)).collect();
    let asked = Asked::new(question, locale, &read);
    passages
        .iter()
        .zip(&read)
        .zip(1_u32..)
        .map(|((passage, sections), rank)| {
            let title = asked.coverage(&words_of(&passage.title, locale));
            let best = sections
                .iter()
                .map(|section| (asked.of_section(section), section))
                .reduce(|best, next| if next.0 > best.0 { next } else { best });
            match best {
                Some((score, section)) => Picked {
                    text: asked.stretch(section),
                    score: (score + title) * (1.0 + PRIOR / f64::from(rank)),
                },
                None => Picked { text: String::new(), score: 0.0 },
            }
        })
        .collect()
}

/// A question with the weight of each of its words among what may answer it.
struct Asked {
    words: Vec<(Term, f64)>,
    total: f64,
}

impl Asked {
    fn new(question: &str, locale: &str, read: &[Vec<Section>]) -> Self {
        let units = || read.iter().flatten().flat_map(|section| &section.units);
        let mut frequency: HashMap<u32, u32> = HashMap::new();
        for word in units().flat_map(|unit| &unit.words) {
            *frequency.entry(*word).or_default() += 1;
        }
        let count = f64::from(u32::try_from(units().count()).unwrap_or(u32::MAX));
        let mut seen = HashSet::new();
        let words: Vec<(Term, f64)> = informative(question, locale)
            .into_iter()
            .filter(|term| seen.insert(term.word.clone()))
            .map(|term| {
                let found = term.forms.iter().filter_map(|form| frequency.get(form)).max();
                let weight = (1.0 + count / (1.0 + f64::from(found.copied().unwrap_or(0)))).ln();
                (term, weight)
            })
            .collect();
        let total = words.iter().map(|(_, weight)| weight).sum();
        Self { words, total }
    }

    /// The share of the question that these words mention.
    fn coverage(&self, words: &HashSet<u32>) -> f64 {
        let found = self
            .words
            .iter()
            .filter(|(term, _)| term.forms.iter().any(|form| words.contains(form)))
            .map(|(_, weight)| weight);
        if self.total > 0.0 { found.sum::<f64>() / self.total } else { 0.0 }
    }

    fn of_section(&self, section: &Section) -> f64 {
        let mut all = section.heading_words.clone();
        all.extend(section.units.iter().flat_map(|unit| &unit.words));
        let units = section.units.iter().map(|unit| self.coverage(&unit.words));
        let best = units.fold(0.0, f64::max);
        self.coverage(&all) + 0.5 * best + 0.5 * self.coverage(&section.heading_words)
    }

    /// The stretch of a section around what speaks to the question most.
    fn stretch(&self, section: &Section) -> String {
        let units = &section.units;
        let whole: usize = units.iter().map(|unit| unit.text.chars().count() + 1).sum();
        if whole <= CHARS && units.iter().filter(|unit| unit.item).count() <= WHOLE_LIST {
            return section.written(0..units.len());
        }
        let scores: Vec<f64> = units.iter().map(|unit| self.coverage(&unit.words)).collect();
        let best =
            (0..units.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
        if units.get(best).is_some_and(|unit| unit.item) {
            return self.items(section, best, &scores);
        }
        let mut first = best;
        // "It", "Then": the sentence before says what.
        while first > 0 && !units[first - 1].item && leans_back(&units[first].text) {
            first -= 1;
        }
        let mut last = best;
        let mut chars: usize =
            units[first..=last].iter().map(|unit| unit.text.chars().count()).sum();
        while let Some(next) = units.get(last + 1) {
            let announced = units[last].text.ends_with(':') || (units[last].item && next.item);
            chars += next.text.chars().count();
            if chars > if announced { 2 * CHARS } else { CHARS } {
                break;
            }
            last += 1;
        }
        // Nothing is announced or asked that does not follow.
        while last > first && units[last].text.ends_with([':', '?']) {
            last -= 1;
        }
        section.written(first..last + 1)
    }

    /// The list around an item: whole if short, else the items that the question names as much as the best.
    fn items(&self, section: &Section, best: usize, scores: &[f64]) -> String {
        let units = &section.units;
        let first = (0..=best).rev().take_while(|i| units[*i].item).last().unwrap_or(best);
        let last = (best..units.len()).take_while(|i| units[*i].item).last().unwrap_or(best);
        let named: Vec<&str> = (first..=last)
            .filter(|i| last - first < WHOLE_LIST || scores[*i] >= scores[best] * 0.8)
            .take(WHOLE_LIST + 1)
            .map(|i| units[i].text.as_str())
            .collect();
        let before = first.checked_sub(1).map(|i| units[i].text.clone());
        let lead = before.filter(|text| text.chars().count() <= CHARS).or_else(|| section.lead());
        match lead {
            Some(lead) => format!("{lead}\n\n{}", named.join("\n")),
            None => named.join("\n"),
        }
    }
}

impl Section {
    /// The heading as words that announce a list.
    fn lead(&self) -> Option<String> {
        let heading = self.heading.trim_end_matches([':', '.', '?', '…']);
        (!heading.is_empty()).then(|| format!("{heading}:"))
    }

    fn written(&self, range: std::ops::Range<usize>) -> String {
        let units = self.units.get(range).unwrap_or_default();
        let mut text = match units.first() {
            Some(first) if first.item => self.lead().unwrap_or_default(),
            _ => String::new(),
        };
        let mut in_list = false;
        for unit in units {
            text.push_str(match (text.is_empty(), in_list, unit.item) {
                (true, _, _) => "",
                (false, true, true) => "\n",
                (false, false, true) | (false, true, false) => "\n\n",
                (false, false, false) => " ",
            });
            text.push_str(&unit.text);
            in_list = unit.item;
        }
        text
    }
}

/// Whether a sentence needs the one before it.
fn leans_back(sentence: &str) -> bool {
    const BACK: &str = "it its that this these those they them then there he she both otherwise instead also but so \
        ini itu lalu kemudian mereka dia tapi namun selain sebaliknya";
    let first = sentence.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty());
    first.is_some_and(|word| {
        let word = word.to_lowercase();
        BACK.split_whitespace().any(|known| known == word)
    })
}

/// The sections of a passage with their sentences and list items.
fn sections(text: &str, locale: &str) -> Vec<Section> {
    let text = tables_as_lists(text);
    let mut sections: Vec<Section> = Vec::new();
    let mut prose = String::new();
    let mut heading = String::new();
    let mut units: Vec<Unit> = Vec::new();
    let unit = |text: &str, item: bool| {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Unit { words: words_of(&text, locale), text, item }
    };
    let flush = |prose: &mut String, units: &mut Vec<Unit>| {
        let said = sentences(prose).into_iter();
        units.extend(
            said.map(|s| unit(&s, false)).filter(|u| u.text.contains(char::is_alphanumeric)),
        );
        prose.clear();
    };
    let mut close = |heading: &mut String, units: &mut Vec<Unit>| {
        let heading = std::mem::take(heading);
        if !units.is_empty() {
            let heading_words = words_of(&heading, locale);
            sections.push(Section { heading, heading_words, units: std::mem::take(units) });
        }
    };
    for line in text.lines() {
        let plain = line.trim().trim_start_matches(['>', ' ']);
        if let Some(name) = plain.strip_prefix('#') {
            flush(&mut prose, &mut units);
            close(&mut heading, &mut units);
            name.trim_start_matches('#').trim().clone_into(&mut heading);
        } else if let Some(item) = item(plain) {
            flush(&mut prose, &mut units);
            units.push(unit(&item, true));
        } else if plain.is_empty() {
            flush(&mut prose, &mut units);
        } else if line.starts_with([' ', '\t'])
            && units.last().is_some_and(|u| u.item)
            && prose.is_empty()
        {
            // The rest of an item.
            let whole = units.pop().map_or_else(String::new, |u| format!("{} {plain}", u.text));
            units.push(unit(&whole, true));
        } else if !plain.starts_with("```") && plain != "---" {
            prose.push_str(plain);
            prose.push('\n');
        }
    }
    flush(&mut prose, &mut units);
    close(&mut heading, &mut units);
    sections
}

/// A list item with its mark as chats show it.
fn item(line: &str) -> Option<String> {
    if let Some(rest) = ["- ", "* ", "+ "].iter().find_map(|mark| line.strip_prefix(mark)) {
        return Some(format!("- {rest}"));
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = digits > 0 && line.get(digits..).is_some_and(|rest| rest.starts_with(". "));
    numbered.then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;
    use crate::knowledge::Audience;

    fn picked(question: &str, title: &str, text: &str) -> String {
        let passage = Passage {
            chunk_id: Ids.fresh(),
            article_id: Ids.fresh(),
            title: title.to_owned(),
            section: None,
            url: None,
            audience: Audience::Public,
            text: text.to_owned(),
            score: 1.0,
            kept: true,
            why: String::new(),
        };
        pick(question, "en", &[&passage]).remove(0).text
    }

    const TIMES: &str = "## How a refund runs\n\nFirst the refund is approved. Then it depends on how you paid.\n\n\
        ## How long it takes\n\n| You paid by | Money reaches you in |\n|---|---|\n| QRIS | 1–3 working days |\n\
        | Virtual account | 3–5 working days |\n| Debit card | 5–10 working days |\n| Credit card | 7–14 working days |\n\
        | Foreign card | 10–15 working days |\n| Gift card | within 1 hour |\n\n## Instalments\n\nYour bank ends the plan.";

    #[test]
    fn the_row_that_was_asked_for_under_its_heading() {
        assert_eq!(
            picked("How long does a refund by QRIS take?", "Refund times", TIMES),
            "How long it takes:\n\n- QRIS: 1–3 working days"
        );
    }

    #[test]
    fn a_short_section_is_quoted_whole() {
        assert_eq!(
            picked("my bank and the instalments", "Refund times", TIMES),
            "Your bank ends the plan."
        );
    }

    #[test]
    fn a_stretch_is_quoted_as_it_was_written() {
        let filler =
            "We have been roasting coffee on the slopes of Merapi for a very long time now. "
                .repeat(6);
        let text =
            format!("{filler}Grinders have a warranty. It lasts 24 months from delivery. {filler}");
        let picked = picked("how long is 24 months delivery", "Warranty", &text);
        assert!(picked.starts_with("Grinders have a warranty. It lasts 24 months"), "{picked}");
        assert!(picked.chars().count() <= CHARS + 60, "{picked}");
    }

    #[test]
    fn steps_stay_together_with_what_announces_them() {
        let text = "To cancel:\n\n1. Open your account.\n2. Choose Subscriptions.\n3. Press Cancel.\n\nYou can come back.";
        assert_eq!(
            picked("How do I cancel?", "Cancel", text),
            "To cancel:\n\n1. Open your account.\n2. Choose Subscriptions.\n3. Press Cancel.\n\nYou can come back."
        );
    }
}
