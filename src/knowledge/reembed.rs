//! Vectors for chunks that have none, or one of another embedding model. Search goes on meanwhile: a chunk is found by its
//! words until it has its vector.

use std::sync::Arc;

use crate::ids::{ChunkId, KnowledgeBaseId, WorkspaceId};

use super::chunk::indexed_text;
use super::embedder::EmbedPurpose;
use super::index::BaseKey;
use super::service::{EMBED_BATCH, Knowledge, KnowledgeError, bytes_of, encoder_name, normalised};
use super::store::{self, parsed};

impl Knowledge {
    /// Embeds what lacks a vector of the current model, in all bases of a workspace, and returns how many chunks got one.
    ///
    /// # Errors
    /// [`KnowledgeError::Embedding`] when the model fails: what was done before stays done.
    pub async fn embed_missing(&self, workspace: WorkspaceId) -> Result<usize, KnowledgeError> {
        let bases = store::revisions(&mut self.db.read_much().await?, workspace).await?;
        let mut done = 0;
        for (base, _) in bases {
            done += self.embed_base(workspace, base).await?;
        }
        Ok(done)
    }

    async fn embed_base(
        &self,
        workspace: WorkspaceId,
        base: KnowledgeBaseId,
    ) -> Result<usize, KnowledgeError> {
        let Some(embedder) = &self.embedder else { return Ok(0) };
        let encoder = encoder_name(Some(embedder.as_ref()));
        let key = BaseKey { workspace, base };
        let (mut done, mut last) = (0, None);
        loop {
            let mut conn = self.db.read_much().await?;
            let rows = store::not_embedded(&mut conn, key, &encoder, last, EMBED_BATCH).await?;
            drop(conn);
            let Some(end) = rows.last() else { return Ok(done) };
            last = Some(parsed(&end.id)?);
            let texts: Vec<String> =
                rows.iter().map(|row| indexed_text(&row.title, &row.section, &row.text)).collect();
            let vectors = embedder.embed(&texts, EmbedPurpose::Document).await?;
            let made: Vec<(ChunkId, Vec<u8>)> = rows
                .iter()
                .zip(vectors)
                .map(|(row, vector)| Ok((parsed(&row.id)?, bytes_of(&normalised(vector)))))
                .collect::<Result<_, KnowledgeError>>()?;
            let (made, encoder) = (Arc::new(made), encoder.clone());
            let unit = self.db.write(move |conn| {
                let (made, encoder) = (Arc::clone(&made), encoder.clone());
                Box::pin(async move {
                    let Some(revision) = store::raise_revision(conn, key).await? else {
                        return Ok(0);
                    };
                    store::set_vectors(conn, key, &made, &encoder, revision).await
                })
            });
            done += unit.await?;
        }
    }
}
