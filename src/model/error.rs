//! Why a model gave no answer, in the words a caller decides by.

use std::time::Duration;

/// Why a model gave no answer. The text form never holds words of a conversation; what a server said about its refusal is
/// kept apart in [`ModelError::detail`], because servers quote prompts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No word within the time allowed, at the start or in the middle.
    #[error("the model server did not answer in time")]
    Timeout,
    /// Too many requests, or the quota is used up.
    #[error("the model server refuses more requests for now")]
    RateLimited {
        /// How long to wait, if the server told; capped.
        retry_after: Option<Duration>,
    },
    /// The key is missing, wrong, or may not use this model.
    #[error("the model server does not accept the key")]
    Unauthorized,
    /// The request itself was refused; the same request will be refused again.
    #[error("the model server refused the request (status {status})")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// What the server said, at most 4 kB. May quote the prompt: never log it.
        detail: String,
    },
    /// The server failed.
    #[error("the model server failed (status {status})")]
    Server {
        /// The HTTP status; 200 for an error inside a stream.
        status: u16,
    },
    /// The server could not be reached.
    #[error("the model server could not be reached")]
    Connect,
    /// What came back is not an answer.
    #[error("the model server's answer could not be read: {why}")]
    BadResponse {
        /// In our own words.
        why: &'static str,
    },
    /// A stream that ended before it began.
    #[error("the model server's stream held nothing")]
    EmptyStream,
    /// A stream that ended before the answer did.
    #[error("the model server's stream broke off")]
    CutStream,
    /// The server's own filter withheld the answer.
    #[error("the model server withheld the answer")]
    Filtered,
    /// The answer is longer than anything that would be shown.
    #[error("the model's answer is too long")]
    TooLong,
}

impl ModelError {
    /// Whether the same request may succeed if it is sent again, to this or another model.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Connect
            | Self::BadResponse { .. }
            | Self::EmptyStream
            | Self::CutStream => true,
            Self::Unauthorized | Self::Rejected { .. } | Self::Filtered | Self::TooLong => false,
        }
    }

    /// The stable name for logs and records.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Rejected { .. } => "rejected",
            Self::Server { .. } => "server_error",
            Self::Connect => "connect",
            Self::BadResponse { .. } => "bad_response",
            Self::EmptyStream => "empty_stream",
            Self::CutStream => "cut_stream",
            Self::Filtered => "filtered",
            Self::TooLong => "too_long",
        }
    }

    /// What the server said about its refusal, at most 4 kB. May quote the prompt: show it to those who may read the
    /// conversation, never log it.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Rejected { detail, .. } if !detail.is_empty() => Some(detail),
            _ => None,
        }
    }

    /// How long the server asked to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_said_is_not_in_the_text_form() {
        let error = ModelError::Rejected { status: 400, detail: "my card 4111".into() };
        assert!(!error.to_string().contains("4111"));
        assert_eq!(error.detail(), Some("my card 4111"));
        assert!(!error.is_retryable());
        assert_eq!(error.code(), "rejected");
    }
}
