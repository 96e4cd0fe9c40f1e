//! The demo: a workspace of a fictional shop, its site, and the scripted model.

pub mod seed;
pub mod shop;
