//! Text without meaning: cleaning what people send, cutting it into sentences, turning it into search tokens.
//!
//! Pure and at the bottom of the house: no database, no clock, no language guessing.

pub mod catalogue;
mod common;
mod mood;
mod normalise;
mod related;
mod script;
mod sentences;
mod stem;
mod tables;
mod tokens;

pub use mood::Mood;
pub use normalise::{MAX_TEXT_CHARS, TextProblem, is_invisible, is_unwanted, normalise_user_text};
pub use related::related;
pub use sentences::{SentenceSplitter, sentences};
pub use stem::Language;
pub use tables::tables_as_lists;
pub use tokens::{ENCODING, Term, count_words, terms, token_id};
