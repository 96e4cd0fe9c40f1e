//! Comparing words as people do: without case, accents, width and kind of apostrophe.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

/// A text in lower case, without accents, compatibility forms resolved, typographic apostrophes made plain.
#[must_use]
pub fn fold(text: &str) -> String {
    text.nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| if matches!(c, '’' | '‘' | '`' | '´') { '\'' } else { c })
        .collect()
}

/// A word of a text: folded, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub folded: String,
    pub start: usize,
    pub end: usize,
}

/// The words of a text in order. Scripts written without spaces come out as single characters.
pub(super) fn words(text: &str) -> Vec<Word> {
    text.unicode_word_indices()
        .map(|(start, word)| Word { folded: fold(word), start, end: start + word.len() })
        .collect()
}

/// A text in which phrases are looked for: folded once, however many there are.
///
/// A business may list thousands of phrases and a visitor writes what they like, so that a search takes time in proportion to
/// the text, whatever both of them repeat.
#[derive(Debug, Clone)]
pub struct Spoken<'a> {
    text: &'a str,
    words: Vec<Word>,
    /// The folded words, each between two line feeds, which no word contains.
    folded: String,
    /// Where each word begins in `folded`.
    begins: Vec<usize>,
}

impl<'a> Spoken<'a> {
    /// Folds a text.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let words = words(text);
        let mut folded = String::with_capacity(text.len() + 2);
        folded.push('\n');
        let mut begins = Vec::with_capacity(words.len());
        for word in &words {
            begins.push(folded.len());
            folded.push_str(&word.folded);
            folded.push('\n');
        }
        Self { text, words, folded, begins }
    }

    /// The part of the text that is `phrase`, as whole words whatever stands between them; none if it is not there.
    #[must_use]
    pub fn phrase(&self, phrase: &str) -> Option<&'a str> {
        let wanted = words(phrase);
        let last = wanted.len().checked_sub(1)?;
        let mut sought = String::from('\n');
        for word in &wanted {
            sought.push_str(&word.folded);
            sought.push('\n');
        }
        let at = self.folded.find(&sought)?;
        let first = self.begins.binary_search(&(at + 1)).ok()?;
        self.text.get(self.words.get(first)?.start..self.words.get(first + last)?.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, phrase: &str, expected: Option<&str>) {
        assert_eq!(Spoken::of(text).phrase(phrase), expected, "{phrase} in {text}");
    }

    #[test]
    fn phrases_are_whole_words_without_case_and_accents() {
        check("I will call my LAWYER!", "lawyer", Some("LAWYER"));
        check("lawyers everywhere", "lawyer", None);
        check("outlawyer", "lawyer", None);
        check("a charge-back, please", "charge back", Some("charge-back"));
        check("Résiliation immédiate", "resiliation", Some("Résiliation"));
        check("mon contrat: resiliation", "résiliation", Some("resiliation"));
        check("I don’t know", "don't know", Some("don’t know"));
        check("我要退款谢谢", "退款", Some("退款"));
        check("anything", "", None);
        check("", "x", None);
        check("saya mau lapor ke YLKI", "ylki", Some("YLKI"));
        check("no, no lawyer", "no lawyer", Some("no lawyer"));
    }
}
