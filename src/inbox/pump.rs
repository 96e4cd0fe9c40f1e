//! What agents' sockets hear: the task behind one workspace's feed reads each row once and tells every socket.
//!
//! On SQLite a change's own place in the feed is exact, since one writer commits in feed order. On PostgreSQL commits are
//! told as they come, this node's and those that others tell of, each conversation's in its order; only the reading of the
//! feed below the oldest running transaction moves the cursor on, and it brings what nobody told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};

use super::feed::Told;
use super::rows::{self, AlarmView, RowView};
use super::timeline::{items, may_have_been_read};
use super::viewers::Viewers;
use super::wire::{self, Item, View};
use crate::app::AppState;
use crate::assist::{self, Artifact};
use crate::conversation::lists::{self, ListRow};
use crate::conversation::store::{self, Span};
use crate::conversation::{Actor, AlarmFor, Cursor, Heard, Logged, Record};
use crate::db::{Conn, DbError, EngineKind};
use crate::directory::Directory;
use crate::hub::Availability;
use crate::ids::{AgentId, ContactId, ConversationId, TurnId, WorkspaceId};

/// Changes taken together at most.
const BATCH: usize = 64;
/// How often PostgreSQL's feed is read: the delay of what another node committed and nobody told of.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Events read at once.
const READ_AT_ONCE: u32 = 500;
/// Visitor messages counted for the unread number.
const COUNT_UNREAD: u32 = 100;
/// How far back the end of a turn is looked for when its record is stored.
const CANCELLED_WITHIN: u32 = 50;
/// Events remembered as told before the feed had them: as many as commit while one transaction stays open. Beyond it, some
/// are told twice.
const MAX_EARLY: usize = 100_000;
/// Conversations whose last told event is remembered.
const MAX_TOLD: usize = 10_000;
/// Conversations whose visitor messages are remembered.
const MAX_COUNTED: usize = 1_000;

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
    Artifact(ConversationId, Box<Artifact>),
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

/// The task behind one feed.
pub(super) struct Pump {
    state: AppState,
    workspace: WorkspaceId,
    out: broadcast::Sender<Arc<Out>>,
    viewers: Viewers,
    cursor: Cursor,
    /// Told, and still above the cursor: the reading of the feed will meet them.
    early: HashSet<(ConversationId, u64)>,
    /// The last event told of a conversation.
    told: HashMap<ConversationId, u64>,
    /// The visitor messages of conversations that were told of lately.
    counted: HashMap<ConversationId, Counted>,
}

/// The numbers of a conversation's newest visitor messages, newest first: read once, and then the log tells of more.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    seqs: Vec<u64>,
    /// The last event that they know of.
    through: u64,
}

impl Counted {
    async fn read(
        conn: &mut Conn,
        workspace: WorkspaceId,
        id: ConversationId,
        through: u64,
    ) -> Result<Self, DbError> {
        let seqs = lists::visitor_seqs(conn, workspace, id, COUNT_UNREAD).await?;
        Ok(Self { seqs, through })
    }

    /// Takes in what was told. `false` if something before it was not.
    fn goes_on(&mut self, events: &[Logged]) -> bool {
        let known = self.through;
        for event in events.iter().filter(|event| event.seq > known) {
            if event.seq != self.through + 1 {
                return false;
            }
            self.through = event.seq;
            // What was read may have known more than the state that was read before it.
            let is_new = self.seqs.first().is_none_or(|newest| *newest < event.seq);
            if matches!(event.record, Record::VisitorWrote { .. }) && is_new {
                self.seqs.insert(0, event.seq);
            }
        }
        self.seqs.truncate(COUNT_UNREAD as usize);
        true
    }
}

/// What is to be told of one conversation.
#[derive(Default)]
struct News {
    /// With their words.
    events: Vec<Logged>,
    /// To be read.
    seqs: Vec<u64>,
}

impl Pump {
    pub(super) fn new(
        state: &AppState,
        workspace: WorkspaceId,
        out: broadcast::Sender<Arc<Out>>,
        viewers: Viewers,
    ) -> Self {
        let (state, cursor) = (state.clone(), Cursor::default());
        let (early, told, counted) = (HashSet::new(), HashMap::new(), HashMap::new());
        Self { state, workspace, out, viewers, cursor, early, told, counted }
    }

    pub(super) async fn run(
        mut self,
        mut heard: broadcast::Receiver<Heard>,
        mut asked: mpsc::UnboundedReceiver<Told>,
        starts: watch::Sender<bool>,
    ) {
        let mut tick = tokio::time::interval(READ_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if !*starts.borrow() {
                // The place to start from; without the database there is nothing to tell either.
                match self.now().await {
                    Ok(cursor) => {
                        self.cursor = self.cursor.max(cursor);
                        starts.send_replace(true);
                    }
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
                    if self.state.feeds.end_if_unheard(self.workspace, &self.out) {
                        return;
                    }
                    self.read().await
                }
            };
            if let Err(error) = done {
                tracing::warn!(%error, "a workspace's feed fell behind");
                // What was marked as told may not have been: above the cursor everything is told again, in order.
                self.early.clear();
                self.told.clear();
                self.counted.clear();
                let _nobody = self.out.send(Arc::new(Out::Resync(self.cursor)));
            }
        }
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
        let mut news: Vec<(ConversationId, News)> = Vec::new();
        let mut newest = self.cursor;
        let mut others = Vec::new();
        for heard in batch {
            match heard {
                Heard::Changed(change) => {
                    let id = change.conversation.id;
                    newest = newest.max(change.cursor);
                    if self.is_postgres() && change.cursor <= self.cursor {
                        continue;
                    }
                    let fresh = |event: &&Logged| self.is_early(id, event.seq);
                    let events: Vec<Logged> = change.events.iter().filter(fresh).cloned().collect();
                    of(&mut news, id).events.extend(events);
                }
                Heard::Moved(moved) => {
                    if moved.cursor <= self.cursor {
                        continue;
                    }
                    let id = moved.conversation;
                    let seqs: Vec<u64> =
                        (moved.from..=moved.seq).filter(|seq| self.is_early(id, *seq)).collect();
                    of(&mut news, id).seqs.extend(seqs);
                }
                other => others.push(other),
            }
        }
        let last = news.len().saturating_sub(1);
        for (place, (id, found)) in news.into_iter().enumerate() {
            if place == last && !self.is_postgres() {
                self.cursor = newest;
            }
            self.tell_news(id, found).await?;
        }
        for other in others {
            self.other(other).await?;
        }
        Ok(())
    }

    /// Whether an event that stands above the cursor was not told yet; it counts as told from now on.
    fn is_early(&mut self, conversation: ConversationId, seq: u64) -> bool {
        if !self.is_postgres() {
            return true;
        }
        if self.early.len() >= MAX_EARLY {
            self.early.clear();
        }
        self.early.insert((conversation, seq))
    }

    /// Tells what is new of one conversation, in its order: also what stands before it and nobody told yet, since two nodes'
    /// commits may be heard in the other order, and a node that has just died may have told nobody of its last.
    async fn tell_news(&mut self, id: ConversationId, news: News) -> Result<(), DbError> {
        let News { mut events, mut seqs } = news;
        let first = events.iter().map(|event| event.seq).chain(seqs.iter().copied()).min();
        if let Some(first) = first
            && self.is_postgres()
            && self.told.get(&id).is_none_or(|told| *told + 1 < first)
        {
            let mut conn = self.state.conversations.db().read().await?;
            let place = self.cursor;
            let before = lists::untold_before(&mut conn, self.workspace, id, first, place).await?;
            drop(conn);
            seqs.extend(before.into_iter().filter(|seq| self.early.insert((id, *seq))));
        }
        if !seqs.is_empty() {
            events.extend(self.events(id, &seqs).await?);
        }
        if events.is_empty() {
            return Ok(());
        }
        events.sort_by_key(|event| event.seq);
        self.remember(id, &events);
        self.changed(id, &events, None).await
    }

    fn remember(&mut self, id: ConversationId, events: &[Logged]) {
        let Some(last) = events.last() else { return };
        if self.told.len() >= MAX_TOLD {
            self.told.clear();
        }
        let told = self.told.entry(id).or_default();
        *told = (*told).max(last.seq);
    }

    /// PostgreSQL: reads the feed below the oldest running transaction, tells what was not told yet, moves the cursor on.
    async fn read(&mut self) -> Result<(), DbError> {
        if !self.is_postgres() {
            return Ok(());
        }
        loop {
            let mut conn = self.state.conversations.db().read().await?;
            let fed =
                lists::feed_after(&mut conn, self.workspace, self.cursor, READ_AT_ONCE).await?;
            drop(conn);
            let Some(newest) = fed.last().map(|fed| fed.cursor) else { return Ok(()) };
            let may_be_more = fed.len() >= READ_AT_ONCE as usize / 2;
            let mut missed: Vec<(ConversationId, News)> = Vec::new();
            for fed in fed {
                if !self.early.remove(&(fed.conversation, fed.seq)) {
                    of(&mut missed, fed.conversation).seqs.push(fed.seq);
                }
            }
            let last = missed.len().saturating_sub(1);
            for (place, (id, news)) in missed.into_iter().enumerate() {
                let events = self.events(id, &news.seqs).await?;
                if place == last {
                    self.cursor = newest;
                }
                self.remember(id, &events);
                self.changed(id, &events, None).await?;
            }
            self.cursor = newest;
            if !may_be_more {
                return Ok(());
            }
        }
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
        &mut self,
        id: ConversationId,
        events: &[Logged],
        only: Option<AgentId>,
    ) -> Result<(), DbError> {
        let known =
            self.counted.remove(&id).and_then(|mut known| known.goes_on(events).then_some(known));
        let frame =
            changed_frame(&self.state, self.workspace, id, events, self.cursor, known).await?;
        let Some((mut frame, row, counted)) = frame else { return Ok(()) };
        if self.counted.len() >= MAX_COUNTED {
            self.counted.clear();
        }
        self.counted.insert(id, counted);
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
            Heard::Changed(_) | Heard::Moved(_) => {}
            Heard::Artifact { conversation, artifact } => {
                let mut conn = self.state.conversations.db().read().await?;
                let found =
                    assist::store::artifact(&mut conn, self.workspace, conversation, artifact)
                        .await?;
                drop(conn);
                if let Some(found) = found {
                    self.tell(Out::Artifact(conversation, Box::new(found)));
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
    async fn explained(&mut self, id: ConversationId, turn: TurnId) -> Result<(), DbError> {
        let mut conn = self.state.conversations.db().read().await?;
        let span = Span::Before(u64::MAX);
        let mut events =
            store::timeline(&mut conn, self.workspace, id, span, CANCELLED_WITHIN).await?;
        drop(conn);
        events.retain(
            |event| matches!(event.record, Record::TurnCancelled { turn: ended, .. } if ended == turn),
        );
        // Another node may say this before what stands before it is told here.
        for event in &events {
            self.is_early(id, event.seq);
        }
        self.tell_news(id, News { events, seqs: Vec::new() }).await
    }

    async fn told(&mut self, told: Told) -> Result<(), DbError> {
        match told {
            Told::Look => self.read().await,
            Told::Read { agent, conversation } => {
                self.changed(conversation, &[], Some(agent)).await
            }
            Told::Contact(contact) => self.contact(contact).await,
            Told::Viewers(conversation) => {
                let directory = self.state.names.of(self.workspace).await?;
                let here = self.viewers.of(conversation);
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

    async fn contact(&mut self, contact: ContactId) -> Result<(), DbError> {
        let mut conn = self.state.conversations.db().read().await?;
        let conversations = lists::of_contact(&mut conn, self.workspace, contact).await?;
        drop(conn);
        for id in conversations {
            self.changed(id, &[], None).await?;
        }
        Ok(())
    }
}

/// What is to be told of a conversation, found or made.
fn of(news: &mut Vec<(ConversationId, News)>, id: ConversationId) -> &mut News {
    let place = match news.iter().position(|(known, _)| *known == id) {
        Some(place) => place,
        None => {
            news.push((id, News::default()));
            news.len() - 1
        }
    };
    &mut news[place].1
}

/// The frame of a conversation, with its row as read and its visitor messages, which are read unless they are known.
pub(super) async fn changed_frame(
    state: &AppState,
    workspace: WorkspaceId,
    id: ConversationId,
    events: &[Logged],
    cursor: Cursor,
    known: Option<Counted>,
) -> Result<Option<(Changed, ListRow, Counted)>, DbError> {
    let mut conn = state.conversations.db().read().await?;
    let Some(row) = lists::row(&mut conn, workspace, None, id).await? else { return Ok(None) };
    let marks = lists::read_marks(&mut conn, workspace, id).await?.into_iter().collect();
    let counted = match known {
        Some(known) => known,
        None => Counted::read(&mut conn, workspace, id, row.conversation.seq).await?,
    };
    let read = may_have_been_read(&mut conn, workspace, id, events).await?;
    drop(conn);
    let c = &row.conversation;
    let enough = |directory: &Directory| directory.knows(c.inbox, c.holder.assignee());
    let directory = state.names.of_knowing(workspace, enough).await?;
    let online = state.conversations.wire().presence.visitor_online(c.contact);
    let view = View { directory: &directory, contact_name: row.contact_name.as_deref() };
    let frame = Changed {
        cursor,
        row: rows::row(&row, &directory, online),
        items: items(&view, events, &read)?,
        only: None,
        marks,
        visitor_seqs: counted.seqs.clone(),
    };
    Ok(Some((frame, row, counted)))
}
