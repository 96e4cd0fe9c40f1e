//! The end of tombstones: which chunks went away is remembered for a while, so that indexes can follow without reading a
//! whole base; an index that is further behind reads the whole base.

use std::time::Duration;

use crate::clock::Timestamp;

use super::{Knowledge, KnowledgeError, store};

/// How long they are kept: longer than a node is cut off without anybody noticing.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

impl Knowledge {
    /// Forgets tombstones older than a week and returns how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn prune_tombstones(&self) -> Result<u64, KnowledgeError> {
        let now = self.clock.now();
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(now.millis().saturating_sub(kept));
        let unit = self.db.write(move |conn| {
            Box::pin(async move { store::prune_tombstones(conn, now, before).await })
        });
        Ok(unit.await?)
    }
}
