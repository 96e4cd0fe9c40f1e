//! What businesses write: article files, and what is quoted from them.

use super::{in_two, text};
use crate::knowledge::article::parse_article;
use crate::knowledge::chunk::{chunk, indexed_text};
use crate::model::MaterialPassage;
use crate::model::extract;
use crate::text::count_words;

/// More words than a chunk of running text can have; code and unbreakable words may be longer.
const MAX_CHUNK_WORDS: usize = 1_500;

/// An article that is taken has a title, and chunks of bearable size that do not change when cut again.
pub(super) fn article(bytes: &[u8]) {
    let text = text(bytes);
    let Ok(article) = parse_article("fuzz.md", &text) else { return };
    assert!(!article.title.trim().is_empty());
    let chunks = chunk(&article.title, &article.body);
    assert_eq!(chunks, chunk(&article.title, &article.body));
    for piece in &chunks {
        assert!(piece.text.chars().any(char::is_alphanumeric));
        assert!(count_words(&piece.text) <= MAX_CHUNK_WORDS);
        let _indexed = indexed_text(&article.title, &piece.section, &piece.text);
    }
}

/// What is quoted comes from the passages.
pub(super) fn excerpts(bytes: &[u8]) {
    let text = text(bytes);
    let (question, words) = in_two(&text);
    let passage = MaterialPassage {
        number: 1,
        title: "Returns".to_owned(),
        section: None,
        text: words.to_owned(),
        internal: false,
    };
    for locale in ["en", "id", "zh"] {
        let _informative = extract::informative(question, locale);
        for picked in extract::excerpts(question, locale, std::slice::from_ref(&passage)) {
            assert_eq!(picked.number, 1);
        }
    }
}
