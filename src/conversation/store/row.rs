//! Columns back into values: what does not fit is broken data, loudly.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::db::DbError;

/// Reads a stored value, or says which column is broken.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, column: &str) -> Result<T, DbError> {
    text.parse().map_err(|_| DbError::Broken(format!("{column}: `{text}`")))
}

pub(crate) fn parse_opt<T: std::str::FromStr>(
    text: Option<&str>,
    column: &str,
) -> Result<Option<T>, DbError> {
    text.map(|text| parse(text, column)).transpose()
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str, column: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|e| DbError::Broken(format!("{column}: {e}")))
}

pub(crate) fn to_json<T: Serialize>(value: &T, column: &str) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|e| DbError::Broken(format!("{column}: {e}")))
}

/// A whole number of the database as one of ours.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
