//! An agent's socket: their workspace's feed from a cursor on, and the half-written reply of the conversation they look at.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::feed::Joined;
use super::presence::Here;
use super::pump::{Out, changed_frame};
use super::rows::{AlarmView, RowView};
use super::wire::{AuthorView, Item, Named, View};
use crate::access::{Right, Session, TicketOwner, session};
use crate::app::AppState;
use crate::assist::Artifact;
use crate::conversation::lists::{self, AlarmReader};
use crate::conversation::others;
use crate::conversation::store::{self, Span};
use crate::conversation::{Actor, Cursor, Draft, Live, VisitorKey};
use crate::db::DbError;
use crate::hub::{Availability, Hearing};
use crate::ids::{AgentId, ConversationId, TurnId, WorkspaceId};
use crate::socket::{Code, Gone, Socket};

/// Events sent one by one after a reconnection; beyond it, the client starts over.
const MAX_RESUME: u32 = 500;

/// Sockets of one agent on this node: tabs, and some that are still dying.
const MAX_SOCKETS: usize = 32;

/// What an agent may send.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Ping,
    Watch { conversation_id: Option<ConversationId> },
}

/// Reads a value as a frame that a client sends.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_anything(value: &serde_json::Value) {
    let _frame = serde_json::from_value::<Said>(value.clone());
}

/// What an agent hears.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    Welcome {
        cursor: String,
    },
    Pong,
    Changed {
        cursor: String,
        row: Box<RowView>,
        items: &'a [Item],
    },
    Resync {
        cursor: String,
    },
    Draft {
        conversation_id: ConversationId,
        turn: TurnId,
        attempt: u32,
        epoch: u64,
        index: u32,
        text: &'a str,
    },
    DraftDropped {
        conversation_id: ConversationId,
        turn: TurnId,
        epoch: u64,
    },
    Assist {
        conversation_id: ConversationId,
        artifact: &'a Artifact,
    },
    Typing {
        conversation_id: ConversationId,
        author: &'a AuthorView,
    },
    Presence {
        agent: PresenceView,
    },
    Alarm {
        alarm: &'a AlarmView,
    },
    Viewers {
        conversation_id: ConversationId,
        agents: &'a [Named<AgentId>],
    },
}

#[derive(Serialize)]
struct PresenceView {
    id: AgentId,
    presence: Availability,
}

/// Serves an agent's socket until it ends.
pub async fn serve(
    state: &AppState,
    socket: &mut Socket,
    owner: &TicketOwner,
    cursor: Option<String>,
    watch: Option<ConversationId>,
) -> Gone {
    let served = async {
        let mut agent = Listening::start(state, owner).await?;
        let _counted = crate::metrics::get().web.sockets.open(&["agent"]);
        agent.run(socket, cursor, watch).await
    };
    match served.await {
        Ok(()) => Gone::Left,
        Err(Ended::Gone(gone)) => gone,
        Err(Ended::Db(error)) => away(&error),
    }
}

fn away(error: &DbError) -> Gone {
    tracing::warn!(%error, "an agent's socket ended: the database is away");
    Gone::Ended(Code::Unavailable)
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

struct Listening<'a> {
    state: &'a AppState,
    workspace: WorkspaceId,
    agent: AgentId,
    reader: AlarmReader,
    session: String,
    here: Here,
    feed: Joined,
    watched: Option<ConversationId>,
    drafts: Option<Hearing<Live>>,
    /// What the client has of conversations of which the feed may bring it once more.
    sent: HashMap<ConversationId, u64>,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        if self.watched.is_some() {
            self.looks_at(None);
        }
    }
}

async fn valid(state: &AppState, hash: &str) -> Result<Option<Session>, DbError> {
    let now = state.conversations.clock().now();
    session::find(&mut state.conversations.db().read().await?, hash, now).await
}

impl<'a> Listening<'a> {
    async fn start(state: &'a AppState, owner: &TicketOwner) -> Result<Self, Ended> {
        let session = valid(state, &owner.session)
            .await?
            .ok_or(Ended::Gone(Gone::Ended(Code::Unauthenticated)))?;
        let presence = &state.conversations.wire().presence;
        if presence.agent_sockets(owner.workspace, owner.agent) >= MAX_SOCKETS {
            return Err(Gone::Ended(Code::RateLimited).into());
        }
        // Before anything is read: what is committed from here on is heard.
        let feed = state.feeds.join(state, owner.workspace).await;
        let feed = feed.ok_or(Gone::Ended(Code::GoingAway))?;
        let here = Here::join(state, owner.workspace, owner.agent, session.presence);
        Ok(Self {
            state,
            workspace: owner.workspace,
            agent: owner.agent,
            reader: AlarmReader { agent: owner.agent, owner: session.role.may(Right::Configure) },
            session: owner.session.clone(),
            here,
            feed,
            watched: None,
            drafts: None,
            sent: HashMap::new(),
        })
    }

    async fn run(
        &mut self,
        socket: &mut Socket,
        cursor: Option<String>,
        watch: Option<ConversationId>,
    ) -> Result<(), Ended> {
        self.welcome(socket, cursor).await?;
        self.colleagues(socket).await?;
        self.watch(socket, watch).await?;
        let mut recheck = tokio::time::interval(self.state.live.recheck);
        recheck.reset();
        let mut looking = self.state.feeds.looking();
        loop {
            tokio::select! {
                () = self.state.shutdown.cancelled() => return Err(Gone::Ended(Code::GoingAway).into()),
                said = socket.receive::<Said>() => match said? {
                    Said::Ping => socket.send(&Frame::Pong).await?,
                    Said::Watch { conversation_id } => self.watch(socket, conversation_id).await?,
                },
                out = self.feed.frames.recv() => match out {
                    Ok(out) => self.tell(socket, &out).await?,
                    Err(RecvError::Lagged(_)) => return Err(Gone::Ended(Code::TooSlow).into()),
                    Err(RecvError::Closed) => return Err(Gone::Ended(Code::GoingAway).into()),
                },
                live = next(&mut self.drafts) => self.draft(socket, live).await?,
                _ = recheck.tick() => self.recheck().await?,
                changed = looking.changed() => {
                    if changed.is_err() {
                        return Err(Gone::Ended(Code::GoingAway).into());
                    }
                    self.recheck().await?;
                }
            }
        }
    }

    async fn recheck(&mut self) -> Result<(), Ended> {
        let Some(session) = valid(self.state, &self.session).await? else {
            return Err(Gone::Ended(Code::Unauthenticated).into());
        };
        self.reader.owner = session.role.may(Right::Configure);
        self.here.says(session.presence);
        Ok(())
    }

    /// Who is here: presence lives in sockets, so lists cannot know it.
    async fn colleagues(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let directory = self.state.names.of(self.workspace).await?;
        let presence = &self.state.conversations.wire().presence;
        for id in directory.agents.keys().copied() {
            let agent = PresenceView { id, presence: presence.of_agent(self.workspace, id) };
            socket.send(&Frame::Presence { agent }).await?;
        }
        Ok(())
    }

    /// From the client's cursor on, or from now.
    async fn welcome(&mut self, socket: &mut Socket, cursor: Option<String>) -> Result<(), Ended> {
        let mut conn = self.state.conversations.db().read().await?;
        let now = lists::feed_now(&mut conn, self.workspace).await?;
        let Some(cursor) = cursor else {
            drop(conn);
            socket.send(&Frame::Welcome { cursor: now.to_string() }).await?;
            return Ok(());
        };
        socket.send(&Frame::Welcome { cursor: cursor.clone() }).await?;
        let Ok(after) = cursor.parse::<Cursor>() else {
            return Ok(socket.send(&Frame::Resync { cursor: now.to_string() }).await?);
        };
        // Also what is committed but not settled yet: the pump has told it to others and will not tell it again. And what the
        // client knows already, if the pump has not come so far: it will be told here, and not sent again.
        let from = after.min(self.feed.place);
        let fed = lists::committed_after(&mut conn, self.workspace, from, MAX_RESUME + 1).await?;
        drop(conn);
        // A place ahead of the feed is from before a restore: the client knows what no longer is.
        let lost = fed.len() > usize::try_from(MAX_RESUME).unwrap_or(usize::MAX) || after > now;
        if lost {
            return Ok(socket.send(&Frame::Resync { cursor: now.to_string() }).await?);
        }
        let mut stretches: Vec<(ConversationId, u64, u64, Cursor)> = Vec::new();
        for (fed, settled) in fed {
            if fed.cursor <= after {
                self.has(fed.conversation, fed.seq);
                continue;
            }
            // A client never resumes from a place below which something may still appear.
            let place = if settled { fed.cursor } else { after.max(now.min(fed.cursor)) };
            match stretches.iter_mut().find(|stretch| stretch.0 == fed.conversation) {
                Some((_, first, last, at)) => {
                    *first = fed.seq.min(*first);
                    *last = fed.seq.max(*last);
                    *at = place;
                }
                None => stretches.push((fed.conversation, fed.seq, fed.seq, place)),
            }
        }
        stretches.sort_by_key(|stretch| stretch.3);
        let last = stretches.len().saturating_sub(1);
        for (place, (id, first, until, at)) in stretches.into_iter().enumerate() {
            // The client may lose the frames that follow, so only the last one moves its cursor on.
            let cursor = if place == last { at } else { after };
            self.stretch(socket, id, first, until, cursor).await?;
        }
        Ok(())
    }

    async fn stretch(
        &mut self,
        socket: &mut Socket,
        id: ConversationId,
        first: u64,
        last: u64,
        cursor: Cursor,
    ) -> Result<(), Ended> {
        let mut conn = self.state.conversations.db().read().await?;
        let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
        let span = Span::After(first - 1);
        let events = store::timeline(&mut conn, self.workspace, id, span, count).await?;
        drop(conn);
        let found = changed_frame(self.state, self.workspace, id, &events, cursor, None).await?;
        let Some((frame, ..)) = found else { return Ok(()) };
        self.has(id, last);
        let row = Box::new(frame.row_for(self.agent));
        let frame = Frame::Changed { cursor: cursor.to_string(), row, items: &frame.items };
        Ok(socket.send(&frame).await?)
    }

    /// The client has a conversation's events up to this one.
    fn has(&mut self, id: ConversationId, through: u64) {
        let sent = self.sent.entry(id).or_default();
        *sent = through.max(*sent);
    }

    async fn tell(&mut self, socket: &mut Socket, out: &Out) -> Result<(), Ended> {
        match out {
            Out::Changed(changed) => {
                if changed.only.is_some_and(|only| only != self.agent) {
                    return Ok(());
                }
                let sent = match self.sent.get(&changed.row.body.id) {
                    Some(sent) if !changed.again => *sent,
                    Some(_) | None => 0,
                };
                // Ascending by seq: what the client has stands at the front.
                let from = changed.items.partition_point(|item| item.seq <= sent);
                if from == changed.items.len() && !changed.items.is_empty() {
                    return Ok(());
                }
                let items = changed.items.get(from..).unwrap_or_default();
                let row = Box::new(changed.row_for(self.agent));
                let cursor = changed.cursor.to_string();
                socket.send(&Frame::Changed { cursor, row, items }).await?;
            }
            Out::Resync(cursor) => {
                socket.send(&Frame::Resync { cursor: cursor.to_string() }).await?;
            }
            Out::Typing(conversation_id, actor, author) => {
                if *actor != Actor::Agent(self.agent) {
                    let conversation_id = *conversation_id;
                    socket.send(&Frame::Typing { conversation_id, author }).await?;
                }
            }
            Out::Presence(id, presence) => {
                let agent = PresenceView { id: *id, presence: *presence };
                socket.send(&Frame::Presence { agent }).await?;
            }
            Out::Alarm(alarm, recipient) => {
                if self.reader.hears(recipient) {
                    socket.send(&Frame::Alarm { alarm }).await?;
                }
            }
            Out::Viewers(conversation_id, agents) => {
                if self.watched == Some(*conversation_id) {
                    let conversation_id = *conversation_id;
                    socket.send(&Frame::Viewers { conversation_id, agents }).await?;
                }
            }
            Out::Artifact(conversation_id, artifact) => {
                let conversation_id = *conversation_id;
                socket.send(&Frame::Assist { conversation_id, artifact }).await?;
            }
        }
        Ok(())
    }

    /// Looks at a conversation of the workspace: its half-written reply is sent as far as it is.
    async fn watch(
        &mut self,
        socket: &mut Socket,
        to: Option<ConversationId>,
    ) -> Result<(), Ended> {
        let found = match to {
            None => None,
            Some(id) => {
                let mut conn = self.state.conversations.db().read().await?;
                lists::state(&mut conn, self.workspace, id).await?
            }
        };
        let to = found.as_ref().map(|c| c.id);
        if to != self.watched {
            self.looks_at(to);
            self.watched = to;
        }
        let wire = self.state.conversations.wire();
        self.drafts = found.map(|c| {
            let key: VisitorKey = (c.inbox, c.contact);
            wire.visitors.subscribe(key)
        });
        let Some(draft) = to.and_then(|id| wire.drafts.of(id)) else { return Ok(()) };
        let Some(conversation_id) = to else { return Ok(()) };
        let frame = Frame::Draft {
            conversation_id,
            turn: draft.turn,
            attempt: draft.attempt,
            epoch: draft.epoch,
            index: draft.next_index.saturating_sub(1),
            text: &draft.text,
        };
        Ok(socket.send(&frame).await?)
    }

    /// Tells colleagues, here and on the other nodes, that the agent looks at another conversation than before.
    fn looks_at(&self, to: Option<ConversationId>) {
        let now = self.state.feeds.watch(self.workspace, self.agent, self.watched, to);
        let wire = self.state.conversations.wire();
        for (conversation, agents) in now {
            wire.others.tell(|| others::Item::Viewers(self.workspace, conversation, agents));
        }
    }

    async fn draft(
        &mut self,
        socket: &mut Socket,
        live: Result<Live, RecvError>,
    ) -> Result<(), Ended> {
        let Some(watched) = self.watched else { return Ok(()) };
        match live {
            Ok(Live::Draft(draft)) if draft.conversation == watched => {
                let Draft { turn, attempt, epoch, index, ref text, .. } = *draft;
                let conversation_id = watched;
                let frame = Frame::Draft { conversation_id, turn, attempt, epoch, index, text };
                socket.send(&frame).await?;
            }
            Ok(Live::DraftDropped { conversation, turn, epoch }) if conversation == watched => {
                let conversation_id = watched;
                socket.send(&Frame::DraftDropped { conversation_id, turn, epoch }).await?;
            }
            Ok(Live::Typing { conversation, actor: actor @ Actor::Assistant(_), .. })
                if conversation == watched =>
            {
                let directory = self.state.names.of(self.workspace).await?;
                let author = View { directory: &directory, contact_name: None }.author(actor);
                let frame = Frame::Typing { conversation_id: watched, author: &author };
                socket.send(&frame).await?;
            }
            // Commits come through the feed; typing of people too.
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return Err(Gone::Ended(Code::TooSlow).into()),
            Err(RecvError::Closed) => self.drafts = None,
        }
        Ok(())
    }
}

/// What comes next on a topic that may not be listened to.
async fn next(topic: &mut Option<Hearing<Live>>) -> Result<Live, RecvError> {
    match topic {
        Some(topic) => topic.recv().await,
        None => std::future::pending().await,
    }
}
