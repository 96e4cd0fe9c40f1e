//! `baton serve`.

use std::process::ExitCode;

use crate::access::store::first_start;
use crate::access::{AccessState, AllowedOrigins};
use crate::assistant::config::AssistantConfig;
use crate::assistant::inbox::{self, store::NewInbox};
use crate::assistant::store as assistant_store;
use crate::config::Loaded;
use crate::ids::WorkspaceId;
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
    first_inbox(access, first.workspace).await?;
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

/// A workspace begins with an AI agent and an inbox that it answers, so that the set-up has something to set up.
async fn first_inbox(access: &AccessState, workspace: WorkspaceId) -> anyhow::Result<()> {
    let (assistant, id, now) = (access.ids.fresh(), access.ids.fresh(), access.clock.now());
    let mut new = NewInbox::named("Website", AllowedOrigins::only_our_own());
    new.assistant = Some(assistant);
    access
        .db
        .write(move |conn| {
            let new = new.clone();
            Box::pin(async move {
                if !inbox::store::list(conn, workspace).await?.is_empty() {
                    return Ok(());
                }
                let config = AssistantConfig::fresh("Assistant");
                assistant_store::create(conn, workspace, assistant, &config, None, now).await?;
                inbox::store::create(conn, workspace, id, &new, now).await?;
                Ok(())
            })
        })
        .await?;
    Ok(())
}
