//! Knowledge: articles, their chunks, the index over them, and search.

pub mod article;
pub mod chunk;
mod embedder;
mod passage;

pub use embedder::{EmbedError, EmbedPurpose, Embedder};
pub use passage::{Audience, Citation, Passage, PublicPassage};
