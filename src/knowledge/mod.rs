//! Knowledge: articles, their chunks, the index over them, and search.
//!
//! `article` and `chunk` are pure; `store` and `put` hold the SQL; `index` is the trait, `memory` the embedded one and
//! `follow` what keeps it in step with the database; `relevance` decides what counts as an answer; `service`, `search` and
//! `ingest` are what callers use, all on [`Knowledge`].

pub mod article;
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
mod relevance;
mod search;
mod service;
mod store;
mod wire;

pub use embedder::{EmbedError, EmbedPurpose, Embedder};
pub use ingest::{FOLDER, IngestProblem, IngestReport};
pub use memory::MemoryIndex;
pub use passage::{Audience, Citation, Passage, PublicPassage};
pub use put::{Change, Stored};
pub use service::{ArticlePage, Knowledge, KnowledgeError};
pub use store::KnowledgeBase;
