//! Does Qdrant answer, and does it hold what nobody uses any more?

use super::Check;
use crate::clock::Clock;
use crate::config::Config;
use crate::health::Health;
use crate::server;

const WHAT: &str = "qdrant";

pub(super) async fn check(config: &Config) -> Check {
    let Ok(embedder) = server::embedder(&config.embeddings, &Health::new(Clock::system())).await
    else {
        let found = "not looked at: which collection is ours depends on the embedding model";
        return Check::warn(WHAT, found, "correct [embeddings] first");
    };
    let shown = config.index.url.as_deref().unwrap_or_default();
    let qdrant = match server::qdrant(config, embedder.as_deref()) {
        Ok(Some(qdrant)) => qdrant,
        Ok(None) => return Check::ok(WHAT, "not used"),
        Err(error) => return Check::fail(WHAT, error.to_string(), "correct index.url"),
    };
    let away = |error: &dyn std::fmt::Display| {
        let found = format!("{shown}: {error}; search goes on by words alone");
        Check::warn(WHAT, found, "check index.url (the gRPC port, 6334) and index.api_key")
    };
    let collection = match qdrant.check().await {
        Ok(collection) => collection,
        Err(error) => return away(&error),
    };
    match qdrant.other_collections().await {
        Ok(others) if others.is_empty() => {
            Check::ok(WHAT, format!("{shown} answers; our collection is {collection}"))
        }
        Ok(others) => Check::warn(
            WHAT,
            format!(
                "{shown} answers; beside {collection} it holds {}, of other embedding models",
                others.join(", ")
            ),
            "when no node uses them any more: `baton reindex --drop-others`",
        ),
        Err(error) => away(&error),
    }
}
