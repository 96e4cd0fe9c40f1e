//! Embeddings from an OpenAI-compatible endpoint.

use std::sync::OnceLock;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use base64::Engine;
use serde_json::{Value, json};

use super::super::ModelError;
use super::{ApiKey, client, transport};

/// How to reach an embedding model.
#[derive(Debug, Clone)]
pub struct EmbedderSettings {
    /// Up to and including `/v1`.
    pub base_url: String,
    /// The key.
    pub api_key: ApiKey,
    /// The model's name at the endpoint.
    pub model: String,
    /// The vectors' length; none = whatever the first answer has.
    pub dimensions: Option<usize>,
    /// Texts a request.
    pub batch: usize,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for one batch.
    pub total_timeout: Duration,
}

impl EmbedderSettings {
    /// Settings with the usual limits.
    #[must_use]
    pub fn new(base_url: &str, api_key: ApiKey, model: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            api_key,
            model: model.to_owned(),
            dimensions: None,
            batch: 64,
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(60),
        }
    }
}

/// An embedding model behind an OpenAI-compatible endpoint.
pub struct OpenAiEmbedder {
    settings: EmbedderSettings,
    client: Client<OpenAIConfig>,
    dimensions: OnceLock<usize>,
}

impl OpenAiEmbedder {
    /// A client for that endpoint. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ModelError::Connect`] if the TLS set-up of the machine is broken.
    pub fn new(settings: EmbedderSettings) -> Result<Self, ModelError> {
        let http = transport::http_client(settings.connect_timeout)?;
        let client = client(&settings.base_url, &settings.api_key, &http, false);
        let dimensions = OnceLock::new();
        if let Some(known) = settings.dimensions {
            // A fresh lock is empty.
            let _ = dimensions.set(known);
        }
        Ok(Self { settings, client, dimensions })
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.model
    }

    /// The vectors' length; none until it is configured or the first answer has come.
    #[must_use]
    pub fn dimensions(&self) -> Option<usize> {
        self.dimensions.get().copied()
    }

    /// One vector for each text, in order, as the server made them (not normalised).
    ///
    /// # Errors
    /// Any [`ModelError`]; [`ModelError::BadResponse`] also when vectors are missing, of another length than before, or
    /// hold what is not a number.
    pub async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(self.settings.batch.max(1)) {
            vectors.extend(self.embed_batch(batch).await?);
        }
        Ok(vectors)
    }

    async fn embed_batch(&self, batch: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let body =
            json!({ "model": self.settings.model, "input": batch, "encoding_format": "float" });
        let embeddings = self.client.embeddings();
        let answer = embeddings.create_byot::<_, Value>(body);
        let value = match tokio::time::timeout(self.settings.total_timeout, answer).await {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => return Err(transport::failure(error).error),
            Err(_) => return Err(ModelError::Timeout),
        };
        let vectors = read(&value, batch.len())?;
        let wrong = ModelError::BadResponse { why: "a vector of another length" };
        for vector in &vectors {
            if vector.is_empty() || *self.dimensions.get_or_init(|| vector.len()) != vector.len() {
                return Err(wrong);
            }
        }
        Ok(vectors)
    }
}

fn read(value: &Value, wanted: usize) -> Result<Vec<Vec<f32>>, ModelError> {
    let missing = ModelError::BadResponse { why: "not one vector for each text" };
    let data = value.get("data").and_then(Value::as_array).ok_or_else(|| missing.clone())?;
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; wanted];
    for (at, item) in data.iter().enumerate() {
        let index = item.get("index").and_then(Value::as_u64);
        let index = index.and_then(|index| usize::try_from(index).ok()).unwrap_or(at);
        // Some servers send index 0 for every vector: then their order counts.
        let taken = vectors.get(index).is_none_or(Option::is_some);
        let slot =
            vectors.get_mut(if taken { at } else { index }).ok_or_else(|| missing.clone())?;
        *slot = Some(vector(item.get("embedding"))?);
    }
    vectors.into_iter().map(|vector| vector.ok_or_else(|| missing.clone())).collect()
}

/// Numbers, or base64 of little-endian floats.
fn vector(value: Option<&Value>) -> Result<Vec<f32>, ModelError> {
    let bad = ModelError::BadResponse { why: "a vector that cannot be read" };
    #[expect(clippy::cast_possible_truncation, reason = "vectors are single precision")]
    let vector: Option<Vec<f32>> = match value {
        Some(Value::Array(numbers)) => {
            numbers.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
        }
        Some(Value::String(text)) => {
            base64::engine::general_purpose::STANDARD.decode(text).ok().map(|bytes| {
                let (floats, _) = bytes.as_chunks::<4>();
                floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            })
        }
        _ => None,
    };
    vector.filter(|vector| vector.iter().all(|number| number.is_finite())).ok_or(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_put_in_order_whatever_the_server_calls_them() {
        let two = |a: &str, b: &str| {
            let text =
                format!(r#"{{"data":[{{{a}"embedding":[1,2]}},{{{b}"embedding":[3,4.5]}}]}}"#);
            read(&serde_json::from_str(&text).expect("JSON"), 2)
        };
        let straight = Ok(vec![vec![1.0, 2.0], vec![3.0, 4.5]]);
        assert_eq!(two(r#""index":0,"#, r#""index":1,"#), straight);
        assert_eq!(two("", ""), straight);
        assert_eq!(two(r#""index":0,"#, r#""index":0,"#), straight);
        assert_eq!(two(r#""index":1,"#, r#""index":0,"#), Ok(vec![vec![3.0, 4.5], vec![1.0, 2.0]]));
        assert!(two(r#""index":7,"#, r#""index":9,"#).is_ok());
        assert!(read(&json!({ "data": [{ "embedding": [1] }] }), 2).is_err());
        assert!(read(&json!({ "data": [{ "embedding": [1, "x"] }] }), 1).is_err());
        let base64 = json!({ "data": [{ "embedding": "AACAPwAAAEA=" }] });
        assert_eq!(read(&base64, 1), Ok(vec![vec![1.0, 2.0]]));
    }
}
