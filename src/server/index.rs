//! From the configuration to the index over knowledge.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, IndexBackend};
use crate::knowledge::{
    Embedder, IndexError, MemoryIndex, QdrantIndex, QdrantSettings, VectorIndex,
};

/// The index that the configuration names.
///
/// # Errors
/// When Qdrant's address is none. Whether it answers is not asked: search goes on by words without it.
pub fn index(
    config: &Config,
    embedder: Option<&dyn Embedder>,
) -> Result<Arc<dyn VectorIndex>, IndexError> {
    Ok(match qdrant(config, embedder)? {
        Some(qdrant) => Arc::new(qdrant),
        None => Arc::new(MemoryIndex::with_limit(memory_bytes(config))),
    })
}

/// Qdrant, if the configuration names it and there is something that makes vectors.
///
/// # Errors
/// When its address is none.
pub fn qdrant(
    config: &Config,
    embedder: Option<&dyn Embedder>,
) -> Result<Option<QdrantIndex>, IndexError> {
    let index = &config.index;
    let (IndexBackend::Qdrant, Some(url), Some(embedder)) = (index.backend, &index.url, embedder)
    else {
        return Ok(None);
    };
    let settings = QdrantSettings {
        url: url.clone(),
        api_key: index.api_key.clone(),
        collection: index.collection.clone(),
        timeout: Duration::from_millis(index.timeout_ms.get()),
        words_bytes: memory_bytes(config),
    };
    QdrantIndex::new(&settings, &embedder.space(), embedder.dimensions()).map(Some)
}

fn memory_bytes(config: &Config) -> usize {
    usize::try_from(config.index.memory_mb.get()).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}
