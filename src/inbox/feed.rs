//! The feeds of this node: one task for each workspace with a socket open ([`super::pump`]), and who joins and looks.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use super::pump::{Out, Pump};
use crate::app::AppState;
use crate::ids::{AgentId, ContactId, ConversationId, WorkspaceId};

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
}

/// Who looks at which conversation, and in how many windows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Viewers(Arc<Mutex<HashMap<ConversationId, HashMap<AgentId, usize>>>>);

impl Viewers {
    fn locked(&self) -> MutexGuard<'_, HashMap<ConversationId, HashMap<AgentId, usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who looks at a conversation.
    pub(super) fn of(&self, conversation: ConversationId) -> Vec<AgentId> {
        self.locked()
            .get(&conversation)
            .map(|who| who.keys().copied().collect())
            .unwrap_or_default()
    }

    fn came(&self, conversation: ConversationId, agent: AgentId) {
        *self.locked().entry(conversation).or_default().entry(agent).or_default() += 1;
    }

    fn went(&self, conversation: ConversationId, agent: AgentId) {
        let mut all = self.locked();
        let Some(agents) = all.get_mut(&conversation) else { return };
        if let Some(windows) = agents.get_mut(&agent) {
            *windows = windows.saturating_sub(1);
        }
        agents.retain(|_, windows| *windows > 0);
        if agents.is_empty() {
            all.remove(&conversation);
        }
    }
}

struct Feed {
    out: broadcast::Sender<Arc<Out>>,
    told: mpsc::UnboundedSender<Told>,
    viewers: Viewers,
}

/// The feeds of every workspace with a socket open on this node.
pub struct Feeds {
    feeds: Mutex<HashMap<WorkspaceId, Feed>>,
    look: watch::Sender<u64>,
    typed: Mutex<HashMap<ConversationId, Instant>>,
}

impl Default for Feeds {
    fn default() -> Self {
        Self { feeds: Mutex::default(), look: watch::Sender::new(0), typed: Mutex::default() }
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

    /// Hears a workspace from now on.
    #[must_use]
    pub fn join(&self, state: &AppState, workspace: WorkspaceId) -> broadcast::Receiver<Arc<Out>> {
        self.with(|feeds| {
            if let Some(feed) = feeds.get(&workspace) {
                return feed.out.subscribe();
            }
            let (out, receiver) = broadcast::channel(CAPACITY);
            let (told, asked) = mpsc::unbounded_channel();
            let viewers = Viewers::default();
            let heard = state.conversations.wire().agents.subscribe(workspace);
            let pump = Pump::new(state, workspace, out.clone(), viewers.clone());
            let pumping = AssertUnwindSafe(pump.run(heard, asked)).catch_unwind();
            let all = Arc::clone(&state.feeds);
            state.tasks.spawn(async move {
                if pumping.await.is_err() {
                    tracing::error!(error.code = "panicked", "the feed of a workspace starts over");
                    // Its sockets end with it, come back, and resume on a feed that works.
                    all.with(|feeds| feeds.remove(&workspace));
                }
            });
            feeds.insert(workspace, Feed { out, told, viewers });
            receiver
        })
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

    /// An agent looks at another conversation than before.
    pub fn watch(
        &self,
        workspace: WorkspaceId,
        agent: AgentId,
        from: Option<ConversationId>,
        to: Option<ConversationId>,
    ) {
        self.with(|feeds| {
            let Some(feed) = feeds.get(&workspace) else { return };
            if let Some(from) = from {
                feed.viewers.went(from, agent);
            }
            if let Some(to) = to {
                feed.viewers.came(to, agent);
            }
            for conversation in from.into_iter().chain(to) {
                let _stopping = feed.told.send(Told::Viewers(conversation));
            }
        });
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
