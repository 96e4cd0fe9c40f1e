//! What people send, cleaned once at the door.

use unicode_normalization::UnicodeNormalization;

/// The longest text a visitor or agent may send, in characters after cleaning.
pub const MAX_TEXT_CHARS: usize = 8_000;

/// Why a text cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// Nothing visible is left.
    #[error("the text is empty: write something")]
    Empty,
    /// More than the limit.
    #[error(
        "the text has {chars} characters, at most {max} are allowed: shorten it or send it in parts"
    )]
    TooLong {
        /// How many characters it has.
        chars: usize,
        /// How many it may have.
        max: usize,
    },
}

/// Cleans a text from outside: line ends become `\n`, control characters and bidirectional overrides go, the rest is
/// composed (NFC) and trimmed. Emoji and right-to-left scripts stay as they are.
///
/// # Errors
/// [`TextProblem`] if nothing visible is left or more than [`MAX_TEXT_CHARS`] characters are.
pub fn normalise_user_text(text: &str) -> Result<String, TextProblem> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let clean: String = text.chars().filter(|&c| !is_unwanted(c)).nfc().collect();
    let clean = clean.trim_matches(|c: char| c.is_whitespace() || c == '\u{200B}');
    if clean.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err(TextProblem::Empty);
    }
    let chars = clean.chars().count();
    if chars > MAX_TEXT_CHARS {
        return Err(TextProblem::TooLong { chars, max: MAX_TEXT_CHARS });
    }
    Ok(clean.to_owned())
}

/// What no text keeps: control characters except line feed and tab; embeddings, overrides and isolates, which can make a text read other
/// than it is; the byte order mark.
#[must_use]
pub fn is_unwanted(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Takes no ink by itself: zero-width spaces and joiners, direction marks, soft hyphens, variation selectors, fillers.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}'
        | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: Result<&str, TextProblem>) {
        assert_eq!(normalise_user_text(text), wanted.map(str::to_owned));
    }

    #[test]
    fn cleans_what_people_and_programs_send() {
        check("  hello\r\nthere\r ", Ok("hello\nthere"));
        check("a\0b\u{7}c\td", Ok("abc\td"));
        check("safe\u{202E}txt.exe\u{2066}", Ok("safetxt.exe"));
        check("e\u{301}te\u{301}", Ok("été"));
        check("👩‍👩‍👧 ❤️", Ok("👩‍👩‍👧 ❤️"));
        check("👍", Ok("👍"));
        check("مرحبا، أين طلبي؟", Ok("مرحبا، أين طلبي؟"));
    }

    #[test]
    fn refuses_nothing_and_too_much() {
        for empty in ["", " \n\t ", "\u{200B}\u{200B}", "\0", "\u{202E}", "\u{200D}"] {
            check(empty, Err(TextProblem::Empty));
        }
        check(&"é".repeat(MAX_TEXT_CHARS), Ok(&"é".repeat(MAX_TEXT_CHARS)));
        check(
            &"x".repeat(MAX_TEXT_CHARS + 1),
            Err(TextProblem::TooLong { chars: MAX_TEXT_CHARS + 1, max: MAX_TEXT_CHARS }),
        );
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(text in "\\PC{0,80}|[\\s\\S]{0,40}") {
            if let Ok(once) = normalise_user_text(&text) {
                prop_assert_eq!(normalise_user_text(&once), Ok(once.clone()));
            }
        }
    }
}
