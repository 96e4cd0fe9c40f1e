//! Log lines: for people or as JSON, filtered by target.
//!
//! Fields are dotted and stable (`conversation.id`, `turn.outcome`, `duration_ms`); `docs/LOGGING.md` lists them. No level
//! logs message text, prompts, addresses or keys: targets of libraries that would are silenced whatever the filter says.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Libraries that log bodies: async-openai a whole reply when it cannot decode it, at ERROR; tungstenite every frame of a
/// socket, tokens and messages included, at TRACE.
const SILENCED: [&str; 3] = ["async_openai", "tungstenite", "tokio_tungstenite"];
/// Libraries that say too much below these levels; the configured filter may ask for more.
const QUIET: [&str; 4] = ["sqlx=warn", "hyper=warn", "hyper_util=warn", "h2=warn"];

/// Starts logging to standard error. Call it once, first in `main`.
///
/// # Errors
/// When the filter cannot be read or a subscriber is there already.
pub fn start(log: &Log) -> Result<(), StartError> {
    let filter = filter(&log.filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_current_span(true).with_span_list(false))
            .try_init(),
        LogFormat::Text => {
            registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()
        }
    }
    .map_err(|_| StartError::Twice)
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The filter cannot be read.
    #[error("log.filter: {0}; write it like `info,baton=debug`")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something has started logging before.
    #[error("logging was started twice")]
    Twice,
}

fn filter(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    // A rule for a module of a silenced library would be more exact than ours and win.
    let asked = text.split(',').filter(|rule| !SILENCED.iter().any(|t| rule.trim().starts_with(t)));
    let all = QUIET.iter().copied().chain(asked).collect::<Vec<_>>().join(",");
    SILENCED.iter().try_fold(EnvFilter::try_new(all)?, |filter, target| {
        Ok(filter.add_directive(format!("{target}=off").parse::<Directive>()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_log_bodies_stay_silent_whatever_is_asked() {
        for asked in ["trace", "async_openai=trace", "info, tungstenite::protocol=trace"] {
            let shown = filter(asked).expect("valid").to_string();
            for target in SILENCED {
                assert!(shown.contains(&format!("{target}=off")), "{shown}");
                assert!(!shown.contains(&format!("{target}=trace")), "{shown}");
                assert!(!shown.contains(&format!("{target}::")), "{shown}");
            }
        }
        assert!(filter("sqlx=debug").expect("valid").to_string().contains("sqlx=debug"));
        assert!(filter("a=b=c").is_err());
    }
}
