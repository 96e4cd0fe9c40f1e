//! Knowledge: articles, their chunks, the index over them, and search.

mod passage;

pub use passage::{Audience, Citation, Passage, PublicPassage};
