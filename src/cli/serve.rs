//! `baton serve`.

use std::process::ExitCode;

use crate::access::store::first_start;
use crate::config::Loaded;
use crate::server::{self, Extras};

/// Runs the server until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(loaded: Loaded) -> anyhow::Result<ExitCode> {
    let config = loaded.config;
    let listener = super::listen::bind(&config.listen).await?;
    let built = server::build(&config, &Extras::default()).await?;
    let access = &built.state.access;
    let first = first_start(&access.db, &access.clock, access.ids, "My business").await?;
    let running = built.start(listener, None).await?;
    let origin = config.public_url.clone().unwrap_or_else(|| format!("http://{}", running.address));
    super::say(&format!("Baton is running at {origin}/"));
    super::say(&format!("API reference: {origin}/api/v1/reference"));
    if let Some(token) = first.owner_invitation {
        super::say("Nobody owns this workspace yet. Become its owner with this link, once:");
        super::say(&format!("{origin}/#/welcome?token={token}"));
    }
    super::stopped().await;
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}
