//! What is wrong with the database when it is the database that is wrong: a stable code for the log and `/ready`.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::DbError;

/// The name of what is wrong if the database itself is away, full or held up; none for errors that say nothing about it.
pub(super) fn trouble(error: &DbError) -> Option<&'static str> {
    match error {
        DbError::Closed => Some("closed"),
        DbError::Unavailable(name) => Some(name),
        // A server that goes down in the middle of a word leaves a protocol error as often as one of the connection.
        DbError::Sql(
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::BeginFailed,
        ) => Some("away"),
        DbError::Sql(sqlx::Error::PoolTimedOut) => Some("exhausted"),
        DbError::Sql(sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed) => Some("closed"),
        DbError::Sql(sqlx::Error::Database(db)) => of_code(&db.code().unwrap_or_default()),
        _ => None,
    }
}

/// The name that any error is counted under.
pub(super) fn name(error: &DbError) -> &'static str {
    match error {
        DbError::Conflict => "conflict",
        DbError::Panicked => "panicked",
        _ if error.broken().is_some() => "broken",
        _ => trouble(error).unwrap_or("other"),
    }
}

/// Codes of PostgreSQL have five characters; those of SQLite are shorter numbers with the primary code in the low byte.
pub(super) fn of_code(code: &str) -> Option<&'static str> {
    if code.len() < 5 {
        let primary = code.parse::<u32>().ok()? & 0xff;
        return match primary {
            5 | 6 => Some("locked"),
            8 => Some("read_only"),
            10 => Some("io"),
            13 => Some("full"),
            14 => Some("away"),
            _ => None,
        };
    }
    match code {
        "53100" => Some("full"),
        "55P03" | "57014" => Some("locked"),
        "57P01" | "57P02" | "57P03" => Some("away"),
        "25006" => Some("read_only"),
        "58030" => Some("io"),
        _ if code.starts_with("08") => Some("away"),
        _ if code.starts_with("53") => Some("exhausted"),
        _ => None,
    }
}

/// Whether writes are being refused, until a probe was accepted. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Writes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    refused: Mutex<Option<&'static str>>,
    news: Notify,
}

impl Writes {
    pub(super) fn ended(&self, error: Option<&DbError>) {
        // What a unit found wrong with its own data says nothing about the database; nor does a unit that ended well prove much:
        // it may have had nothing to write.
        let Some(found) = error.and_then(trouble) else { return };
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if *refused != Some(found) {
            *refused = Some(found);
            self.0.news.notify_one();
        }
    }

    pub(super) fn accepted(&self) {
        *self.0.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn refused(&self) -> Option<&'static str> {
        *self.0.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn news(&self) {
        self.0.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_codes_have_one_name() {
        for (code, name) in [
            ("13", Some("full")),
            ("53100", Some("full")),
            ("778", Some("io")),
            ("1034", Some("io")),
            ("5", Some("locked")),
            ("261", Some("locked")),
            ("55P03", Some("locked")),
            ("08006", Some("away")),
            ("57P01", Some("away")),
            ("53300", Some("exhausted")),
            ("2067", None),
            ("23505", None),
            ("", None),
        ] {
            assert_eq!(of_code(code), name, "{code}");
        }
    }
}
