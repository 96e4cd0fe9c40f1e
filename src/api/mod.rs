//! What every HTTP feature shares: one error shape, extractors that answer in it, and the layers around the router.
//!
//! Invariants: [`error`] alone knows status codes; whatever a client sends, the answer has the one error shape and names the
//! field and the remedy; no text of a message, no key and no address is logged here.

pub mod error;
pub mod extract;
pub mod headers;
pub mod layers;

pub use error::{ApiError, ErrorAnswer};
pub use extract::{Json, Page, Path, Query};
pub use layers::{Limits, dress};

/// The answer of every handler.
pub type ApiResult<T> = Result<T, ApiError>;
