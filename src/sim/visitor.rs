//! The visitors: they write in bursts, send again what was not acknowledged, ask for a person, say thanks, leave, and read
//! what comes. They keep records of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::chance::Chance;
use super::client::{self, insist};
use super::sights::Sight;
use super::world::{Node, World};
use crate::conversation::store::{self, Part};
use crate::conversation::{
    Closer, Command, Event, Live, Message, Origin, Outcome, RequestVia, Target, Words,
};
use crate::ids::{ContactId, ConversationId, Ids, MessageId};
use crate::words::bare_thanks;

const THANKS: &str = "Thanks!";

/// What one visitor knows.
#[derive(Default)]
pub struct Records {
    /// What was acknowledged: by its client id, what was written, and the message it became.
    pub acknowledged: BTreeMap<String, (String, MessageId)>,
    /// What the visitor has read, by its public number.
    pub read: BTreeMap<u64, MessageId>,
}

/// The records of every visitor, by their index.
#[derive(Default)]
pub struct Diary(Mutex<BTreeMap<usize, Records>>);

impl Diary {
    pub fn with<T>(&self, visitor: usize, f: impl FnOnce(&mut Records) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(all.entry(visitor).or_default())
    }
}

/// One visitor at work.
struct Visitor {
    world: Arc<World>,
    index: usize,
    contact: ContactId,
    chance: Chance,
    sent: u32,
}

/// Lives until the run is over and everything sent is acknowledged.
pub async fn live(world: Arc<World>, index: usize) {
    let contact = world.contacts[index];
    let chance = world.sim.chance(&format!("visitor {index}"));
    let mut visitor = Visitor { world, index, contact, chance, sent: 0 };
    let mut on_the_way = JoinSet::new();
    while !visitor.world.sim.is_over() {
        visitor.act(&mut on_the_way).await;
        let pause = visitor.chance.millis(200..18_000);
        visitor.world.sim.pause(pause).await;
    }
    while on_the_way.join_next().await.is_some() {}
}

impl Visitor {
    async fn act(&mut self, on_the_way: &mut JoinSet<()>) {
        match self.chance.weighed(&[60, 8, 10, 5]) {
            0 => {
                for _ in 0..self.chance.within(1..4) {
                    self.says(None, on_the_way).await;
                    let pause = self.chance.millis(0..900);
                    self.world.sim.pause(pause).await;
                }
            }
            1 => {
                self.world.sim.note(&format!("visitor {} asks for a person", self.index));
                let event = Event::VisitorAskedForPerson { via: RequestVia::Button };
                let command = self.command(event, None);
                insist(&self.world, &mut self.chance, || command.clone()).await;
            }
            2 => self.says(Some(THANKS), on_the_way).await,
            _ => self.leaves().await,
        }
    }

    fn command(&self, event: Event, words: Option<Words>) -> Command {
        let origin = Origin { locale: "en".to_owned(), ..Origin::default() };
        let target =
            Target::Contact { inbox: self.world.shop.inbox, contact: self.contact, origin };
        Command {
            workspace: self.world.shop.workspace,
            target,
            event,
            words,
            evidence: None,
            turn_record: None,
        }
    }

    /// Sends a message until it is acknowledged; sometimes goes on before it is, sometimes on two ways at once.
    async fn says(&mut self, text: Option<&str>, on_the_way: &mut JoinSet<()>) {
        self.sent += 1;
        let client_id = format!("v{}-{}", self.index, self.sent);
        let text = text.map_or_else(|| format!("Question {client_id}?"), str::to_owned);
        self.world.sim.note(&format!("visitor {} sends {client_id}", self.index));
        let ways = if self.chance.odds(0.12) { 2 } else { 1 };
        if ways == 2 {
            self.world.sim.saw(Sight::SentTwiceAtOnce);
        }
        let waits = ways == 1 && self.chance.odds(0.7);
        for way in 0..ways {
            let words = Words {
                text: text.clone(),
                client_id: Some(client_id.clone()),
                ..Words::default()
            };
            // Every request carries a fresh message id, as over HTTP.
            let thanks = bare_thanks(&text);
            let like = self.command(Event::VisitorStarted, Some(words));
            let (world, index) = (Arc::clone(&self.world), self.index);
            let mut chance = world.sim.chance(&format!("{client_id} way {way}"));
            let (text, client_id) = (text.clone(), client_id.clone());
            let send = async move {
                let fresh = || Command {
                    event: Event::VisitorWrote { message: Ids.fresh(), bare_thanks: thanks },
                    ..like.clone()
                };
                let Some(done) = insist(&world, &mut chance, fresh).await else {
                    return world.sim.wrong(format!("the message {client_id} was refused"));
                };
                let stored = done.message.filter(|m| m.text == text);
                let Some(stored) = stored else {
                    return world
                        .sim
                        .wrong(format!("{client_id} was acknowledged as something else"));
                };
                let again = world.diary.with(index, |records| {
                    records.acknowledged.insert(client_id.clone(), (text, stored.id))
                });
                if again.is_some_and(|(_, id)| id != stored.id) {
                    world.sim.wrong(format!("law 4: {client_id} was acknowledged as two messages"));
                }
            };
            if waits {
                send.await;
            } else {
                on_the_way.spawn(send);
            }
        }
    }

    async fn leaves(&mut self) {
        let node = self.world.some_node(&mut self.chance).await;
        let Some(id) = conversation_of(&self.world, &node, self.contact).await else { return };
        self.world.sim.note(&format!("visitor {} closes", self.index));
        let by = Closer::Visitor(self.contact);
        let event = Event::Close { by, outcome: Outcome::Solved };
        let command = Command::new(self.world.shop.workspace, id, event);
        client::ask(&self.world, &node, command).await;
    }
}

/// The conversation of a contact, as a node sees it; none if it cannot say.
async fn conversation_of(world: &World, node: &Node, contact: ContactId) -> Option<ConversationId> {
    let (workspace, inbox) = (world.shop.workspace, world.shop.inbox);
    let found = client::read(async {
        let mut conn = node.conversations.db().read().await?;
        store::of_contact(&mut conn, workspace, inbox, contact).await
    });
    found.await?
}

/// Every visitor's socket at a node: hears what is committed there, and reads the rest by number when it meets a gap or
/// connects again.
pub fn watch(world: &Arc<World>, node: &Arc<Node>) {
    for index in 0..world.contacts.len() {
        tokio::spawn(read(Arc::clone(world), Arc::clone(node), index));
    }
}

async fn read(world: Arc<World>, node: Arc<Node>, index: usize) {
    let contact = world.contacts[index];
    let mut chance = world.sim.chance(&format!("reader {index} {:?}", node.power.life));
    loop {
        let key = (world.shop.inbox, contact);
        let mut ear = node.conversations.wire().visitors.subscribe(key);
        catch_up(&world, &node, index).await;
        let until = tokio::time::Instant::now() + chance.millis(2_000..40_000);
        loop {
            let heard = tokio::select! {
                biased;
                () = node.power.dead.cancelled() => return,
                heard = tokio::time::timeout_at(until, ear.recv()) => heard,
            };
            match heard {
                Ok(Ok(Live::Changed(change))) => {
                    let fresh: Vec<&Message> =
                        change.events.iter().filter_map(|e| e.message.as_ref()).collect();
                    if !take(&world, index, fresh.iter().copied()) {
                        catch_up(&world, &node, index).await;
                    }
                }
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) | Err(_) => break,
            }
        }
        world.sim.pause(Duration::from_millis(50)).await;
    }
}

/// Takes what comes next by its number; `false` if something is missing in between.
fn take<'m>(world: &World, index: usize, messages: impl Iterator<Item = &'m Message>) -> bool {
    world.diary.with(index, |records| {
        for message in messages {
            let Some(number) = message.public_seq else { continue };
            let last = records.read.last_key_value().map_or(0, |(number, _)| *number);
            if number > last + 1 {
                return false;
            }
            let before = records.read.insert(number, message.id);
            if before.is_some_and(|before| before != message.id) {
                world
                    .sim
                    .wrong(format!("law 5: visitor {index} read two messages numbered {number}"));
            }
        }
        true
    })
}

async fn catch_up(world: &World, node: &Node, index: usize) {
    let Some(id) = conversation_of(world, node, world.contacts[index]).await else { return };
    let read = client::read(async {
        let after = world
            .diary
            .with(index, |records| records.read.last_key_value().map_or(0, |(number, _)| *number));
        let mut conn = node.conversations.db().read().await?;
        store::messages(&mut conn, world.shop.workspace, id, Part::PublicAfter(after), 500).await
    });
    // What fails is read the next time.
    let Some(messages) = read.await else { return };
    if !take(world, index, messages.iter()) {
        world.sim.wrong(format!("law 5: what visitor {index} read by number has a gap"));
    }
}
