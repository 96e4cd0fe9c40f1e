//! Law 5 on agents' sockets: whatever a node hears, in whatever order, and whatever fails on the way, a socket is told each
//! event of a conversation once and in the order of the numbers.

use std::sync::Arc;

use serde_json::Value;

use crate::conversation::lists;
use crate::conversation::others::Moved;
use crate::conversation::{
    By, Change, Command, Committed, Conversation, Conversations, Cursor, Event, Heard, Record,
    TurnRecord,
};
use crate::db::sql;
use crate::db::testing::databases;
use crate::ids::ConversationId;
use crate::live::testing::{Ears, World, world};
use crate::turn::Explained;

/// Every order in which three things can be heard.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The place of an event in the feed.
async fn place(world: &World, id: ConversationId, seq: u64) -> Cursor {
    let mut conn = world.state.conversations.db().read().await.expect("a connection");
    let row = sql("SELECT tx, feed FROM event WHERE conversation = $1 AND seq = $2");
    let (tx, feed) = row.bind(id).bind(seq).one(&mut conn).await.expect("it is stored");
    Cursor { tx, feed }
}

/// What would be told of a commit.
async fn change(world: &World, committed: Committed) -> Arc<Change> {
    let Committed { conversation, events, .. } = committed;
    let cursor = place(world, conversation.id, conversation.seq).await;
    Arc::new(Change { conversation, events, cursor })
}

/// Three notes, written where nobody here hears of it.
async fn three_notes(world: &World, door: &Conversations, id: ConversationId) -> Vec<Arc<Change>> {
    let mut changes = Vec::new();
    for _ in 0..3 {
        changes.push(change(world, world.notes(door, id).await).await);
    }
    changes
}

fn changed(change: &Arc<Change>) -> Heard {
    Heard::Changed(Arc::clone(change))
}

fn moved(change: &Arc<Change>) -> Heard {
    Heard::Moved(Arc::new(Moved::of(change)))
}

fn hears(world: &World, heard: Heard) {
    world.state.conversations.wire().agents.publish(&world.agent.workspace, heard);
}

/// A conversation and a socket that hears it from now on.
async fn listened_to(world: &World) -> (Conversation, Desk) {
    let guest = world.guest().await;
    let c = world.wrote(&guest, "Hello").await.conversation;
    let mut ears = Ears::agent(world, world.serve(), None, None).await;
    ears.until("welcome").await;
    (c, Desk { ears, told: Vec::new() })
}

/// A socket, and the numbers that it brought of one conversation.
struct Desk {
    ears: Ears,
    told: Vec<u64>,
}

impl Desk {
    /// Reads on until this event came.
    async fn until(&mut self, id: ConversationId, seq: u64) {
        while self.told.last().is_none_or(|told| *told < seq) {
            let frame = self.ears.until("changed").await;
            if frame["row"]["id"] != id.to_string() {
                continue;
            }
            let items = frame["items"].as_array().expect("items");
            self.told.extend(items.iter().filter_map(|item| item["seq"].as_u64()));
        }
    }

    #[track_caller]
    fn was_told_once_and_in_order(&self) {
        let first = self.told.first().copied().unwrap_or(1);
        let wanted: Vec<u64> = (first..).take(self.told.len()).collect();
        assert_eq!(self.told, wanted);
    }
}

#[tokio::test]
async fn what_is_heard_in_any_order_is_told_in_one() {
    for db in databases().await {
        let world = world(db).await;
        let door = world.elsewhere();
        let (c, mut desk) = listened_to(&world).await;
        for order in ORDERS {
            for heard in [changed, moved] {
                let changes = three_notes(&world, &door, c.id).await;
                // Without a pause: the feed takes them up together.
                for which in order {
                    hears(&world, heard(&changes[which]));
                }
                desk.until(c.id, changes[2].conversation.seq).await;
            }
            let changes = three_notes(&world, &door, c.id).await;
            // One by one: one that comes early brings what stands before it, and nobody tells that again.
            for which in order {
                hears(&world, changed(&changes[which]));
                desk.until(c.id, changes[which].conversation.seq).await;
            }
        }
        desk.was_told_once_and_in_order();
    }
}

#[tokio::test]
async fn many_nodes_words_for_one_change_are_told_once() {
    for db in databases().await {
        let world = world(db).await;
        let door = world.elsewhere();
        let (c, mut desk) = listened_to(&world).await;
        let changes = three_notes(&world, &door, c.id).await;
        // Gathered on the way: the first and the last, with what lies between them.
        let mut gathered = Moved::of(&changes[2]);
        gathered.from = changes[0].conversation.seq;
        for heard in [moved(&changes[1]), Heard::Moved(Arc::new(gathered)), changed(&changes[2])] {
            hears(&world, heard);
        }
        desk.until(c.id, changes[2].conversation.seq).await;
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        desk.until(c.id, last.seq).await;
        desk.was_told_once_and_in_order();
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_later_and_in_its_order() {
    for db in databases().await {
        let world = world(db).await;
        let door = world.elsewhere();
        let (c, mut desk) = listened_to(&world).await;
        let other = world.guest().await;
        let changes = three_notes(&world, &door, c.id).await;
        // One of them cannot be read for a while, and what is heard meanwhile needs it.
        spoil(&world, c.id, changes[1].conversation.seq).await;
        hears(&world, changed(&changes[0]));
        hears(&world, moved(&changes[2]));
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        // Others are heard all the same.
        let fine = world.wrote(&other, "Hello?").await.conversation;
        let mut beside = Ears::agent(&world, world.serve(), None, None).await;
        beside.until("welcome").await;
        let fine = world.notes(&world.state.conversations, fine.id).await.conversation;
        let mut beside = Desk { ears: beside, told: Vec::new() };
        beside.until(fine.id, fine.seq).await;
        mend(&world, c.id, changes[1].conversation.seq).await;
        desk.until(c.id, last.seq).await;
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        desk.until(c.id, last.seq).await;
        desk.was_told_once_and_in_order();
    }
}

/// Makes an event unreadable.
async fn spoil(world: &World, id: ConversationId, seq: u64) {
    let spoils = "UPDATE event SET data = 'x' || data WHERE conversation = $1 AND seq = $2";
    change_data(world, spoils, id, seq).await;
}

/// Makes it readable again.
async fn mend(world: &World, id: ConversationId, seq: u64) {
    let mends = "UPDATE event SET data = substr(data, 2) WHERE conversation = $1 AND seq = $2";
    change_data(world, mends, id, seq).await;
}

async fn change_data(world: &World, text: &'static str, id: ConversationId, seq: u64) {
    let done = world.state.conversations.db().write(move |conn| {
        Box::pin(async move { sql(text).bind(id).bind(seq).execute(conn).await })
    });
    assert_eq!(done.await.expect("stored"), 1);
}

#[tokio::test]
async fn who_resumes_is_not_told_again_what_they_had() {
    for db in databases().await {
        let world = world(db).await;
        let door = world.elsewhere();
        let (c, mut desk) = listened_to(&world).await;
        let known = world.notes(&door, c.id).await.conversation;
        // Another node has told it already; this one's feed may not have come so far.
        let cursor = place(&world, c.id, known.seq).await;
        let mut conn = world.state.conversations.db().read().await.expect("a connection");
        while lists::feed_now(&mut conn, c.workspace).await.expect("reads") < cursor {
            tokio::task::yield_now().await;
        }
        drop(conn);
        let ears = Ears::agent(&world, world.serve(), Some(&cursor.to_string()), None).await;
        let mut back = Desk { ears, told: Vec::new() };
        back.ears.until("welcome").await;
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        back.until(c.id, last.seq).await;
        assert_eq!(back.told, [last.seq], "only what came after their place");
        desk.until(c.id, last.seq).await;
        desk.was_told_once_and_in_order();
    }
}

#[tokio::test]
async fn the_words_of_a_cancelled_turn_come_with_its_end_if_they_are_heard_first() {
    for db in databases().await {
        let world = world(db).await;
        let door = world.elsewhere();
        let (c, mut desk) = listened_to(&world).await;
        let fence = world.turn_runs(&c).await;
        let noted = change(&world, world.notes(&door, c.id).await).await;
        let by = By { agent: world.agent.agent, expected_epoch: None };
        let takes = Event::AgentTakesOver { by, from_colleague: false };
        let taken = door.commit(Command::new(c.workspace, c.id, takes)).await.expect("commits");
        let taken = change(&world, taken).await;
        let released = Explained { released: Some("It is on ".to_owned()), ..Explained::default() };
        let record = TurnRecord { fence, json: released.to_json() };
        door.record_turn(c.workspace, c.id, record).await.expect("stored");
        hears(&world, Heard::Explained { conversation: c.id, turn: fence.turn });
        hears(&world, moved(&taken));
        hears(&world, moved(&noted));
        let cancelled =
            taken.events.iter().find(|event| matches!(event.record, Record::TurnCancelled { .. }));
        let cancelled = cancelled.expect("a turn ran").seq;
        let mut lines: Vec<Value> = Vec::new();
        while lines.iter().all(|line| line["seq"] != taken.conversation.seq) {
            let frame = desk.ears.until("changed").await;
            // With its words it may come once more, if the feed was quicker than what it hears.
            let items = frame["items"].as_array().expect("items").iter();
            let again = |item: &&Value| lines.iter().any(|line| line["seq"] == item["seq"]);
            let new: Vec<Value> =
                items.filter(|item| item["seq"] != cancelled || !again(item)).cloned().collect();
            lines.extend(new);
        }
        desk.told = lines.iter().filter_map(|line| line["seq"].as_u64()).collect();
        desk.was_told_once_and_in_order();
        let line = lines.iter().find(|line| line["seq"] == cancelled).expect("it was told");
        assert_eq!(line["data"]["read_text"], "It is on ", "{line}");
    }
}
