//! Whether the server answers: said once when it changes, asked again in the background while it does not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::knowledge::index::Health;

/// How many slow or failed searches in a row mean that it is away. A refused connection means it at once.
const FAILURES: u32 = 3;

/// How long to wait before asking again; doubled up to the second.
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is known of the server.
#[derive(Debug)]
pub struct Watch {
    failures: Mutex<u32>,
    health: watch::Sender<Health>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { failures: Mutex::default(), health: watch::Sender::new(Health::Ok) }
    }
}

impl Watch {
    pub fn is_away(&self) -> bool {
        *self.health.borrow() != Health::Ok
    }

    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Returns when it is well.
    #[cfg(test)]
    pub async fn until_well(&self) {
        let mut changes = self.health.subscribe();
        changes.wait_for(|health| *health == Health::Ok).await.expect("the sender is ours");
    }

    /// It answered.
    pub fn worked(&self) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        if self.is_away() && self.health.send_replace(Health::Ok) != Health::Ok {
            tracing::info!("Qdrant answers again: search compares meanings again");
        }
    }

    /// It did not; `surely` if one failure is enough to tell. Returns whether it has just gone away.
    pub fn failed(&self, reason: &str, surely: bool) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures = failures.saturating_add(1);
        if self.is_away() || (!surely && *failures < FAILURES) {
            return false;
        }
        tracing::warn!(reason, "Qdrant is away: search goes on by words alone");
        self.health.send_replace(Health::Degraded(reason.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_answer_is_none_three_in_a_row_are() {
        let watch = Watch::default();
        for _ in 0..3 {
            assert!(!watch.failed("slow", false));
            assert!(!watch.failed("slow", false));
            watch.worked();
        }
        assert_eq!(watch.health(), Health::Ok);
        let went = [(); 4].map(|()| watch.failed("slow", false));
        assert_eq!(went, [false, false, true, false], "said once");
        assert_eq!(watch.health(), Health::Degraded("slow".to_owned()));
        watch.worked();
        assert!(watch.failed("refused", true));
    }
}
