//! Word stems by language. Snowball where it knows the language, our own affix stripper for Indonesian and Malay.
//!
//! A stem only has to be the same for forms of one word; it need not be a word.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};

/// A language whose words have more forms than the folded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Indonesian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
    Vietnamese,
}

impl Language {
    /// The language of a locale such as `en`, `pt-BR` or `id_ID`; none if we know no more about it.
    #[must_use]
    pub fn of_locale(locale: &str) -> Option<Self> {
        let code = locale.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        Some(match code.as_str() {
            "ar" => Self::Arabic,
            "da" => Self::Danish,
            "nl" => Self::Dutch,
            "en" => Self::English,
            "fi" => Self::Finnish,
            "fr" => Self::French,
            "de" => Self::German,
            "el" => Self::Greek,
            "hu" => Self::Hungarian,
            "id" | "in" | "ms" => Self::Indonesian,
            "it" => Self::Italian,
            "no" | "nb" | "nn" => Self::Norwegian,
            "pt" => Self::Portuguese,
            "ro" => Self::Romanian,
            "ru" => Self::Russian,
            "es" => Self::Spanish,
            "sv" => Self::Swedish,
            "ta" => Self::Tamil,
            "tr" => Self::Turkish,
            "vi" => Self::Vietnamese,
            _ => return None,
        })
    }

    /// The stem of a lower-cased word.
    pub(super) fn stem(self, word: &str) -> Cow<'_, str> {
        let algorithm = match self {
            Self::Indonesian => return Cow::Owned(indonesian(word)),
            Self::Vietnamese => return Cow::Borrowed(word),
            Self::Arabic => Algorithm::Arabic,
            Self::Danish => Algorithm::Danish,
            Self::Dutch => Algorithm::Dutch,
            Self::English => Algorithm::English,
            Self::Finnish => Algorithm::Finnish,
            Self::French => Algorithm::French,
            Self::German => Algorithm::German,
            Self::Greek => Algorithm::Greek,
            Self::Hungarian => Algorithm::Hungarian,
            Self::Italian => Algorithm::Italian,
            Self::Norwegian => Algorithm::Norwegian,
            Self::Portuguese => Algorithm::Portuguese,
            Self::Romanian => Algorithm::Romanian,
            Self::Russian => Algorithm::Russian,
            Self::Spanish => Algorithm::Spanish,
            Self::Swedish => Algorithm::Swedish,
            Self::Tamil => Algorithm::Tamil,
            Self::Turkish => Algorithm::Turkish,
        };
        Stemmer::create(algorithm).stem(word)
    }
}

/// The shortest thing that may be left after an affix is taken off: most Indonesian roots have four letters or more.
const SHORTEST_ROOT: usize = 4;

/// Endings that are hardly ever part of a root, taken off before the prefixes.
const INFLECTIONS: [&str; 7] = ["nya", "lah", "kah", "pun", "kan", "ku", "mu"];

/// Endings that many roots end in by chance (pesan, beli), taken off last; -in is how people chat (batalin).
const DERIVATIONS: [&str; 3] = ["an", "in", "i"];

/// What a prefix ends in decides which first letter the root lost: `meny-` swallowed an s, `mem-` before a vowel a p,
/// `men-` before a vowel a t. (prefix, followed by, put back)
const PREFIXES: [(&str, &str, &str); 21] = [
    ("meny", "aiueo", "s"),
    ("peny", "aiueo", "s"),
    ("meng", "aiueoghkq", ""),
    ("peng", "aiueoghkq", ""),
    ("mem", "bpf", ""),
    ("pem", "bpf", ""),
    ("mem", "aiueo", "p"),
    ("pem", "aiueo", "p"),
    ("men", "cdjtzs", ""),
    ("pen", "cdjtzs", ""),
    ("men", "aiueo", "t"),
    ("pen", "aiueo", "t"),
    ("ber", "", ""),
    ("ter", "", ""),
    ("per", "", ""),
    ("me", "lrwymn", ""),
    ("pe", "lrwymk", ""),
    ("be", "kr", ""),
    ("di", "", ""),
    ("ke", "", ""),
    ("se", "", ""),
];

/// Strips affixes without a dictionary. `meng-` before a vowel may or may not have swallowed a k, so a leading k before a
/// vowel is dropped from every stem: kirim, mengirim and pengiriman meet in `irim`.
fn indonesian(word: &str) -> String {
    if !word.bytes().all(|b| b.is_ascii_lowercase()) || word.len() <= SHORTEST_ROOT {
        return word.to_owned();
    }
    let mut stem = word.to_owned();
    strip_suffixes(&mut stem, &INFLECTIONS);
    for _ in 0..2 {
        let Some(rest) = strip_prefix(&stem) else { break };
        stem = rest;
    }
    strip_suffixes(&mut stem, &DERIVATIONS);
    let mut letters = stem.chars();
    if letters.next() == Some('k')
        && letters.next().is_some_and(|c| "aiueo".contains(c))
        && stem.len() > SHORTEST_ROOT
    {
        stem.remove(0);
    }
    stem
}

fn strip_suffixes(stem: &mut String, suffixes: &[&str]) {
    while let Some(shorter) = suffixes
        .iter()
        .filter_map(|suffix| stem.strip_suffix(suffix))
        .find(|rest| rest.len() >= SHORTEST_ROOT)
    {
        stem.truncate(shorter.len());
    }
}

fn strip_prefix(word: &str) -> Option<String> {
    PREFIXES.iter().find_map(|(prefix, followed_by, put_back)| {
        let rest = word.strip_prefix(prefix)?;
        let fits = followed_by.is_empty() || rest.starts_with(|c| followed_by.contains(c));
        let root = format!("{put_back}{rest}");
        (fits && root.len() >= SHORTEST_ROOT && can_begin_a_root(&root)).then_some(root)
    })
}

/// No root begins with mb or nd: the ke- of kembali is its own.
fn can_begin_a_root(root: &str) -> bool {
    let mut letters = root.chars();
    let nasal = matches!(letters.next(), Some('m' | 'n'));
    !nasal || letters.next().is_some_and(|c| "aiueoyg".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn meet(language: Language, words: &[&str]) {
        let stems: Vec<_> = words.iter().map(|word| language.stem(word)).collect();
        assert!(stems.iter().all(|stem| *stem == stems[0]), "{words:?} became {stems:?}");
    }

    #[test]
    fn forms_of_one_indonesian_word_meet() {
        for family in [
            &["kirim", "mengirim", "pengiriman", "dikirim", "terkirim", "kirimkan"][..],
            &["kembali", "mengembalikan", "pengembalian", "dikembalikan"],
            &["bayar", "membayar", "pembayaran", "dibayar", "bayarnya"],
            &["pesan", "pesanan", "memesan", "pemesanan", "pesananku"],
            &["tukar", "menukar", "penukaran", "ditukarkan"],
            &["ubah", "mengubah", "perubahan", "berubah"],
            &["beli", "membeli", "pembelian", "dibeli"],
            &["simpan", "menyimpan", "penyimpanan", "disimpan"],
            &["layan", "layanan", "pelayanan", "melayani"],
            &["kerja", "bekerja", "pekerja"],
        ] {
            meet(Language::Indonesian, family);
        }
    }

    #[test]
    fn short_words_stay_whole() {
        for word in ["cara", "saya", "uang", "diri", "akan", "ini"] {
            assert_eq!(Language::Indonesian.stem(word), word);
        }
    }

    #[test]
    fn locales_name_languages() {
        assert_eq!(Language::of_locale("pt-BR"), Some(Language::Portuguese));
        assert_eq!(Language::of_locale("id_ID"), Some(Language::Indonesian));
        assert_eq!(Language::of_locale("zh"), None);
        meet(Language::English, &["refund", "refunds", "refunded"]);
    }
}
