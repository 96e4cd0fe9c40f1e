//! One tokeniser for documents and queries.
//!
//! A [`Term`] is one word with every form it may be found under: the folded word, and its stem in each given language.
//! Documents are stemmed in the language of their article. Queries are stemmed in *every* language that the searched base
//! holds: the language of a short message is guessed badly, and a stem in a language that no document has cannot match
//! anything, so the union loses nothing and needs no guess. Scripts without spaces become overlapping pairs.

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::common::is_common;
use super::script::{fold, is_unspaced};
use super::stem::Language;

/// Names this tokenisation. Change it whenever the same text would give other tokens, so that stored encodings are rebuilt.
pub const ENCODING: &str = "words/1";

/// One word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The folded word.
    pub word: String,
    /// The token ids it may be found under: the word's own first, then its stems where they differ. Never empty.
    pub forms: Vec<u32>,
    /// Whether it is grammar rather than subject in one of the given languages.
    pub common: bool,
}

/// The words of `text` in order, with stems in each of `languages`.
#[must_use]
pub fn terms(text: &str, languages: &[Language]) -> Vec<Term> {
    let composed: String = text.nfc().collect();
    let mut out = Vec::new();
    for run in runs(&composed) {
        if run.starts_with(is_unspaced) {
            pairs(run, &mut out);
        } else {
            for word in run.unicode_words() {
                spaced(word, languages, &mut out);
            }
        }
    }
    out
}

/// How many words a text has; of scripts without spaces, two characters count as one.
#[must_use]
pub fn count_words(text: &str) -> usize {
    runs(text)
        .map(|run| {
            if run.starts_with(is_unspaced) {
                run.chars().count().div_ceil(2)
            } else {
                run.unicode_words().count()
            }
        })
        .sum()
}

/// The stable id of a token: murmur3 (32 bits, seed 0), made positive the way Qdrant's own BM25 encoder does it.
#[must_use]
pub fn token_id(token: &str) -> u32 {
    murmur3(token.as_bytes()).cast_signed().unsigned_abs()
}

/// Maximal runs of characters that are all unspaced or all not.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let kind = is_unspaced(first);
        let end = rest.find(|c| is_unspaced(c) != kind).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        rest = tail;
        Some(run)
    })
}

fn pairs(run: &str, out: &mut Vec<Term>) {
    let folded: Vec<char> = fold(run).chars().collect();
    let mut push = |pair: &[char]| {
        let word: String = pair.iter().collect();
        out.push(Term { forms: vec![token_id(&word)], word, common: false });
    };
    match folded.as_slice() {
        [] => {}
        [one] => push(&[*one]),
        many => many.windows(2).for_each(push),
    }
}

/// A word between spaces: apostrophes split it, and a single letter beside one (l', d', 's, 't) says nothing.
fn spaced(word: &str, languages: &[Language], out: &mut Vec<Term>) {
    let is_apostrophe = |c| matches!(c, '\'' | '’' | 'ʼ' | '‘' | '＇');
    let split = word.contains(is_apostrophe);
    for part in word.split(is_apostrophe) {
        let mut letters = part.chars();
        let single = letters.next().is_some() && letters.next().is_none();
        if part.is_empty() || (split && single) {
            continue;
        }
        let lower = part.to_lowercase();
        let folded = plain_number(fold(&lower));
        let mut forms = vec![token_id(&folded)];
        for language in languages {
            let form = match language {
                // Its marks are what tells words apart; nothing is glued on that a stemmer could take off.
                Language::Vietnamese => token_id(&lower),
                stemmed => token_id(&fold(&stemmed.stem(&lower))),
            };
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        let common = is_common(&folded, languages);
        out.push(Term { word: folded, forms, common });
    }
}

/// 1.500, 1,500 and 1500 are one number; 1.5 stays what it is.
fn plain_number(word: String) -> String {
    let mut groups = word.split(['.', ',']);
    let is_digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let starts_well = groups.next().is_some_and(|g| (1..=3).contains(&g.len()) && is_digits(g));
    let grouped = groups.clone().count() > 0 && groups.all(|g| g.len() == 3 && is_digits(g));
    if starts_well && grouped { word.replace(['.', ','], "") } else { word }
}

fn murmur3(bytes: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mix = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let mut hash = 0_u32;
    let (blocks, tail) = bytes.as_chunks::<4>();
    for block in blocks {
        hash = (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13);
        hash = hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let last = tail.iter().rev().fold(0_u32, |k, &byte| k << 8 | u32::from(byte));
    if !tail.is_empty() {
        hash ^= mix(last);
    }
    hash ^= u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &[&str]) {
        let words: Vec<_> = terms(text, &[]).into_iter().map(|term| term.word).collect();
        assert_eq!(words, wanted);
    }

    #[test]
    fn words_of_many_scripts() {
        check(
            "L’achat d'une carte, s'il vous plaît!",
            &["achat", "une", "carte", "il", "vous", "plait"],
        );
        check("You don't pay Rp1.500 or 2.5", &["you", "don", "pay", "rp1.500", "or", "2.5"]);
        check("1.500 1,500 1500", &["1500", "1500", "1500"]);
        check("申请退款 ok", &["申请", "请退", "退款", "ok"]);
        check("我", &["我"]);
        check("คืนเงิน", &["คื", "ืน", "นเ", "เง", "งิ", "ิน"]);
        check("हिन्दी में", &["हिन्दी", "में"]);
        check("👍", &[]);
    }

    #[test]
    fn stems_follow_the_word() {
        let forms = |text, languages: &[Language]| terms(text, languages)[0].forms.clone();
        let refunds = forms("Refunds", &[Language::English]);
        assert_eq!(refunds, [token_id("refunds"), token_id("refund")]);
        assert_eq!(forms("refund", &[Language::English]), [token_id("refund")]);
        let both = forms("pengembalian", &[Language::English, Language::Indonesian]);
        assert!(both.contains(&forms("kembalikan", &[Language::Indonesian])[1]));
    }

    #[test]
    fn murmur3_is_the_published_one() {
        for (text, hash) in
            [("", 0), ("hello", 0x248b_fa47), ("hello, world", 0x149b_bb7f), ("test", 0xba6b_d213)]
        {
            assert_eq!(murmur3(text.as_bytes()), hash);
        }
    }

    proptest! {
        #[test]
        fn composed_and_decomposed_text_give_the_same_tokens(text in "\\PC{0,40}") {
            let composed: String = text.nfc().collect();
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(terms(&composed, &[Language::French]), terms(&decomposed, &[Language::French]));
        }
    }
}
