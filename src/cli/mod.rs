//! The command line: arguments into a configuration, then the command.
//!
//! Only this floor prints; `anyhow` is used nowhere below it.

pub mod ask;
pub mod backup;
pub mod demo;
pub mod doctor;
pub mod ingest;
pub mod listen;
pub mod openapi;
pub mod reindex;
pub mod serve;
pub mod verify_log;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Loaded, Sources};
use crate::telemetry;

/// AI-first customer service with human takeover: exactly one party holds a conversation.
#[derive(Debug, Parser)]
#[command(name = "baton", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve,
    /// Run a server with a demonstration business on this machine only
    Demo(demo::DemoArgs),
    /// Read a folder of Markdown articles into a knowledge base
    Ingest(ingest::IngestArgs),
    /// Make missing vectors and the index of every knowledge base anew
    Reindex(reindex::ReindexArgs),
    /// Ask the AI agent one question and show how it came to its answer
    Ask(ask::AskArgs),
    /// Write the OpenAPI document
    Openapi(openapi::OpenapiArgs),
    /// Check configuration, database and models, and say what to do
    Doctor,
    /// Read the laws off everything that is stored; a server may run
    VerifyLog(verify_log::VerifyLogArgs),
    /// Write a backup of the database to one file; a server may run
    Backup(backup::BackupArgs),
    /// Put a backup into an empty database, of either engine
    Restore(backup::RestoreArgs),
}

/// Settings that have a flag; docs/CONFIG.md lists every setting.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// The configuration file [default: baton.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The interface to listen on [default: 127.0.0.1]
    #[arg(long, global = true, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// The port to listen on; 0 takes any free one [default: 8080]
    #[arg(long, global = true)]
    port: Option<u16>,
    /// Try the following ports when the port is taken
    #[arg(long, global = true)]
    port_fallback: bool,
    /// sqlite:PATH or postgres://… [default: sqlite:data/baton.db]
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// The address people reach the server at
    #[arg(long, global = true, value_name = "URL")]
    public_url: Option<String>,
    /// A server that speaks the OpenAI chat protocol, for every task
    #[arg(long, global = true, value_name = "URL")]
    model_url: Option<String>,
    /// Its key (better as the variable `BATON_MODEL_KEY`)
    #[arg(long, global = true, value_name = "KEY")]
    model_key: Option<String>,
    /// The model's name on it
    #[arg(long, global = true, value_name = "NAME")]
    model_name: Option<String>,
    /// What to log, such as info,baton=debug
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Settings {
    /// As dotted keys and texts, for the loader.
    fn flags(&self) -> Vec<(String, String)> {
        let flags = [
            ("listen.host", self.host.map(|host| host.to_string())),
            ("listen.port", self.port.map(|port| port.to_string())),
            ("listen.port_fallback", self.port_fallback.then(|| "true".to_owned())),
            ("database.url", self.database.clone()),
            ("public_url", self.public_url.clone()),
            ("model.url", self.model_url.clone()),
            ("model.key", self.model_key.clone()),
            ("model.name", self.model_name.clone()),
            ("log.filter", self.log.clone()),
            ("log.format", self.log_format.clone()),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone(), self.flags())
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything can open a TLS connection; it is there already only if something else in the process set it.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime
        .context("the threads of the program could not be started")
        .and_then(|runtime| runtime.block_on(run(cli)));
    outcome.unwrap_or_else(|error| {
        say_error(&format!("baton: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let sources = cli.settings.sources();
    match cli.command {
        Command::Serve => Box::pin(serve::run(started(&sources)?)).await,
        Command::Demo(args) => Box::pin(demo::run(started(&sources)?, args)).await,
        Command::Ingest(args) => ingest::run(started(&sources)?, args).await,
        Command::Reindex(args) => reindex::run(started(&sources)?, args).await,
        Command::Ask(args) => ask::run(started(&sources)?, args).await,
        Command::Openapi(args) => openapi::run(&args),
        Command::Doctor => Ok(doctor::run(&sources).await),
        Command::VerifyLog(args) => Ok(verify_log::run(&sources, args).await),
        Command::Backup(args) => backup::back_up_to(started(&sources)?, args).await,
        Command::Restore(args) => backup::restore_from(started(&sources)?, args).await,
    }
}

/// Loads the configuration and starts logging.
fn started(sources: &Sources) -> anyhow::Result<Loaded> {
    let loaded = Config::load(sources)?;
    telemetry::start(&loaded.config.log)?;
    Ok(loaded)
}

/// One line for people, on standard output. A reader that has gone (`| head`) is no error.
pub(crate) fn say(line: &str) {
    let _gone = writeln!(std::io::stdout(), "{line}");
}

/// One line for people, on standard error.
pub(crate) fn say_error(line: &str) {
    let _gone = writeln!(std::io::stderr(), "{line}");
}

/// Returns when the process is told to stop (Ctrl-C, SIGTERM).
pub(crate) async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        let _told = interrupt.await;
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_configuration_before_and_after_the_command() {
        for line in [
            "baton --port 9 serve --host 0.0.0.0 --model-url http://h/v1 --model-name m --log-format json",
            "baton serve --port 9 --host 0.0.0.0 --model-url http://h/v1 --model-name m --log-format json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect("parses");
            let flags = cli.settings.flags();
            let loaded = Config::load(&Sources { flags, ..Sources::default() }).expect("valid");
            assert_eq!(loaded.config.listen.port, 9);
            assert_eq!(loaded.config.listen.host.to_string(), "0.0.0.0");
            assert_eq!(loaded.config.models.answer, "main");
            assert_eq!(loaded.config.log.format, crate::config::LogFormat::Json);
        }
    }
}
