//! AI help for agents: briefs, summaries, suggested replies.

pub mod prompt;
