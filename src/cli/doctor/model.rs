//! Do the configured models answer? Is there one on this machine that could be used?

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::Check;
use crate::config::{BUILT_IN, Embeddings, Models, Secret, Task};

/// How long a model server may take to list its models.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server on this machine may take.
const LOCAL_PATIENCE: Duration = Duration::from_millis(500);
/// Where Ollama listens unless told otherwise.
const OLLAMA: &str = "http://127.0.0.1:11434/v1";
/// Models named in a line at most.
const SHOWN: usize = 5;

pub(super) async fn check(models: &Models) -> Vec<Check> {
    let used: BTreeSet<&str> =
        Task::ALL.iter().map(|task| models.of(*task)).chain(models.fallback.as_deref()).collect();
    let mut checks = Vec::new();
    for (name, endpoint) in &models.endpoints {
        let list = list(&endpoint.base_url, endpoint.api_key.as_ref(), PATIENCE).await;
        let mut check = judge("model", name, &endpoint.base_url, &endpoint.model, list);
        if !used.contains(name.as_str()) && check.level == super::Level::Fail {
            check.level = super::Level::Warn;
            check.found.push_str(" (no task uses it)");
        }
        checks.push(check);
    }
    if used.iter().all(|name| *name == BUILT_IN) {
        checks.push(built_in(OLLAMA).await);
    }
    checks
}

/// Without a model server: is there one here?
pub(super) async fn built_in(ollama: &str) -> Check {
    let found = "built-in: answers quote the best passages";
    match list(ollama, None, LOCAL_PATIENCE).await {
        Ok(models) if !models.is_empty() => Check::ok(
            "model",
            format!(
                "{found}. Ollama answers on this machine: try --model-url {ollama} --model-name {} (it has {})",
                models[0],
                shown(&models)
            ),
        ),
        Ok(_) => Check::ok(
            "model",
            format!("{found}. Ollama answers on this machine, but has no model yet"),
        ),
        Err(_) => {
            Check::ok("model", format!("{found}; --model-url and --model-name use a model server"))
        }
    }
}

pub(super) async fn check_embeddings(embeddings: &Embeddings) -> Check {
    let url = embeddings.base_url.as_deref().unwrap_or_default();
    let model = embeddings.model.as_deref().unwrap_or_default();
    let list = list(url, embeddings.api_key.as_ref(), PATIENCE).await;
    judge("embeddings", "embeddings", url, model, list)
}

fn judge(
    what: &'static str,
    name: &str,
    url: &str,
    model: &str,
    list: Result<Vec<String>, Silent>,
) -> Check {
    match list {
        // Ollama lists `qwen3:latest` for `qwen3`.
        Ok(models)
            if models.iter().any(|m| m == model || m.strip_suffix(":latest") == Some(model)) =>
        {
            Check::ok(what, format!("{name}: {url} answers and has {model}"))
        }
        Ok(models) if models.is_empty() => {
            Check::ok(what, format!("{name}: {url} answers; it does not list its models"))
        }
        Ok(models) => Check::warn(
            what,
            format!("{name}: {url} answers, but does not list {model}; it has {}", shown(&models)),
            "correct the model's name, or load it there",
        ),
        Err(silent) => Check::fail(what, format!("{name}: {url} {silent}"), silent.remedy()),
    }
}

fn shown(models: &[String]) -> String {
    let more = if models.len() > SHOWN { " …" } else { "" };
    format!("{}{more}", models.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}

/// Why a server did not list its models.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silent {
    #[error("does not answer: {0}")]
    Away(String),
    #[error("refuses the key (HTTP {0})")]
    Refused(u16),
    #[error("answers HTTP {0}")]
    Status(u16),
}

impl Silent {
    const fn remedy(&self) -> &'static str {
        match self {
            Self::Away(_) => "start the server, or correct base_url",
            Self::Refused(_) => "correct api_key",
            Self::Status(_) => "base_url must end with the version, such as /v1",
        }
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

/// The models a server lists; none if it answers in another way.
async fn list(base: &str, key: Option<&Secret>, patience: Duration) -> Result<Vec<String>, Silent> {
    let away = |error: reqwest::Error| Silent::Away(plain(&error));
    let client = reqwest::Client::builder()
        .timeout(patience)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(away)?;
    let mut request = client.get(format!("{}/models", base.trim_end_matches('/')));
    if let Some(key) = key {
        request = request.bearer_auth(key.expose());
    }
    let response = request.send().await.map_err(away)?;
    let status = response.status().as_u16();
    match status {
        200..=299 => {
            let list = response.json::<List>().await.ok();
            Ok(list.map(|l| l.data.into_iter().map(|m| m.id).collect()).unwrap_or_default())
        }
        401 | 403 => Err(Silent::Refused(status)),
        _ => Err(Silent::Status(status)),
    }
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn plain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
