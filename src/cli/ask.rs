//! `baton ask`.

use std::process::ExitCode;

use clap::Args;

use crate::config::Loaded;

/// What to ask, and whom.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The question
    pub question: String,
    /// The AI agent, by id or name [default: the first]
    #[arg(long, value_name = "ID")]
    pub assistant: Option<String>,
    /// The language of the visitor
    #[arg(long, default_value = "en")]
    pub locale: String,
    /// Print everything as JSON: passages, verdicts, prompt, times
    #[arg(long)]
    pub json: bool,
}

/// Asks once, outside any conversation.
///
/// # Errors
/// When the database or the model cannot be reached.
#[expect(clippy::unused_async, reason = "turns are wired in here")]
pub async fn run(_loaded: Loaded, _args: AskArgs) -> anyhow::Result<ExitCode> {
    Ok(super::not_in_this_build("ask"))
}
