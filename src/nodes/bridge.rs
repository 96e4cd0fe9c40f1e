//! The two connections to the channel: one speaks what waits in the queue, one listens.
//!
//! What waits is gathered for [`GATHER`] and said in one transaction. The listener knows that it hears by hearing this node's
//! own pulse; when it does not, however alive its connection looks, it is replaced. Whenever it begins to hear, everything is
//! read again from the database, and the others are asked who is with them.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::hear;
use super::packet::{Packet, payloads};
use crate::app::AppState;
use crate::conversation::others::Item;
use crate::db::{Channel, DbError, Listener};

/// How long items are gathered before they are said together.
const GATHER: Duration = Duration::from_millis(5);
/// How often this node says that it is there, if nothing else.
const PULSE: Duration = Duration::from_secs(1);
/// Without its own pulse for so long, the listener is deaf.
const DEAF_AFTER: Duration = Duration::from_secs(4);
/// Wait before a lost connection is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How long the start waits for the first connection.
const FIRST: Duration = Duration::from_secs(3);
/// Notifications that may wait to be taken up.
const HEARD: usize = 1_024;

/// Starts both; returns once the others are heard, or after [`FIRST`].
pub async fn start(state: &AppState, channel: Channel) {
    state.conversations.wire().others.link();
    let (hears, heard) = oneshot::channel();
    state.tasks.spawn(speak(state.clone(), channel.clone()));
    state.tasks.spawn(listen(state.clone(), channel, hears));
    // Later is fine too: then the database is read meanwhile.
    let _late = timeout(FIRST, heard).await;
}

/// Says what waits, and a pulse in between.
async fn speak(state: AppState, channel: Channel) {
    let others = &state.conversations.wire().others;
    let node = state.conversations.node();
    let mut speaker = None;
    let mut unsaid: Vec<String> = Vec::new();
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_last = false;
    loop {
        tokio::select! {
            () = state.shutdown.cancelled(), if !is_last => {
                others.push(Item::Bye);
                is_last = true;
            }
            () = others.waiting.notified() => sleep(GATHER).await,
            _ = pulse.tick() => {}
        }
        if unsaid.is_empty() {
            let items = others.take();
            if items.iter().any(|item| matches!(item, Item::Missed)) {
                hear::say_who_is_here(&state);
            }
            unsaid = payloads(node, items);
        }
        let said = async {
            let speaker = match &mut speaker {
                Some(speaker) => speaker,
                none => none.insert(channel.speak().await?),
            };
            speaker.say(&unsaid).await
        };
        match said.await {
            Ok(()) => unsaid.clear(),
            // What was not said is said again: hints may come twice. The listener's silence tells of the trouble.
            Err(error) => {
                tracing::debug!(%error, "other nodes cannot be told");
                speaker = None;
                if !is_last {
                    sleep(RETRY).await;
                    others.waiting.notify_one();
                }
            }
        }
        if is_last {
            break;
        }
    }
    if let Some(speaker) = speaker {
        speaker.close().await;
    }
}

/// Listens until the process stops, with one listener after the other.
async fn listen(state: AppState, channel: Channel, hears: oneshot::Sender<()>) {
    let mut hears = Some(hears);
    while !state.shutdown.is_cancelled() {
        let ended = tokio::select! {
            () = state.shutdown.cancelled() => return,
            ended = listen_once(&state, &channel, &mut hears) => ended,
        };
        say_hearing(&state, false, &ended);
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = sleep(RETRY) => {}
        }
    }
}

/// One listener's life. Returns why it ended.
async fn listen_once(
    state: &AppState,
    channel: &Channel,
    hears: &mut Option<oneshot::Sender<()>>,
) -> String {
    let listener = match channel.listen().await {
        Ok(listener) => listener,
        Err(error) => return error.to_string(),
    };
    let (tell, mut heard) = mpsc::channel(HEARD);
    // In a task of its own: a read that is broken off in the middle would lose its place in the stream.
    let _reading = AbortOnDropHandle::new(tokio::spawn(read(listener, tell)));
    begin(state);
    if let Some(hears) = hears.take() {
        let _gone = hears.send(());
    }
    let node = state.conversations.node();
    let mut own_at = Instant::now();
    loop {
        let next = tokio::time::timeout_at(own_at + DEAF_AFTER, heard.recv()).await;
        match next {
            Err(_) => return format!("its own pulse was not heard for {DEAF_AFTER:?}"),
            Ok(None) => return "the listener has ended".to_owned(),
            Ok(Some(Err(error))) => return error.to_string(),
            Ok(Some(Ok(None))) => {
                say_hearing(state, false, "the connection was lost");
                begin(state);
            }
            Ok(Some(Ok(Some(payload)))) => {
                let Ok(packet) = serde_json::from_str::<Packet>(&payload) else {
                    tracing::warn!("another node said what this version does not understand");
                    continue;
                };
                if packet.node == node {
                    own_at = Instant::now();
                    continue;
                }
                for item in packet.items {
                    // What a later version says is not for us.
                    if let Ok(item) = serde_json::from_value(item) {
                        hear::hear(state, packet.node, item).await;
                    }
                }
            }
        }
    }
}

type Said = Result<Option<String>, DbError>;

async fn read(mut listener: Listener, tell: mpsc::Sender<Said>) {
    loop {
        let said = listener.hear().await;
        let is_over = said.is_err();
        if tell.send(said).await.is_err() || is_over {
            return;
        }
    }
}

/// From here on everything is heard; what was said before is read from the database.
fn begin(state: &AppState) {
    say_hearing(state, true, "");
    state.missed.notify_one();
    let others = &state.conversations.wire().others;
    others.push(Item::Hello);
    hear::say_who_is_here(state);
}

fn say_hearing(state: &AppState, hearing: bool, why: &str) {
    let others = &state.conversations.wire().others;
    if !others.set_hearing(hearing) {
        return;
    }
    if hearing {
        tracing::info!("other nodes are heard");
    } else {
        tracing::warn!(
            error.cause = why,
            look_every_ms = super::catch_up::EVERY.as_millis(),
            "other nodes are not heard: the database is read instead, and no half-written replies are shown while others run"
        );
    }
}
