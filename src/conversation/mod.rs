//! Conversations: the pure machine, their messages and log, and `commit`, the only door through which one changes.

mod message;

pub use message::{
    Actor, MAX_TEXT_CHARS, Message, MessageKind, PublicMessage, ReturnNote, Speaker,
};
