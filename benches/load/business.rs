//! A business in a database: people, an AI agent with worded conditions, and a help centre of many chunks.

use std::fmt::Write as _;

use anyhow::Context;
use baton::access::role::Role;
use baton::access::session::{self, NewSession};
use baton::access::store::{self as members, NewMember};
use baton::access::{AllowedOrigins, secret};
use baton::assistant::config::{AssistantConfig, WordedCondition};
use baton::assistant::inbox::{self, InboxSettings, store::NewInbox};
use baton::assistant::store as assistants;
use baton::clock::Clock;
use baton::db::Db;
use baton::ids::{AssistantId, Ids, InboxId, WorkspaceId};
use baton::knowledge::article::ArticleDraft;
use baton::knowledge::{Audience, Knowledge};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::scenario::Scenario;

/// Chunks of one article.
const SECTIONS: usize = 25;
/// Words of one chunk: enough that it is not joined with the next.
const WORDS: usize = 140;
/// Different words of the help centre.
const VOCABULARY: usize = 4_000;
/// The same words every time.
const SEED: u64 = 7;

/// How to reach it.
#[derive(Clone)]
pub struct Business {
    pub key: String,
    pub cookie: String,
    pub csrf: String,
    /// Questions whose answers stand in the help centre.
    pub questions: Vec<String>,
}

/// Puts it into a database that no server runs on.
pub async fn found(url: &str, scenario: &Scenario) -> anyhow::Result<Business> {
    let db = Db::open(url).await?;
    baton::db::migrate(&db).await?;
    let clock = Clock::system();
    // The server takes the workspace that is there for its first one.
    let first = members::first_start(&db, &clock, Ids, "Tanah Tinggi Coffee").await?;
    let workspace = first.workspace;
    let session = owner(&db, &clock, workspace).await?;
    let knowledge = Knowledge::new(db.clone(), clock.clone(), Ids, None);
    let base = knowledge.create_base(workspace, "Help centre").await?.id;
    let mut words = Words::new();
    let mut questions = Vec::new();
    for number in 0..scenario.chunks.div_ceil(SECTIONS) {
        let sections = SECTIONS.min(scenario.chunks - number * SECTIONS);
        let (title, body) = words.article(sections, &mut questions);
        let draft = ArticleDraft {
            title,
            body,
            audience: Audience::Public,
            locale: "en".to_owned(),
            url: None,
            updated: None,
        };
        let key = format!("article-{number}");
        let stored = knowledge.put_article(workspace, base, "bench", &key, draft).await?;
        anyhow::ensure!(
            stored.chunks_added == sections,
            "an article of {sections} sections became {} chunks",
            stored.chunks_added
        );
    }
    let mut config = AssistantConfig::fresh("Mira");
    config.knowledge_bases = vec![base];
    config.identity.languages = vec!["en".to_owned()];
    // A load goes on for longer than any visitor would.
    config.conditions.max_turns.enabled = false;
    config.conditions.failed_answers.enabled = false;
    // The model's verdict is always no.
    config.conditions.worded = (0..scenario.conditions)
        .map(|number| WordedCondition {
            name: format!("Condition {number}"),
            text: "The visitor reports an injury.".to_owned(),
        })
        .collect();
    let assistant: AssistantId = Ids.fresh();
    let inbox: InboxId = Ids.fresh();
    let new = NewInbox {
        name: "Shop".to_owned(),
        public_key: secret::fresh_public_key(),
        assistant: Some(assistant),
        allowed_origins: AllowedOrigins::only_our_own(),
        settings: InboxSettings::default(),
    };
    let now = clock.now();
    let made = db.write(move |conn| {
        let (config, new) = (config.clone(), new.clone());
        Box::pin(async move {
            assistants::create(conn, workspace, assistant, &config, None, now).await?;
            inbox::store::create(conn, workspace, inbox, &new, now).await
        })
    });
    let key = made.await?.public_key;
    db.close().await;
    Ok(Business {
        key,
        cookie: format!("baton_session={}", session.token),
        csrf: session.csrf,
        questions,
    })
}

async fn owner(db: &Db, clock: &Clock, workspace: WorkspaceId) -> anyhow::Result<NewSession> {
    let session = NewSession::fresh();
    let new = NewMember {
        name: "Sari".to_owned(),
        email: "sari@tanahtinggi.example".to_owned(),
        // Nobody signs in with a password here.
        password_hash: "none".to_owned(),
        role: Role::Owner,
    };
    let (stored, now) = (session.clone(), clock.now());
    let made = db.write(move |conn| {
        let (new, session) = (new.clone(), stored.clone());
        Box::pin(async move {
            let member = members::create_member(conn, workspace, Ids, &new, now).await?;
            if let Some(member) = member {
                session::create(conn, workspace, member, &session, now).await?;
            }
            Ok(member)
        })
    });
    made.await?.context("somebody has the owner's address already")?;
    Ok(session)
}

/// Words that sound like a language, some much more common than others, always the same ones.
struct Words {
    chance: StdRng,
    known: Vec<String>,
}

impl Words {
    fn new() -> Self {
        let mut chance = StdRng::seed_from_u64(SEED);
        let syllables =
            ["ka", "lo", "mir", "ten", "sa", "ver", "dol", "pi", "gan", "tu", "ber", "en"];
        let mut known: Vec<String> = Vec::with_capacity(VOCABULARY);
        while known.len() < VOCABULARY {
            let length = chance.random_range(2..=4);
            let word: String =
                (0..length).filter_map(|_| syllables.choose(&mut chance).copied()).collect();
            if !known.contains(&word) {
                known.push(word);
            }
        }
        Self { chance, known }
    }

    /// Early words far more often than late ones, as in any language.
    fn common(&mut self) -> String {
        let skewed = self.chance.random::<f64>().powi(3);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a short list"
        )]
        let place = (skewed * self.known.len() as f64) as usize;
        self.known.get(place).cloned().unwrap_or_default()
    }

    fn any(&mut self) -> String {
        self.known.choose(&mut self.chance).cloned().unwrap_or_default()
    }

    /// An article, and a question to each of its sections.
    fn article(&mut self, sections: usize, questions: &mut Vec<String>) -> (String, String) {
        let title = format!("{} {}", self.any(), self.any());
        let mut body = String::new();
        for _ in 0..sections {
            let (one, two) = (self.any(), self.any());
            questions.push(format!("How does {one} work with {two} and {}?", self.common()));
            // Writing to a text cannot fail.
            let _written = write!(body, "## {one} {two}\n\n");
            for number in 1..=WORDS {
                let end = if number % 14 == 0 { ". " } else { " " };
                let word = if number % 20 == 0 { one.clone() } else { self.common() };
                let _written = write!(body, "{word}{end}");
            }
            body.push_str("\n\n");
        }
        (title, body)
    }
}
