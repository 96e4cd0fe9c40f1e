//! Which models an AI agent may be set to.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{BUILT_IN, Models};

/// The choice that follows the server's configuration.
pub const DEFAULT: &str = "default";

/// One choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelOption {
    /// What is stored.
    pub id: String,
    /// What people read.
    pub label: String,
    /// Whether it can be used now.
    pub available: bool,
}

/// Every choice; the app's state provides it through `FromRef`.
#[derive(Debug, Clone)]
pub struct ModelOptions(pub Arc<[ModelOption]>);

impl ModelOptions {
    /// The choices that a configuration allows.
    #[must_use]
    pub fn from_config(models: &Models) -> Self {
        let option =
            |id: &str, label: String| ModelOption { id: id.to_owned(), label, available: true };
        let named = |name: &str| match name {
            BUILT_IN => "built-in".to_owned(),
            name => models
                .endpoints
                .get(name)
                .map_or_else(|| name.to_owned(), |endpoint| endpoint.model.clone()),
        };
        let mut options = vec![
            option(DEFAULT, format!("Default ({})", named(&models.answer))),
            option(BUILT_IN, "Built-in: quotes the best passages, no model server".to_owned()),
        ];
        for (name, endpoint) in &models.endpoints {
            options.push(option(name, format!("{} ({name})", endpoint.model)));
        }
        Self(options.into())
    }

    /// With a model that this process runs beside the configured ones.
    #[must_use]
    pub fn with(self, id: &str, label: &str) -> Self {
        let extra = ModelOption { id: id.to_owned(), label: label.to_owned(), available: true };
        Self(self.0.iter().cloned().chain([extra]).collect())
    }

    /// What may be stored.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|option| option.id.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;

    #[test]
    fn endpoints_are_offered_beside_the_built_in_ones() {
        let mut models = Models { answer: "main".to_owned(), ..Models::default() };
        let endpoint = Endpoint { model: "qwen3".to_owned(), ..Endpoint::default() };
        models.endpoints.insert("main".to_owned(), endpoint);
        let options = ModelOptions::from_config(&models);
        assert_eq!(options.ids(), ["default", "built-in", "main"]);
        assert_eq!(options.0[0].label, "Default (qwen3)");
    }
}
