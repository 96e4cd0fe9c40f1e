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

/// The part of `text` that is `phrase`, as whole words whatever stands between them; none if it is not there.
#[must_use]
pub fn contains_phrase<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let wanted: Vec<String> = words(phrase).into_iter().map(|word| word.folded).collect();
    if wanted.is_empty() {
        return None;
    }
    let said = words(text);
    let at = said
        .windows(wanted.len())
        .find(|window| window.iter().zip(&wanted).all(|(word, wanted)| word.folded == *wanted))?;
    text.get(at.first()?.start..at.last()?.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, phrase: &str, expected: Option<&str>) {
        assert_eq!(contains_phrase(text, phrase), expected, "{phrase} in {text}");
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
    }
}
