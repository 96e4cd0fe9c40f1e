//! The feeds of this node: one task for each workspace with a socket open ([`super::pump`]), and who joins and looks.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use super::pump::{Out, Pump};
use super::viewers::Viewers;
use crate::app::AppState;
use crate::conversation::Cursor;
use crate::ids::{AgentId, ContactId, ConversationId, NodeId, WorkspaceId};

/// Frames kept for the slowest socket; beyond that it is dropped and resumes.
const CAPACITY: usize = 256;
/// A visitor's typing is told at most this often.
const TYPING_EVERY: Duration = Duration::from_secs(1);
/// Conversations whose typing is remembered before old ones are forgotten.
const MAX_TYPED: usize = 1_000;

/// What else somebody wants told.
#[derive(Debug, Clone)]
pub enum Told {
    /// An agent has read up to here: their own sockets hear it.
    Read {
        /// Who.
        agent: AgentId,
        /// What.
        conversation: ConversationId,
    },
    /// A contact's name or address changed.
    Contact(ContactId),
    /// Who looks at a conversation changed.
    Viewers(ConversationId),
    /// Something may have been missed: the feed is to be read now.
    Look,
}

struct Feed {
    out: broadcast::Sender<Arc<Out>>,
    told: mpsc::UnboundedSender<Told>,
    place: watch::Receiver<Option<Cursor>>,
}

/// A feed that was joined.
pub(super) struct Joined {
    /// What it tells from now on.
    pub(super) frames: broadcast::Receiver<Arc<Out>>,
    /// All of it stands above this place.
    pub(super) place: Cursor,
}

/// The feeds of every workspace with a socket open on this node.
pub struct Feeds {
    feeds: Mutex<HashMap<WorkspaceId, Feed>>,
    viewers: Viewers,
    look: watch::Sender<u64>,
    typed: Mutex<HashMap<ConversationId, Instant>>,
}

impl Default for Feeds {
    fn default() -> Self {
        Self {
            feeds: Mutex::default(),
            viewers: Viewers::default(),
            look: watch::Sender::new(0),
            typed: Mutex::default(),
        }
    }
}

impl Feeds {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<WorkspaceId, Feed>) -> T) -> T {
        act(&mut self.feeds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets a feed that nobody hears; under the lock, so that nobody can join in between.
    pub(super) fn end_if_unheard(
        &self,
        workspace: WorkspaceId,
        out: &broadcast::Sender<Arc<Out>>,
    ) -> bool {
        self.with(|feeds| {
            let over = out.receiver_count() == 0;
            if over {
                feeds.remove(&workspace);
            }
            over
        })
    }

    /// Hears a workspace from now on: what is read after this, and what is heard, leave no gap between them. None if the
    /// process stops first.
    pub(super) async fn join(&self, state: &AppState, workspace: WorkspaceId) -> Option<Joined> {
        loop {
            let (place, frames, mut begins) = self.with_feed(state, workspace, |feed| {
                // The place first: what is told between the two stands above it.
                let place = *feed.place.borrow();
                (place, feed.out.subscribe(), feed.place.clone())
            });
            if let Some(place) = place {
                return Some(Joined { frames, place });
            }
            // The feed has just begun, and ends if nobody waits for it.
            begins.wait_for(Option::is_some).await.ok()?;
        }
    }

    /// The feed of a workspace, found or begun.
    fn with_feed<T>(
        &self,
        state: &AppState,
        workspace: WorkspaceId,
        act: impl FnOnce(&Feed) -> T,
    ) -> T {
        self.with(|feeds| {
            act(feeds.entry(workspace).or_insert_with(|| self.begin(state, workspace)))
        })
    }

    fn begin(&self, state: &AppState, workspace: WorkspaceId) -> Feed {
        let out = broadcast::Sender::new(CAPACITY);
        let (told, asked) = mpsc::unbounded_channel();
        let heard = state.conversations.wire().agents.subscribe(workspace);
        let pump = Pump::new(state, workspace, out.clone(), self.viewers.clone());
        let place = pump.place();
        let pumping = AssertUnwindSafe(pump.run(heard, asked)).catch_unwind();
        let all = Arc::clone(&state.feeds);
        state.tasks.spawn(async move {
            if pumping.await.is_err() {
                tracing::error!(error.code = "panicked", "the feed of a workspace starts over");
                // Its sockets end with it, come back, and resume on a feed that works.
                all.with(|feeds| feeds.remove(&workspace));
            }
        });
        Feed { out, told, place }
    }

    /// Tells a workspace's sockets, if there are any.
    pub fn tell(&self, workspace: WorkspaceId, what: Told) {
        self.with(|feeds| {
            if let Some(feed) = feeds.get(&workspace) {
                let _stopping = feed.told.send(what);
            }
        });
    }

    /// Tells whoever can see the contact.
    pub fn tell_contact(&self, contact: ContactId) {
        self.with(|feeds| {
            for feed in feeds.values() {
                let _stopping = feed.told.send(Told::Contact(contact));
            }
        });
    }

    /// Asks every feed to look for what it may have missed.
    pub fn catch_up(&self) {
        self.with(|feeds| {
            for feed in feeds.values() {
                let _stopping = feed.told.send(Told::Look);
            }
        });
    }

    /// An agent looks at another conversation than before. Returns, for each of the two, who of this node looks at it now.
    pub fn watch(
        &self,
        workspace: WorkspaceId,
        agent: AgentId,
        from: Option<ConversationId>,
        to: Option<ConversationId>,
    ) -> Vec<(ConversationId, Vec<AgentId>)> {
        if let Some(from) = from {
            self.viewers.went(from, agent);
        }
        if let Some(to) = to {
            self.viewers.came(workspace, to, agent);
        }
        let both = from.into_iter().chain(to);
        both.map(|conversation| {
            self.tell(workspace, Told::Viewers(conversation));
            (conversation, self.viewers.here(conversation))
        })
        .collect()
    }

    /// Who of this node looks at what.
    #[must_use]
    pub fn watched_here(&self) -> Vec<(WorkspaceId, ConversationId, Vec<AgentId>)> {
        self.viewers.all_here()
    }

    /// Another node said who looks at a conversation there.
    pub fn watched_elsewhere(
        &self,
        node: NodeId,
        workspace: WorkspaceId,
        conversation: ConversationId,
        agents: Vec<AgentId>,
    ) {
        self.viewers.heard(node, workspace, conversation, agents);
        self.tell(workspace, Told::Viewers(conversation));
    }

    /// Forgets who looked at something on a node.
    pub fn forget(&self, node: NodeId) {
        for (workspace, conversation) in self.viewers.forget(node) {
            self.tell(workspace, Told::Viewers(conversation));
        }
    }

    /// Whether a visitor's typing is news: once in a while for each conversation, whatever the page sends.
    #[must_use]
    pub fn may_tell_typing(&self, conversation: ConversationId) -> bool {
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        if typed.len() >= MAX_TYPED {
            typed.retain(|_, at| at.elapsed() < TYPING_EVERY);
        }
        let is_news = typed.get(&conversation).is_none_or(|at| at.elapsed() >= TYPING_EVERY);
        if is_news {
            typed.insert(conversation, Instant::now());
        }
        is_news
    }

    /// Asks every socket to look again whether it is still welcome.
    pub fn look_again(&self) {
        self.look.send_modify(|n| *n += 1);
    }

    /// Changes when sockets should look again.
    #[must_use]
    pub fn looking(&self) -> watch::Receiver<u64> {
        self.look.subscribe()
    }
}
