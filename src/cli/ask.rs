//! `baton ask`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::assistant::{Published, store};
use crate::config::Loaded;
use crate::conversation::Speaker;
use crate::db::{Db, sql};
use crate::ids::WorkspaceId;
use crate::server::{self, Extras};
use crate::turn::{Produced, Said, rehearse, settings};

/// What to ask, and whom.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// The question
    pub question: String,
    /// The AI agent, by id or name [default: the first]
    #[arg(long, value_name = "ID")]
    pub assistant: Option<String>,
    /// The language of the visitor
    #[arg(long, default_value = "en")]
    pub locale: String,
    /// Print everything as JSON: passages, verdicts, prompt, times
    #[arg(long)]
    pub json: bool,
}

/// Asks once, outside any conversation.
///
/// # Errors
/// When the database or the model cannot be reached, or there is no such AI agent.
pub async fn run(loaded: Loaded, args: AskArgs) -> anyhow::Result<ExitCode> {
    let built = server::build(&loaded.config, &Extras::default()).await?;
    let access = &built.state.access;
    let (workspace, published) = find(&access.db, args.assistant.as_deref()).await?;
    let said = [Said { speaker: Speaker::Visitor, text: args.question }];
    let settings = settings(workspace, published);
    let producer = &built.state.minds.producer;
    let (produced, explained) = rehearse(producer, settings, &args.locale, &said, access.ids).await;
    if args.json {
        let answer = crate::playground::answer(produced, explained);
        super::say(&serde_json::to_string_pretty(&answer)?);
    } else {
        match produced {
            Produced::Answered { text, citations, .. } => {
                super::say(&text);
                for source in citations {
                    let section = source.section.map_or_else(String::new, |s| format!(" · {s}"));
                    super::say(&format!("  [{}{section}]", source.title));
                }
            }
            Produced::HandOff { reason, evidence } => super::say(&format!(
                "A person would get this: {}{}",
                reason.as_str(),
                evidence.quote.map_or_else(String::new, |quote| format!(" (\"{quote}\")"))
            )),
            Produced::Failed { reason, .. } => {
                super::say(&format!("A person would get this: {}", reason.as_str()));
            }
            Produced::Stopped => {}
        }
    }
    access.db.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn find(db: &Db, wanted: Option<&str>) -> anyhow::Result<(WorkspaceId, Published)> {
    let mut conn = db.read().await?;
    let rows: Vec<(String,)> =
        sql("SELECT id FROM workspace ORDER BY created_at, id").all(&mut conn).await?;
    for (id,) in rows {
        let workspace: WorkspaceId = id.parse()?;
        let found = store::list(&mut conn, workspace).await?.into_iter().find(|assistant| {
            wanted.is_none_or(|w| {
                assistant.id.to_string() == w
                    || assistant.config.identity.name.eq_ignore_ascii_case(w)
            })
        });
        if let Some(found) = found {
            return Ok((workspace, found));
        }
    }
    Err(anyhow::anyhow!("there is no such AI agent: make one in the console first"))
        .context("cannot ask")
}
