//! The people of the business: they take over at the worst moments, write under epochs that are long gone, return, close,
//! snooze, assign, switch the AI, come and go.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::chance::Chance;
use super::client::{Known, ask, read};
use super::sights::Sight;
use super::world::{Node, World};
use crate::conversation::{
    AiMode, By, Closer, Column, Command, Conversation, Event, Live, Outcome, Words, lists,
};
use crate::hub::Availability;
use crate::ids::{AgentId, ConversationId, Ids};

/// How long a person may be away before their conversations hear of it, as the sockets have it.
const OFFLINE_GRACE: Duration = Duration::from_secs(30);

/// One seed in so many ends with everybody going home, and lasts until that is noticed.
pub const GOES_HOME: u64 = 12;

/// One person at work.
struct Person {
    world: Arc<World>,
    me: AgentId,
    name: usize,
    chance: Chance,
    sent: u32,
    /// What was on the screen once.
    old_screen: Option<Conversation>,
}

/// Works until the run is over.
pub async fn live(world: Arc<World>, name: usize) {
    let me = world.people[name];
    let chance = world.sim.chance(&format!("agent {name}"));
    let mut person = Person { world, me, name, chance, sent: 0, old_screen: None };
    person.shift().await;
    while !person.world.sim.is_over() {
        let pause = person.chance.millis(300..14_000);
        person.world.sim.pause(pause * person.world.sim.weather.leisure).await;
        if person.chance.odds(0.08) {
            person.shift().await;
        } else {
            person.act().await;
        }
    }
    // In some worlds everybody goes home with work undone.
    if person.world.sim.seed.is_multiple_of(GOES_HOME) {
        let node = person.world.some_node(&mut person.chance).await;
        tell(&person.world, &node, me, false).await;
    }
}

impl Person {
    /// Comes, or goes for a while.
    async fn shift(&mut self) {
        let node = self.world.some_node(&mut self.chance).await;
        let workspace = self.world.shop.workspace;
        let presence = &node.conversations.wire().presence;
        if presence.agent_sockets(workspace, self.me) == 0 {
            presence.agent_joined(workspace, self.me, Availability::Online);
            tell(&self.world, &node, self.me, true).await;
            return;
        }
        while !presence.agent_left(workspace, self.me) {}
        if self.chance.odds(0.5) {
            self.world.sim.pause(OFFLINE_GRACE).await;
            tell(&self.world, &node, self.me, false).await;
        }
    }

    async fn act(&mut self) {
        let all = self.world.sim.conversations();
        if all.is_empty() {
            return;
        }
        let id = *self.chance.pick(&all);
        let node = self.world.some_node(&mut self.chance).await;
        let Some(screen) = look(&self.world, &node, id).await else { return };
        // Thinks, or reads what was there a while ago.
        let thinks = self.chance.millis(0..2_500);
        let screen = match &self.old_screen {
            Some(old) if old.id == id && self.chance.odds(0.3) => old.clone(),
            _ => screen,
        };
        self.old_screen = Some(screen.clone());
        self.world.sim.pause(thinks).await;
        let (event, words) = self.wish(&screen);
        let what = format!("{event:?}");
        let what = what.split([' ', '{']).next().unwrap_or_default();
        let number = self.world.sim.number(id);
        self.world.sim.note(&format!("agent {} on conversation {number}: {what}", self.name));
        let mut command = Command::new(self.world.shop.workspace, id, event);
        command.words = words;
        self.send(command, &node).await;
    }

    /// Sends; what became of a message with a client id is asked again until it is known, under a fresh message id.
    async fn send(&mut self, command: Command, first: &Arc<Node>) {
        let client_id = command.words.as_ref().and_then(|words| words.client_id.clone());
        let mut node = Arc::clone(first);
        loop {
            let known = ask(&self.world, &node, command.clone()).await;
            match (known, &client_id) {
                (Known::Done(done), Some(client_id)) => {
                    let Some(message) = done.message else {
                        return self
                            .world
                            .sim
                            .wrong(format!("{client_id} came back without words"));
                    };
                    let mut said =
                        self.world.agents_said.lock().unwrap_or_else(PoisonError::into_inner);
                    said.insert(client_id.clone(), message.id);
                    return;
                }
                (Known::Done(_) | Known::Refused, _) => return,
                (Known::Unknown, None) if self.chance.odds(0.5) => return,
                (Known::Unknown, _) => {}
            }
            let pause = self.chance.millis(100..3_000);
            self.world.sim.pause(pause).await;
            node = self.world.some_node(&mut self.chance).await;
        }
    }

    fn words(&mut self) -> Option<Words> {
        self.sent += 1;
        let client_id = format!("a{}-{}", self.name, self.sent);
        let text = format!("Answer {client_id}.");
        Some(Words { text, client_id: Some(client_id), ..Words::default() })
    }

    /// What this person wants of a conversation that stands like that.
    fn wish(&mut self, c: &Conversation) -> (Event, Option<Words>) {
        let by = By { agent: self.me, expected_epoch: Some(c.epoch) };
        let column = c.holder.column();
        let mine = c.holder.assignee() == Some(self.me);
        let wish = match column {
            Column::Assistant => self.chance.weighed(&[12, 10, 6, 4, 3, 3, 2, 0, 0, 0, 0, 1]),
            Column::Queue => self.chance.weighed(&[8, 12, 4, 2, 3, 3, 2, 6, 0, 0, 0, 1]),
            Column::Assigned if mine => {
                self.chance.weighed(&[1, 30, 6, 3, 6, 6, 3, 14, 6, 0, 0, 1])
            }
            Column::Assigned => self.chance.weighed(&[2, 8, 6, 1, 2, 2, 3, 4, 2, 0, 8, 0]),
            Column::Closed => self.chance.weighed(&[1, 3, 3, 6, 0, 0, 0, 8, 0, 8, 0, 1]),
        };
        let event = match wish {
            0 => Event::AgentTakesOver {
                by: By { expected_epoch: None, ..by },
                from_colleague: false,
            },
            1 => {
                let words = self.words();
                return (Event::AgentWrites { by, message: Ids.fresh() }, words);
            }
            2 => {
                let words = self.words();
                return (Event::AgentNotes { agent: self.me, message: Ids.fresh() }, words);
            }
            3 => {
                let off = [AiMode::Off, AiMode::Draft, AiMode::On, AiMode::On];
                let on = [AiMode::On, AiMode::On, AiMode::Draft];
                let modes: &[AiMode] = if c.ai_mode == AiMode::On { &off } else { &on };
                Event::SetAiMode { by, mode: *self.chance.pick(modes) }
            }
            4 => Event::Snooze {
                by,
                until: self.world.sim.now() + self.chance.millis(1_000..60_000),
            },
            5 => {
                let outcome = *self.chance.pick(&[Outcome::Solved, Outcome::Unsolved]);
                Event::Close { by: Closer::Agent(by), outcome }
            }
            6 => {
                let agent = Some(*self.chance.pick(&self.world.people));
                Event::Assign { by, agent, team: None }
            }
            7 => {
                let words = self
                    .chance
                    .odds(0.5)
                    .then(|| Words { text: "Be nice.".to_owned(), ..Words::default() });
                let note = words.is_some().then(|| Ids.fresh());
                return (Event::AssignToAi { by, note }, words);
            }
            8 => Event::ReturnToQueue { by },
            9 if c.blocked => Event::BlockContact { blocked: false },
            9 => Event::Reopen { by },
            10 => {
                self.world.sim.saw(Sight::TakenFromColleague);
                Event::AgentTakesOver { by, from_colleague: true }
            }
            _ => Event::BlockContact { blocked: !c.blocked },
        };
        (event, None)
    }
}

async fn look(world: &World, node: &Node, id: ConversationId) -> Option<Conversation> {
    let read = read(async {
        let mut conn = node.conversations.db().read().await?;
        lists::state(&mut conn, world.shop.workspace, id).await
    });
    read.await?
}

/// Tells every conversation a person holds that they came or went, as the sockets do.
async fn tell(world: &World, node: &Node, agent: AgentId, online: bool) {
    let workspace = world.shop.workspace;
    let held = read(async {
        let mut conn = node.conversations.db().read().await?;
        lists::assigned_to(&mut conn, workspace, agent).await
    });
    for id in held.await.unwrap_or_default() {
        let event = Event::AssigneePresence { agent, online };
        ask(world, node, Command::new(workspace, id, event)).await;
    }
}

/// Somebody watches every reply being written at a node, and strikes between a released sentence and the commit.
pub fn lie_in_wait(world: &Arc<World>, node: &Arc<Node>) {
    for (index, contact) in world.contacts.iter().enumerate() {
        let ear = node.conversations.wire().visitors.subscribe((world.shop.inbox, *contact));
        let chance = world.sim.chance(&format!("ambush {index} {:?}", node.power.life));
        tokio::spawn(strike(Arc::clone(world), Arc::clone(node), ear, chance));
    }
}

async fn strike(
    world: Arc<World>,
    at: Arc<Node>,
    mut ear: crate::hub::Hearing<Live>,
    mut chance: Chance,
) {
    loop {
        let heard = tokio::select! {
            biased;
            () = at.power.dead.cancelled() => return,
            heard = ear.recv() => heard,
        };
        let draft = match heard {
            Ok(Live::Draft(draft)) if !world.sim.is_over() => draft,
            Ok(_) | Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if !chance.odds(0.2 / f64::from(world.sim.weather.leisure)) {
            continue;
        }
        let pause = chance.millis(0..120);
        world.sim.pause(pause).await;
        let agent = *chance.pick(&world.people);
        let by = By { agent, expected_epoch: Some(draft.epoch) };
        let event = match chance.within(0..4) {
            0 => Event::Close { by: Closer::Agent(by), outcome: Outcome::Unsolved },
            1 => Event::SetAiMode { by, mode: AiMode::Draft },
            _ => Event::AgentTakesOver { by, from_colleague: false },
        };
        let node = world.some_node(&mut chance).await;
        let number = world.sim.number(draft.conversation);
        world.sim.note(&format!("somebody strikes at conversation {number}"));
        ask(&world, &node, Command::new(world.shop.workspace, draft.conversation, event)).await;
    }
}
