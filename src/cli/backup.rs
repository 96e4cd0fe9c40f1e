//! `baton backup` and `baton restore`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;

use crate::backup::{Header, back_up, check, restore};
use crate::clock::Clock;
use crate::config::Loaded;
use crate::db::Db;

/// Where the backup goes.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The file to write, or to check
    pub file: PathBuf,
    /// Replace a file of that name
    #[arg(long)]
    pub force: bool,
    /// Only check whether the file is a whole backup; needs no database
    #[arg(long, conflicts_with = "force")]
    pub verify: bool,
}

/// Where the backup is.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The file that `baton backup` wrote
    pub file: PathBuf,
}

/// Writes one moment of the database to a file, while servers go on.
///
/// # Errors
/// When the database cannot be read or the file not be written; no file is left then.
pub async fn back_up_to(loaded: Loaded, args: BackupArgs) -> anyhow::Result<ExitCode> {
    if args.verify {
        let file = args.file.clone();
        let header = tokio::task::spawn_blocking(move || check(&file)).await??;
        super::say(&format!("{} is a whole backup. {}", args.file.display(), shown(&header)));
        return Ok(ExitCode::SUCCESS);
    }
    let url = loaded.config.database.url.expose();
    let db = Db::open_to_read(url).await.context("the database cannot be opened")?;
    let started = Instant::now();
    let clock = Clock::system();
    let made = tokio::select! {
        made = back_up(&db, &clock, &args.file, args.force) => made,
        // What was begun goes with the future.
        () = super::stopped() => {
            super::say_error("baton: stopped; no backup was made");
            return Ok(ExitCode::FAILURE);
        }
    };
    let made = made.context("no backup was made, and no file is left")?;
    super::say(&format!(
        "{} holds a backup of {} bytes, made in {:.1} s and read back. {}",
        args.file.display(),
        made.bytes,
        started.elapsed().as_secs_f64(),
        shown(&made.header)
    ));
    super::say("Not in it: the configuration, prompts of your own, keys in the environment.");
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Puts a backup into an empty database.
///
/// # Errors
/// When the file is not whole or does not fit, or the database is not empty; nothing is stored then.
pub async fn restore_from(loaded: Loaded, args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let url = loaded.config.database.url.expose();
    // Before a database file is made for it.
    let file = args.file.clone();
    tokio::task::spawn_blocking(move || check(&file)).await?.context("nothing was restored")?;
    let db = Db::open(url).await.context("the database cannot be opened")?;
    let started = Instant::now();
    let mut tell = |finding| super::say(&format!("{finding}"));
    let restored = restore(&db, &Clock::system(), &args.file, &mut tell).await;
    db.close().await;
    let restored = restored.context("nothing was restored")?;
    super::say(&format!(
        "Restored {} rows in {:.1} s, every one read back. {}",
        restored.rows,
        started.elapsed().as_secs_f64(),
        shown(&restored.header)
    ));
    super::say(&format!(
        "Left out: {} sign-ins and open invitations. Everybody signs in again.",
        restored.left_out
    ));
    let counts = restored.counts;
    super::say(&format!(
        "The laws: {} conversations, {} events, {} messages read; {} findings.",
        counts.conversations, counts.events, counts.messages, counts.findings
    ));
    Ok(if counts.findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a backup holds, in a line.
fn shown(header: &Header) -> String {
    format!(
        "It shows {} of {} (Baton {}, schema {}): {} conversations, {} messages, {} rows in {} tables.",
        header.made_at,
        header.engine,
        header.baton,
        header.schema,
        header.rows_of("conversation"),
        header.rows_of("message"),
        header.rows(),
        header.tables.len()
    )
}
