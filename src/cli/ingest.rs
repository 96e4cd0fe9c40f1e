//! `baton ingest`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::Loaded;

/// What to read, and into what.
#[derive(Debug, Clone, Args)]
pub struct IngestArgs {
    /// The folder of Markdown articles
    pub folder: PathBuf,
    /// The knowledge base, by name; made if it is not there
    #[arg(long, value_name = "NAME", default_value = "Help centre")]
    pub knowledge_base: String,
    /// Who may read articles that do not say so themselves: public or internal
    #[arg(long, default_value = "public", value_parser = ["public", "internal"])]
    pub audience: String,
    /// The language of articles that do not say so themselves
    #[arg(long, default_value = "en")]
    pub locale: String,
    /// Remove articles of earlier runs whose files are gone
    #[arg(long)]
    pub prune: bool,
}

/// Reads the folder into the knowledge base.
///
/// # Errors
/// When the folder or the database cannot be read.
#[expect(clippy::unused_async, reason = "ingestion is wired in here")]
pub async fn run(_loaded: Loaded, _args: IngestArgs) -> anyhow::Result<ExitCode> {
    Ok(super::not_in_this_build("ingest"))
}
