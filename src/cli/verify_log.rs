//! `baton verify-log`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::config::Sources;
use crate::conversation::audit::{Counts, Finding, audit};
use crate::db::{Db, missing};
use crate::ids::WorkspaceId;

/// What to read, and how to say it.
#[derive(Debug, Clone, Args)]
pub struct VerifyLogArgs {
    /// Only this workspace
    #[arg(long, value_name = "ID")]
    pub workspace: Option<WorkspaceId>,
    /// One line of JSON for each finding, and one with the counts
    #[arg(long)]
    pub json: bool,
}

/// There was something to say.
const FINDINGS: u8 = 1;
/// Nothing can be said.
const UNREADABLE: u8 = 2;

/// Reads the laws off storage: 0 = they hold, 1 = findings, 2 = it could not be read.
pub async fn run(sources: &Sources, args: VerifyLogArgs) -> ExitCode {
    match read(sources, &args).await {
        Ok(Counts { findings: 0, .. }) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FINDINGS),
        Err(error) => {
            super::say_error(&format!("baton: {error:#}"));
            ExitCode::from(UNREADABLE)
        }
    }
}

async fn read(sources: &Sources, args: &VerifyLogArgs) -> anyhow::Result<Counts> {
    let loaded = super::started(sources)?;
    let url = loaded.config.database.url.expose();
    let db = Db::open_to_read(url).await.context("the database cannot be opened")?;
    let behind = missing(&db).await.context("the database cannot be read")?;
    anyhow::ensure!(
        behind == 0,
        "the schema lacks {behind} of our migrations: use the baton that last ran on it, or let `baton serve` apply them"
    );
    let mut tell = |finding: Finding| match serde_json::to_string(&finding) {
        Ok(line) if args.json => super::say(&line),
        _ => super::say(&finding.to_string()),
    };
    let counts = audit(&db, args.workspace, &mut tell).await;
    let counts = counts.context("the database cannot be read to its end")?;
    db.close().await;
    if args.json {
        super::say(&json!({ "read": counts }).to_string());
    } else {
        super::say(&format!(
            "{} conversations, {} events, {} messages read; {} findings",
            counts.conversations, counts.events, counts.messages, counts.findings
        ));
    }
    Ok(counts)
}
