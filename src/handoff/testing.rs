//! A small shop for tests of what happens around conversations: a workspace with people, an inbox with a published
//! assistant, contacts, and a clock that moves when told.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::{Clock, Timestamp};
use crate::conversation::{
    By, Command, Committed, Conversation, Conversations, Event, Fence, Origin, Reply, RequestVia,
    Target, Wire, Words,
};
use crate::db::{Db, sql};
use crate::ids::{
    AgentId, AssistantId, ContactId, ConversationId, Ids, InboxId, KnowledgeBaseId, WorkspaceId,
};
use crate::knowledge::Citation;

/// The shop.
#[derive(Clone)]
pub struct Shop {
    pub conversations: Conversations,
    pub clock: Clock,
    pub workspace: WorkspaceId,
    pub inbox: InboxId,
    pub assistant: AssistantId,
    pub agent: AgentId,
}

impl Shop {
    /// Opens a shop of its own in this database.
    pub async fn open(db: Db) -> Self {
        let workspace: WorkspaceId = Ids.fresh();
        let shop = Self::bare(db, workspace);
        let made = sql("INSERT INTO workspace (id, name, created_at) VALUES ($1, 'Shop', 0)");
        shop.write(vec![made.bind(workspace)]).await;
        shop.furnished().await
    }

    /// Opens a shop in a workspace that is there.
    pub async fn open_in(db: Db, workspace: WorkspaceId) -> Self {
        Self::bare(db, workspace).furnished().await
    }

    fn bare(db: Db, workspace: WorkspaceId) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_764_000_000_000));
        Self {
            conversations: Conversations::new(db, clock.clone(), Ids, Arc::new(Wire::default())),
            clock,
            workspace,
            inbox: Ids.fresh(),
            assistant: Ids.fresh(),
            agent: Ids.fresh(),
        }
    }

    async fn furnished(self) -> Self {
        let shop = self;
        let (ws, inbox, assistant) = (shop.workspace, shop.inbox, shop.assistant);
        shop.write(vec![
            sql("INSERT INTO assistant (id, workspace, name, published, created_at) VALUES ($1, $2, 'Bo', 1, 0)")
                .bind(assistant)
                .bind(ws),
            sql("INSERT INTO inbox (id, workspace, name, public_key, assistant, allowed_origins, settings, created_at)
                 VALUES ($1, $2, 'Web', $1, $3, '[]', '{}', 0)")
                .bind(inbox)
                .bind(ws)
                .bind(assistant),
        ])
        .await;
        shop.publish(&json!({})).await;
        shop.hire(shop.agent, "Ana", "agent").await;
        shop
    }

    pub async fn write(&self, queries: Vec<crate::db::Query>) {
        self.conversations
            .db()
            .write(move |conn| {
                let queries = queries.clone();
                Box::pin(async move {
                    for query in queries {
                        query.execute(conn).await?;
                    }
                    Ok(())
                })
            })
            .await
            .expect("writes");
    }

    /// Publishes the assistant's first version with this configuration.
    pub async fn publish(&self, config: &Value) {
        let config = config.to_string();
        self.write(vec![
            sql("DELETE FROM assistant_version WHERE assistant = $1").bind(self.assistant),
            sql("INSERT INTO assistant_version (workspace, assistant, number, config, created_at) VALUES ($1, $2, 1, $3, 0)")
                .bind(self.workspace)
                .bind(self.assistant)
                .bind(config),
        ])
        .await;
    }

    /// Makes a person.
    pub async fn hire(&self, agent: AgentId, name: &str, role: &str) {
        self.write(vec![
            sql("INSERT INTO account (id, email, password_hash, created_at) VALUES ($1, $1, 'x', 0)").bind(agent),
            sql("INSERT INTO agent (id, workspace, account, name, role, created_at) VALUES ($1, $2, $1, $3, $4, 0)")
                .bind(agent)
                .bind(self.workspace)
                .bind(name)
                .bind(role),
        ])
        .await;
    }

    /// A visitor who speaks this language.
    pub async fn visitor(&self, name: Option<&str>, locale: &str) -> Visitor {
        let contact: ContactId = Ids.fresh();
        self.write(vec![
            sql("INSERT INTO contact (id, workspace, name, locale, attributes, created_at, seen_at) VALUES ($1, $2, $3, $4, '{}', 0, 0)")
                .bind(contact)
                .bind(self.workspace)
                .bind(name.map(str::to_owned))
                .bind(locale),
        ])
        .await;
        Visitor { shop: self.clone(), contact, locale: locale.to_owned() }
    }

    pub async fn commit(&self, id: ConversationId, event: Event) -> Committed {
        self.say(id, event, "").await
    }

    pub async fn say(&self, id: ConversationId, event: Event, text: &str) -> Committed {
        let words = Words { text: text.to_owned(), ..Words::default() };
        let command = Command::new(self.workspace, id, event).with_words(words);
        self.conversations.commit(command).await.expect("commits")
    }

    pub fn by(&self) -> By {
        By { agent: self.agent, expected_epoch: None }
    }

    /// The agent says something in public (and takes over, if need be).
    pub async fn agent_says(&self, id: ConversationId, text: &str) -> Committed {
        let event = Event::AgentWrites { by: self.by(), message: Ids.fresh() };
        self.say(id, event, text).await
    }

    /// The agent leaves a note.
    pub async fn agent_notes(&self, id: ConversationId, text: &str) -> Committed {
        let event = Event::AgentNotes { agent: self.agent, message: Ids.fresh() };
        self.say(id, event, text).await
    }

    /// The assistant answers what is unanswered.
    pub async fn assistant_says(
        &self,
        c: &Conversation,
        text: &str,
        citations: Vec<Citation>,
    ) -> Committed {
        let turn = c.holder.turn().expect("a turn is due");
        self.clock.advance(std::time::Duration::from_secs(1));
        let lease = Event::TurnLeased { turn: turn.id, seen_attempt: turn.attempt };
        let leased = self.commit(c.id, lease).await.conversation;
        let fence = Fence { epoch: leased.epoch, turn: turn.id, attempt: turn.attempt + 1 };
        let reply = Reply { message: Ids.fresh(), still_unanswered: false };
        let words = Words { text: text.to_owned(), citations, ..Words::default() };
        let command = Command::new(self.workspace, c.id, Event::TurnAnswered { fence, reply });
        self.conversations.commit(command.with_words(words)).await.expect("commits")
    }

    /// How many rows a query counts.
    pub async fn count(&self, query: crate::db::Query) -> i64 {
        let mut conn = self.conversations.db().read().await.expect("reads");
        let (count,): (i64,) = query.one(&mut conn).await.expect("counts");
        count
    }
}

/// Someone who writes.
pub struct Visitor {
    shop: Shop,
    pub contact: ContactId,
    locale: String,
}

impl Visitor {
    async fn send(&self, event: Event, text: &str) -> Committed {
        let mut command = Command::new(self.shop.workspace, Ids.fresh(), event);
        let origin = Origin { locale: self.locale.clone(), ..Origin::default() };
        command.target = Target::Contact { inbox: self.shop.inbox, contact: self.contact, origin };
        let command = command.with_words(Words { text: text.to_owned(), ..Words::default() });
        self.shop.conversations.commit(command).await.expect("commits")
    }

    pub async fn says(&self, text: &str) -> Committed {
        self.send(Event::VisitorWrote { message: Ids.fresh(), bare_thanks: false }, text).await
    }

    pub async fn asks_for_person(&self) -> Committed {
        self.send(Event::VisitorAskedForPerson { via: RequestVia::Button }, "").await
    }
}

/// A configuration that looks into these bases.
pub fn config(bases: &[KnowledgeBaseId], model: &str) -> Value {
    json!({ "identity": { "name": "Bo", "tone": "friendly" }, "knowledge_bases": bases, "model": model })
}
