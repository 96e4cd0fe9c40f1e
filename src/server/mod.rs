//! One running server: everything built from the configuration, started and stopped in order.

mod models;

pub use models::{embedder, models};
