//! One reply by the assistant, from trigger to outcome: the plan (pure), the prompt, the production, the worker.

mod figures;
mod plan;
mod produce;
pub mod prompt;
mod record;
mod rehearse;
mod settings;
mod worker;

pub use plan::{HISTORY_MESSAGES, Plan, Settings};
pub use produce::{Limits, Produced, Producer, Release};
pub use record::{
    Explained, ExplainedCall, ExplainedPassage, ExplainedShed, ExplainedTokens, ExplainedVerdict,
};
pub use rehearse::{Said, rehearse};
pub use settings::{Published, settings};
pub use worker::{SettingsSource, TurnWorker};

#[cfg(test)]
mod produce_tests;
