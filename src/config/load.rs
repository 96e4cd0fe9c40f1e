//! Finds the sources, lays them over each other, validates the result.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Config;
use super::index::IndexBackend;
use super::layer::Node;
use super::models::{BUILT_IN, EmbeddingProvider, SCRIPTED, Task};

/// Variables of ours start with this.
const PREFIX: &str = "BATON_";
/// The variable that names the file.
const FILE_VARIABLE: &str = "BATON_CONFIG";
/// Variables that tests use start with this; they are no settings.
const TEST_PREFIX: &str = "BATON_TEST_";
/// The file that is read when none is named.
const DEFAULT_FILE: &str = "baton.toml";
/// The endpoint that the convenience settings make.
const CONVENIENT: &str = "main";

/// Where settings are looked for.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was named; it must be there.
    pub file: Option<PathBuf>,
    /// Where `baton.toml` is looked for when none was named.
    pub folder: PathBuf,
    /// The variables of the process.
    pub variables: Vec<(String, String)>,
    /// Dotted paths and texts from the command line; `model.url`, `model.key` and `model.name` are the convenience flags.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The process's variables and working folder, with the flags given.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file, folder: PathBuf::new(), variables, flags }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Compiled in.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable.
    Variable(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Dotted paths of what was set, and by whom; what is missing here has its default.
pub type Origins = BTreeMap<String, Origin>;

/// A valid configuration and where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What was set and by whom.
    pub origins: Origins,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named cannot be read.
    #[error(
        "cannot read the configuration {path}: {source}. Name a file that exists with --config"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{path} is not valid TOML: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// A key is unknown or its value is not right.
    #[error("`{key}` ({origin}): {message}. docs/CONFIG.md lists every key")]
    Key {
        /// The dotted key.
        key: String,
        /// Where its value came from.
        origin: Origin,
        /// What is wrong and what would do.
        message: String,
    },
}

pub(super) fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    lay(read_file(sources)?, sources)
}

/// A file of these words alone.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn of_text(text: &str) -> Result<Loaded, ConfigError> {
    let path = PathBuf::from(DEFAULT_FILE);
    lay(Some((path.clone(), parse(&path, text)?)), &Sources::default())
}

/// Lays variables and flags over a file.
fn lay(file: Option<(PathBuf, toml::Table)>, sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut origins = Origins::new();
    let mut tree = match file {
        Some((path, table)) => {
            let tree = Node::from_toml(toml::Value::Table(table));
            tree.leaves("", &mut |key| {
                origins.insert(key, Origin::File(path.clone()));
            });
            tree
        }
        None => Node::Table(BTreeMap::new()),
    };
    for (name, value) in variables(&sources.variables) {
        let path = name[PREFIX.len()..].to_ascii_lowercase();
        let path: Vec<String> = path.split("__").map(str::to_owned).collect();
        apply(&mut tree, &mut origins, &path, value, &Origin::Variable(name.clone()));
    }
    for (key, value) in &sources.flags {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let flag = Origin::Flag(flag_name(key));
        apply(&mut tree, &mut origins, &path, value, &flag);
    }
    let config: Config = serde_path_to_error::deserialize(tree).map_err(|error| {
        let key = error.path().to_string();
        let message = error.into_inner().to_string();
        ConfigError::Key { origin: origin_of(&origins, &key), key, message }
    })?;
    validate(&config).map_err(|(key, message)| ConfigError::Key {
        origin: origin_of(&origins, &key),
        key,
        message,
    })?;
    Ok(Loaded { config, origins })
}

/// `database.url` is set by `--database`, `listen.port` by `--port`: flags are the last word of their key.
fn flag_name(key: &str) -> String {
    match key {
        "database.url" => "--database".to_owned(),
        "log.format" => "--log-format".to_owned(),
        "log.filter" => "--log".to_owned(),
        _ => match key.split_once('.') {
            Some(("listen", name)) => format!("--{}", name.replace('_', "-")),
            _ => format!("--{}", key.replace(['.', '_'], "-")),
        },
    }
}

fn read_file(sources: &Sources) -> Result<Option<(PathBuf, toml::Table)>, ConfigError> {
    let named = sources.file.clone().or_else(|| {
        let set = sources.variables.iter().find(|(name, _)| name == FILE_VARIABLE);
        set.map(|(_, value)| PathBuf::from(value))
    });
    let path = match named {
        Some(path) => path,
        None => {
            let path = sources.folder.join(DEFAULT_FILE);
            if !path.exists() {
                return Ok(None);
            }
            path
        }
    };
    let table = parse(&path, &read(&path)?)?;
    Ok(Some((path, table)))
}

fn parse(path: &Path, text: &str) -> Result<toml::Table, ConfigError> {
    text.parse::<toml::Table>().map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string().trim().to_owned(),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// Our variables that are settings, in a stable order.
fn variables(all: &[(String, String)]) -> BTreeMap<&String, &String> {
    all.iter()
        .filter(|(name, _)| {
            name.starts_with(PREFIX) && name != FILE_VARIABLE && !name.starts_with(TEST_PREFIX)
        })
        .map(|(name, value)| (name, value))
        .collect()
}

/// Sets one value; the convenience settings put one server behind every task.
fn apply(tree: &mut Node, origins: &mut Origins, path: &[String], text: &str, origin: &Origin) {
    let mut set = |path: &[String], text: &str| {
        tree.set(path, text);
        origins.insert(path.join("."), origin.clone());
    };
    let convenient = match path {
        [one] => match one.as_str() {
            "model_url" => Some("base_url"),
            "model_key" => Some("api_key"),
            "model_name" => Some("model"),
            _ => None,
        },
        [section, name] if section == "model" => match name.as_str() {
            "url" => Some("base_url"),
            "key" => Some("api_key"),
            "name" => Some("model"),
            _ => None,
        },
        _ => None,
    };
    let Some(key) = convenient else {
        set(path, text);
        return;
    };
    let own = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    set(&own(&["models", "endpoints", CONVENIENT, key]), text);
    if key == "base_url" {
        for task in Task::ALL {
            set(&own(&["models", task.key()]), CONVENIENT);
        }
    }
}

/// The source of a key, or of the nearest key around or inside it.
fn origin_of(origins: &Origins, key: &str) -> Origin {
    let mut at = key;
    loop {
        if let Some(origin) = origins.get(at) {
            return origin.clone();
        }
        let inside = format!("{at}.");
        let next = origins.range(inside.clone()..).next();
        if let Some((_, origin)) = next.filter(|(key, _)| key.starts_with(&inside)) {
            return origin.clone();
        }
        match at.rsplit_once('.') {
            Some((around, _)) => at = around,
            None => return Origin::Default,
        }
    }
}

type Wrong = (String, String);

fn wrong<T>(key: impl Into<String>, message: impl Into<String>) -> Result<T, Wrong> {
    Err((key.into(), message.into()))
}

/// What types cannot say.
fn validate(config: &Config) -> Result<(), Wrong> {
    let url = config.database.url.expose();
    if !["sqlite:", "postgres://", "postgresql://"].iter().any(|start| url.starts_with(start)) {
        return wrong(
            "database.url",
            "must start with `sqlite:` (a file) or `postgres://` (a server)",
        );
    }
    if let Some(url) = &config.public_url {
        validate_public_url(url)?;
    }
    if let Some(folder) = &config.prompts.folder
        && !folder.is_dir()
    {
        return wrong("prompts.folder", format!("{} is not a folder", folder.display()));
    }
    validate_models(config)?;
    validate_embeddings(config)?;
    validate_index(config)?;
    let turn = &config.turn;
    if turn.judge_deadline_ms >= turn.budget_ms {
        return wrong("turn.judge_deadline_ms", "must be shorter than turn.budget_ms");
    }
    if turn.lease_ms.get() < 1_000 {
        return wrong(
            "turn.lease_ms",
            "must be at least 1000: workers give a sign of life every third of it",
        );
    }
    if let Some(token) = &config.metrics.token {
        let token = token.expose();
        if token.len() < 16 || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return wrong("metrics.token", "must be at least 16 visible ASCII characters");
        }
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.filter) {
        return wrong("log.filter", format!("{error}; write it like `info,baton=debug`"));
    }
    Ok(())
}

/// It becomes an origin, which has a scheme, a host and perhaps a port, and nothing else.
fn validate_public_url(text: &str) -> Result<(), Wrong> {
    let key = "public_url";
    let url = web_address(key, text)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return wrong(key, "must not have a path: serve Baton at the root of a host name");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.[]:".contains(&b);
    if !url.username().is_empty()
        || url.password().is_some()
        || !url.host_str().is_some_and(|host| host.bytes().all(plain))
    {
        return wrong(key, "must be a scheme and a host name, such as https://support.example.com");
    }
    Ok(())
}

fn validate_models(config: &Config) -> Result<(), Wrong> {
    let models = &config.models;
    for (name, endpoint) in &models.endpoints {
        let key = |field: &str| format!("models.endpoints.{name}.{field}");
        if matches!(name.as_str(), BUILT_IN | SCRIPTED | "default") {
            return wrong(format!("models.endpoints.{name}"), "is a name of ours: choose another");
        }
        if endpoint.base_url.is_empty() {
            return wrong(
                key("base_url"),
                "is missing: the server's address, such as https://api.openai.com/v1",
            );
        }
        web_address(&key("base_url"), &endpoint.base_url)?;
        if endpoint.model.trim().is_empty() {
            return wrong(
                key("model"),
                "is missing: the model's name on that server (flag --model-name)",
            );
        }
    }
    let known = |name: &str| name == BUILT_IN || models.endpoints.contains_key(name);
    let chosen = Task::ALL.iter().map(|task| (task.key(), models.of(*task)));
    for (key, name) in chosen.chain(models.fallback.iter().map(|name| ("fallback", name.as_str())))
    {
        if !known(name) {
            let message =
                format!("there is no [models.endpoints.{name}]: use `built-in` or add it");
            return wrong(format!("models.{key}"), message);
        }
    }
    Ok(())
}

fn validate_embeddings(config: &Config) -> Result<(), Wrong> {
    let embeddings = &config.embeddings;
    if embeddings.provider == EmbeddingProvider::Off {
        return Ok(());
    }
    match &embeddings.base_url {
        None => {
            return wrong(
                "embeddings.base_url",
                "is missing: the server's address, such as https://api.openai.com/v1",
            );
        }
        Some(url) => drop(web_address("embeddings.base_url", url)?),
    }
    if embeddings.model.as_ref().is_none_or(|model| model.trim().is_empty()) {
        return wrong("embeddings.model", "is missing: the model's name on that server");
    }
    Ok(())
}

fn validate_index(config: &Config) -> Result<(), Wrong> {
    let index = &config.index;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if !(1..=60).contains(&index.collection.len()) || !index.collection.bytes().all(plain) {
        return wrong("index.collection", "must be 1 to 60 letters, digits, `-` and `_`");
    }
    if index.backend == IndexBackend::Memory {
        return Ok(());
    }
    let key = "index.url";
    let Some(url) = &index.url else {
        return wrong(key, "is missing: Qdrant's gRPC address, such as http://127.0.0.1:6334");
    };
    let url = web_address(key, url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(key, "must not hold a password: set index.api_key");
    }
    if config.embeddings.provider == EmbeddingProvider::Off {
        return wrong(
            "index.backend",
            "`qdrant` keeps vectors, and nothing makes any: set embeddings.provider, or use `memory`",
        );
    }
    Ok(())
}

fn web_address(key: &str, text: &str) -> Result<reqwest::Url, Wrong> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(url),
        _ => wrong(key, "must be an address such as https://host.example"),
    }
}
