//! What every HTTP feature shares: one error shape, extractors that answer in it, and the layers around the router.
//!
//! Invariants: [`error`] alone knows status codes; whatever a client sends, the answer has the one error shape and names the
//! field and the remedy; no text of a message, no key and no address is logged here.

pub mod docs;
pub mod error;
pub mod extract;
pub mod headers;
pub mod layers;
pub mod reference;
mod strict;

pub use docs::{AgentErrors, InputErrors, MissingErrors, OpenErrors};
pub use error::{ApiError, ErrorAnswer};
pub use extract::{Items, Json, Page, Path, Query};
pub use layers::{Limits, dress, unknown_address, wrong_method};

/// The answer of every handler.
pub type ApiResult<T> = Result<T, ApiError>;
