//! The business's AI agents: who they are, what they may say, when a person is needed; and the inboxes they answer in.
//!
//! Invariants: a configuration is never changed, only followed by a new version; what is stored has passed
//! [`config::AssistantConfig::validated`]; a save names the version it was made from, so nobody overwrites a colleague.
//! This floor knows nothing of conversations.

pub mod config;
pub mod http;
pub mod inbox;
pub mod models;
pub mod store;

pub use config::AssistantConfig;
pub use models::{ModelOption, ModelOptions};
pub use store::{Assistant, Published};
