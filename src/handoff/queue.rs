//! How long a visitor in the queue will wait, learnt from how long others have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql};
use crate::ids::{InboxId, WorkspaceId};

/// How many handoffs that got a reply are looked at, the newest.
const SAMPLES: usize = 20;

/// Fewer say nothing.
const ENOUGH: usize = 3;

/// Some of the last handoffs have no reply yet, so more are read.
const READ: usize = 3 * SAMPLES;

/// How long an estimate is good for: every visitor in the queue asks, and it moves slowly.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Estimates by inbox. Cheap to clone.
#[derive(Clone, Default)]
pub struct ExpectedWait(Arc<Mutex<HashMap<InboxId, Estimate>>>);

/// When it was made, and how many minutes.
type Estimate = (Timestamp, Option<u64>);

impl ExpectedWait {
    /// The minutes from a handoff in this inbox to the first reply of a person: the median of the last ones, at least one;
    /// none while too few are known.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn minutes(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
        inbox: InboxId,
        now: Timestamp,
    ) -> Result<Option<u64>, DbError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&inbox).copied();
        if let Some((at, minutes)) = known
            && now.since(at) < GOOD_FOR
        {
            return Ok(minutes);
        }
        let minutes = median_minutes(waits(conn, workspace, inbox).await?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(inbox, (now, minutes));
        Ok(minutes)
    }
}

/// How long the last handoffs of an inbox waited for the first reply of a person, the newest first.
async fn waits(
    conn: &mut Conn,
    workspace: WorkspaceId,
    inbox: InboxId,
) -> Result<Vec<Duration>, DbError> {
    let rows: Vec<(i64, Option<i64>)> = sql("SELECT h.at,
            (SELECT MIN(r.at) FROM event r
             WHERE r.conversation = h.conversation AND r.seq > h.seq AND r.kind = 'agent_wrote') AS replied_at
         FROM event h JOIN conversation c ON c.id = h.conversation
         WHERE h.workspace = $1 AND c.inbox = $2 AND h.kind = 'handed_off'
         ORDER BY h.tx DESC, h.feed DESC LIMIT $3")
        .bind(workspace)
        .bind(inbox)
        .bind(READ)
        .all(conn)
        .await?;
    let waits = rows.into_iter().filter_map(|(handed_at, replied_at)| {
        Some(Timestamp::from_millis(replied_at?).since(Timestamp::from_millis(handed_at)))
    });
    Ok(waits.take(SAMPLES).collect())
}

fn median_minutes(mut waits: Vec<Duration>) -> Option<u64> {
    if waits.len() < ENOUGH {
        return None;
    }
    waits.sort_unstable();
    let median = waits.get(waits.len() / 2)?;
    Some(median.as_secs().div_ceil(60).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::databases;
    use crate::handoff::testing::Shop;

    #[test]
    fn one_long_wait_does_not_spoil_the_estimate() {
        for (minutes, expected) in [
            (vec![], None),
            (vec![2, 3], None),
            (vec![2, 600, 3], Some(3)),
            (vec![0, 0, 0], Some(1)),
        ] {
            let waits = minutes.into_iter().map(|m: u64| Duration::from_secs(m * 60)).collect();
            assert_eq!(median_minutes(waits), expected);
        }
    }

    #[tokio::test]
    async fn learns_from_handoffs_that_were_answered() {
        for db in databases().await {
            let shop = Shop::open(db).await;
            let expected = ExpectedWait::default();
            let asked = |now| {
                let (expected, shop) = (expected.clone(), shop.clone());
                async move {
                    let mut conn = shop.conversations.db().read().await.expect("reads");
                    expected.minutes(&mut conn, shop.workspace, shop.inbox, now).await.expect("ok")
                }
            };
            for minutes in [4, 5, 6] {
                assert_eq!(asked(shop.clock.now()).await, None);
                let visitor = shop.visitor(None, "en").await;
                visitor.says("Hello?").await;
                let id = visitor.asks_for_person().await.conversation.id;
                shop.clock.advance(Duration::from_secs(minutes * 60));
                shop.agent_says(id, "Hello!").await;
                // Asked again, which was not handed off: it counts for nothing.
                shop.agent_says(id, "Still there?").await;
            }
            shop.visitor(None, "en").await.asks_for_person().await;
            assert_eq!(asked(shop.clock.now()).await, Some(5));
        }
    }
}
