//! `baton demo`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::{Listen, Loaded, SCRIPTED, Secret};
use crate::demo::seed::{self, Seeded};
use crate::demo::shop::{self, Shop};
use crate::model::openai::OpenAiModel;
use crate::model::scripted::{Script, ScriptedServer};
use crate::model::{ChatModel, ModelSet};
use crate::server::{self, Extras};

/// What the demonstration may be told.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Where its data lives; a folder of its own, so that nothing real is touched
    #[arg(long, value_name = "FOLDER", default_value = "data/demo")]
    pub data: PathBuf,
    /// Start from nothing: forget what earlier demonstrations left
    #[arg(long)]
    pub fresh: bool,
    /// Print the addresses and log-ins as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs a server with a demonstration business, on loopback, with random passwords.
///
/// # Errors
/// When it cannot start.
pub async fn run(loaded: Loaded, args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut config = loaded.config;
    anyhow::ensure!(
        config.listen.host.is_loopback(),
        "the demonstration's passwords are printed: it listens on loopback only. Remove --host, or use `baton serve`"
    );
    config.listen.port_fallback = true;
    if !loaded.origins.contains_key("database.url") {
        let file = args.data.join("baton.db");
        if args.fresh {
            forget(&args.data)?;
        }
        config.database.url = Secret::new(format!("sqlite:{}", file.display()));
    }
    let listener = super::listen::bind(&config.listen).await?;
    let shop_listener = bind_beside(&config.listen, &listener).await?;
    let (extras, _model) = scripted().await?;
    let built = server::build(&config, &extras).await?;
    let knowledge = built.state.minds.producer.knowledge.clone();
    let seeded = seed::seed(&built.state.access, &knowledge, &args.data).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let shop_origin = format!("http://{}", shop_listener.local_addr()?);
    let site = Shop {
        baton_origin: origin.clone(),
        shop_origin: shop_origin.clone(),
        inbox_key: seeded.inbox_key.clone(),
        studio_inbox_key: seeded.studio_inbox_key.clone(),
        workspace: seeded.workspace,
        db: built.state.access.db.clone(),
    };
    let running = built.start(listener, Some(shop::help(site.clone()))).await?;
    let stop = running.shutdown();
    running.state.tasks.spawn(async move {
        let served = axum::serve(shop_listener, shop::router(site))
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(error = %error, "the demo shop has stopped");
        }
    });
    tell(&origin, &shop_origin, &seeded, args.json);
    super::stopped().await;
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The port after Baton's own, or the next free one.
async fn bind_beside(listen: &Listen, baton: &TcpListener) -> anyhow::Result<TcpListener> {
    let port = if listen.port == 0 { 0 } else { baton.local_addr()?.port().saturating_add(1) };
    let beside = Listen { port, port_fallback: true, ..listen.clone() };
    Ok(super::listen::bind(&beside).await?)
}

/// A model server that follows a script, behind the real client.
async fn scripted() -> anyhow::Result<(Extras, ScriptedServer)> {
    crate::model::openai::install_crypto();
    let server = ScriptedServer::start(Script::demo()).await?;
    let model: std::sync::Arc<dyn ChatModel> =
        std::sync::Arc::new(OpenAiModel::new(server.settings())?);
    let extras = Extras {
        models: vec![(SCRIPTED.to_owned(), ModelSet::of_one(&model))],
        ..Extras::default()
    };
    Ok((extras, server))
}

fn forget(data: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(data) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", data.display())),
    }
}

fn tell(origin: &str, shop: &str, seeded: &Seeded, as_json: bool) {
    if as_json {
        let line = json!({
            "console": format!("{origin}/"),
            "shop": format!("{shop}/"),
            "studio": format!("{shop}/studio.html"),
            "reference": format!("{origin}/api/v1/reference"),
            "inbox_key": seeded.inbox_key,
            "studio_inbox_key": seeded.studio_inbox_key,
            "log_ins": seeded.log_ins,
        });
        super::say(&line.to_string());
        return;
    }
    super::say("\nBaton is running with a demo workspace.\n");
    super::say(&format!("  Console        {origin}/"));
    super::say(&format!("  Demo shop      {shop}/             (an AI agent that needs no model)"));
    super::say(&format!("  Brew Studio    {shop}/studio.html  (one played by a scripted model)"));
    super::say(&format!("  API reference  {origin}/api/v1/reference\n"));
    for log_in in &seeded.log_ins {
        super::say(&format!("  {:<6} {:<28} {}", log_in.role, log_in.email, log_in.password));
    }
    super::say(
        "\nOpen the shop in one window and the console in another. Ctrl-C stops everything.\n",
    );
}
