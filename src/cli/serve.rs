//! `baton serve`.

use std::process::ExitCode;

use crate::config::Loaded;

/// Runs the server until it is told to stop.
///
/// # Errors
/// When it cannot start.
#[expect(clippy::unused_async, clippy::needless_pass_by_value, reason = "the app is wired in here")]
pub async fn run(_loaded: Loaded) -> anyhow::Result<ExitCode> {
    Ok(super::not_in_this_build("serve"))
}
