//! Knowledge: articles, their chunks, the index over them, and search.
//!
//! `article` and `chunk` are pure; `store` and `put` hold the SQL; `index` is the trait, `base` and
//! `rank` what both of its backends share, `memory` the embedded one, `source` and `follow` what keeps them in step with the
//! database; `relevance` decides what counts as an answer; `service`, `search` and
//! `ingest` are what callers use, all on [`Knowledge`].

pub mod article;
mod base;
pub mod chunk;
mod counts;
mod embedder;
mod follow;
pub mod http;
pub mod index;
mod ingest;
mod memory;
mod passage;
mod put;
mod qdrant;
mod rank;
mod reembed;
mod relevance;
mod search;
mod service;
mod source;
mod store;
mod tombstones;
mod wire;

pub use embedder::{EmbedError, EmbedPurpose, Embedder};
pub use index::{Degraded, Health, IndexError, VectorIndex};
pub use ingest::{FOLDER, IngestProblem, IngestReport};
pub use memory::MemoryIndex;
pub use passage::{Audience, Citation, Passage, PublicPassage};
pub use put::{Change, Stored};
pub use qdrant::{QdrantIndex, QdrantSettings};
pub use search::Searched;
pub use service::{ArticlePage, Knowledge, KnowledgeError};
pub use store::KnowledgeBase;

#[cfg(test)]
#[path = "../../tests/doubles/qdrant/mod.rs"]
pub(crate) mod qdrant_double;

#[cfg(test)]
mod shelf;

#[cfg(test)]
mod contract_tests;
