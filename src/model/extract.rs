//! Picking what of a few passages speaks to a question, by the words they share. No model, no index: a handful of passages
//! is small enough to look at whole. What is picked stands together in its passage, so that it reads as it was written.

use std::collections::{HashMap, HashSet};

use super::MaterialPassage;
use crate::text::{self, Language, Term};

/// Characters of an excerpt, lists that belong to it apart: what one reads in a chat without scrolling.
const CHARS: usize = 420;

/// Items of a list or rows of a table at most.
const MAX_ITEMS: usize = 8;

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

/// What was picked of one passage: paragraphs that stand together in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// The passage's number.
    pub number: usize,
    /// The words, Markdown without headings and tables.
    pub text: String,
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

/// An excerpt for an answer: what stands together in the passage that fits best, and of a second one if it adds something.
/// Empty only without passages.
#[must_use]
pub fn excerpts(question: &str, locale: &str, passages: &[MaterialPassage]) -> Vec<Picked> {
    let asked = Asked::new(question, locale, passages);
    let Some(best) = asked.best(&asked.passages, 0.0) else { return Vec::new() };
    let mut picked = vec![asked.excerpt(&best)];
    let open = asked.without(&best.passage.all);
    let others: Vec<Read> = asked
        .passages
        .iter()
        .filter(|read| read.number != best.passage.number && read.title != best.passage.title)
        .cloned()
        .collect();
    if let Some(second) = open.best(&others, WORTH_ADDING / open.share.max(0.01)) {
        picked.push(open.excerpt(&second));
    }
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
    title: String,
    paragraphs: Vec<Paragraph>,
    /// Tokens of the title.
    titled: HashSet<u32>,
    /// Tokens of text, title and headings.
    all: HashSet<u32>,
}

/// Lines that stand together: sentences, the items of a list, or the rows of a table as items.
#[derive(Clone, Default)]
struct Paragraph {
    /// Which heading it stands under, counted.
    section: usize,
    lines: Vec<(String, HashSet<u32>)>,
    /// Tokens of the lines.
    own: HashSet<u32>,
    /// Tokens of the lines and the heading.
    headed: HashSet<u32>,
}

impl Paragraph {
    fn is_list(&self) -> bool {
        self.lines.first().is_some_and(|(line, _)| is_list_item(line))
    }

    fn announces(&self) -> bool {
        self.lines.last().is_some_and(|(line, _)| line.ends_with(':'))
    }

    fn points_elsewhere(&self) -> bool {
        self.lines.len() <= 3 && self.lines.iter().any(|(line, _)| line.contains("]("))
    }

    fn chars(&self) -> usize {
        self.lines.iter().map(|(line, _)| line.chars().count() + 1).sum()
    }
}

/// The paragraph that answers best.
struct Best<'a> {
    passage: &'a Read,
    at: usize,
}

impl Asked {
    fn new(question: &str, locale: &str, passages: &[MaterialPassage]) -> Self {
        let passages: Vec<Read> = passages.iter().map(|passage| read(passage, locale)).collect();
        let mut frequency: HashMap<u32, u32> = HashMap::new();
        let texts = || passages.iter().flat_map(|read| read.paragraphs.iter().map(|p| &p.headed));
        for token in texts().flatten() {
            *frequency.entry(*token).or_default() += 1;
        }
        let count = f64::from(u32::try_from(texts().count()).unwrap_or(u32::MAX));
        let mut seen = HashSet::new();
        let words = informative(question, locale)
            .into_iter()
            .filter(|term| !term.common && seen.insert(term.word.clone()))
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

    /// The best paragraph of any of these passages, if the passage covers at least this share of the question.
    fn best<'a>(&self, passages: &'a [Read], at_least: f64) -> Option<Best<'a>> {
        let mut best: Option<(f64, Best<'a>)> = None;
        for (rank, passage) in (1_u32..).zip(passages) {
            let whole = self.coverage(&passage.all);
            if whole < at_least {
                continue;
            }
            // The search has ranked the passages already, and knows more than shared words.
            let prior = (whole + 0.1) * (1.0 + 0.6 / f64::from(rank));
            for (at, paragraph) in passage.paragraphs.iter().enumerate() {
                let placed: HashSet<u32> =
                    paragraph.headed.union(&passage.titled).copied().collect();
                let fit = self.coverage(&placed)
                    + 0.5 * self.coverage(&paragraph.own)
                    + 0.5 * self.coverage(&passage.titled);
                // What mostly points to another page is no answer by itself.
                let worth = if paragraph.points_elsewhere() { 0.6 } else { 1.0 };
                let score = prior * worth * (fit + 0.1);
                if best.as_ref().is_none_or(|(most, _)| score > *most) {
                    best = Some((score, Best { passage, at }));
                }
            }
        }
        best.map(|(_, best)| best)
    }

    /// The paragraph with what belongs to it: the line that announces its list, the list it announces, what follows it in
    /// its section while there is room.
    fn excerpt(&self, best: &Best<'_>) -> Picked {
        let all = &best.passage.paragraphs;
        let here = &all[best.at];
        let same = |at: usize| all.get(at).filter(|p| p.section == here.section);
        let mut first = best.at;
        if here.is_list() && best.at > 0 && same(best.at - 1).is_some_and(|p| p.chars() <= 240) {
            first -= 1;
        }
        let mut last = best.at;
        let mut chars: usize = all[first..=last].iter().map(Paragraph::chars).sum();
        while let Some(next) = same(last + 1) {
            let belongs = all[last].announces() && next.is_list();
            if !belongs && chars + next.chars() > CHARS {
                break;
            }
            chars += next.chars();
            last += 1;
        }
        let parts: Vec<String> = all[first..=last].iter().map(|p| self.shown(p)).collect();
        Picked { number: best.passage.number, text: parts.join("\n\n") }
    }

    /// A long list is cut to the items the question names, else to the first ones; a long paragraph to what stands around
    /// its best sentence.
    fn shown(&self, paragraph: &Paragraph) -> String {
        let fit = |at: usize| self.coverage(&paragraph.lines[at].1);
        let lines = 0..paragraph.lines.len();
        if paragraph.is_list() {
            let mut items: Vec<usize> = lines.collect();
            if items.len() > MAX_ITEMS {
                items.sort_by(|i, j| fit(*j).total_cmp(&fit(*i)).then(i.cmp(j)));
                items.truncate(MAX_ITEMS);
                items.sort_unstable();
            }
            let items: Vec<&str> = items.iter().map(|at| paragraph.lines[*at].0.as_str()).collect();
            return items.join("\n");
        }
        let best =
            lines.clone().max_by(|i, j| fit(*i).total_cmp(&fit(*j)).then(j.cmp(i))).unwrap_or(0);
        let mut from = if paragraph.chars() <= CHARS { 0 } else { best };
        let mut chars = 0;
        let mut shown = Vec::new();
        while let Some((line, _)) = paragraph.lines.get(from) {
            chars += line.chars().count() + 1;
            if chars > CHARS && !shown.is_empty() {
                break;
            }
            shown.push(line.as_str());
            from += 1;
        }
        shown.join(" ")
    }
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
    let mut headings = vec![passage.section.clone().unwrap_or_default()];
    // Where a chunk holds several sections, its own headings say more.
    if passage.text.lines().any(|line| line.trim_start().starts_with('#')) {
        headings = vec![String::new()];
    }
    let mut paragraphs: Vec<Paragraph> = Vec::new();
    for block in blocks(&passage.text) {
        match block {
            Block::Heading(text) => headings.push(text),
            Block::Lines(lines) => {
                let lines: Vec<(String, HashSet<u32>)> =
                    lines.into_iter().map(|line| (line.clone(), tokens(&line))).collect();
                let own: HashSet<u32> = lines.iter().flat_map(|(_, t)| t).copied().collect();
                let heading = headings.last().map_or("", String::as_str);
                let headed = own.union(&tokens(heading)).copied().collect();
                let section = headings.len();
                paragraphs.push(Paragraph { section, lines, own, headed });
            }
        }
    }
    let titled = tokens(&passage.title);
    let mut all = titled.clone();
    for heading in &headings {
        all.extend(tokens(heading));
    }
    all.extend(paragraphs.iter().flat_map(|p| &p.own));
    Read { number: passage.number, title: passage.title.clone(), paragraphs, titled, all }
}

enum Block {
    Heading(String),
    Lines(Vec<String>),
}

/// The blocks of a passage: headings, paragraphs by sentence, lists by item; a table is a list of its rows.
fn blocks(passage: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let mut prose: Vec<&str> = Vec::new();
    let mut items: Vec<String> = Vec::new();
    let text = text::tables_as_lists(passage);
    for line in text.lines() {
        let line = line.trim().trim_start_matches(['>', ' ']);
        let item = line.strip_prefix("* ").map(|rest| format!("- {rest}"));
        let item = item.or_else(|| is_list_item(line).then(|| line.to_owned()));
        let is_heading = line.starts_with('#');
        let is_prose = item.is_none() && !is_heading && !line.is_empty();
        if !is_prose {
            out.extend(paragraph(&mut prose));
        }
        if item.is_none() && !items.is_empty() {
            out.push(Block::Lines(std::mem::take(&mut items)));
        }
        if let Some(item) = item {
            items.push(item);
        } else if is_heading {
            out.push(Block::Heading(line.trim_start_matches('#').trim().to_owned()));
        } else if is_prose && !line.starts_with("```") && line != "---" {
            prose.push(line);
        }
    }
    out.extend(paragraph(&mut prose));
    if !items.is_empty() {
        out.push(Block::Lines(items));
    }
    out
}

/// The sentences of a paragraph, each on one line.
fn paragraph(prose: &mut Vec<&str>) -> Option<Block> {
    let lines: Vec<String> = text::sentences(&std::mem::take(prose).join(" "))
        .into_iter()
        .map(|sentence| sentence.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|sentence| sentence.contains(char::is_alphanumeric))
        .collect();
    (!lines.is_empty()).then_some(Block::Lines(lines))
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
        excerpts(question, "en", passages).into_iter().map(|p| (p.number, p.text)).collect()
    }

    #[test]
    fn the_paragraph_that_shares_the_question_s_words_is_picked_whole() {
        let passages = [
            passage(
                1,
                "Shipping",
                "## Weekdays\n\nWe ship on weekdays.\n\n## Islands\n\nParcels to Bali take four days. Nothing leaves on Sunday.",
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
    fn lists_stay_with_the_line_that_announces_them() {
        let text = "To cancel a subscription:\n\n1. Open your account.\n2. Choose Subscriptions.\n3. Press Cancel.\n\nYou can come back.";
        let one = picked("How do I cancel my subscription?", &[passage(1, "Cancel", text)]);
        let whole = "To cancel a subscription:\n\n1. Open your account.\n2. Choose Subscriptions.\n3. Press Cancel.";
        assert!(one[0].1.starts_with(whole), "{one:?}");
    }

    #[test]
    fn a_table_becomes_a_list() {
        let text = "Times count from dispatch.\n\n| Destination | Rate | Working days |\n|---|---|---|\n| Java | IDR 14,000 | 2–3 |\n| Bali | IDR 26,000 | 3–5 |";
        let one = picked("shipping to Bali", &[passage(1, "Shipping", text)]);
        assert!(one[0].1.starts_with("Times count from dispatch.\n\n- Java"), "{one:?}");
        assert!(one[0].1.contains("3–5"), "{one:?}");
    }

    #[test]
    fn indonesian_words_meet_in_their_stems() {
        let passages = [passage(
            1,
            "Lama refund",
            "Pengembalian dana masuk dalam lima hari kerja. Kami tutup hari Minggu.",
        )];
        let one = excerpts("kapan dana saya dikembalikan?", "id", &passages);
        assert!(one[0].text.starts_with("Pengembalian dana"), "{one:?}");
    }
}
