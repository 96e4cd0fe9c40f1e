//! Words: tokens, sentences, clean input, and the catalogues of what the system says.

pub mod catalogue;
