//! What the system says to visitors, by language. A missing key or language falls back to English; a test compares keys.

use std::collections::BTreeMap;
use std::sync::LazyLock;

type Texts = BTreeMap<String, String>;

static CATALOGUES: LazyLock<Vec<(&'static str, Texts)>> = LazyLock::new(|| {
    [("en", include_str!("catalogue/en.toml")), ("id", include_str!("catalogue/id.toml"))]
        .into_iter()
        .map(|(locale, text)| (locale, toml::from_str(text).unwrap_or_default()))
        .collect()
});

/// The languages that are complete.
pub const LOCALES: &[&str] = &["en", "id"];

/// The language part of a locale that we have texts for; English otherwise.
#[must_use]
pub fn supported(locale: &str) -> &'static str {
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    LOCALES.iter().find(|l| l.eq_ignore_ascii_case(language)).copied().unwrap_or("en")
}

/// The text `key` in `locale`, with `{name}` replaced.
#[must_use]
pub fn text(locale: &str, key: &str, name: &str) -> String {
    let locale = supported(locale);
    let find = |wanted: &str| {
        CATALOGUES.iter().find(|(l, _)| *l == wanted).and_then(|(_, texts)| texts.get(key))
    };
    find(locale)
        .or_else(|| find("en"))
        .map_or_else(|| key.to_owned(), |t| t.replace("{name}", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_text() {
        let keys = |i: usize| CATALOGUES[i].1.keys().cloned().collect::<Vec<_>>();
        assert!(!keys(0).is_empty());
        for i in 1..CATALOGUES.len() {
            assert_eq!(keys(0), keys(i), "{}", CATALOGUES[i].0);
        }
        assert_eq!(LOCALES.len(), CATALOGUES.len());
    }

    #[test]
    fn falls_back_to_english_and_fills_the_name() {
        assert_eq!(text("fr-FR", "agent_joined", "Ana"), text("en", "agent_joined", "Ana"));
        assert!(text("id-ID", "agent_joined", "Ana").contains("Ana"));
    }
}
