//! `baton demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::Loaded;

/// What the demonstration may be told.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Where its data lives; a folder of its own, so that nothing real is touched
    #[arg(long, value_name = "FOLDER", default_value = "data/demo")]
    pub data: PathBuf,
    /// Start from nothing: forget what earlier demonstrations left
    #[arg(long)]
    pub fresh: bool,
}

/// Runs a server with a demonstration business, on loopback, with random passwords.
///
/// # Errors
/// When it cannot start.
#[expect(clippy::unused_async, clippy::needless_pass_by_value, reason = "the app is wired in here")]
pub async fn run(_loaded: Loaded, _args: DemoArgs) -> anyhow::Result<ExitCode> {
    Ok(super::not_in_this_build("demo"))
}
