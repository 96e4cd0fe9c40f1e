//! What search is answered from.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use super::{Secret, n32, n64};

/// The index over knowledge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Index {
    /// Where vectors are kept.
    pub backend: IndexBackend,
    /// How much memory the bases that are searched may take, in MiB.
    pub memory_mb: NonZeroU32,
    /// Qdrant's gRPC address.
    pub url: Option<String>,
    /// Qdrant's key, if it wants one.
    pub api_key: Option<Secret>,
    /// What the names of our collections begin with.
    pub collection: String,
    /// How long a search waits for Qdrant before words alone answer.
    pub timeout_ms: NonZeroU64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            backend: IndexBackend::Memory,
            memory_mb: n32(1_024),
            url: None,
            api_key: None,
            collection: "baton".to_owned(),
            timeout_ms: n64(500),
        }
    }
}

/// Where vectors are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexBackend {
    /// In the memory of this process.
    #[default]
    Memory,
    /// On a Qdrant server that all nodes share; words stay in memory.
    Qdrant,
}
