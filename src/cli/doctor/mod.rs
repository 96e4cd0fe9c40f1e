//! `baton doctor`: one line a check, what is wrong and what to do. Changes nothing that lasts.

mod database;
mod index;
mod model;

use std::fmt;
use std::process::ExitCode;

use crate::config::{Config, EmbeddingProvider, IndexBackend, Loaded, Sources};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Fine.
    Ok,
    /// Works, but look.
    Warn,
    /// Will not work.
    Fail,
}

/// One check: what was looked at, what was found, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// How it went.
    pub level: Level,
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What to do, if anything.
    pub remedy: Option<String>,
}

impl Check {
    /// Fine.
    pub fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, what, found: found.into(), remedy: None }
    }

    /// Works, but look.
    pub fn warn(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, what, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Will not work.
    pub fn fail(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, what, found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        write!(f, "{level:<5} {:<14} {}", self.what, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, " → {remedy}"),
            None => Ok(()),
        }
    }
}

/// Checks everything and prints it; fails if a check does.
pub async fn run(sources: &Sources) -> ExitCode {
    let checks = examine(sources).await;
    for check in &checks {
        super::say(&check.to_string());
    }
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Every check, in the order people need them.
pub async fn examine(sources: &Sources) -> Vec<Check> {
    let loaded = match Config::load(sources) {
        Ok(loaded) => loaded,
        Err(error) => {
            let remedy = "correct it; nothing else can be checked before";
            return vec![Check::fail("configuration", error.to_string(), remedy)];
        }
    };
    let config = &loaded.config;
    let mut checks = configuration(&loaded);
    let database = database::check(config.database.url.expose()).await;
    checks.extend(database.checks);
    checks.push(listen(config, database.in_use).await);
    checks.extend(model::check(&config.models).await);
    if config.embeddings.provider == EmbeddingProvider::Openai {
        checks.push(model::check_embeddings(&config.embeddings).await);
    } else {
        checks.push(Check::ok("embeddings", "off: search is by words alone"));
    }
    if config.index.backend == IndexBackend::Qdrant {
        checks.push(index::check(config).await);
    }
    checks
}

/// What was set and by whom; what is not listed has its default.
fn configuration(loaded: &Loaded) -> Vec<Check> {
    if loaded.origins.is_empty() {
        return vec![Check::ok("configuration", "every setting has its default")];
    }
    // Secrets serialise as `***`.
    let values = serde_json::to_value(&loaded.config).unwrap_or_default();
    loaded
        .origins
        .iter()
        .map(|(key, origin)| {
            let value = values.pointer(&format!("/{}", key.replace('.', "/")));
            let value = value.map(ToString::to_string).unwrap_or_default();
            Check::ok("configuration", format!("{key} = {value} ({origin})"))
        })
        .collect()
}

async fn listen(config: &Config, running: bool) -> Check {
    match super::listen::bind(&config.listen).await {
        Ok(listener) => {
            let address = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
            Check::ok("listen", format!("{address} is free"))
        }
        Err(error) if running => Check::warn(
            "listen",
            error.to_string(),
            "nothing, if that is the baton that owns the database",
        ),
        Err(error) => Check::fail("listen", error.to_string(), "change it, then run doctor again"),
    }
}

#[cfg(test)]
mod tests;
