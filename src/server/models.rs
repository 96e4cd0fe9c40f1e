//! From the configuration to models: endpoints by name, a model a task, the embedder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::{self, Config, EmbeddingProvider, Embeddings, Endpoint};
use crate::health::{Health, Kind, Part};
use crate::knowledge::{EmbedError, EmbedPurpose, Embedder};
use crate::model::builtin::BuiltIn;
use crate::model::openai::{ApiKey, EmbedderSettings, OpenAiEmbedder, OpenAiModel, OpenAiSettings};
use crate::model::{ChatModel, ModelError, ModelSet, Models, Watched};

/// The models that the configuration names.
///
/// # Errors
/// When an endpoint's client cannot be set up.
pub fn models(config: &Config, health: &Health) -> Result<Models, ModelError> {
    let built_in: Arc<dyn ChatModel> = Arc::new(BuiltIn);
    let mut by_name: BTreeMap<&str, Arc<dyn ChatModel>> = BTreeMap::new();
    for (name, endpoint) in &config.models.endpoints {
        let model: Arc<dyn ChatModel> = Arc::new(OpenAiModel::new(settings(endpoint))?);
        let part = health.part(Kind::Model, name);
        by_name.insert(name, Arc::new(Watched::new(model, part)));
    }
    let named = |name: &str| by_name.get(name).unwrap_or(&built_in).clone();
    let chosen = &config.models;
    let default = ModelSet {
        answer: named(&chosen.answer),
        judge: named(&chosen.judge),
        summarise: named(&chosen.summarise),
        suggest: named(&chosen.suggest),
        fallback: chosen.fallback.as_deref().map(named),
    };
    let mut models = Models::new(&built_in).with_default(default);
    for (name, model) in &by_name {
        models = models.with_named(name, ModelSet::of_one(model));
    }
    Ok(models)
}

fn settings(endpoint: &Endpoint) -> OpenAiSettings {
    let key = ApiKey::new(endpoint.api_key.as_ref().map_or("", config::Secret::expose));
    let piece = Duration::from_millis(endpoint.timeout_ms.get());
    OpenAiSettings {
        context_tokens: usize::try_from(endpoint.context_tokens.get()).unwrap_or(usize::MAX),
        connect_timeout: Duration::from_millis(endpoint.connect_timeout_ms.get()),
        first_token_timeout: piece,
        idle_timeout: piece,
        // An answer that is not streamed is one piece.
        total_timeout: piece,
        ..OpenAiSettings::new(&endpoint.base_url, key, &endpoint.model)
    }
}

/// The embedder that the configuration names, if any.
///
/// # Errors
/// When its client cannot be set up, or the server does not answer a first text.
pub async fn embedder(
    config: &Embeddings,
    health: &Health,
) -> Result<Option<Arc<dyn Embedder>>, ModelError> {
    let (EmbeddingProvider::Openai, Some(url), Some(model)) =
        (config.provider, &config.base_url, &config.model)
    else {
        return Ok(None);
    };
    let key = ApiKey::new(config.api_key.as_ref().map_or("", config::Secret::expose));
    let mut settings = EmbedderSettings::new(url, key, model);
    settings.dimensions = config.dimensions.map(|n| n.get() as usize);
    let remote = OpenAiEmbedder::new(settings)?;
    // The length of its vectors is part of the space's name, so it is asked for once.
    let dimensions = match remote.dimensions() {
        Some(known) => known,
        None => remote.embed(&["hello".to_owned()]).await?.first().map_or(0, Vec::len),
    };
    let part = health.part(Kind::Model, "embeddings");
    Ok(Some(Arc::new(Remote { remote, dimensions, part })))
}

struct Remote {
    remote: OpenAiEmbedder,
    dimensions: usize,
    part: Part,
}

#[async_trait]
impl Embedder for Remote {
    fn space(&self) -> String {
        format!("openai/{}/{}", self.remote.name(), self.dimensions)
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(
        &self,
        texts: &[String],
        _purpose: EmbedPurpose,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut call = crate::metrics::get().models.begin(self.part.name());
        let embedded = self.remote.embed(texts).await;
        call.ended(embedded.as_ref().err().map_or("ok", ModelError::code));
        drop(call);
        match &embedded {
            Ok(_) => self.part.works(),
            Err(error) => self.part.fails(error.code()),
        }
        embedded.map_err(|error| EmbedError {
            reason: error.to_string(),
            retryable: error.is_retryable(),
        })
    }
}
