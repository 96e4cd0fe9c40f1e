//! A small world for tests of what people see: a shop with an assistant and an inbox, a server, visitors, agents, sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::access::session::{self, NewSession};
use crate::access::testing::{self, Answer, Client, send};
use crate::access::{AllowedOrigins, Role, store as people};
use crate::app::{AppState, Minds, api_router};
use crate::assist::Assistance;
use crate::assistant::inbox::InboxSettings;
use crate::assistant::inbox::store::NewInbox;
use crate::assistant::{AssistantConfig, ModelOptions};
use crate::config::Config;
use crate::conversation::{
    Command, Committed, Conversation, Conversations, Draft, Event, Fence, Reply, Target, Wire,
    Words,
};
use crate::db::Db;
use crate::health::Health;
use crate::ids::{AgentId, AssistantId, ContactId, ConversationId, Ids, InboxId, WorkspaceId};
use crate::knowledge::Knowledge;
use crate::model::prompt::Prompts;
use crate::server;
use crate::turn::{Limits, Producer};

/// How long a test waits for an event before it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// The page that may embed the widget.
pub(crate) const SHOP: &str = "https://shop.example";

/// A shop.
pub(crate) struct World {
    pub(crate) state: AppState,
    pub(crate) app: Router,
    pub(crate) agent: Client,
    pub(crate) inbox: InboxId,
    pub(crate) key: String,
}

/// A shop on this database; its sockets are as patient as `adjust` makes them.
pub(crate) async fn world_with(db: Db, adjust: impl FnOnce(&mut AppState)) -> World {
    let access = testing::state(db.clone());
    let wire = Arc::<Wire>::default();
    let conversations = Conversations::new(db, access.clock.clone(), Ids, wire);
    let minds = minds(&conversations).await;
    let mut state = AppState::new(conversations, access, minds);
    adjust(&mut state);
    let agent = testing::signed_in(&state.access, Role::Agent, "ana@example.com").await;
    let (inbox, key) = shop(&state, agent.workspace).await;
    let (app, _document) = api_router(&state);
    World { state, app, agent, inbox, key }
}

/// The built-in model everywhere; no worker runs.
async fn minds(conversations: &Conversations) -> Minds {
    let config = Config::default();
    let clock = conversations.clock().clone();
    let health = Health::new(clock.clone());
    let embedder = server::embedder(&config.embeddings, &health).await.expect("no embedder");
    let models = Arc::new(server::models(&config, &health).expect("the built-in model"));
    let knowledge = Knowledge::new(conversations.db().clone(), clock.clone(), Ids, embedder);
    let prompts = Arc::new(Prompts::embedded().expect("prompts"));
    let limits = Limits { budget: Duration::from_secs(30), judge: Duration::from_secs(3) };
    Minds {
        options: ModelOptions::from_config(&config.models),
        assistance: Assistance::new(
            conversations.clone(),
            knowledge.clone(),
            Arc::clone(&models),
            Arc::clone(&prompts),
        ),
        producer: Producer { knowledge, prompts, models, clock, limits },
    }
}

/// A shop on this database.
pub(crate) async fn world(db: Db) -> World {
    world_with(db, |_| {}).await
}

/// An assistant and an inbox that only [`SHOP`] may embed.
async fn shop(state: &AppState, workspace: WorkspaceId) -> (InboxId, String) {
    let now = state.access.clock.now();
    let assistant: AssistantId = Ids.fresh();
    let inbox: InboxId = Ids.fresh();
    let key = format!("key-{inbox}");
    let new = NewInbox {
        name: "Web shop".to_owned(),
        public_key: key.clone(),
        assistant: Some(assistant),
        allowed_origins: AllowedOrigins::parse("o", &[SHOP.to_owned()]).expect("an origin"),
        settings: InboxSettings::default(),
    };
    let made = state.access.db.write(move |conn| {
        let new = new.clone();
        Box::pin(async move {
            let config = AssistantConfig::fresh("Kopi");
            crate::assistant::store::create(conn, workspace, assistant, &config, None, now).await?;
            crate::assistant::inbox::store::create(conn, workspace, inbox, &new, now).await?;
            Ok(())
        })
    });
    made.await.expect("a shop");
    (inbox, key)
}

/// A visitor with a token.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) token: String,
    pub(crate) contact: ContactId,
}

impl World {
    /// A visitor who has just opened the widget.
    pub(crate) async fn guest(&self) -> Guest {
        let uri = format!("/api/v1/widget/{}/session", self.key);
        let answer = send(&self.app, Method::POST, &uri, &[], json!({"locale": "en"})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let token = answer.body["token"].as_str().expect("a token").to_owned();
        let now = self.state.access.clock.now();
        let mut conn = self.state.access.db.read().await.expect("reads");
        let known = crate::access::visitor::find(&mut conn, &token, now).await.expect("reads");
        Guest { contact: known.expect("a good token").contact, token }
    }

    /// A request of a visitor.
    pub(crate) async fn visitor(
        &self,
        guest: &Guest,
        method: Method,
        path: &str,
        body: Value,
    ) -> Answer {
        let bearer = format!("Bearer {}", guest.token);
        let headers = [("authorization", bearer.as_str()), ("origin", SHOP)];
        send(&self.app, method, &format!("/api/v1{path}"), &headers, body).await
    }

    /// What a visitor writes, through the API.
    pub(crate) async fn writes(&self, guest: &Guest, text: &str) -> Answer {
        let client_id = Ids.fresh::<ConversationId>().to_string();
        let body = json!({"client_id": client_id, "text": text});
        let answer = self.visitor(guest, Method::POST, "/widget/messages", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }

    /// What a visitor writes, through the door: without limits.
    pub(crate) async fn wrote(&self, guest: &Guest, text: &str) -> Committed {
        let event = Event::VisitorWrote { message: Ids.fresh(), bare_thanks: false };
        let command = Command {
            workspace: self.agent.workspace,
            target: Target::Contact {
                inbox: self.inbox,
                contact: guest.contact,
                origin: crate::conversation::Origin {
                    locale: "en".to_owned(),
                    ..Default::default()
                },
            },
            event,
            words: Some(Words { text: text.to_owned(), ..Words::default() }),
            evidence: None,
            turn_record: None,
        };
        self.state.conversations.commit(command).await.expect("commits")
    }

    /// A request of the agent.
    pub(crate) async fn agent(&self, method: Method, path: &str, body: Value) -> Answer {
        self.agent.send(&self.app, method, &format!("/api/v1{path}"), body).await
    }

    /// A POST of the agent.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.agent(Method::POST, path, body).await
    }

    /// A GET of the agent.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.agent(Method::GET, path, Value::Null).await
    }

    /// One event through the door.
    pub(crate) async fn commit(&self, id: ConversationId, event: Event, text: &str) -> Committed {
        let command = Command::new(self.agent.workspace, id, event)
            .with_words(Words { text: text.to_owned(), ..Words::default() });
        self.state.conversations.commit(command).await.expect("commits")
    }

    /// The door of another node on the same database: nobody here is told what it commits.
    pub(crate) fn elsewhere(&self) -> Conversations {
        let here = &self.state.conversations;
        Conversations::new(here.db().clone(), here.clock().clone(), Ids, Arc::default())
    }

    /// A note of the agent, through this door.
    pub(crate) async fn notes(&self, door: &Conversations, id: ConversationId) -> Committed {
        let event = Event::AgentNotes { agent: self.agent.agent, message: Ids.fresh() };
        let words = Words { text: "A note".to_owned(), ..Words::default() };
        let command = Command::new(self.agent.workspace, id, event).with_words(words);
        door.commit(command).await.expect("commits")
    }

    /// Lets the due turn run: returns the fence it runs under.
    pub(crate) async fn turn_runs(&self, c: &Conversation) -> Fence {
        self.state.access.clock.advance(Duration::from_secs(1));
        let turn = *c.holder.turn().expect("a turn is due");
        let leased = Event::TurnLeased { turn: turn.id, seen_attempt: turn.attempt };
        let gate = self.state.conversations.wire().gates.open(turn.id, turn.attempt + 1);
        let gate = gate.expect("nobody else runs it");
        let now = self.commit(c.id, leased, "").await.conversation;
        gate.leased();
        Fence { epoch: now.epoch, turn: turn.id, attempt: turn.attempt + 1 }
    }

    /// The running turn releases a sentence.
    pub(crate) fn releases(&self, c: &Conversation, fence: Fence, index: u32, text: &str) {
        let draft = Draft {
            conversation: c.id,
            turn: fence.turn,
            attempt: fence.attempt,
            epoch: fence.epoch,
            index,
            text: text.to_owned(),
        };
        self.state.conversations.wire().publish_draft(c.workspace, (c.inbox, c.contact), draft);
    }

    /// The running turn commits its reply.
    pub(crate) async fn answers(&self, id: ConversationId, fence: Fence, text: &str) -> Committed {
        let reply = Reply { message: Ids.fresh(), still_unanswered: false };
        self.commit(id, Event::TurnAnswered { fence, reply }, text).await
    }

    /// An agent of another workspace on the same server.
    pub(crate) async fn stranger(&self) -> Client {
        let access = &self.state.access;
        let (now, workspace): (_, WorkspaceId) = (access.clock.now(), Ids.fresh());
        let secrets = NewSession::fresh();
        let kept = secrets.clone();
        let made = access.db.write(move |conn| {
            let secrets = kept.clone();
            Box::pin(async move {
                people::create_workspace(conn, workspace, "Other", now).await?;
                let new = people::NewMember {
                    name: "Eve".to_owned(),
                    email: "eve@example.com".to_owned(),
                    password_hash: "x".to_owned(),
                    role: Role::Owner,
                };
                let agent = people::create_member(conn, workspace, Ids, &new, now).await?;
                let agent: AgentId = agent.expect("new");
                session::create(conn, workspace, agent, &secrets, now).await?;
                Ok(agent)
            })
        });
        let agent = made.await.expect("stored");
        let cookie = format!("baton_session={}", secrets.token);
        Client { workspace, agent, cookie, csrf: secrets.csrf }
    }

    /// A real server.
    pub(crate) fn serve(&self) -> SocketAddr {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Small, so that a reader who sleeps is noticed soon.
        socket.set_send_buffer_size(8 * 1024).expect("a buffer");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("binds");
        let listener: TcpListener = socket.listen(64).expect("listens");
        let address = listener.local_addr().expect("an address");
        let service = self.app.clone().into_make_service_with_connect_info::<SocketAddr>();
        let stop = self.state.shutdown.clone();
        self.state.tasks.spawn(async move {
            let stopped = async move { stop.cancelled().await };
            axum::serve(listener, service).with_graceful_shutdown(stopped).await.expect("serves");
        });
        address
    }

    /// A ticket of the agent.
    pub(crate) async fn ticket(&self, agent: &Client) -> String {
        let answer = agent.send(&self.app, Method::POST, "/api/v1/live/ticket", Value::Null).await;
        answer.body["ticket"].as_str().expect("a ticket").to_owned()
    }
}

/// The client's end of a socket.
pub(crate) struct Ears(WebSocketStream<TcpStream>);

impl Ears {
    /// Opens a socket from this page and says nothing yet.
    pub(crate) async fn open(server: SocketAddr, origin: Option<&str>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8 * 1024).expect("a buffer");
        let stream = socket.connect(server).await.expect("connects");
        let mut request =
            format!("ws://{server}/api/v1/live").into_client_request().expect("a request");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        let (stream, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgrades");
        Self(stream)
    }

    /// A visitor's socket after its hello.
    pub(crate) async fn visitor(server: SocketAddr, guest: &Guest, after: u64) -> Self {
        let mut ears = Self::open(server, Some(SHOP)).await;
        ears.say(json!({"type": "hello", "token": guest.token, "after": after})).await;
        ears
    }

    /// An agent's socket after its hello.
    pub(crate) async fn agent(
        world: &World,
        server: SocketAddr,
        cursor: Option<&str>,
        watch: Option<ConversationId>,
    ) -> Self {
        let ticket = world.ticket(&world.agent).await;
        let mut ears = Self::open(server, None).await;
        let hello = json!({"type": "hello", "ticket": ticket, "cursor": cursor, "watch": watch});
        ears.say(hello).await;
        ears
    }

    /// Sends a frame.
    pub(crate) async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("sends");
    }

    /// The next frame, or the close code.
    pub(crate) async fn hear(&mut self) -> Result<Value, u16> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time");
            match next {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Value {
        self.hear().await.expect("a frame")
    }

    /// The next frame of this type; others are skipped.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The close code, after whatever comes before it; 0 when the connection just ended.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.hear().await {
                return code;
            }
        }
    }
}
