//! Inboxes: where conversations come in, which pages may embed them, who answers first, what is promised.

pub mod http;
pub mod store;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{AllowedOrigins, Origin};
use crate::field::Invalid;
use crate::ids::{AssistantId, InboxId};

/// The accent colour of a new inbox.
pub const ACCENT: &str = "#6d28d9";

/// An inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    /// Which.
    pub id: InboxId,
    /// Shown to agents, and to visitors as the business's name.
    pub name: String,
    /// What the page's script names it by; no secret.
    pub public_key: String,
    /// Who answers first; nobody means the queue.
    pub assistant: Option<AssistantId>,
    /// Which pages may embed it.
    pub allowed_origins: AllowedOrigins,
    /// The rest.
    pub settings: InboxSettings,
    /// Whether somebody has stopped the AI here.
    pub stopped: bool,
}

/// What is stored as one JSON value: policies and looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InboxSettings {
    /// Who gets a closed conversation that goes on.
    pub reopen_to: ReopenTo,
    /// The widget's colour, `#rrggbb`.
    pub accent: String,
    /// What is promised, in milliseconds.
    pub timings: Timings,
}

/// Who gets a closed conversation that goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReopenTo {
    /// The AI agent.
    #[default]
    Assistant,
    /// Whoever held it last.
    LastHuman,
    /// The queue.
    Queue,
}

/// What is promised to a waiting visitor, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// The AI answers within.
    pub assistant_reply_ms: u64,
    /// A person answers within; then an alarm.
    pub human_reply_ms: u64,
    /// After an alarm, owners are told within.
    pub escalate_ms: u64,
    /// A silent visitor is asked whether they are still there; never when absent.
    pub idle_nudge_ms: Option<u64>,
    /// A silent conversation is closed; never when absent.
    pub idle_close_ms: Option<u64>,
}

impl Default for Timings {
    /// AI 60 s, a person 10 min, owners 10 min later; a quiet visitor is asked after 15 min, closed after an hour.
    fn default() -> Self {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            assistant_reply_ms: millis(Duration::from_secs(60)),
            human_reply_ms: millis(Duration::from_mins(10)),
            escalate_ms: millis(Duration::from_mins(10)),
            idle_nudge_ms: Some(millis(Duration::from_mins(15))),
            idle_close_ms: Some(millis(Duration::from_hours(1))),
        }
    }
}

impl Default for InboxSettings {
    fn default() -> Self {
        Self {
            reopen_to: ReopenTo::default(),
            accent: ACCENT.to_owned(),
            timings: Timings::default(),
        }
    }
}

/// A colour as the widget takes it, in lower case.
///
/// # Errors
/// Names the field when it is not `#rrggbb`.
pub fn accent(field: &str, value: &str) -> Result<String, Invalid> {
    let value = value.trim().to_ascii_lowercase();
    let digits = value.strip_prefix('#').unwrap_or("");
    if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(value);
    }
    Err(Invalid::new(field, "Must be a colour such as #6d28d9."))
}

/// The line that a page puts in to show the widget.
#[must_use]
pub fn snippet(served_at: &Origin, public_key: &str) -> String {
    format!(r#"<script async src="{served_at}/widget.js" data-inbox="{public_key}"></script>"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_are_six_digits() {
        assert_eq!(accent("accent", "#6D28D9").as_deref(), Ok("#6d28d9"));
        for bad in ["", "red", "#fff", "#6d28dz", "6d28d9", "#6d28d9;}"] {
            assert!(accent("accent", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_from_before_a_field_existed_get_its_default() {
        let settings: InboxSettings = serde_json::from_str("{}").expect("reads");
        assert_eq!(settings, InboxSettings::default());
        assert_eq!(settings.timings.human_reply_ms, 600_000);
    }

    #[test]
    fn the_snippet_names_host_and_key() {
        let origin: Origin = "https://support.example".parse().expect("origin");
        let want =
            r#"<script async src="https://support.example/widget.js" data-inbox="k"></script>"#;
        assert_eq!(snippet(&origin, "k"), want);
    }
}
