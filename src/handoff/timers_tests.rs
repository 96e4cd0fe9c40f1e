//! Timers fire when they are due, and a broken conversation holds up no other.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Timers;
use crate::conversation::Heard;
use crate::db::sql;
use crate::db::testing::databases;
use crate::handoff::testing::Shop;
use crate::health::Pulse;

const DEADLINE: Duration = Duration::from_secs(600);

async fn alarms(shop: &Shop) -> i64 {
    let open = sql("SELECT COUNT(*) FROM alarm WHERE workspace = $1 AND ended_at IS NULL");
    shop.count(open.bind(shop.workspace)).await
}

#[tokio::test]
async fn a_missed_promise_raises_an_alarm_then_the_owners() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let timers = Timers::new(shop.conversations.clone());
        shop.visitor(None, "en").await.asks_for_person().await;
        assert_eq!(timers.fire_due().await.expect("fires"), 0);
        for alarm in [1, 2] {
            shop.clock.advance(DEADLINE);
            assert_eq!(timers.fire_due().await.expect("fires"), 1);
            assert_eq!(alarms(&shop).await, alarm);
            assert_eq!(timers.fire_due().await.expect("fires"), 0, "once");
        }
    }
}

#[tokio::test]
async fn a_broken_conversation_is_set_aside() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let timers = Timers::new(shop.conversations.clone());
        let broken = shop.visitor(None, "en").await.asks_for_person().await.conversation.id;
        shop.clock.advance(Duration::from_secs(1));
        shop.visitor(None, "en").await.asks_for_person().await;
        let spoil = sql("UPDATE conversation SET state = '{}' WHERE id = $1").bind(broken);
        shop.write(vec![spoil]).await;
        shop.clock.advance(DEADLINE);
        assert_eq!(timers.fire_due().await.expect("fires"), 1, "the healthy one");
        assert_eq!(alarms(&shop).await, 1);
        assert_eq!(timers.aside(shop.clock.now()), 1);
        shop.clock.advance(Duration::from_secs(5));
        assert_eq!(timers.aside(shop.clock.now()), 0, "tried again later");
    }
}

#[tokio::test]
async fn an_outage_makes_no_conversation_late() {
    let db = databases().await.remove(0);
    let shop = Shop::open(db).await;
    let timers = Timers::new(shop.conversations.clone());
    let (id, now) = (crate::ids::Ids.fresh(), shop.clock.now());
    for _ in 0..10 {
        assert_eq!(timers.set_aside(id, now, true), Duration::from_secs(5));
    }
    let own: Vec<u64> = (0..3).map(|_| timers.set_aside(id, now, false).as_secs()).collect();
    assert_eq!(own, [5, 10, 20], "trouble of its own grows");
}

#[tokio::test]
async fn the_loop_fires_and_stops_when_told() {
    for db in databases().await {
        let shop = Shop::open(db).await;
        let mut heard = shop.conversations.wire().agents.subscribe(shop.workspace);
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        shop.visitor(None, "en").await.asks_for_person().await;
        shop.clock.advance(DEADLINE);
        tracker.spawn(Timers::new(shop.conversations.clone()).run(stop.clone(), Pulse::default()));
        let mut missed = false;
        while !missed {
            let Ok(Heard::Changed(change)) = heard.recv().await else { continue };
            missed = change.conversation.obligation.is_some_and(|open| open.step == 1);
        }
        stop.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
