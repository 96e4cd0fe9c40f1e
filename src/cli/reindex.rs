//! `baton reindex`.

use std::process::ExitCode;

use clap::Args;

use crate::clock::Clock;
use crate::config::Loaded;
use crate::db::{sql, stored};
use crate::health::Health;
use crate::server::{self, Extras};

/// What to do beside.
#[derive(Debug, Clone, Args)]
pub struct ReindexArgs {
    /// Delete what Qdrant holds for other embedding models, too; not while a node still uses one
    #[arg(long)]
    pub drop_others: bool,
}

/// Makes vectors where they are missing or of another embedding model, and Qdrant's copy of every base anew. Search goes on
/// meanwhile.
///
/// # Errors
/// When the database, the embedding model or Qdrant does not answer, or a running server owns the database.
pub async fn run(loaded: Loaded, args: ReindexArgs) -> anyhow::Result<ExitCode> {
    let built = server::build(&loaded.config, &Extras::default()).await?;
    let knowledge = &built.state.minds.producer.knowledge;
    let db = built.state.conversations.db();
    let rows: Vec<(String,)> =
        sql("SELECT id FROM workspace ORDER BY id").all(&mut db.read().await?).await?;
    let (mut embedded, mut bases) = (0, 0);
    for (id,) in rows {
        let workspace = stored(&id)?;
        embedded += knowledge.embed_missing(workspace).await?;
        bases += knowledge.rebuild(workspace).await?;
    }
    super::say(&format!("{bases} knowledge bases are indexed, {embedded} chunks got a vector"));
    if args.drop_others {
        let embedder =
            server::embedder(&loaded.config.embeddings, &Health::new(Clock::system())).await?;
        if let Some(qdrant) = server::qdrant(&loaded.config, embedder.as_deref())? {
            for name in qdrant.drop_other_collections().await? {
                super::say(&format!("{name} is deleted"));
            }
        }
    }
    db.close().await;
    Ok(ExitCode::SUCCESS)
}
