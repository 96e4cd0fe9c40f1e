//! Every metric: its name, what it is, its labels and its help. `docs/OPERATIONS.md` has a row for each.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Is as it is.
    Gauge,
    /// Samples in buckets.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// How a try of a turn can end.
pub(super) const TURN_OUTCOMES: &[&str] =
    &["answered", "handed_off", "failed", "cancelled", "discarded"];
/// What a turn's time goes into.
pub(super) const STAGES: &[&str] =
    &["queue", "search", "judge", "model_first_token", "model", "commit"];
/// Who writes public messages.
pub(super) const AUTHORS: &[&str] = &["visitor", "assistant", "agent", "system"];
/// What a unit of work can end in.
pub(super) const ERRORS: &[&str] = &[
    "away",
    "broken",
    "closed",
    "conflict",
    "exhausted",
    "full",
    "io",
    "locked",
    "other",
    "panicked",
    "read_only",
];
/// Methods that are told by name; a client may send any word.
pub(super) const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub(super) const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// All of them.
        pub const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    TURNS = Counter "baton_turns_total" ["outcome"]
        "Tries of AI replies that have ended, by outcome.";
    TURN_FIRST_RELEASE = Histogram "baton_turn_first_release_seconds" []
        "From the oldest message that a reply answers to its first released sentence.";
    TURN_ADDED = Histogram "baton_turn_added_seconds" []
        "The same without the judge or the model's first token, whichever took longer: what Baton adds.";
    TURN_STAGE = Histogram "baton_turn_stage_seconds" ["stage"]
        "Time of a reply by stage.";
    DRAFTS_DROPPED = Counter "baton_drafts_dropped_total" ["by"]
        "Sentences stopped by a shut gate, and whole replies by a stale fence.";
    MESSAGES = Counter "baton_messages_total" ["author"]
        "Public messages that were committed and so acknowledged, by author.";
    TAKEOVERS = Counter "baton_takeovers_total" ["from"]
        "People who took a conversation over, by who held it.";
    HANDOFFS = Counter "baton_handoffs_total" ["reason"]
        "Conversations that the AI gave to people, by reason.";
    RETURNS = Counter "baton_returns_total" []
        "Conversations that people gave back to the AI.";
    ALARMS = Counter "baton_alarms_total" ["recipient"]
        "Promises to visitors that were broken, by who was told.";
    DELIVERY = Histogram "baton_message_delivery_seconds" ["author"]
        "From a message's commit to an open visitor's socket, to the millisecond.";
    FEED_LAG = Histogram "baton_feed_lag_seconds" []
        "From a commit to when this node told it to agents' sockets, to the millisecond.";
    SOCKETS = Gauge "baton_sockets_open" ["kind"]
        "Open sockets of this node.";
    DB_COMMIT = Histogram "baton_db_commit_seconds" []
        "Time of one transaction, from BEGIN to COMMIT; on SQLite of a whole group.";
    DB_COMMIT_UNITS = Histogram "baton_db_commit_units" []
        "Units of work that shared one transaction; always 1 on PostgreSQL.";
    DB_WRITE = Histogram "baton_db_write_seconds" []
        "From handing a unit of work over to its durable end, waiting included.";
    DB_ERRORS = Counter "baton_db_errors_total" ["error"]
        "Units of work that ended in an error, by its name.";
    DB_RETRIES = Counter "baton_db_retries_total" []
        "Units of work that ran again after a conflict or a lost transaction.";
    JOBS = Counter "baton_jobs_total" ["kind", "outcome"]
        "Tries of jobs that have ended, by kind and outcome.";
    TIMER_LATE = Histogram "baton_timer_late_seconds" []
        "How late timers of conversations fired.";
    MODEL_CALLS = Counter "baton_model_calls_total" ["endpoint", "status"]
        "Calls of model endpoints, by their names in the configuration and how they ended.";
    MODEL_CALL = Histogram "baton_model_call_seconds" ["endpoint"]
        "Time of one call of a model endpoint, to the end of its answer.";
    MODEL_TOKENS = Counter "baton_model_tokens_total" ["endpoint", "kind"]
        "Tokens that model endpoints said they read and wrote.";
    SEARCH = Histogram "baton_search_seconds" []
        "Time of one search for knowledge.";
    INDEX_BYTES = Gauge "baton_index_bytes" []
        "Memory that the index of the knowledge takes in this process.";
    HTTP_REQUESTS = Counter "baton_http_requests_total" ["method", "route", "status"]
        "Requests that were answered, by route template.";
    HTTP_REQUEST = Histogram "baton_http_request_seconds" []
        "Time of one request, to the head of its answer; opening a socket does not count.";
    NODES = Gauge "baton_nodes" []
        "Processes on this database that this one knows of, itself included.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "User and kernel processor time.";
    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" []
        "Resident memory.";
    PROCESS_FILES = Gauge "process_open_fds" []
        "Open files, sockets among them.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for metric in ALL {
            let Metric { name, kind, help, .. } = metric;
            assert!(name.starts_with("baton_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            if *kind == Kind::Histogram {
                assert!(name.ends_with("_seconds") || name.ends_with("_units"), "{name}");
            }
            assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
            assert!(ALL.iter().filter(|other| other.name == *name).count() == 1, "{name} twice");
        }
    }
}
