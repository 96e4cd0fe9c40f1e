//! What turns text into vectors. Implementations live with the models; knowledge only knows this trait.

use async_trait::async_trait;

/// What a text is embedded for: some models want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedPurpose {
    /// A question that looks for documents.
    Query,
    /// A document to be found.
    Document,
}

/// Why a text could not be embedded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("embedding: {reason}")]
pub struct EmbedError {
    /// What went wrong, in words.
    pub reason: String,
    /// Whether trying again later may help.
    pub retryable: bool,
}

/// Turns texts into vectors of one space.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// The name of the vector space, `provider/model/dimensions`; vectors of two spaces are never compared.
    fn space(&self) -> String;

    /// How long the vectors are.
    fn dimensions(&self) -> usize;

    /// One vector for each text, in order.
    async fn embed(
        &self,
        texts: &[String],
        purpose: EmbedPurpose,
    ) -> Result<Vec<Vec<f32>>, EmbedError>;
}
