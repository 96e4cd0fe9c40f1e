//! Law 5 on agents' sockets: whatever a node hears, in whatever order, and whatever fails on the way, a socket is told each
//! event of a conversation once and in the order of the numbers.

use std::sync::Arc;

use serde_json::Value;

use crate::conversation::lists;
use crate::conversation::others::Moved;
use crate::conversation::{
    Actor, By, Change, Command, Committed, Conversation, Conversations, Cursor, Event, Heard,
    Record, TurnRecord,
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
    let desk = Desk::open(world, &c, None).await;
    (c, desk)
}

/// A socket, and what it brought of one conversation.
struct Desk {
    ears: Ears,
    id: ConversationId,
    /// The first event that it has to bring.
    from: u64,
    lines: Vec<Value>,
}

impl Desk {
    /// Opens a socket that has to bring what is new of this conversation.
    async fn open(world: &World, c: &Conversation, cursor: Option<Cursor>) -> Self {
        let cursor = cursor.map(|cursor| cursor.to_string());
        let mut ears = Ears::agent(world, world.serve(), cursor.as_deref(), None).await;
        ears.until("welcome").await;
        Self { ears, id: c.id, from: c.seq + 1, lines: Vec::new() }
    }

    fn told(&self) -> Vec<u64> {
        self.lines.iter().filter_map(|line| line["seq"].as_u64()).collect()
    }

    async fn next(&mut self) -> Value {
        let frame = self.ears.next().await;
        if frame["type"] == "changed" && frame["row"]["id"] == self.id.to_string() {
            self.lines.extend(frame["items"].as_array().expect("items").iter().cloned());
        }
        frame
    }

    /// Reads on until this event came.
    async fn until(&mut self, seq: u64) {
        while self.told().last().is_none_or(|told| *told < seq) {
            self.next().await;
        }
    }

    /// Reads on until the feed has taken up all that it has heard.
    async fn all(&mut self, world: &World, c: &Conversation) {
        let (conversation, actor) = (c.id, Actor::Visitor(c.contact));
        hears(world, Heard::Typing { conversation, actor, name: None });
        while self.next().await["type"] != "typing" {}
    }

    #[track_caller]
    fn was_told_once_and_in_order(&self) {
        let told = self.told();
        let first = told.first().copied().unwrap_or(u64::MAX);
        // What stood there before may come too: on PostgreSQL a feed begins below the oldest running transaction.
        assert!(first <= self.from, "the first was {first}, not {}", self.from);
        assert_eq!(told, (first..).take(told.len()).collect::<Vec<_>>());
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
                desk.until(changes[2].conversation.seq).await;
            }
            // Two of them together, with a gap between them or before, and then the third.
            let changes = three_notes(&world, &door, c.id).await;
            for which in order {
                hears(&world, changed(&changes[which]));
                if which != order[0] {
                    desk.all(&world, &c).await;
                }
            }
            let changes = three_notes(&world, &door, c.id).await;
            // One by one: one that comes early brings what stands before it, and nobody tells that again.
            for which in order {
                hears(&world, changed(&changes[which]));
                desk.until(changes[which].conversation.seq).await;
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
        desk.until(changes[2].conversation.seq).await;
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        desk.until(last.seq).await;
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
        let spoilt = changes[1].conversation.seq;
        alter(&world, SPOIL_EVENT, c.id, spoilt).await;
        hears(&world, changed(&changes[0]));
        hears(&world, moved(&changes[2]));
        desk.all(&world, &c).await;
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        // Others are heard all the same.
        let fine = world.wrote(&other, "Hello?").await.conversation;
        let mut beside = Desk::open(&world, &fine, None).await;
        let fine = world.notes(&world.state.conversations, fine.id).await.conversation;
        beside.until(fine.seq).await;
        alter(&world, MEND_EVENT, c.id, spoilt).await;
        desk.until(last.seq).await;
        // Nor can its row be read for a while.
        let changes = three_notes(&world, &door, c.id).await;
        alter(&world, SPOIL_ROW, c.id, changes[2].conversation.seq).await;
        for change in &changes {
            hears(&world, changed(change));
        }
        desk.all(&world, &c).await;
        alter(&world, MEND_ROW, c.id, changes[2].conversation.seq).await;
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        desk.until(last.seq).await;
        desk.was_told_once_and_in_order();
    }
}

const SPOIL_EVENT: &str =
    "UPDATE event SET data = 'x' || data WHERE conversation = $1 AND seq = $2";
const MEND_EVENT: &str =
    "UPDATE event SET data = substr(data, 2) WHERE conversation = $1 AND seq = $2";
const SPOIL_ROW: &str = "UPDATE conversation SET state = 'x' || state WHERE id = $1 AND seq = $2";
const MEND_ROW: &str =
    "UPDATE conversation SET state = substr(state, 2) WHERE id = $1 AND seq = $2";

/// Makes something unreadable, or readable again.
async fn alter(world: &World, text: &'static str, id: ConversationId, seq: u64) {
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
        let mut back = Desk::open(&world, &known, Some(cursor)).await;
        let last = world.notes(&world.state.conversations, c.id).await.conversation;
        back.until(last.seq).await;
        assert_eq!(back.told(), [last.seq], "only what came after their place");
        desk.until(last.seq).await;
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
        desk.all(&world, &c).await;
        hears(&world, moved(&taken));
        hears(&world, moved(&noted));
        desk.until(taken.conversation.seq).await;
        let is_end = |record: &Record| matches!(record, Record::TurnCancelled { .. });
        let end = taken.events.iter().find(|event| is_end(&event.record)).expect("a turn ran").seq;
        // With its words it may come once more, if the feed was quicker than what it hears.
        let first = desk.lines.iter().position(|line| line["seq"] == end).expect("it was told");
        assert_eq!(desk.lines[first]["data"]["read_text"], "It is on ", "{:?}", desk.lines[first]);
        let mut which = 0..;
        desk.lines.retain(|line| which.next() == Some(first) || line["seq"] != end);
        desk.was_told_once_and_in_order();
    }
}
