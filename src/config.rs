//! One typed configuration: compiled-in defaults, then a TOML file, then `BATON_…` variables, then command-line flags.
//!
//! Invariants: unknown keys are refused wherever they come from; it is validated once, before anything starts, and an error
//! names the key, where its value came from and the remedy; secrets are in a type that does not print. Nothing here is
//! global: what a part needs is handed to it.

mod index;
mod layer;
mod load;
mod models;
mod secret;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use index::{Index, IndexBackend};
pub use load::{ConfigError, Loaded, Origin, Origins, Sources};
pub use models::{BUILT_IN, EmbeddingProvider, Embeddings, Endpoint, Models, SCRIPTED, Task};
pub use secret::Secret;

/// The annotated example, which is also the reference: every key with its default.
const EXAMPLE: &str = include_str!("config/example.toml");

/// The whole configuration. `docs/CONFIG.md` describes every key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where data lives.
    pub database: Database,
    /// The address people reach the server at, such as `https://support.example.com`.
    pub public_url: Option<String>,
    /// Chat models and which task uses which.
    pub models: Models,
    /// The embedding model for search.
    pub embeddings: Embeddings,
    /// What search is answered from.
    pub index: Index,
    /// Prompt files.
    pub prompts: Prompts,
    /// How much everybody may ask.
    pub limits: Limits,
    /// How one reply of the assistant is run.
    pub turn: Turn,
    /// What is logged and how.
    pub log: Log,
    /// Figures for Prometheus.
    pub metrics: Metrics,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// The address of the interface.
    pub host: IpAddr,
    /// The port; 0 takes any free one.
    pub port: u16,
    /// Whether to try the following ports when this one is taken.
    pub port_fallback: bool,
    /// Whether to believe the nearest proxy's X-Forwarded-For.
    pub trust_proxy: bool,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            port: 8080,
            port_fallback: false,
            trust_proxy: false,
        }
    }
}

/// Where data lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`; a secret, since it may hold a password.
    pub url: Secret,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:data/baton.db") }
    }
}

/// Prompt files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// A folder whose files replace the built-in prompts of the same name.
    pub folder: Option<PathBuf>,
}

/// How much everybody may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body in bytes.
    pub max_body_bytes: NonZeroUsize,
    /// Open sockets on this node.
    pub max_sockets: NonZeroUsize,
    /// Sign-ins per minute for one address and one e-mail.
    pub sign_in_per_minute: NonZeroU32,
    /// Sign-ins per minute for one address.
    pub sign_in_address_per_minute: NonZeroU32,
    /// Messages per minute of one contact.
    pub visitor_messages_per_minute: NonZeroU32,
    /// Messages of one contact at once.
    pub visitor_messages_burst: NonZeroU32,
    /// New visitor sessions per minute for one address.
    pub visitor_sessions_per_minute: NonZeroU32,
    /// API requests per second of one agent.
    pub agent_requests_per_second: NonZeroU32,
}

/// A number that is plainly not zero.
const fn n32(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

const fn nsize(value: usize) -> NonZeroUsize {
    match NonZeroUsize::new(value) {
        Some(value) => value,
        None => NonZeroUsize::MIN,
    }
}

const fn n64(value: u64) -> NonZeroU64 {
    match NonZeroU64::new(value) {
        Some(value) => value,
        None => NonZeroU64::MIN,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: nsize(1 << 20),
            max_sockets: nsize(20_000),
            sign_in_per_minute: n32(10),
            sign_in_address_per_minute: n32(60),
            visitor_messages_per_minute: n32(20),
            visitor_messages_burst: n32(10),
            visitor_sessions_per_minute: n32(60),
            agent_requests_per_second: n32(50),
        }
    }
}

/// How one reply of the assistant is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    /// How long to wait for more messages before answering.
    pub debounce_ms: u64,
    /// How long one reply may take in all.
    pub budget_ms: NonZeroU64,
    /// How long the conditions' judge may take before a person is asked.
    pub judge_deadline_ms: NonZeroU64,
    /// How long a worker owns a reply without a sign of life.
    pub lease_ms: NonZeroU64,
    /// How often newer messages may replace a running reply.
    pub max_supersedes: u32,
    /// How long after the oldest unanswered message a reply may still be replaced.
    pub supersede_within_ms: u64,
    /// Replies at once on this node.
    pub concurrent: NonZeroUsize,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            debounce_ms: 400,
            budget_ms: n64(30_000),
            judge_deadline_ms: n64(3_000),
            lease_ms: n64(15_000),
            max_supersedes: 2,
            supersede_within_ms: 15_000,
            concurrent: nsize(32),
        }
    }
}

/// Figures for Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Whoever shows it may read `GET /metrics`; nobody may without one.
    pub token: Option<Secret>,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// Levels by target, as `tracing` writes them.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The annotated example file with every key and its default.
    #[must_use]
    pub const fn example() -> &'static str {
        EXAMPLE
    }

    /// The reference, as kept in `docs/CONFIG.md`.
    #[must_use]
    pub fn document() -> String {
        format!(
            "{}\n\n```toml\n{}```\n",
            include_str!("config/reference.md").trim_end(),
            Self::example()
        )
    }

    /// The origin of `public_url`: scheme, host in ASCII, and the port unless it is the scheme's own.
    #[must_use]
    pub fn public_origin(&self) -> Option<String> {
        let url = reqwest::Url::parse(self.public_url.as_deref()?).ok()?;
        Some(url.origin().ascii_serialization())
    }

    /// Reads, layers and validates.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key, where it came from and the remedy.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        load::load(sources)
    }

    /// Reads a configuration of one file with these words.
    ///
    /// # Errors
    /// As [`Self::load`].
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of_text(text: &str) -> Result<Loaded, ConfigError> {
        load::of_text(text)
    }
}
