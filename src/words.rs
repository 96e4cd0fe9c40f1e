//! What people say, checked once for both views: the text of a message, the writer's own id for it, and bare thanks. Pure.

use crate::api::ApiError;
use crate::text::{TextProblem, normalise_user_text};

/// The longest id a client may give its message.
const MAX_CLIENT_ID_CHARS: usize = 64;

/// A text as it is stored: composed, one form of line end, no control characters, trimmed.
///
/// # Errors
/// 400 naming the field when nothing visible is left, 413 when it is too long.
pub fn clean(field: &str, text: &str) -> Result<String, ApiError> {
    normalise_user_text(text).map_err(|problem| match problem {
        TextProblem::Empty => ApiError::invalid(field, "Must not be empty."),
        TextProblem::TooLong { chars, max } => ApiError::too_large(
            field,
            format!("Must be at most {max} characters, not {chars}: send it in parts."),
        ),
    })
}

/// The writer's own id for a message, which makes sending it again harmless.
///
/// # Errors
/// 400 naming `client_id` when it is empty, too long or not plain.
pub fn client_id(id: &str) -> Result<String, ApiError> {
    let id = id.trim();
    let plain = id.bytes().all(|b| b.is_ascii_graphic());
    if plain && (1..=MAX_CLIENT_ID_CHARS).contains(&id.len()) {
        return Ok(id.to_owned());
    }
    Err(ApiError::invalid(
        "client_id",
        format!("Must be 1 to {MAX_CLIENT_ID_CHARS} plain characters, such as a UUID."),
    ))
}

/// Thanks in English and Indonesian, the longer before the shorter.
const THANKS: &[&[&str]] = &[
    &["thank", "you"],
    &["thank", "u"],
    &["terima", "kasih"],
    &["trima", "kasih"],
    &["terimakasih"],
    &["trimakasih"],
    &["thanks"],
    &["thankyou"],
    &["thank"],
    &["thx"],
    &["tnx"],
    &["ty"],
    &["tysm"],
    &["cheers"],
    &["makasih"],
    &["makasi"],
    &["mksh"],
    &["trims"],
    &["tks"],
    &["suwun"],
    &["nuhun"],
];

/// What may stand beside thanks without adding anything.
const FILLERS: &[&str] = &[
    "so",
    "very",
    "much",
    "a",
    "lot",
    "many",
    "again",
    "all",
    "guys",
    "team",
    "everyone",
    "ok",
    "okay",
    "oke",
    "okey",
    "great",
    "perfect",
    "awesome",
    "nice",
    "cool",
    "good",
    "wonderful",
    "lovely",
    "super",
    "and",
    "for",
    "the",
    "your",
    "help",
    "that",
    "this",
    "it",
    "bye",
    "sir",
    "madam",
    "you",
    "banyak",
    "sekali",
    "ya",
    "yah",
    "yaa",
    "kak",
    "ka",
    "kakak",
    "min",
    "admin",
    "mas",
    "mbak",
    "pak",
    "bu",
    "gan",
    "sis",
    "bang",
    "atas",
    "bantuannya",
    "infonya",
    "informasinya",
    "sudah",
    "dibantu",
    "membantu",
    "baik",
    "sip",
    "siap",
    "mantap",
    "bagus",
    "lagi",
    "dan",
    "semua",
    "semuanya",
    "dah",
];

/// Signs of thanks without a word.
const SIGNS: &[char] = &['🙏', '❤', '💜', '💙', '🤍', '🥰', '😍'];

/// The longest bare thanks in words; more is a message.
const MAX_THANKS_WORDS: usize = 10;

/// Whether a message is nothing but thanks.
#[must_use]
pub fn bare_thanks(text: &str) -> bool {
    if text.contains('?') {
        return false;
    }
    let lower = text.to_lowercase();
    let words: Vec<String> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(squeeze)
        .collect();
    if words.is_empty() {
        return text.contains(SIGNS);
    }
    if words.len() > MAX_THANKS_WORDS {
        return false;
    }
    let mut thanked = false;
    let mut rest = words.as_slice();
    while let Some(word) = rest.first() {
        let thanks = THANKS.iter().find(|phrase| {
            rest.len() >= phrase.len() && phrase.iter().zip(rest).all(|(a, b)| a == b)
        });
        if let Some(phrase) = thanks {
            thanked = true;
            rest = &rest[phrase.len()..];
        } else if FILLERS.contains(&word.as_str()) {
            rest = &rest[1..];
        } else {
            return false;
        }
    }
    thanked
}

/// Letters that somebody held down: three and more become one.
fn squeeze(word: &str) -> String {
    let chars: Vec<char> = word.chars().collect();
    let mut out = String::with_capacity(word.len());
    let mut at = 0;
    while at < chars.len() {
        let run = chars[at..].iter().take_while(|c| **c == chars[at]).count();
        let keep = if run >= 3 { 1 } else { run };
        out.extend(std::iter::repeat_n(chars[at], keep));
        at += run;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::MAX_TEXT_CHARS;

    fn thanks(text: &str, want: bool) {
        assert_eq!(bare_thanks(text), want, "{text}");
    }

    #[test]
    fn bare_thanks_in_both_languages() {
        for text in [
            "thanks",
            "Thank you!",
            "thank you so much 🙏",
            "OK, thanks a lot for your help!",
            "thankssss",
            "ty",
            "Terima kasih banyak kak",
            "makasih ya min",
            "Oke siap, terima kasih atas bantuannya 🙏🙏",
            "🙏",
        ] {
            thanks(text, true);
        }
    }

    #[test]
    fn thanks_with_anything_else_is_a_message() {
        for text in [
            "thanks, but my parcel is still missing",
            "thanks?",
            "ok",
            "ya",
            "great",
            "terima kasih, kapan dikirim",
            "no thanks I want a refund",
            "👍",
            "",
        ] {
            thanks(text, false);
        }
    }

    #[test]
    fn texts_are_cleaned_and_measured() {
        assert_eq!(clean("text", " a\0b\r\nc\u{7}\td ").expect("text"), "ab\nc\td");
        let empty = clean("text", " \0\u{1}\n ").expect_err("empty");
        assert_eq!((empty.code(), empty.field()), ("invalid", Some("text")));
        assert!(clean("text", &"ä".repeat(MAX_TEXT_CHARS)).is_ok());
        let long = clean("text", &"ä".repeat(MAX_TEXT_CHARS + 1)).expect_err("too long");
        assert_eq!((long.code(), long.field()), ("too_large", Some("text")));
    }

    #[test]
    fn client_ids_are_short_and_plain() {
        assert!(client_id("0192f0c1-0000-7000-8000-000000000000").is_ok());
        for bad in ["", " ", "a b", &"x".repeat(65), "ä"] {
            assert!(client_id(bad).is_err(), "{bad}");
        }
    }
}
