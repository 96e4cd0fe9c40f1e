//! Who is who in a workspace: names of agents, assistants and inboxes, kept per process so that lists and frames need no joins.
//!
//! Invariant: what it says is at most [`FRESH_FOR`] old; whoever changes a name on this node calls [`Names::forget`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::clock::{Clock, Timestamp};
use crate::db::{Conn, Db, DbError, sql, stored, stored_json};
use crate::ids::{AgentId, AssistantId, InboxId, WorkspaceId};

/// How long a workspace's names are believed: a change made by another node shows after this time.
pub const FRESH_FOR: Duration = Duration::from_secs(10);

/// The accent of an inbox that has not chosen one.
const DEFAULT_ACCENT: &str = "#6d28d9";

/// What people see of an assistant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Its name, as published.
    pub name: String,
    /// An emoji, or empty.
    pub avatar: String,
    /// The languages it speaks.
    pub languages: Vec<String>,
    /// How it greets, by language.
    pub greeting: BTreeMap<String, String>,
    /// That it is an AI, by language.
    pub disclosure: BTreeMap<String, String>,
}

impl Identity {
    /// The avatar, if there is one.
    #[must_use]
    pub fn avatar(&self) -> Option<String> {
        (!self.avatar.is_empty()).then(|| self.avatar.clone())
    }
}

/// What is needed of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxFacts {
    /// Its name.
    pub name: String,
    /// The assistant that answers there: published, and nothing stopped.
    pub assistant: Option<AssistantId>,
    /// The colour of its widget.
    pub accent: String,
}

/// The names of one workspace.
#[derive(Debug, Default)]
pub struct Directory {
    /// The business.
    pub workspace_name: String,
    /// Everybody who works or worked here.
    pub agents: HashMap<AgentId, String>,
    /// The assistants, as published.
    pub assistants: HashMap<AssistantId, Identity>,
    /// The inboxes.
    pub inboxes: HashMap<InboxId, InboxFacts>,
}

impl Directory {
    /// The assistant that answers in an inbox.
    #[must_use]
    pub fn answering(&self, inbox: InboxId) -> Option<(AssistantId, &Identity)> {
        let id = self.inboxes.get(&inbox)?.assistant?;
        Some((id, self.assistants.get(&id)?))
    }

    /// Whether an inbox and an agent are in it.
    #[must_use]
    pub fn knows(&self, inbox: InboxId, agent: Option<AgentId>) -> bool {
        self.inboxes.contains_key(&inbox) && agent.is_none_or(|id| self.agents.contains_key(&id))
    }

    /// The name of an agent; empty if unknown.
    #[must_use]
    pub fn agent(&self, id: AgentId) -> String {
        self.agents.get(&id).cloned().unwrap_or_default()
    }
}

/// What was read, and when.
type Known = HashMap<WorkspaceId, (Timestamp, Arc<Directory>)>;

/// The names of every workspace that was asked about. Cheap to clone.
#[derive(Clone)]
pub struct Names {
    db: Db,
    clock: Clock,
    known: Arc<Mutex<Known>>,
}

impl Names {
    /// Names out of `db`.
    #[must_use]
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock, known: Arc::default() }
    }

    /// The names of a workspace.
    ///
    /// # Errors
    /// When the database is away or a row is broken.
    pub async fn of(&self, workspace: WorkspaceId) -> Result<Arc<Directory>, DbError> {
        match self.fresh(workspace) {
            Some(directory) => Ok(directory),
            None => self.read(&mut self.db.read().await?, workspace).await,
        }
    }

    /// The names of a workspace, read anew if they are older than what they are wanted for.
    ///
    /// # Errors
    /// When the database is away or a row is broken.
    pub async fn of_knowing(
        &self,
        workspace: WorkspaceId,
        is_enough: impl Fn(&Directory) -> bool,
    ) -> Result<Arc<Directory>, DbError> {
        match self.fresh(workspace).filter(|directory| is_enough(directory)) {
            Some(directory) => Ok(directory),
            None => self.read(&mut self.db.read().await?, workspace).await,
        }
    }

    /// The same for who holds a connection: readers that wait for a second one would wait for each other.
    ///
    /// # Errors
    /// When the database is away or a row is broken.
    pub async fn of_knowing_on(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
        is_enough: impl Fn(&Directory) -> bool,
    ) -> Result<Arc<Directory>, DbError> {
        match self.fresh(workspace).filter(|directory| is_enough(directory)) {
            Some(directory) => Ok(directory),
            None => self.read(conn, workspace).await,
        }
    }

    fn fresh(&self, workspace: WorkspaceId) -> Option<Arc<Directory>> {
        let now = self.clock.now();
        let known = self.locked(|known| known.get(&workspace).cloned());
        known.filter(|(at, _)| now.since(*at) < FRESH_FOR).map(|(_, directory)| directory)
    }

    async fn read(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
    ) -> Result<Arc<Directory>, DbError> {
        let now = self.clock.now();
        let read = Arc::new(load(conn, workspace).await?);
        self.locked(|known| known.insert(workspace, (now, Arc::clone(&read))));
        Ok(read)
    }

    /// Reads a workspace's names anew next time: somebody changed one.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.locked(|known| known.remove(&workspace));
    }

    /// Reads every workspace's names anew next time.
    pub fn forget_all(&self) {
        self.locked(HashMap::clear);
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    identity: Identity,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    accent: Option<String>,
}

type InboxRow = (String, String, String, Option<String>);

async fn load(conn: &mut Conn, workspace: WorkspaceId) -> Result<Directory, DbError> {
    let mut directory = Directory::default();
    let name: Option<(String,)> =
        sql("SELECT name FROM workspace WHERE id = $1").bind(workspace).optional(conn).await?;
    directory.workspace_name = name.map(|(name,)| name).unwrap_or_default();
    let agents: Vec<(String, String)> =
        sql("SELECT id, name FROM agent WHERE workspace = $1").bind(workspace).all(conn).await?;
    for (id, name) in agents {
        directory.agents.insert(stored(&id)?, name);
    }
    let assistants: Vec<(String, String, Option<String>)> =
        sql("SELECT a.id, a.name, v.config FROM assistant a
         LEFT JOIN assistant_version v ON v.assistant = a.id AND v.number = a.published
         WHERE a.workspace = $1")
        .bind(workspace)
        .all(conn)
        .await?;
    for (id, name, config) in assistants {
        let config: Config = config.map(|json| stored_json(&json)).transpose()?.unwrap_or_default();
        let mut identity = config.identity;
        if identity.name.is_empty() {
            identity.name = name;
        }
        directory.assistants.insert(stored(&id)?, identity);
    }
    let inboxes: Vec<InboxRow> =
        sql("SELECT i.id, i.name, i.settings, a.id AS assistant FROM inbox i
         LEFT JOIN assistant a ON a.id = i.assistant AND a.published IS NOT NULL AND NOT a.stopped
            AND NOT i.stopped
         WHERE i.workspace = $1")
        .bind(workspace)
        .all(conn)
        .await?;
    for (id, name, settings, assistant) in inboxes {
        let settings: Settings = stored_json(&settings)?;
        let facts = InboxFacts {
            name,
            assistant: assistant.as_deref().map(stored).transpose()?,
            accent: settings.accent.unwrap_or_else(|| DEFAULT_ACCENT.to_owned()),
        };
        directory.inboxes.insert(stored(&id)?, facts);
    }
    Ok(directory)
}
