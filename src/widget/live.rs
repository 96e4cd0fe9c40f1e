//! A visitor's socket: what was said after the last number they have, then everything as it is committed, and the
//! half-written reply of the AI.
//!
//! It listens before it reads, and sends by number: a message is never missing and never comes twice.

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::view::{CATCH_UP, Read, Stretch, Whose, current, read, visible, visitor_state};
use super::wire::{VisitorAuthor, VisitorConversation, VisitorMessage, VisitorState, author};
use crate::access::{Origin, VisitorToken, cors, visitor};
use crate::app::AppState;
use crate::conversation::others::Item;
use crate::conversation::store::{self, Part};
use crate::conversation::{Actor, Change, Conversation, Draft, Heard, Live, Message, Record};
use crate::db::DbError;
use crate::directory::Directory;
use crate::ids::{AssistantId, ConversationId, TurnId};
use crate::metrics;
use crate::socket::{Code, Gone, Socket};

/// Sockets of one visitor on this node: tabs, and some that are still dying.
const MAX_SOCKETS: usize = 16;

/// What a visitor may send.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Ping,
}

/// Reads a value as a frame that a client sends.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_anything(value: &serde_json::Value) {
    let _frame = serde_json::from_value::<Said>(value.clone());
}

/// What a visitor hears.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    Welcome { conversation: Option<&'a VisitorConversation> },
    Pong,
    Message { message: &'a VisitorMessage },
    State { conversation: VisitorState },
    Draft { turn: TurnId, attempt: u32, epoch: u64, index: u32, text: &'a str },
    DraftDropped { turn: TurnId, epoch: u64 },
    Typing { author: TypingAuthor },
}

#[derive(Serialize)]
struct TypingAuthor {
    kind: &'static str,
    name: Option<String>,
}

impl From<VisitorAuthor> for TypingAuthor {
    fn from(author: VisitorAuthor) -> Self {
        Self { kind: author.kind, name: author.name }
    }
}

enum Ended {
    Gone(Gone),
    Db(DbError),
}

impl From<Gone> for Ended {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl From<DbError> for Ended {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Serves a visitor's socket until it ends. `origin` is the page, unless it is our own.
pub async fn serve(
    state: &AppState,
    socket: &mut Socket,
    token: &str,
    origin: Option<&Origin>,
    after: u64,
) -> Gone {
    match listen(state, socket, token, origin, after).await {
        Ok(()) => Gone::Left,
        Err(Ended::Gone(gone)) => gone,
        Err(Ended::Db(error)) => {
            tracing::warn!(%error, "a visitor's socket ended: the database is away");
            Gone::Ended(Code::Unavailable)
        }
    }
}

async fn valid(state: &AppState, token: &str) -> Result<VisitorToken, Ended> {
    let now = state.conversations.clock().now();
    let found = visitor::find(&mut state.conversations.db().read().await?, token, now).await?;
    found.ok_or(Ended::Gone(Gone::Ended(Code::Unauthenticated)))
}

fn may_listen(token: &VisitorToken, origin: Option<&Origin>) -> Result<(), Ended> {
    match origin {
        Some(origin) if cors::check(&token.allowed_origins, origin).is_err() => {
            Err(Gone::Ended(Code::Forbidden).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// A visitor who is here; dropping it is leaving.
struct Here<'a> {
    state: &'a AppState,
    whose: Whose,
}

impl<'a> Here<'a> {
    fn join(state: &'a AppState, whose: Whose) -> Self {
        let here = Self { state, whose };
        here.moved(true);
        here
    }

    fn moved(&self, joined: bool) {
        let wire = self.state.conversations.wire();
        let contact = self.whose.contact;
        let workspace = self.whose.workspace;
        if wire.presence.visitor(workspace, contact, joined) {
            wire.agents.publish(&workspace, Heard::Visitor { contact });
            wire.others.tell(|| Item::Visitor(workspace, contact, joined));
        }
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.moved(false);
    }
}

async fn listen(
    state: &AppState,
    socket: &mut Socket,
    token: &str,
    origin: Option<&Origin>,
    after: u64,
) -> Result<(), Ended> {
    let known = Box::pin(valid(state, token)).await?;
    may_listen(&known, origin)?;
    let whose = Whose { workspace: known.workspace, inbox: known.inbox, contact: known.contact };
    // Before anything is read: what is committed from here on is heard.
    let mut topic = state.conversations.wire().visitors.subscribe((whose.inbox, whose.contact));
    if state.conversations.wire().presence.visitor_sockets(whose.contact) >= MAX_SOCKETS {
        return Err(Gone::Ended(Code::RateLimited).into());
    }
    let _here = Here::join(state, whose);
    let _counted = metrics::get().web.sockets.open(&["visitor"]);
    let mut visitor = Listening { state, whose, sent: 0, epoch: 0, drafted: None };
    Box::pin(visitor.welcome(socket, after)).await?;
    let mut recheck = tokio::time::interval(state.live.recheck);
    recheck.reset();
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return Err(Gone::Ended(Code::GoingAway).into()),
            said = socket.receive::<Said>() => match said? {
                Said::Ping => socket.send(&Frame::Pong).await?,
            },
            // Boxed, so that who waits does not keep room for all that may come.
            live = topic.recv() => Box::pin(visitor.hear(socket, live)).await?,
            _ = recheck.tick() => {
                may_listen(&Box::pin(valid(state, token)).await?, origin)?;
                Box::pin(visitor.look(socket)).await?;
            }
        }
    }
}

struct Listening<'a> {
    state: &'a AppState,
    whose: Whose,
    /// The number of the last message the client has.
    sent: u64,
    /// The epoch the client knows.
    epoch: u64,
    /// The draft the client has: its turn and try, and the index of its next sentence.
    drafted: Option<(TurnId, u32, u32)>,
}

impl Listening<'_> {
    async fn welcome(&mut self, socket: &mut Socket, after: u64) -> Result<(), Ended> {
        let mut conn = self.state.conversations.db().read().await?;
        let found = read(self.state, &mut conn, self.whose, Stretch::After(after)).await?;
        drop(conn);
        let Some(Read { conversation, view, draft }) = found else {
            return Ok(socket.send(&Frame::Welcome { conversation: None }).await?);
        };
        self.epoch = conversation.epoch;
        self.sent = match view.messages.last() {
            Some(last) => last.public_seq,
            None => after.min(conversation.public_seq),
        };
        self.drafted = draft.map(|d| (d.turn, d.attempt, d.next_index));
        socket.send(&Frame::Welcome { conversation: Some(&view) }).await?;
        if view.messages.len() >= usize::try_from(CATCH_UP).unwrap_or(usize::MAX) {
            self.catch_up(socket, conversation.id, false).await?;
        }
        Ok(())
    }

    async fn hear(
        &mut self,
        socket: &mut Socket,
        live: Result<Live, RecvError>,
    ) -> Result<(), Ended> {
        match live {
            Ok(Live::Changed(change)) => self.changed(socket, &change).await?,
            Ok(Live::Moved(moved)) => {
                if moved.public_seq > self.sent || moved.epoch > self.epoch {
                    self.look(socket).await?;
                }
                self.begins(socket, moved.begins, moved.epoch).await?;
            }
            Ok(Live::Draft(draft)) => self.draft(socket, &draft).await?,
            Ok(Live::DraftDropped { turn, epoch, .. }) => {
                self.drafted = None;
                socket.send(&Frame::DraftDropped { turn, epoch }).await?;
            }
            Ok(Live::Typing { actor: Actor::Visitor(_), .. }) => {}
            Ok(Live::Typing { actor, name, .. }) => {
                let directory = self.state.names.of(self.whose.workspace).await?;
                let mut author = TypingAuthor::from(author(actor, &directory));
                author.name = name.or(author.name);
                socket.send(&Frame::Typing { author }).await?;
            }
            Err(RecvError::Lagged(_)) => self.lagged(socket).await?,
            Err(RecvError::Closed) => return Err(Gone::Ended(Code::GoingAway).into()),
        }
        Ok(())
    }

    async fn changed(&mut self, socket: &mut Socket, change: &Change) -> Result<(), Ended> {
        let c = &change.conversation;
        let mut fresh: Vec<_> = change
            .events
            .iter()
            .filter_map(|logged| logged.message.as_ref())
            .filter(|message| message.public_seq.is_some_and(|seq| seq > self.sent))
            .collect();
        fresh.sort_by_key(|message| message.public_seq);
        let whole = (self.sent + 1..).zip(&fresh).all(|(n, m)| m.public_seq == Some(n));
        if whole {
            let directory = self.state.names.of(self.whose.workspace).await?;
            for message in fresh {
                if let Some(shown) = VisitorMessage::of(message, &directory) {
                    socket.send(&Frame::Message { message: &shown }).await?;
                    self.delivered(message);
                }
                self.sent = message.public_seq.unwrap_or(self.sent);
            }
        } else {
            // Two commits were told in the other order: the log knows the right one.
            self.catch_up(socket, c.id, true).await?;
        }
        self.state(socket, change).await
    }

    /// The visitor has been sent a message that was committed a moment ago.
    fn delivered(&self, message: &Message) {
        let took = self.state.conversations.clock().now().since(message.at);
        if matches!(message.author, Actor::Agent(_) | Actor::Assistant(_)) {
            metrics::get().web.delivery.record(&[message.author.kind()], took);
        }
    }

    /// Who answers, when that has changed; dots when the AI begins.
    async fn state(&mut self, socket: &mut Socket, change: &Change) -> Result<(), Ended> {
        let c = &change.conversation;
        self.holder(socket, c).await?;
        let begins = change.events.iter().find_map(|logged| match logged.record {
            Record::TurnStarted { assistant, .. } => Some(assistant),
            _ => None,
        });
        self.begins(socket, begins, c.epoch).await
    }

    /// Dots when the AI begins, unless somebody has taken over meanwhile.
    async fn begins(
        &mut self,
        socket: &mut Socket,
        assistant: Option<AssistantId>,
        epoch: u64,
    ) -> Result<(), Ended> {
        if let Some(assistant) = assistant
            && epoch == self.epoch
        {
            let directory = self.state.names.of(self.whose.workspace).await?;
            let author = author(Actor::Assistant(assistant), &directory).into();
            socket.send(&Frame::Typing { author }).await?;
        }
        Ok(())
    }

    /// Who answers, if the client knows an older epoch.
    async fn holder(&mut self, socket: &mut Socket, c: &Conversation) -> Result<(), Ended> {
        if c.epoch <= self.epoch {
            return Ok(());
        }
        self.epoch = c.epoch;
        let enough = |directory: &Directory| directory.knows(c.inbox, c.holder.assignee());
        let directory = self.state.names.of_knowing(self.whose.workspace, enough).await?;
        let mut conn = self.state.conversations.db().read().await?;
        let conversation = visitor_state(self.state, &mut conn, c, &directory).await?;
        drop(conn);
        Ok(socket.send(&Frame::State { conversation }).await?)
    }

    async fn draft(&mut self, socket: &mut Socket, draft: &Draft) -> Result<(), Ended> {
        let Draft { turn, attempt, epoch, index, ref text, .. } = *draft;
        let had = match self.drafted {
            Some((t, a, next)) if (t, a) == (turn, attempt) => next,
            Some(_) | None => 0,
        };
        if index < had || epoch < self.epoch {
            return Ok(());
        }
        self.drafted = Some((turn, attempt, index + 1));
        Ok(socket.send(&Frame::Draft { turn, attempt, epoch, index, text }).await?)
    }

    /// Everything after the last number the client has; `as_it_comes`, not what was said before the socket was opened.
    async fn catch_up(
        &mut self,
        socket: &mut Socket,
        id: ConversationId,
        as_it_comes: bool,
    ) -> Result<(), Ended> {
        let directory = self.state.names.of(self.whose.workspace).await?;
        loop {
            let mut conn = self.state.conversations.db().read().await?;
            let part = Part::PublicAfter(self.sent);
            let messages =
                store::messages(&mut conn, self.whose.workspace, id, part, CATCH_UP).await?;
            drop(conn);
            let Some(last) = messages.last().and_then(|m| m.public_seq) else { return Ok(()) };
            for message in visible(&messages, &directory) {
                socket.send(&Frame::Message { message: &message }).await?;
            }
            if as_it_comes {
                messages.iter().for_each(|message| self.delivered(message));
            }
            self.sent = last;
        }
    }

    /// What another node has committed meanwhile.
    async fn look(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let mut conn = self.state.conversations.db().read().await?;
        let Some(c) = current(&mut conn, self.whose).await? else { return Ok(()) };
        drop(conn);
        if c.public_seq > self.sent {
            self.catch_up(socket, c.id, true).await?;
        }
        self.holder(socket, &c).await
    }

    /// The topic ran ahead: state, messages and draft are read again.
    async fn lagged(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let mut conn = self.state.conversations.db().read().await?;
        let stretch = Stretch::After(self.sent.max(1));
        let found = read(self.state, &mut conn, self.whose, stretch).await?;
        drop(conn);
        let Some(Read { conversation, view, draft }) = found else { return Ok(()) };
        self.catch_up(socket, conversation.id, true).await?;
        self.epoch = self.epoch.max(conversation.epoch);
        socket.send(&Frame::State { conversation: view.state }).await?;
        if let Some((turn, ..)) = self.drafted.take() {
            socket.send(&Frame::DraftDropped { turn, epoch: self.epoch }).await?;
        }
        if let Some(draft) = draft {
            self.drafted = Some((draft.turn, draft.attempt, draft.next_index));
            let frame = Frame::Draft {
                turn: draft.turn,
                attempt: draft.attempt,
                epoch: draft.epoch,
                index: draft.next_index.saturating_sub(1),
                text: &draft.text,
            };
            socket.send(&frame).await?;
        }
        Ok(())
    }
}
