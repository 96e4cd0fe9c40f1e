//! What the demo starts with: a shop's workspace, three people, two AI agents, two inboxes, a help centre.
//!
//! Seeding again changes nothing but the passwords, which are new and random at every start, so that they can be printed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use rust_embed::RustEmbed;

use crate::access::store::{self as people, NewMember};
use crate::access::{AccessState, AllowedOrigins, Role};
use crate::assistant::config::{AssistantConfig, Identity, PhraseCondition, WordedCondition};
use crate::assistant::inbox::{self, InboxSettings, store::NewInbox};
use crate::assistant::{Assistant, store as assistants};
use crate::ids::{AssistantId, InboxId, KnowledgeBaseId, WorkspaceId};
use crate::knowledge::Knowledge;
use crate::model::Tone;

/// The shop.
pub const BUSINESS: &str = "Tanah Tinggi Coffee";
/// The name of the shop's knowledge base.
const BASE: &str = "Help centre";

#[derive(RustEmbed)]
#[folder = "knowledge"]
struct Articles;

/// A way in.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LogIn {
    /// What they may do.
    pub role: &'static str,
    /// The address to sign in with.
    pub email: String,
    /// The password, new at every start.
    pub password: String,
}

/// What the demo has.
#[derive(Debug, Clone)]
pub struct Seeded {
    /// The shop's workspace.
    pub workspace: WorkspaceId,
    /// The inbox whose AI agent follows the configured model, or none.
    pub inbox_key: String,
    /// The inbox whose AI agent is played by the scripted model.
    pub studio_inbox_key: String,
    /// Ways in.
    pub log_ins: Vec<LogIn>,
}

/// Puts the demo into the database, or brings it up to date.
///
/// # Errors
/// When the database or the knowledge cannot be written.
pub async fn seed(
    access: &AccessState,
    knowledge: &Knowledge,
    data: &Path,
) -> anyhow::Result<Seeded> {
    let first = people::first_start(&access.db, &access.clock, access.ids, BUSINESS).await?;
    let workspace = first.workspace;
    let mut log_ins = Vec::new();
    for (name, role, label) in [
        ("Sari", Role::Owner, "owner"),
        ("Ana", Role::Agent, "agent"),
        ("Budi", Role::Agent, "agent"),
    ] {
        log_ins.push(person(access, workspace, name, role, label).await?);
    }
    let base = help_centre(knowledge, workspace, data).await?;
    let mira = assistant(access, workspace, mira(base)).await?;
    let raka = assistant(access, workspace, raka(base)).await?;
    Ok(Seeded {
        workspace,
        inbox_key: shop_inbox(access, workspace, "Shop", mira, "#6d28d9").await?,
        studio_inbox_key: shop_inbox(access, workspace, "Brew Studio", raka, "#b45309").await?,
        log_ins,
    })
}

async fn person(
    access: &AccessState,
    workspace: WorkspaceId,
    name: &str,
    role: Role,
    label: &'static str,
) -> anyhow::Result<LogIn> {
    let email = format!("{}@tanahtinggi.example", name.to_lowercase());
    let password = crate::access::secret::fresh_token()[..14].to_owned();
    let password_hash = access.passwords.hash(&password).await?;
    let new = NewMember { name: name.to_owned(), email: email.clone(), password_hash, role };
    let (ids, now) = (access.ids, access.clock.now());
    access
        .db
        .write(move |conn| {
            let new = new.clone();
            Box::pin(async move {
                people::create_member(conn, workspace, ids, &new, now).await?;
                people::set_password(conn, &new.email, &new.password_hash).await
            })
        })
        .await?;
    Ok(LogIn { role: label, email, password })
}

async fn help_centre(
    knowledge: &Knowledge,
    workspace: WorkspaceId,
    data: &Path,
) -> anyhow::Result<KnowledgeBaseId> {
    let bases = knowledge.bases(workspace).await?;
    let base = match bases.into_iter().find(|base| base.name == BASE) {
        Some(base) => base.id,
        None => knowledge.create_base(workspace, BASE).await?.id,
    };
    // The articles travel in the binary; the folder they are written to can be edited and read in again.
    let folder = data.join("knowledge");
    for path in Articles::iter() {
        let Some(file) = Articles::get(&path) else { continue };
        let target = folder.join(&*path);
        if target.exists() {
            continue;
        }
        let parent = target.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make {}", parent.display()))?;
        std::fs::write(&target, &file.data)
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    let report = knowledge.ingest_folder(workspace, base, &folder).await?;
    for problem in &report.errors {
        tracing::warn!(file = %problem.file, reason = %problem.reason, "an article was left out");
    }
    Ok(base)
}

async fn assistant(
    access: &AccessState,
    workspace: WorkspaceId,
    config: AssistantConfig,
) -> anyhow::Result<AssistantId> {
    let id = access.ids.fresh();
    let now = access.clock.now();
    let made: Assistant = access
        .db
        .write(move |conn| {
            let config = config.clone();
            Box::pin(async move {
                let all = assistants::list(conn, workspace).await?;
                let there =
                    all.into_iter().find(|a| a.config.identity.name == config.identity.name);
                match there {
                    Some(found) => Ok(found),
                    None => assistants::create(conn, workspace, id, &config, None, now).await,
                }
            })
        })
        .await?;
    Ok(made.id)
}

async fn shop_inbox(
    access: &AccessState,
    workspace: WorkspaceId,
    name: &'static str,
    assistant: AssistantId,
    accent: &'static str,
) -> anyhow::Result<String> {
    let id: InboxId = access.ids.fresh();
    let new = NewInbox {
        name: name.to_owned(),
        public_key: crate::access::secret::fresh_public_key(),
        assistant: Some(assistant),
        allowed_origins: AllowedOrigins::parse("allowed_origins", &["*".to_owned()])?,
        settings: InboxSettings { accent: accent.to_owned(), ..InboxSettings::default() },
    };
    let now = access.clock.now();
    let made = access
        .db
        .write(move |conn| {
            let new = new.clone();
            Box::pin(async move {
                let all = inbox::store::list(conn, workspace).await?;
                match all.into_iter().find(|inbox| inbox.name == name) {
                    Some(found) => Ok(found),
                    None => inbox::store::create(conn, workspace, id, &new, now).await,
                }
            })
        })
        .await?;
    Ok(made.public_key)
}

fn texts(en: &str, id: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("en".to_owned(), en.to_owned()), ("id".to_owned(), id.to_owned())])
}

/// The shop's AI agent: the configured model, or the built-in answerer.
fn mira(base: KnowledgeBaseId) -> AssistantConfig {
    let mut config = AssistantConfig::fresh("Mira");
    config.identity = Identity {
        name: "Mira".to_owned(),
        avatar: "☕".to_owned(),
        tone: Tone::Friendly,
        languages: vec!["en".to_owned(), "id".to_owned()],
        greeting: texts(
            "Hi, I'm Mira. Ask me about beans, brewers, deliveries, returns or your subscription.",
            "Hai, saya Mira. Tanyakan apa saja soal kopi, alat seduh, pengiriman, pengembalian, atau langganan Anda.",
        ),
        disclosure: texts(
            "I'm an AI agent. You can talk to a person at any time.",
            "Saya agen AI. Anda bisa bicara dengan staf kami kapan saja.",
        ),
    };
    config.knowledge_bases = vec![base];
    job_description().clone_into(&mut config.job_description);
    config.conditions.phrases = vec![PhraseCondition {
        name: "Legal or press".to_owned(),
        phrases: ["lawyer", "chargeback", "journalist", "pengacara", "wartawan"]
            .map(str::to_owned)
            .to_vec(),
    }];
    config.conditions.worded = worded();
    config
}

/// The studio's AI agent: played by the scripted model, with delays and streaming.
fn raka(base: KnowledgeBaseId) -> AssistantConfig {
    let mut config = mira(base);
    config.identity.name = "Raka".to_owned();
    config.identity.avatar = "🫖".to_owned();
    config.identity.greeting = texts(
        "Hi, I'm Raka from the Brew Studio. Ask me anything about brewing, classes or your order.",
        "Hai, saya Raka dari Brew Studio. Tanyakan apa saja soal menyeduh, kelas, atau pesanan Anda.",
    );
    crate::config::SCRIPTED.clone_into(&mut config.model);
    config
}

fn worded() -> Vec<WordedCondition> {
    vec![
        WordedCondition {
            name: "Wants to cancel".to_owned(),
            text: "The visitor wants to cancel their subscription.".to_owned(),
        },
        WordedCondition {
            name: "Allergic reaction".to_owned(),
            text: "The visitor reports an allergic reaction or an injury.".to_owned(),
        },
    ]
}

fn job_description() -> &'static str {
    "You work for Tanah Tinggi Coffee, which sells single-origin Indonesian coffee, grinders and brewers.\n\n\
     Your tasks\n\
     - Answer questions about products, orders, deliveries, returns, the subscription and classes from the help centre.\n\
     - Keep it short: two to four sentences, then the next step if there is one.\n\n\
     Your limits\n\
     - Never promise a refund, a discount or a delivery date that the help centre does not state.\n\
     - You cannot see or change orders. For anything that needs an order looked up, a person must do it.\n\
     - Do not give medical or legal advice."
}
