//! Whether a visitor asks for a person.

/// The words by which a visitor asks for a person; none if they do not.
#[must_use]
pub fn asks_for_person(_text: &str) -> Option<&str> {
    None
}
