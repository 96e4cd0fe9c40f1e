//! Everybody who may call: with good credentials of every kind, with those of another workspace, and with bad ones.

use std::time::Duration;

use baton::access::role::Role;
use baton::access::session::{self, NewSession};
use baton::access::store::{self as members, NewMember};
use baton::access::visitor::{self, IssuedToken};
use baton::clock::Timestamp;
use baton::db::sql;
use baton::ids::{AgentId, ContactId, WorkspaceId};
use reqwest::RequestBuilder;

use super::Belongings;
use super::table::{Cell, Row};
use crate::support::world::Business;
use crate::support::{Visitor, World};

/// What a caller shows.
#[derive(Debug, Clone)]
pub enum Credentials {
    Nothing,
    Cookie { token: String, csrf: String },
    Bearer(String),
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// For a failing test.
    pub who: String,
    /// The column of the table they are at home.
    pub kind: &'static str,
    /// Of the business that is called, or of the other one.
    pub at_home: bool,
    pub credentials: Credentials,
    /// Their id, if they work somewhere.
    pub agent: Option<String>,
}

impl Caller {
    /// What comes of a call.
    pub fn cell(&self, row: &Row) -> Cell {
        if self.at_home { row.cell(self.kind) } else { row.elsewhere(self.kind) }
    }

    /// The request with what they show.
    pub fn shows(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::Nothing => request,
            Credentials::Cookie { token, csrf } => request
                .header("cookie", format!("baton_session={token}"))
                .header("x-baton-csrf", csrf),
            Credentials::Bearer(token) => request.bearer_auth(token),
        }
    }

    /// The same person with a session of its own, for calls that end it.
    pub async fn again(&self, world: &World, workspace: &str) -> Self {
        let Some(agent) = &self.agent else { return self.clone() };
        let now = world.now();
        let new = session_of(world, workspace, agent, now).await;
        let credentials = Credentials::Cookie { token: new.token, csrf: new.csrf };
        Self { credentials, ..self.clone() }
    }
}

/// A session that begins at some time.
async fn session_of(world: &World, workspace: &str, agent: &str, at: Timestamp) -> NewSession {
    let workspace: WorkspaceId = workspace.parse().expect("a workspace's id");
    let agent: AgentId = agent.parse().expect("an agent's id");
    let new = NewSession::fresh();
    let stored = new.clone();
    let made = world.state.access.db.write(move |conn| {
        let new = stored.clone();
        Box::pin(async move { session::create(conn, workspace, agent, &new, at).await })
    });
    made.await.expect("makes a session");
    new
}

/// Everybody, for calls of `home`'s things.
pub async fn everybody(
    world: &World,
    business: &Business,
    home: &Belongings,
    away: &Belongings,
) -> Vec<Caller> {
    let mut all = Vec::new();
    for (belongings, at_home) in [(home, true), (away, false)] {
        let place = if at_home { "" } else { " from elsewhere" };
        for (name, kind) in
            [("Ana", "agent"), ("Citra", "supervisor"), ("Dewi", "admin"), ("Sari", "owner")]
        {
            let person = belongings.person(name);
            all.push(Caller {
                who: format!("the {kind}{place}"),
                kind,
                at_home,
                credentials: Credentials::Cookie {
                    token: person.cookie.trim_start_matches("baton_session=").to_owned(),
                    csrf: person.csrf.clone(),
                },
                agent: Some(person.id.clone()),
            });
        }
        all.push(with_token(
            format!("the visitor{place}"),
            "visitor",
            at_home,
            &belongings.visitor,
        ));
    }
    let neighbour = Visitor::arrive("Tono", &world.http, &world.origin, &home.key).await;
    neighbour.write("Good morning").await;
    all.push(with_token("another visitor".to_owned(), "other", true, &neighbour));
    let key = second_inbox(home).await;
    let aside = Visitor::arrive("Wati", &world.http, &world.origin, &key).await;
    all.push(with_token("a visitor of another inbox".to_owned(), "other", true, &aside));
    all.extend(strangers(world, business, home).await);
    all
}

fn with_token(who: String, kind: &'static str, at_home: bool, visitor: &Visitor) -> Caller {
    let credentials = Credentials::Bearer(visitor.token.clone());
    Caller { who, kind, at_home, credentials, agent: None }
}

async fn second_inbox(home: &Belongings) -> String {
    let made = home.person("Sari").post("/inboxes", serde_json::json!({ "name": "Aside" })).await;
    made.ok()["public_key"].as_str().expect("a key").to_owned()
}

/// Credentials that are not good, or not any longer, or of the other kind.
async fn strangers(world: &World, business: &Business, home: &Belongings) -> Vec<Caller> {
    let ana = home.person("Ana");
    let good = ana.cookie.trim_start_matches("baton_session=").to_owned();
    let csrf = ana.csrf.clone();
    let cookie = |token: &str| Credentials::Cookie { token: token.to_owned(), csrf: csrf.clone() };
    let bearer = |token: &str| Credentials::Bearer(token.to_owned());
    let long_ago = Timestamp::from_millis(world.now().millis() - 15 * 86_400_000);
    let expired = session_of(world, &home.workspace, &ana.id, long_ago).await;
    let ended = session_of(world, &home.workspace, &ana.id, world.now()).await;
    let hash = baton::access::secret::token_hash(&ended.token);
    let (workspace, inbox) = (business.workspace, business.inbox);
    let db = &world.state.access.db;
    let end = db.write(move |conn| {
        let hash = hash.clone();
        Box::pin(async move { session::end(conn, workspace, &hash).await })
    });
    end.await.expect("ends a session");
    let gone = deactivated(world, workspace).await;
    let contact: ContactId = home.contact.parse().expect("a contact's id");
    let old = IssuedToken { expires_at: world.now(), ..IssuedToken::fresh(world.now()) };
    let (issued, now) = (old.clone(), world.now());
    let issue = db.write(move |conn| {
        let issued = issued.clone();
        Box::pin(async move { visitor::issue(conn, workspace, inbox, contact, &issued, now).await })
    });
    issue.await.expect("issues a token");
    let forged = "A".repeat(43);
    let token = &home.visitor.token;
    let all: [(&str, Credentials); 11] = [
        ("nobody", Credentials::Nothing),
        ("a forged session", cookie(&forged)),
        ("a truncated session", cookie(&good[..42])),
        ("an expired session", cookie(&expired.token)),
        ("an ended session", cookie(&ended.token)),
        ("a deactivated agent", cookie(&gone.token)),
        ("a visitor's token as a session", cookie(token)),
        ("a forged token", bearer(&forged)),
        ("a truncated token", bearer(&token[..42])),
        ("an expired token", bearer(&old.token)),
        ("a session as a token", bearer(&good)),
    ];
    all.into_iter()
        .map(|(who, credentials)| Caller {
            who: who.to_owned(),
            kind: "unsigned",
            at_home: true,
            credentials,
            agent: None,
        })
        .collect()
}

/// The session of somebody who does not work here any longer.
async fn deactivated(world: &World, workspace: WorkspaceId) -> NewSession {
    let ids = world.state.access.ids;
    let now = world.now() + Duration::ZERO;
    let new = NewMember {
        name: "Eko".to_owned(),
        email: format!("eko@{workspace}.example"),
        password_hash: "none".to_owned(),
        role: Role::Owner,
    };
    let session = NewSession::fresh();
    let stored = session.clone();
    let made = world.state.access.db.write(move |conn| {
        let (new, session) = (new.clone(), stored.clone());
        Box::pin(async move {
            let made = members::create_member(conn, workspace, ids, &new, now).await?;
            if let Some(agent) = made {
                session::create(conn, workspace, agent, &session, now).await?;
                sql("UPDATE agent SET disabled_at = $2 WHERE id = $1")
                    .bind(agent)
                    .bind(now)
                    .execute(conn)
                    .await?;
            }
            Ok(())
        })
    });
    made.await.expect("makes somebody who left");
    session
}
