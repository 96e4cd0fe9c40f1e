//! When a failed job is tried again. Pure.

use std::time::Duration;

use super::JobError;

/// How often a job is tried before it is given up.
pub const MAX_ATTEMPTS: u32 = 5;

/// How long to wait after each failure: long enough for a restart, then for an outage. The last one repeats.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// How long a job that failed at its `attempt`-th try waits; none = it is given up.
#[must_use]
pub fn pause_after(attempt: u32, error: JobError) -> Option<Duration> {
    if !error.retryable || attempt >= MAX_ATTEMPTS {
        return None;
    }
    let failures = usize::try_from(attempt.max(1)).unwrap_or(usize::MAX);
    Some(PAUSES[failures.min(PAUSES.len()) - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempt: u32, error: JobError, seconds: Option<u64>) {
        assert_eq!(pause_after(attempt, error), seconds.map(Duration::from_secs), "{attempt}");
    }

    #[test]
    fn pauses_grow_and_end() {
        let error = JobError::again("x");
        for (attempt, seconds) in
            [(0, Some(5)), (1, Some(5)), (2, Some(30)), (3, Some(120)), (4, Some(120)), (5, None)]
        {
            check(attempt, error, seconds);
        }
        check(1, JobError::never("x"), None);
    }
}
