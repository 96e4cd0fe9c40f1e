//! What agents' sockets hear: the task behind one workspace's feed reads each row once and tells every socket.
//!
//! On SQLite a change's own place in the feed is exact, since one writer commits in feed order. On PostgreSQL commits are
//! told as they come, this node's and those that others tell of; only the reading of the feed below the oldest running
//! transaction moves the cursor on, and it brings what nobody told.
//!
//! Invariants: a socket is told each event of a conversation once, in the order of its numbers, from wherever it began
//! ([`super::told`] is the only way out, and a mark moves on only when its frame is sent); everything at or below the cursor
//! was told, or stood there when the feed began. So what fails costs time, and the next look goes on where it stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::counted::Counted;
use super::feed::Told;
use super::rows::{self, AlarmView, RowView};
use super::timeline::{items, may_have_been_read};
use super::told::{AllNews, Marks, News};
use super::viewers::Viewers;
use super::wire::{self, Item, View};
use crate::app::AppState;
use crate::assist::{self, Artifact};
use crate::conversation::lists::{self, ListRow};
use crate::conversation::store::{self, Span};
use crate::conversation::{Actor, AlarmFor, Cursor, Heard, Logged, Record};
use crate::db::{DbError, EngineKind};
use crate::directory::Directory;
use crate::hub::{Availability, Hearing};
use crate::ids::{AgentId, ContactId, ConversationId, TurnId, WorkspaceId};

/// Changes taken together at most.
const BATCH: usize = 64;
/// How often PostgreSQL's feed is read: the delay of what another node committed and nobody told of.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Events read at once.
const READ_AT_ONCE: u32 = 500;
/// How far back the end of a turn is looked for when its record is stored.
const CANCELLED_WITHIN: u32 = 50;
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
    /// What was added was told before, and is told again with more words.
    pub again: bool,
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
    /// Everything at or below it was told, or was there before.
    cursor: Cursor,
    /// Where those who join find the cursor; nothing until there is a place to start from.
    place: watch::Sender<Option<Cursor>>,
    marks: Marks,
    /// The visitor messages of conversations that were told of lately.
    counted: HashMap<ConversationId, Counted>,
    /// Something of the feed could not be told yet.
    is_behind: bool,
    /// Something else could not be told: consoles have to read it themselves, once that is possible.
    has_lost: bool,
}

impl Pump {
    pub(super) fn new(
        state: &AppState,
        workspace: WorkspaceId,
        out: broadcast::Sender<Arc<Out>>,
        viewers: Viewers,
    ) -> Self {
        Self {
            state: state.clone(),
            workspace,
            out,
            viewers,
            cursor: Cursor::default(),
            place: watch::Sender::new(None),
            marks: Marks::default(),
            counted: HashMap::new(),
            is_behind: false,
            has_lost: false,
        }
    }

    /// How far the feed has come: a place at or below which it tells nothing any more.
    pub(super) fn place(&self) -> watch::Receiver<Option<Cursor>> {
        self.place.subscribe()
    }

    pub(super) async fn run(
        mut self,
        mut heard: Hearing<Heard>,
        mut asked: mpsc::UnboundedReceiver<Told>,
    ) {
        let mut tick = interval(READ_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if !self.begins(&mut tick).await {
            return;
        }
        loop {
            tokio::select! {
                () = self.state.shutdown.cancelled() => return,
                first = heard.recv() => match first {
                    Ok(first) => {
                        let mut batch = vec![first];
                        while batch.len() < BATCH && let Ok(next) = heard.try_recv() {
                            batch.push(next);
                        }
                        self.hear(batch).await;
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        (self.is_behind, self.has_lost) = (true, true);
                        self.catch_up().await;
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(told) = asked.recv() => self.asked(told).await,
                _ = tick.tick() => {
                    if self.state.feeds.end_if_unheard(self.workspace, &self.out) {
                        return;
                    }
                    self.catch_up().await;
                }
            }
        }
    }

    /// Finds the place to start from; without the database there is nothing to tell either. `false` when it is over before.
    async fn begins(&mut self, tick: &mut Interval) -> bool {
        loop {
            tokio::select! {
                () = self.state.shutdown.cancelled() => return false,
                _ = tick.tick() => {}
            }
            if self.state.feeds.end_if_unheard(self.workspace, &self.out) {
                return false;
            }
            match self.now().await {
                Ok(now) => {
                    self.cursor = now;
                    self.place.send_replace(Some(now));
                    return true;
                }
                Err(error) => tracing::warn!(%error, "the feed of a workspace cannot start"),
            }
        }
    }

    async fn now(&self) -> Result<Cursor, DbError> {
        lists::feed_now(&mut self.state.conversations.db().read().await?, self.workspace).await
    }

    fn tell(&self, out: Out) {
        let _nobody = self.out.send(Arc::new(out));
    }

    fn is_postgres(&self) -> bool {
        self.state.conversations.db().kind() == EngineKind::Postgres
    }

    fn fell_behind(&mut self, error: &DbError) {
        if !self.is_behind {
            tracing::warn!(%error, "a workspace's feed fell behind");
        }
        self.is_behind = true;
    }

    fn lost(&mut self, error: &DbError) {
        if !self.has_lost {
            tracing::warn!(%error, "a workspace's feed lost a sign: its consoles will start over");
        }
        self.has_lost = true;
    }

    /// Tells a batch: the changes of one conversation together, so that its row is read once.
    async fn hear(&mut self, batch: Vec<Heard>) {
        let mut news = AllNews::default();
        let mut newest = self.cursor;
        let mut others = Vec::new();
        for heard in batch {
            match heard {
                Heard::Changed(change) => {
                    if let Some(last) = change.events.last()
                        && change.cursor > self.cursor
                    {
                        newest = newest.max(change.cursor);
                        news.add(change.conversation.id, last.seq, &change.events);
                    }
                }
                Heard::Moved(moved) => {
                    if moved.cursor > self.cursor {
                        news.add(moved.conversation, moved.seq, &[]);
                    }
                }
                other => others.push(other),
            }
        }
        // Who could not tell something that stands below may not pass it.
        let may_pass = !self.is_postgres() && !self.is_behind;
        let place = if may_pass { newest } else { self.cursor };
        if let Err(error) = self.tell_all(news, place).await {
            self.fell_behind(&error);
        }
        for other in others {
            if let Err(error) = self.other(other).await {
                self.lost(&error);
            }
        }
    }

    /// Tells what is new; all that stands at or below `place` is told then. What does not read keeps nobody else waiting.
    async fn tell_all(&mut self, news: AllNews, place: Cursor) -> Result<(), DbError> {
        let ends = news.ends();
        let last = ends.len().saturating_sub(1);
        let mut broken = None;
        for (which, (id, news)) in news.into_iter().enumerate() {
            // Only the last frame moves a client on, since the frames before it may be all that it got.
            let is_whole = which == last && broken.is_none();
            let cursor = if is_whole { place } else { self.cursor };
            match self.tell_news(id, news, cursor).await {
                Err(error) if error.broken().is_some() => broken = Some(error),
                told => told?,
            }
        }
        if let Some(error) = broken {
            return Err(error);
        }
        if place > self.cursor {
            self.cursor = place;
            self.place.send_replace(Some(place));
            for (id, seq) in ends {
                self.marks.pass(id, seq);
            }
        }
        Ok(())
    }

    /// Tells what is new of one conversation: all that follows what was told, in its order.
    async fn tell_news(
        &mut self,
        id: ConversationId,
        mut news: News,
        cursor: Cursor,
    ) -> Result<(), DbError> {
        let Some(mut told) = self.told(id).await? else { return Ok(()) };
        while told < news.through {
            let events = match news.after(told) {
                Some(events) => events,
                None => self.events_after(id, told).await?,
            };
            let Some(last) = events.last().map(|event| event.seq) else { return Ok(()) };
            let cursor = if last < news.through { self.cursor } else { cursor };
            self.changed(id, &events, |frame| frame.cursor = cursor).await?;
            self.marks.tell(id, last);
            told = last;
        }
        Ok(())
    }

    /// The last event of a conversation that was told or was there before; none if nothing stands above the cursor.
    async fn told(&self, id: ConversationId) -> Result<Option<u64>, DbError> {
        if let Some(told) = self.marks.told(id) {
            return Ok(Some(told));
        }
        let mut conn = self.state.conversations.db().read().await?;
        let first = lists::first_after(&mut conn, self.workspace, id, self.cursor).await?;
        Ok(first.map(|first| first.saturating_sub(1)))
    }

    /// Makes good what could not be told, and what nobody told.
    async fn catch_up(&mut self) {
        if self.is_behind || self.is_postgres() {
            match self.read().await {
                Ok(()) => self.is_behind = false,
                Err(error) => return self.fell_behind(&error),
            }
        }
        if std::mem::take(&mut self.has_lost) {
            self.tell(Out::Resync(self.cursor));
        }
    }

    /// Reads the feed (on PostgreSQL below the oldest running transaction), tells what was not told yet, moves the cursor on.
    async fn read(&mut self) -> Result<(), DbError> {
        loop {
            let mut conn = self.state.conversations.db().read().await?;
            let fed =
                lists::feed_after(&mut conn, self.workspace, self.cursor, READ_AT_ONCE).await?;
            drop(conn);
            let Some(newest) = fed.last().map(|fed| fed.cursor) else { return Ok(()) };
            let may_be_more = fed.len() >= READ_AT_ONCE as usize / 2;
            let mut news = AllNews::default();
            for fed in fed {
                news.add(fed.conversation, fed.seq, &[]);
            }
            self.tell_all(news, newest).await?;
            if !may_be_more {
                return Ok(());
            }
        }
    }

    async fn events_after(&self, id: ConversationId, told: u64) -> Result<Vec<Logged>, DbError> {
        let mut conn = self.state.conversations.db().read().await?;
        store::timeline(&mut conn, self.workspace, id, Span::After(told), READ_AT_ONCE).await
    }

    /// Tells a conversation's row and what was added.
    async fn changed(
        &mut self,
        id: ConversationId,
        events: &[Logged],
        adjust: impl FnOnce(&mut Changed),
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
        adjust(&mut frame);
        self.tell(Out::Changed(Box::new(frame)));
        if let Some(last) = events.last() {
            let lag = self.state.conversations.clock().now().since(last.at);
            crate::metrics::get().web.feed_lag.record(lag);
        }
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
        // One that is not told yet will be told with it.
        let told = self.told(id).await?.unwrap_or(u64::MAX);
        events.retain(|event| event.seq <= told);
        if events.is_empty() {
            return Ok(());
        }
        self.changed(id, &events, |frame| frame.again = true).await
    }

    async fn asked(&mut self, told: Told) {
        let done = match told {
            Told::Look => return self.catch_up().await,
            other => self.sign(other).await,
        };
        if let Err(error) = done {
            self.lost(&error);
        }
    }

    async fn sign(&mut self, told: Told) -> Result<(), DbError> {
        match told {
            Told::Look => Ok(()),
            Told::Read { agent, conversation } => {
                self.changed(conversation, &[], |frame| frame.only = Some(agent)).await
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
            self.changed(id, &[], |_| {}).await?;
        }
        Ok(())
    }
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
        again: false,
        marks,
        visitor_seqs: counted.seqs.clone(),
    };
    Ok(Some((frame, row, counted)))
}
