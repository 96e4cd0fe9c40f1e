//! Whether a visitor asks for a person, in English or Indonesian. Precision before recall: a missed wish is caught by the
//! button, by the next message or by a failed answer; a false alarm takes an easy question away from the AI.
//!
//! A message is cut into sentences and each is reduced to plain words. A wish is a pattern over those words; what looks
//! like one but is not (a question whether this is a bot, a report of an earlier talk, a refusal) is taken out first.

mod english;
mod indonesian;

use regex::Regex;

use super::fold;
use crate::text;

/// The patterns of one language.
struct Patterns {
    /// Parts of sentences that are no wish; cut out before the wishes are looked for.
    not_a_wish: Regex,
    /// Wishes anywhere in a sentence.
    wish: Regex,
    /// Wishes that are the whole sentence.
    whole: Regex,
}

impl Patterns {
    fn new(not_a_wish: &str, wish: &str, whole: &str) -> Option<Self> {
        let compile = |pattern: &str| Regex::new(pattern).ok();
        Some(Self {
            not_a_wish: compile(not_a_wish)?,
            wish: compile(wish)?,
            whole: compile(&format!("^ (?:{whole})+$"))?,
        })
    }

    fn fits(&self, words: &str) -> bool {
        let left = self.not_a_wish.replace_all(words, " | ");
        self.wish.is_match(&left) || self.whole.is_match(&left)
    }
}

/// The words by which a visitor asks for a person; none if they do not.
#[must_use]
pub fn asks_for_person(message: &str) -> Option<&str> {
    let mut at = 0;
    for sentence in text::sentences(message) {
        let start = at;
        at += sentence.len();
        // A line is a sentence to people who write without full stops.
        let mut from = start;
        for line in sentence.split_inclusive('\n') {
            let words = plain_words(line);
            let fits = |patterns: &Option<Patterns>| {
                patterns.as_ref().is_some_and(|patterns| patterns.fits(&words))
            };
            if fits(&english::PATTERNS) || fits(&indonesian::PATTERNS) {
                return message.get(from..from + line.len()).map(str::trim);
            }
            from += line.len();
        }
    }
    None
}

/// Folded words, each with a space before and behind; apostrophes gone; other marks between words as ` , `.
fn plain_words(sentence: &str) -> String {
    let mut words = String::from(" ");
    let mut broken = false;
    for c in fold(sentence).chars() {
        if c.is_alphanumeric() {
            if broken && words.len() > 1 {
                words.push_str(", ");
            }
            broken = false;
            words.push(c);
        } else if c == '\'' {
            // "don't" is one word, and so is "dont".
        } else {
            if !words.ends_with(' ') {
                words.push(' ');
            }
            broken |= matches!(c, ',' | ';' | ':' | '.' | '!' | '?' | '(' | ')' | '–' | '—' | '…');
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_compile() {
        assert!(english::PATTERNS.is_some());
        assert!(indonesian::PATTERNS.is_some());
    }

    #[test]
    fn words_are_reduced_to_the_plain_ones() {
        assert_eq!(plain_words("I DON’T know,  ok?"), " i dont know , ok ");
        assert_eq!(plain_words("café-bar"), " cafe bar ");
        assert_eq!(plain_words("!!"), " ");
    }

    #[test]
    fn the_sentence_that_asks_is_the_evidence() {
        let message = "My order is late. Let me talk to a human! It is number 7.";
        assert_eq!(asks_for_person(message), Some("Let me talk to a human!"));
        assert_eq!(
            asks_for_person("hello\nreal person please\nthanks"),
            Some("real person please")
        );
        assert_eq!(asks_for_person(""), None);
    }
}
