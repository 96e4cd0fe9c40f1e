//! What a browser or an app does with the service: asks some node, waits for a while, asks again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::chance::Chance;
use super::sights::Sight;
use super::world::{Node, World};
use crate::conversation::{Command, CommitError, Committed};
use crate::db::DbError;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a node reads for a client; none if it fails or takes too long.
pub async fn read<T>(reading: impl Future<Output = Result<T, DbError>>) -> Option<T> {
    timeout(PATIENCE, reading).await.ok()?.ok()
}

/// What a client knows afterwards.
pub enum Known {
    /// It is done.
    Done(Box<Committed>),
    /// It will not be done.
    Refused,
    /// Nobody can say.
    Unknown,
}

/// Asks a node to commit something.
pub async fn ask(world: &World, node: &Node, command: Command) -> Known {
    match timeout(PATIENCE, node.conversations.commit(command)).await {
        Ok(Ok(committed)) => {
            if committed.duplicate {
                world.sim.saw(Sight::SentTwice);
            }
            Known::Done(Box::new(committed))
        }
        Ok(Err(CommitError::Stale { .. })) => {
            world.sim.saw(Sight::StaleEpoch);
            Known::Refused
        }
        Ok(Err(CommitError::Refused(_) | CommitError::NotFound(_))) => {
            world.sim.saw(Sight::Refused);
            Known::Refused
        }
        Ok(Err(CommitError::Db(_))) => Known::Unknown,
        Err(_) => {
            world.sim.saw(Sight::ClientGaveUp);
            Known::Unknown
        }
    }
}

/// Asks one node after another until somebody knows. The same command each time, but for what `command` makes anew.
pub async fn insist(
    world: &Arc<World>,
    chance: &mut Chance,
    command: impl Fn() -> Command,
) -> Option<Box<Committed>> {
    loop {
        let node = world.some_node(chance).await;
        match ask(world, &node, command()).await {
            Known::Done(committed) => return Some(committed),
            Known::Refused => return None,
            Known::Unknown => world.sim.pause(chance.millis(100..3_000)).await,
        }
    }
}
