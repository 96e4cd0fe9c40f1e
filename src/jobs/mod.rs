//! Durable due work: jobs stored with what caused them, leased by a worker, tried again with growing pauses.
//!
//! Invariants: a job is stored in the transaction that makes it due, so that it cannot be lost; one worker holds it at a
//! time, and `attempt` is the fence under which its end is written; a job that keeps failing waits longer each time and is
//! given up after [`retry::MAX_ATTEMPTS`], so it never keeps others waiting. Handlers run again after a crash, so they must
//! be able to. This floor knows nothing of what the jobs do: handlers are registered by kind.

mod retry;
pub mod store;
#[cfg(test)]
mod tests;
mod worker;

use async_trait::async_trait;

use crate::db::DbError;
use crate::ids::{ConversationId, JobId, WorkspaceId};

pub use retry::{MAX_ATTEMPTS, pause_after};
pub use store::{Order, Waiting};
pub use worker::{CONCURRENCY, LEASE, Woken, Worker};

/// A job that this process holds.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// About which conversation.
    pub conversation: Option<ConversationId>,
    /// What to do.
    pub kind: String,
    /// With what, as JSON.
    pub payload: String,
    /// How often it was leased, this time included: the fence.
    pub attempt: u32,
}

/// Why a job did not get done. Never holds words of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct JobError {
    /// A stable code for the job's row and the log.
    pub code: &'static str,
    /// Whether another try may succeed.
    pub retryable: bool,
}

impl JobError {
    /// Another try may succeed.
    #[must_use]
    pub const fn again(code: &'static str) -> Self {
        Self { code, retryable: true }
    }

    /// Every further try would end the same way.
    #[must_use]
    pub const fn never(code: &'static str) -> Self {
        Self { code, retryable: false }
    }
}

impl From<DbError> for JobError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Broken(_) => Self::never("broken_data"),
            _ => Self::again("database"),
        }
    }
}

/// Does the jobs of one kind. A job may come more than once.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Does it. Dropped in the middle when the lease is lost or the process stops.
    ///
    /// # Errors
    /// [`JobError`]; the worker decides about another try.
    async fn run(&self, job: &Job) -> Result<(), JobError>;

    /// Told once when the job will not be tried again.
    async fn gave_up(&self, job: &Job, error: JobError) {
        let _ = (job, error);
    }
}
