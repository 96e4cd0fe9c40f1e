//! One running server: everything built from the configuration, started and stopped in order.

mod models;
mod settings;

pub use models::{embedder, models};
pub use settings::{Published, settings};
