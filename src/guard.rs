//! The guards that keep the laws, by name, so that a run can break one and see that what claims to watch it notices.
//!
//! Without the cargo feature `broken-guards` (for tests alone) every guard holds, by a constant: nothing can switch one off
//! in a product. With it, one guard is broken for the whole process: the one that [`VARIABLE`] names.

/// The environment variable that names the broken guard.
pub const VARIABLE: &str = "BATON_TEST_BREAK";

/// A check that a law rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// A turn's result is compared with the fence it was made under (law 2).
    Fence,
    /// The gate of a stopped turn shuts before COMMIT, and released sentences pass it (law 2).
    Gate,
    /// An agent's command names the epoch on their screen (laws 1 and 2).
    AgentEpoch,
    /// A state row is updated only if it is still the one that was read (laws 1, 4 and 5).
    CompareAndSet,
    /// A turn is leased only at the attempt that was seen, and only when its lease is over (laws 2 and 4).
    Lease,
    /// A message is stored once under its writer's own id (law 4).
    ClientId,
    /// An answer's range begins after what was answered before (law 4).
    AnswerRange,
    /// A visitor's unanswered message opens an obligation (laws 3 and 8).
    Obligation,
    /// A timer fires only while it is pending, on the anchor it was set for, and due (law 8).
    TimerAnchor,
    /// What was said before a return is no evidence (law 6).
    EvidenceAfterReturn,
    /// An acknowledgement comes after COMMIT (law 3).
    AckAfterCommit,
    /// A commit waits for the disk (law 3).
    SyncedCommit,
    /// Readers of PostgreSQL's feed stop below the oldest running transaction (law 5).
    FeedHorizon,
    /// A passage for a visitor comes from public knowledge (law 7).
    Audience,
}

impl Guard {
    /// Every guard.
    pub const ALL: [Self; 14] = [
        Self::Fence,
        Self::Gate,
        Self::AgentEpoch,
        Self::CompareAndSet,
        Self::Lease,
        Self::ClientId,
        Self::AnswerRange,
        Self::Obligation,
        Self::TimerAnchor,
        Self::EvidenceAfterReturn,
        Self::AckAfterCommit,
        Self::SyncedCommit,
        Self::FeedHorizon,
        Self::Audience,
    ];

    /// The name that [`VARIABLE`] takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Gate => "gate",
            Self::AgentEpoch => "agent_epoch",
            Self::CompareAndSet => "compare_and_set",
            Self::Lease => "lease",
            Self::ClientId => "client_id",
            Self::AnswerRange => "answer_range",
            Self::Obligation => "obligation",
            Self::TimerAnchor => "timer_anchor",
            Self::EvidenceAfterReturn => "evidence_after_return",
            Self::AckAfterCommit => "ack_after_commit",
            Self::SyncedCommit => "synced_commit",
            Self::FeedHorizon => "feed_horizon",
            Self::Audience => "audience",
        }
    }

    /// Whether the guard is off in this process.
    #[cfg(not(feature = "broken-guards"))]
    #[must_use]
    pub const fn is_broken(self) -> bool {
        false
    }

    /// Whether the guard is off in this process.
    #[cfg(feature = "broken-guards")]
    #[must_use]
    pub fn is_broken(self) -> bool {
        use std::sync::OnceLock;
        static BROKEN: OnceLock<Option<Guard>> = OnceLock::new();
        *BROKEN.get_or_init(|| {
            let name = std::env::var(VARIABLE).ok()?;
            Some(
                Self::ALL
                    .into_iter()
                    .find(|g| g.name() == name)
                    .unwrap_or_else(|| panic!("{VARIABLE}={name}: there is no such guard")),
            )
        }) == Some(self)
    }
}
