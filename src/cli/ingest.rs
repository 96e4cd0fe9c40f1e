//! `baton ingest`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::access::store::first_start;
use crate::config::Loaded;
use crate::server::{self, Extras};

/// What to read, and into what.
#[derive(Debug, Clone, Args)]
pub struct IngestArgs {
    /// The folder of Markdown articles (front matter: title, locale, audience, url, updated)
    pub folder: PathBuf,
    /// The knowledge base, by name; made if it is not there
    #[arg(long, value_name = "NAME", default_value = "Help centre")]
    pub knowledge_base: String,
}

/// Makes the knowledge base hold what the folder holds: new and changed files in, files that are gone out.
///
/// # Errors
/// When the folder or the database cannot be read, or a running server owns the database.
pub async fn run(loaded: Loaded, args: IngestArgs) -> anyhow::Result<ExitCode> {
    let built = server::build(&loaded.config, &Extras::default()).await?;
    let access = &built.state.access;
    let knowledge = &built.state.minds.producer.knowledge;
    let workspace =
        first_start(&access.db, &access.clock, access.ids, "My business").await?.workspace;
    let bases = knowledge.bases(workspace).await?;
    let base = match bases.into_iter().find(|base| base.name == args.knowledge_base) {
        Some(base) => base,
        None => knowledge.create_base(workspace, &args.knowledge_base).await?,
    };
    let report = knowledge
        .ingest_folder(workspace, base.id, &args.folder)
        .await
        .with_context(|| format!("cannot read {}", args.folder.display()))?;
    for problem in &report.errors {
        super::say_error(&format!("{}: {}", problem.file, problem.reason));
    }
    super::say(&format!(
        "{}: {} added, {} changed, {} unchanged, {} removed, {} left out",
        args.knowledge_base,
        report.added,
        report.changed,
        report.unchanged,
        report.removed,
        report.errors.len()
    ));
    access.db.close().await;
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
