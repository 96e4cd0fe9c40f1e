//! Stored text back into its type; what does not fit is broken data, loudly.

use std::fmt::Display;
use std::str::FromStr;

use super::DbError;

/// Reads an id or an enum from its column.
///
/// # Errors
/// [`DbError::Broken`] with what does not fit.
pub fn stored<T>(text: &str) -> Result<T, DbError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| DbError::Broken(format!("`{text}`: {error}")))
}

/// Reads JSON from its column.
///
/// # Errors
/// [`DbError::Broken`] with what does not fit; the text itself stays out of it.
pub fn stored_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| DbError::Broken(error.to_string()))
}

/// Writes JSON for its column.
///
/// # Errors
/// [`DbError::Broken`] if the value cannot be JSON, such as a map with keys that are not text.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::Broken(error.to_string()))
}
