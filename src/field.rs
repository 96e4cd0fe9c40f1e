//! What people type into fields: trimmed, measured, and refused with the field's name and a remedy.
//!
//! Pure, and without any knowledge of HTTP; the API turns [`Invalid`] into its 400.

use crate::text::{is_invisible, is_unwanted};

/// Why a value is refused: which field, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The field's name as the client wrote it, dotted for nested ones.
    pub field: String,
    /// What is wrong and what would do.
    pub message: String,
}

impl Invalid {
    /// Names the field and the remedy.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Longest e-mail address, from RFC 5321.
const EMAIL_MAX: usize = 254;

/// A line of text without control characters: trimmed, between 1 and `max` characters.
///
/// # Errors
/// Names the field when it is empty, too long or not one line.
pub fn line(field: &str, value: &str, max: usize) -> Result<String, Invalid> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Invalid::new(field, "Must not be empty."));
    }
    let length = value.chars().count();
    if length > max {
        return Err(Invalid::new(
            field,
            format!("Must be at most {max} characters, not {length}."),
        ));
    }
    if value.chars().any(|c| c.is_control() || misleads(c)) {
        return Err(Invalid::new(
            field,
            "Must be one line without control characters or invisible ones.",
        ));
    }
    if value.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err(Invalid::new(field, "Must not be empty."));
    }
    Ok(value.to_owned())
}

/// What makes a name read other than it is, or like another one: line and paragraph separators, marks of direction, spaces
/// without width, tags. Joiners stay: scripts and emoji need them.
fn misleads(c: char) -> bool {
    is_unwanted(c)
        || matches!(c, '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
            | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{E0000}'..='\u{E007F}')
}

/// Text of several lines, trimmed, at most `max` characters, possibly empty.
///
/// # Errors
/// Names the field when it is too long or holds a NUL.
pub fn text(field: &str, value: &str, max: usize) -> Result<String, Invalid> {
    let value = value.trim();
    let length = value.chars().count();
    if length > max {
        return Err(Invalid::new(
            field,
            format!("Must be at most {max} characters, not {length}."),
        ));
    }
    if value.contains('\0') {
        return Err(Invalid::new(field, "Must not contain the character U+0000."));
    }
    Ok(value.to_owned())
}

/// An e-mail address, trimmed and in lower case. Only the shape is checked; whether mail arrives, only mail can tell.
///
/// # Errors
/// Names the field when it does not look like `name@example.com`.
pub fn email(field: &str, value: &str) -> Result<String, Invalid> {
    let value = value.trim().to_lowercase();
    let shaped = value.len() <= EMAIL_MAX
        && !value.chars().any(|c| c.is_whitespace() || c.is_control() || "<>(),;:\"\\".contains(c))
        && value.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && !host.contains('@')
                && host.split('.').count() > 1
                && host.split('.').all(|label| {
                    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
                })
        });
    if shaped {
        return Ok(value);
    }
    Err(Invalid::new(field, "Must be an e-mail address such as name@example.com."))
}

/// A telephone number: digits with an optional leading `+`; spaces, dots, dashes and brackets are dropped.
///
/// # Errors
/// Names the field when other characters or fewer than 5 or more than 15 digits are left (E.164).
pub fn phone(field: &str, value: &str) -> Result<String, Invalid> {
    let kept: String =
        value.trim().chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')' | '/')).collect();
    let digits = kept.strip_prefix('+').unwrap_or(&kept);
    if (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(kept);
    }
    Err(Invalid::new(
        field,
        "Must be a telephone number of 5 to 15 digits, such as +44 20 7946 0018.",
    ))
}

/// A language tag such as `en` or `pt-BR`, with the language in lower case.
///
/// # Errors
/// Names the field when it is not shaped like one.
pub fn locale(field: &str, value: &str) -> Result<String, Invalid> {
    let mut parts = value.trim().split('-');
    let language = parts.next().unwrap_or_default().to_ascii_lowercase();
    let rest: Vec<&str> = parts.collect();
    let shaped = (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && rest.len() <= 3
        && rest
            .iter()
            .all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
    if !shaped {
        return Err(Invalid::new(field, "Must be a language tag such as en or pt-BR."));
    }
    Ok(rest.iter().fold(language, |tag, part| format!("{tag}-{part}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: Result<String, Invalid>, want: Option<&str>) {
        match (got, want) {
            (Ok(got), Some(want)) => assert_eq!(got, want),
            (Err(_), None) => {}
            (got, want) => assert_eq!(got.ok().as_deref(), want),
        }
    }

    #[test]
    fn emails() {
        check(email("email", " Ana@Example.COM "), Some("ana@example.com"));
        for bad in [
            "",
            "ana",
            "ana@",
            "@example.com",
            "a b@example.com",
            "a@b@c.com",
            "a@example",
            "a@.com",
            "a@x-.com",
        ] {
            check(email("email", bad), None);
        }
    }

    #[test]
    fn phones() {
        check(phone("phone", "+44 (20) 7946-0018"), Some("+442079460018"));
        check(phone("phone", "12"), None);
        check(phone("phone", "++123456"), None);
        check(phone("phone", "call me"), None);
    }

    #[test]
    fn lines_and_locales() {
        check(line("name", "  Ana  ", 3), Some("Ana"));
        check(line("name", "   ", 3), None);
        check(line("name", "A\nB", 9), None);
        check(line("name", "A\u{202E}nA", 9), None);
        check(line("name", "A\u{200B}na", 9), None);
        check(line("name", "A\u{2028}B", 9), None);
        check(line("name", "A\u{E0041}", 9), None);
        check(line("name", "\u{200D}\u{3164}", 9), None);
        check(
            line("name", "👩🏽\u{200D}💻 نازنین\u{200C}زهرا", 30),
            Some("👩🏽\u{200D}💻 نازنین\u{200C}زهرا"),
        );
        check(line("name", "Anna", 3), None);
        check(locale("locale", "PT-BR"), Some("pt-BR"));
        check(locale("locale", "english"), None);
        check(locale("locale", ""), None);
    }
}
