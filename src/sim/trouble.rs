//! What goes wrong around the nodes: they die, freeze, lose the database and the time, miss their wake-ups.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::chance::Chance;
use super::power::Moment;
use super::sights::Sight;
use super::world::{Node, World};
use crate::db::sql;

/// Nodes are killed, frozen and stopped until the run is over.
pub async fn of_nodes(world: Arc<World>) {
    let every = world.sim.weather.node_troubles;
    let mut chance = world.sim.chance("troubles of nodes");
    while every > 0 && !world.sim.is_over() {
        world.sim.pause(chance.millis(every / 2..every * 2)).await;
        let place = usize::try_from(chance.within(0..world.places() as u64)).unwrap_or(0);
        match chance.weighed(&[5, 4, 2]) {
            0 => {
                if let Some(node) = world.node(place).filter(|_| chance.odds(0.5)) {
                    let moment = *chance.pick(&[Moment::BeforeCommit, Moment::AfterCommit]);
                    node.power.doom(moment);
                    // Where nothing is committed meanwhile, it dies at any other moment.
                    let soon = chance.millis(1_000..15_000);
                    let _idle = tokio::time::timeout(soon, node.power.dead.cancelled()).await;
                }
                world.kill(place);
                // Dead for a moment, or for longer than a lease.
                world.sim.pause(chance.millis(100..22_000)).await;
                world.start_if_down(place).await;
            }
            1 => {
                let Some(node) = world.node(place) else { continue };
                let pause = chance.millis(2_000..32_000);
                world.sim.note(&format!("node {place} freezes for {} ms", pause.as_millis()));
                if pause > Duration::from_secs(15) {
                    world.sim.saw(Sight::Frozen);
                }
                node.power.freeze(pause);
            }
            _ => {
                world.stop(place).await;
                world.sim.pause(chance.millis(100..4_000)).await;
                world.start_if_down(place).await;
            }
        }
    }
}

/// Clocks go up to so much wrong, each its own way.
pub async fn of_clocks(world: Arc<World>) {
    let most = world.sim.weather.skew_ms;
    let mut chance = world.sim.chance("troubles of clocks");
    while most > 0 && !world.sim.is_over() {
        let place = usize::try_from(chance.within(0..world.places() as u64)).unwrap_or(0);
        let ahead = i64::try_from(chance.within(0..2 * most)).unwrap_or(0)
            - i64::try_from(most).unwrap_or(0);
        world.sim.note(&format!("clock {place} is {ahead} ms ahead"));
        world.sim.saw(Sight::Skewed);
        world.set_clock(place, ahead);
        world.sim.pause(chance.millis(10_000..60_000)).await;
    }
}

/// The database is away for some seconds, or stores nothing more, for one node or for all.
pub async fn of_the_database(world: Arc<World>) {
    let mut chance = world.sim.chance("troubles of the database");
    while world.sim.weather.outages && !world.sim.is_over() {
        world.sim.pause(chance.millis(10_000..60_000)).await;
        let pause = chance.millis(500..25_000);
        let all = chance.odds(0.5);
        let one = usize::try_from(chance.within(0..world.places() as u64)).unwrap_or(0);
        let full = chance.odds(0.5);
        let (sight, how) = if full { (Sight::DiskFull, "full") } else { (Sight::Outage, "away") };
        world.sim.note(&format!("the database is {how} for {} ms", pause.as_millis()));
        world.sim.saw(sight);
        for place in 0..world.places() {
            if let Some(node) = world.node(place).filter(|_| all || place == one) {
                if full {
                    node.power.fill_up(pause);
                } else {
                    node.power.cut_off(pause);
                }
            }
        }
    }
}

/// Somebody stops the assistant, and lets it go on.
pub async fn of_the_assistant(world: Arc<World>) {
    let mut chance = world.sim.chance("troubles of the assistant");
    let mut stopped = false;
    while world.sim.weather.stops && !world.sim.is_over() {
        world.sim.pause(chance.millis(8_000..40_000)).await;
        stopped = !stopped;
        world.sim.note(&format!("assistant stopped: {stopped}"));
        world.shop.write(vec![sql("UPDATE assistant SET stopped = $1").bind(stopped)]).await;
    }
}

/// Takes wake-ups away from a node's workers, so that their polls alone must do.
pub fn steal_wake_ups(world: &Arc<World>, node: &Arc<Node>) {
    if !world.sim.weather.deaf {
        return;
    }
    for which in 0..3 {
        tokio::spawn(steal(Arc::clone(world), Arc::clone(node), which));
    }
}

async fn steal(world: Arc<World>, node: Arc<Node>, which: usize) {
    let wire = Arc::clone(node.conversations.wire());
    let of: &Notify = [&wire.turn_due, &wire.job_due, &wire.timer_set][which];
    let mut chance: Chance = world.sim.chance(&format!("thief {which} {:?}", node.power.life));
    while !world.sim.is_calm() && !node.power.dead.is_cancelled() {
        let hours = chance.millis(500..9_000);
        let theft = async {
            loop {
                of.notified().await;
                world.sim.saw(Sight::WakeUpLost);
            }
        };
        let _over = tokio::time::timeout(hours, theft).await;
        world.sim.pause(chance.millis(500..9_000)).await;
    }
}
