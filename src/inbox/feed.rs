//! What agents' sockets hear: one task for each workspace with a socket open reads rows once and tells every socket.
//!
//! On SQLite a change's own place in the feed is exact, since one writer commits in feed order. On PostgreSQL commits are
//! told as they come, and only the reading of the feed below the oldest running transaction moves the cursor on; it also
//! brings what other nodes committed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};

use super::timeline::{items, may_have_been_read};
use super::wire::{self, AlarmView, Item, RowView, View};
use crate::app::AppState;
use crate::conversation::lists::{self, Artifact, ListRow};
use crate::conversation::store::{self, Span};
use crate::conversation::{Actor, AlarmFor, Change, Cursor, Heard, Logged, Record};
use crate::db::{DbError, EngineKind};
use crate::hub::Availability;
use crate::ids::{AgentId, ContactId, ConversationId, TurnId, WorkspaceId};

/// Frames kept for the slowest socket; beyond that it is dropped and resumes.
const CAPACITY: usize = 256;
/// Changes taken together at most.
const BATCH: usize = 64;
/// How often PostgreSQL's feed is read: the delay of what other nodes commit.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Events read at once.
const READ_AT_ONCE: u32 = 500;
/// Visitor messages counted for the unread number.
const COUNT_UNREAD: u32 = 100;
/// How far back the end of a turn is looked for when its record is stored.
const CANCELLED_WITHIN: u32 = 50;
/// Events remembered as told before the feed had them (other nodes' are never taken out).
const MAX_EARLY: usize = 20_000;

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

/// What a socket hears.
#[derive(Debug)]
pub enum Out {
    /// A conversation changed.
    Changed(Box<Changed>),
    /// Start over from the lists.
    Resync(Cursor),
    /// Somebody types.
    Typing(ConversationId, Actor, wire::AuthorView),
    /// An agent came, left or changed what they say.
    Presence(AgentId, Availability),
    /// A promise was broken; the recipient as stored.
    Alarm(AlarmView, String),
    /// Who looks at a conversation.
    Viewers(ConversationId, Vec<wire::Named<AgentId>>),
    /// A brief, a summary or suggestions.
    Artifact(Box<Artifact>),
}

/// A conversation's row and what was added to its timeline.
#[derive(Debug)]
pub struct Changed {
    /// Resume after it.
    pub cursor: Cursor,
    /// The row, without anybody's unread number.
    pub row: RowView,
    /// What was added.
    pub items: Vec<Item>,
    /// Only for this agent.
    pub only: Option<AgentId>,
    marks: HashMap<AgentId, u64>,
    visitor_seqs: Vec<u64>,
}

impl Changed {
    /// The row as one agent sees it.
    #[must_use]
    pub fn row_for(&self, agent: AgentId) -> RowView {
        let mut row = self.row.clone();
        let mark = self.marks.get(&agent).copied();
        row.body.last_read_seq = mark;
        let unread = self.visitor_seqs.iter().filter(|seq| **seq > mark.unwrap_or(0)).count();
        row.body.unread = u64::try_from(unread).unwrap_or(u64::MAX);
        row
    }
}

type Viewers = HashMap<ConversationId, HashMap<AgentId, usize>>;

struct Feed {
    out: broadcast::Sender<Arc<Out>>,
    told: mpsc::UnboundedSender<Told>,
    viewers: Arc<Mutex<Viewers>>,
}

/// The feeds of every workspace with a socket open on this node.
pub struct Feeds {
    feeds: Mutex<HashMap<WorkspaceId, Feed>>,
    look: watch::Sender<u64>,
}

impl Default for Feeds {
    fn default() -> Self {
        Self { feeds: Mutex::default(), look: watch::Sender::new(0) }
    }
}

impl Feeds {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<WorkspaceId, Feed>) -> T) -> T {
        act(&mut self.feeds.lock().unwrap_or_else(PoisonError::into_inner))
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
            let viewers = Arc::<Mutex<Viewers>>::default();
            let heard = state.conversations.wire().agents.subscribe(workspace);
            let pump = Pump {
                state: state.clone(),
                workspace,
                out: out.clone(),
                viewers: Arc::clone(&viewers),
                cursor: Cursor::default(),
                early: HashSet::new(),
            };
            state.tasks.spawn(pump.run(heard, asked));
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
            let mut viewers = feed.viewers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(from) = from
                && let Some(agents) = viewers.get_mut(&from)
            {
                let left = agents.get_mut(&agent).map_or(0, |count| {
                    *count = count.saturating_sub(1);
                    *count
                });
                if left == 0 {
                    agents.remove(&agent);
                }
                if agents.is_empty() {
                    viewers.remove(&from);
                }
            }
            if let Some(to) = to {
                *viewers.entry(to).or_default().entry(agent).or_default() += 1;
            }
            drop(viewers);
            for conversation in from.into_iter().chain(to) {
                let _stopping = feed.told.send(Told::Viewers(conversation));
            }
        });
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

/// The task behind one feed.
struct Pump {
    state: AppState,
    workspace: WorkspaceId,
    out: broadcast::Sender<Arc<Out>>,
    viewers: Arc<Mutex<Viewers>>,
    cursor: Cursor,
    early: HashSet<(ConversationId, u64)>,
}

impl Pump {
    async fn run(
        mut self,
        mut heard: broadcast::Receiver<Heard>,
        mut asked: mpsc::UnboundedReceiver<Told>,
    ) {
        let mut tick = tokio::time::interval(READ_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ready = false;
        loop {
            if !ready {
                // The place to start from; without the database there is nothing to tell either.
                match self.now().await {
                    Ok(cursor) => (self.cursor, ready) = (self.cursor.max(cursor), true),
                    Err(error) => tracing::warn!(%error, "the feed of a workspace cannot start"),
                }
            }
            let done = tokio::select! {
                () = self.state.shutdown.cancelled() => return,
                first = heard.recv() => match first {
                    Ok(first) => {
                        let mut batch = vec![first];
                        while batch.len() < BATCH && let Ok(next) = heard.try_recv() {
                            batch.push(next);
                        }
                        self.hear(batch).await
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => self.resync().await,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(told) = asked.recv() => self.told(told).await,
                _ = tick.tick() => {
                    if self.is_over() {
                        return;
                    }
                    self.read().await
                }
            };
            if let Err(error) = done {
                tracing::warn!(%error, "a workspace's feed fell behind");
                let _nobody = self.out.send(Arc::new(Out::Resync(self.cursor)));
            }
        }
    }

    /// Ends the feed when nobody listens; under the lock, so that nobody can join in between.
    fn is_over(&self) -> bool {
        self.state.feeds.with(|feeds| {
            let over = self.out.receiver_count() == 0;
            if over {
                feeds.remove(&self.workspace);
            }
            over
        })
    }

    fn tell(&self, out: Out) {
        let _nobody = self.out.send(Arc::new(out));
    }

    fn is_postgres(&self) -> bool {
        self.state.conversations.db().kind() == EngineKind::Postgres
    }

    async fn now(&self) -> Result<Cursor, DbError> {
        lists::feed_now(&mut self.state.conversations.db().read().await?, self.workspace).await
    }

    async fn resync(&mut self) -> Result<(), DbError> {
        self.cursor = self.now().await?;
        self.tell(Out::Resync(self.cursor));
        Ok(())
    }

    /// Tells a batch: the changes of one conversation together, so that its row is read once. Only the last frame moves the
    /// cursor on, since the frames before it may be all that a client got.
    async fn hear(&mut self, batch: Vec<Heard>) -> Result<(), DbError> {
        let mut changes: Vec<(ConversationId, Vec<Arc<Change>>)> = Vec::new();
        let mut others = Vec::new();
        for heard in batch {
            match heard {
                Heard::Changed(change) => {
                    let id = change.conversation.id;
                    match changes.iter_mut().find(|(known, _)| *known == id) {
                        Some((_, list)) => list.push(change),
                        None => changes.push((id, vec![change])),
                    }
                }
                other => others.push(other),
            }
        }
        let newest = changes.iter().flat_map(|(_, list)| list.iter().map(|c| c.cursor)).max();
        let last = changes.len().saturating_sub(1);
        for (place, (id, list)) in changes.into_iter().enumerate() {
            if place == last
                && let Some(newest) = newest
                && !self.is_postgres()
            {
                self.cursor = self.cursor.max(newest);
            }
            let mut events: Vec<Logged> = Vec::new();
            for change in &list {
                events.extend(change.events.iter().filter(|e| self.is_news(id, e.seq)).cloned());
            }
            events.sort_by_key(|event| event.seq);
            self.changed(id, &events, None).await?;
        }
        for other in others {
            self.other(other).await?;
        }
        Ok(())
    }

    /// Whether an event was not told yet. On PostgreSQL the reading of the feed may have been faster.
    fn is_news(&mut self, conversation: ConversationId, seq: u64) -> bool {
        if !self.is_postgres() {
            return true;
        }
        if self.early.len() >= MAX_EARLY {
            self.early.clear();
        }
        // Told by the reader: taken out. Else remembered, for the reader to take out.
        !self.early.remove(&(conversation, seq)) && self.early.insert((conversation, seq))
    }

    /// PostgreSQL: reads the feed below the oldest running transaction, tells what was not told yet, moves the cursor on.
    async fn read(&mut self) -> Result<(), DbError> {
        if !self.is_postgres() {
            return Ok(());
        }
        let mut conn = self.state.conversations.db().read().await?;
        let fed = lists::feed_after(&mut conn, self.workspace, self.cursor, READ_AT_ONCE).await?;
        drop(conn);
        let Some(newest) = fed.last().map(|fed| fed.cursor) else { return Ok(()) };
        let mut missed: Vec<(ConversationId, Vec<u64>)> = Vec::new();
        for fed in fed {
            if !self.is_news(fed.conversation, fed.seq) {
                continue;
            }
            match missed.iter_mut().find(|(known, _)| *known == fed.conversation) {
                Some((_, seqs)) => seqs.push(fed.seq),
                None => missed.push((fed.conversation, vec![fed.seq])),
            }
        }
        let last = missed.len().saturating_sub(1);
        for (place, (id, seqs)) in missed.into_iter().enumerate() {
            let events = self.events(id, &seqs).await?;
            if place == last {
                self.cursor = newest;
            }
            self.changed(id, &events, None).await?;
        }
        self.cursor = newest;
        Ok(())
    }

    async fn events(&self, id: ConversationId, seqs: &[u64]) -> Result<Vec<Logged>, DbError> {
        let (Some(first), Some(last)) = (seqs.iter().min(), seqs.iter().max()) else {
            return Ok(Vec::new());
        };
        let mut conn = self.state.conversations.db().read().await?;
        let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
        let span = Span::After(first - 1);
        let mut events = store::timeline(&mut conn, self.workspace, id, span, count).await?;
        events.retain(|event| seqs.contains(&event.seq));
        Ok(events)
    }

    /// Tells a conversation's row and what was added.
    async fn changed(
        &self,
        id: ConversationId,
        events: &[Logged],
        only: Option<AgentId>,
    ) -> Result<(), DbError> {
        let frame = changed_frame(&self.state, self.workspace, id, events, self.cursor).await?;
        let Some((mut frame, row)) = frame else { return Ok(()) };
        frame.only = only;
        self.tell(Out::Changed(Box::new(frame)));
        for event in events {
            if let Record::AlarmRaised { alarm, step, recipient, .. } = &event.record {
                let to = match (recipient, row.conversation.holder.assignee()) {
                    (AlarmFor::Assignee, Some(agent)) => agent.to_string(),
                    (recipient, _) => recipient.as_str().to_owned(),
                };
                let alarm = AlarmView {
                    id: *alarm,
                    conversation_id: id,
                    kind: "obligation".to_owned(),
                    raised_at: event.at,
                    step: u64::from(*step),
                    contact_name: row.contact_name.clone(),
                };
                self.tell(Out::Alarm(alarm, to));
            }
        }
        Ok(())
    }

    async fn other(&mut self, heard: Heard) -> Result<(), DbError> {
        match heard {
            Heard::Changed(_) => {}
            Heard::Artifact { artifact, .. } => {
                let mut conn = self.state.conversations.db().read().await?;
                let found = lists::artifact(&mut conn, self.workspace, artifact).await?;
                drop(conn);
                if let Some(found) = found {
                    self.tell(Out::Artifact(Box::new(found)));
                }
            }
            Heard::Explained { conversation, turn } => self.explained(conversation, turn).await?,
            Heard::Presence { agent } => {
                let presence = &self.state.conversations.wire().presence;
                self.tell(Out::Presence(agent, presence.of_agent(self.workspace, agent)));
            }
            Heard::Visitor { contact } => self.contact(contact).await?,
            Heard::Typing { conversation, actor, name } => {
                let directory = self.state.names.of(self.workspace).await?;
                let view = View { directory: &directory, contact_name: name.as_deref() };
                self.tell(Out::Typing(conversation, actor, view.author(actor)));
            }
        }
        Ok(())
    }

    /// Tells the end of a cancelled turn again, now with what may have been read of it: its worker stops, and stores that,
    /// only after the cancellation was told.
    async fn explained(&self, id: ConversationId, turn: TurnId) -> Result<(), DbError> {
        let mut conn = self.state.conversations.db().read().await?;
        let span = Span::Before(u64::MAX);
        let mut events =
            store::timeline(&mut conn, self.workspace, id, span, CANCELLED_WITHIN).await?;
        drop(conn);
        events.retain(
            |event| matches!(event.record, Record::TurnCancelled { turn: ended, .. } if ended == turn),
        );
        if events.is_empty() { Ok(()) } else { self.changed(id, &events, None).await }
    }

    async fn told(&self, told: Told) -> Result<(), DbError> {
        match told {
            Told::Read { agent, conversation } => {
                self.changed(conversation, &[], Some(agent)).await
            }
            Told::Contact(contact) => self.contact(contact).await,
            Told::Viewers(conversation) => {
                let directory = self.state.names.of(self.workspace).await?;
                let here: Vec<AgentId> = {
                    let viewers = self.viewers.lock().unwrap_or_else(PoisonError::into_inner);
                    let agents = viewers.get(&conversation);
                    agents.map(|agents| agents.keys().copied().collect()).unwrap_or_default()
                };
                let mut named: Vec<_> = here
                    .into_iter()
                    .map(|id| wire::Named { id, name: directory.agent(id) })
                    .collect();
                named.sort_by_key(|agent| agent.id);
                self.tell(Out::Viewers(conversation, named));
                Ok(())
            }
        }
    }

    async fn contact(&self, contact: ContactId) -> Result<(), DbError> {
        let mut conn = self.state.conversations.db().read().await?;
        let conversations = lists::of_contact(&mut conn, self.workspace, contact).await?;
        drop(conn);
        for id in conversations {
            self.changed(id, &[], None).await?;
        }
        Ok(())
    }
}

/// The frame of a conversation, with its row as read.
pub(super) async fn changed_frame(
    state: &AppState,
    workspace: WorkspaceId,
    id: ConversationId,
    events: &[Logged],
    cursor: Cursor,
) -> Result<Option<(Changed, ListRow)>, DbError> {
    let directory = state.names.of(workspace).await?;
    let mut conn = state.conversations.db().read().await?;
    let Some(row) = lists::row(&mut conn, workspace, None, id).await? else { return Ok(None) };
    let marks = lists::read_marks(&mut conn, workspace, id).await?.into_iter().collect();
    let visitor_seqs = lists::visitor_seqs(&mut conn, workspace, id, COUNT_UNREAD).await?;
    let read = may_have_been_read(&mut conn, workspace, id, events).await?;
    drop(conn);
    let online = state.conversations.wire().presence.visitor_online(row.conversation.contact);
    let view = View { directory: &directory, contact_name: row.contact_name.as_deref() };
    let frame = Changed {
        cursor,
        row: wire::row(&row, &directory, online),
        items: items(&view, events, &read)?,
        only: None,
        marks,
        visitor_seqs,
    };
    Ok(Some((frame, row)))
}
