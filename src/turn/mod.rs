//! One reply by the assistant, from trigger to outcome.

pub mod prompt;
