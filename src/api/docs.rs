//! The errors that whole groups of operations share, for the OpenAPI document.

use utoipa::IntoResponses;

use super::error::ErrorAnswer;

/// What any operation of a signed-in agent may answer.
#[derive(IntoResponses)]
pub enum AgentErrors {
    /// Nobody is signed in (`unauthenticated`).
    #[response(status = 401)]
    Unauthenticated(ErrorAnswer),
    /// Not allowed: `forbidden`, `csrf` or `origin`.
    #[response(status = 403)]
    Forbidden(ErrorAnswer),
    /// Asked too often (`rate_limited`, with Retry-After).
    #[response(status = 429)]
    RateLimited(ErrorAnswer),
    /// Our fault (`internal`).
    #[response(status = 500)]
    Internal(ErrorAnswer),
    /// The database is busy or away (`unavailable`, with Retry-After).
    #[response(status = 503)]
    Unavailable(ErrorAnswer),
}

/// What any operation without a session may answer.
#[derive(IntoResponses)]
pub enum OpenErrors {
    /// The request came from a page that may not make it (`origin`).
    #[response(status = 403)]
    Origin(ErrorAnswer),
    /// Asked too often (`rate_limited`, with Retry-After).
    #[response(status = 429)]
    RateLimited(ErrorAnswer),
    /// Our fault (`internal`).
    #[response(status = 500)]
    Internal(ErrorAnswer),
    /// The database is busy or away (`unavailable`, with Retry-After).
    #[response(status = 503)]
    Unavailable(ErrorAnswer),
}

/// What any operation with a JSON body may answer.
#[derive(IntoResponses)]
pub enum InputErrors {
    /// A field is not right (`invalid`, naming the field).
    #[response(status = 400)]
    Invalid(ErrorAnswer),
    /// Larger than the server takes (`too_large`).
    #[response(status = 413)]
    TooLarge(ErrorAnswer),
    /// Not JSON (`unsupported_media_type`).
    #[response(status = 415)]
    UnsupportedMediaType(ErrorAnswer),
}

/// What any operation on one thing may answer.
#[derive(IntoResponses)]
pub enum MissingErrors {
    /// The id in the address is none (`invalid`).
    #[response(status = 400)]
    Invalid(ErrorAnswer),
    /// There is no such thing in this workspace (`not_found`).
    #[response(status = 404)]
    NotFound(ErrorAnswer),
}
