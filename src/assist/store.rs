//! All SQL of help for agents: artifacts, and what they are made from.
//!
//! An artifact has the id of the job that makes it, so that a job that runs again replaces its own work, and so that what
//! is pending can be shown before there is anything to store.

use sqlx::FromRow;

use super::thread::{self, Settings, Thread};
use super::view::{Artifact, Assist, Content, Fate, Kind, Source, State};
use crate::clock::Timestamp;
use crate::conversation::store::{Span, timeline};
use crate::conversation::{Conversation, lists};
use crate::db::{Conn, DbError, sql, stored, stored_json, to_json};
use crate::ids::{ArtifactId, ConversationId, JobId, KnowledgeBaseId, WorkspaceId};
use crate::jobs::{self, Waiting};
use crate::model::{self, Tone};

/// How many of a conversation's last events help is made from.
const LOG_EVENTS: u32 = 400;

/// The artifact that a job makes.
///
/// # Errors
/// Never: ids of both kinds are the same underneath.
pub fn artifact_of(job: JobId) -> Result<ArtifactId, DbError> {
    let uuid = job.to_string();
    let hex = uuid.split_once('_').map_or("", |(_, hex)| hex);
    stored(&format!("{}_{hex}", ArtifactId::PREFIX))
}

/// What the payload of a job says.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// Where the conversation was.
    pub at_seq: u64,
    /// An agent asked for it, so that it is made anew whatever there is.
    pub asked: bool,
    /// Their language.
    pub locale: Option<String>,
}

impl Wanted {
    pub fn of(payload: &str) -> Self {
        serde_json::from_str(payload).unwrap_or_default()
    }
}

#[derive(FromRow)]
struct ThreadRow {
    state: String,
    locale: String,
    contact_name: Option<String>,
    agent_name: Option<String>,
    agent_locale: Option<String>,
    usual_locale: Option<String>,
    config: Option<String>,
}

/// The part of an assistant's configuration that help for agents minds.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Config {
    identity: Identity,
    knowledge_bases: Vec<KnowledgeBaseId>,
    model: Option<String>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Identity {
    tone: Tone,
}

/// Everything help is made from; none if the workspace has no such conversation.
pub(super) async fn thread(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<Option<Thread>, DbError> {
    let row: Option<ThreadRow> =
        sql("SELECT c.state, c.locale, p.name AS contact_name, g.name AS agent_name,
            g.locale AS agent_locale, v.config,
            (SELECT x.locale FROM agent x WHERE x.workspace = c.workspace AND x.disabled_at IS NULL
             GROUP BY x.locale ORDER BY COUNT(*) DESC, x.locale LIMIT 1) AS usual_locale
         FROM conversation c
         JOIN contact p ON p.id = c.contact
         JOIN inbox i ON i.id = c.inbox
         LEFT JOIN agent g ON g.id = c.assignee
         LEFT JOIN assistant a ON a.id = i.assistant
         LEFT JOIN assistant_version v ON v.assistant = a.id AND v.number = a.published
         WHERE c.workspace = $1 AND c.id = $2")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let conversation: Conversation = stored_json(&row.state)?;
    // Help without the configuration is better than none.
    let config = row.config.and_then(|config| serde_json::from_str::<Config>(&config).ok());
    let config = config.unwrap_or_default();
    let log = timeline(conn, workspace, id, Span::Before(conversation.seq + 1), LOG_EVENTS).await?;
    let (messages, reason) = thread::read(log);
    Ok(Some(Thread {
        conversation,
        locale: row.locale,
        agents_locale: row.agent_locale.or(row.usual_locale).unwrap_or_else(|| "en".to_owned()),
        contact_name: row.contact_name,
        agent_name: row.agent_name,
        settings: Settings {
            bases: config.knowledge_bases,
            model: config.model.unwrap_or_else(|| model::DEFAULT.to_owned()),
            tone: config.identity.tone,
        },
        messages,
        reason,
    }))
}

/// Holds the conversation's row until the end of the transaction, so that nothing is stored about one that is being erased.
pub(super) async fn hold(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<Option<Conversation>, DbError> {
    sql("UPDATE conversation SET locale = locale WHERE workspace = $1 AND id = $2")
        .bind(workspace)
        .bind(id)
        .execute(conn)
        .await?;
    lists::state(conn, workspace, id).await
}

/// The last event after which help made before is stale: something was said, or people got the conversation for a reason.
async fn moved_at(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<u64, DbError> {
    let row: Option<(i64,)> = sql("SELECT seq FROM event WHERE workspace = $1 AND conversation = $2
           AND kind IN ('visitor_wrote', 'person_requested', 'assistant_answered', 'handed_off', 'agent_wrote', 'noted',
                'queued', 'returned_to_ai', 'late_echo', 'closed', 'reopened', 'erased')
         ORDER BY seq DESC LIMIT 1")
        .bind(workspace)
        .bind(id)
        .optional(conn)
        .await?;
    Ok(row.and_then(|(seq,)| u64::try_from(seq).ok()).unwrap_or(0))
}

/// What is stored of a finished job.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub id: ArtifactId,
    pub kind: Kind,
    pub at_seq: u64,
    /// None = it could not be made.
    pub content: Option<(Source, Content)>,
}

/// Stores what a job made, in place of what an earlier run of it made.
pub(super) async fn put(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    made: &Made,
    now: Timestamp,
) -> Result<(), DbError> {
    let state = if made.content.is_some() { State::Ready } else { State::Failed };
    let content = made.content.as_ref().map(|(_, content)| to_json(content)).transpose()?;
    sql("INSERT INTO artifact (id, workspace, conversation, kind, state, at_seq, source, content, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, at_seq = EXCLUDED.at_seq, source = EXCLUDED.source,
            content = EXCLUDED.content, created_at = EXCLUDED.created_at")
        .bind(made.id)
        .bind(workspace)
        .bind(conversation)
        .bind(made.kind.as_str())
        .bind(state.as_str())
        .bind(made.at_seq)
        .bind(made.content.as_ref().map(|(source, _)| source.as_str()))
        .bind(content)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(FromRow)]
struct ArtifactRow {
    id: String,
    kind: String,
    state: String,
    at_seq: i64,
    source: Option<String>,
    content: Option<String>,
    created_at: i64,
}

impl ArtifactRow {
    fn read(self, moved_at: u64) -> Result<Artifact, DbError> {
        let broken = |what: &str| DbError::Broken(format!("artifact.{what}"));
        let at_seq = u64::try_from(self.at_seq).unwrap_or(0);
        Ok(Artifact {
            id: stored(&self.id)?,
            kind: Kind::named(&self.kind).ok_or_else(|| broken("kind"))?,
            state: if self.state == State::Ready.as_str() { State::Ready } else { State::Failed },
            at_seq,
            stale: at_seq < moved_at,
            source: self.source.as_deref().and_then(Source::named),
            created_at: Timestamp::from_millis(self.created_at),
            content: self.content.as_deref().map(stored_json).transpose()?,
        })
    }
}

macro_rules! artifacts {
    ($tail:literal) => {
        concat!(
            "SELECT id, kind, state, at_seq, source, content, created_at FROM artifact WHERE workspace = $1
             AND conversation = $2 AND ",
            $tail
        )
    };
}

/// The newest help of each kind that is ready or failed.
pub(super) async fn stored_assist(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
) -> Result<Assist, DbError> {
    let moved_at = moved_at(conn, workspace, conversation).await?;
    let mut assist = Assist::default();
    for kind in Kind::ALL {
        let newest: Option<ArtifactRow> =
            sql(artifacts!("kind = $3 ORDER BY at_seq DESC, created_at DESC, id DESC LIMIT 1"))
                .bind(workspace)
                .bind(conversation)
                .bind(kind.as_str())
                .optional(conn)
                .await?;
        *assist.place(kind) = newest.map(|row| row.read(moved_at)).transpose()?;
    }
    Ok(assist)
}

/// The newest help of each kind, what is being made included.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn assist(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
) -> Result<Assist, DbError> {
    // The jobs first: one that ends in between is then still shown as pending, and announced.
    let waiting = jobs::store::waiting(conn, workspace, conversation).await?;
    let mut assist = stored_assist(conn, workspace, conversation).await?;
    for kind in Kind::ALL {
        let Some(job) = waiting.iter().find(|job| job.kind == kind.as_str()) else { continue };
        let place = assist.place(kind);
        // What still holds is not taken away while the job looks whether it does.
        let stays = place.as_ref().is_some_and(holds) && !Wanted::of(&job.payload).asked;
        if !stays {
            *place = Some(pending(kind, job)?);
        }
    }
    Ok(assist)
}

/// Whether an artifact need not be made again.
pub(super) fn holds(artifact: &Artifact) -> bool {
    artifact.state == State::Ready && !artifact.stale
}

/// An artifact that is being made.
pub(super) fn pending(kind: Kind, job: &Waiting) -> Result<Artifact, DbError> {
    Ok(Artifact {
        id: artifact_of(job.id)?,
        kind,
        state: State::Pending,
        at_seq: Wanted::of(&job.payload).at_seq,
        stale: false,
        source: None,
        created_at: job.created_at,
        content: None,
    })
}

/// One artifact that is ready or failed.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn artifact(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    id: ArtifactId,
) -> Result<Option<Artifact>, DbError> {
    let moved_at = moved_at(conn, workspace, conversation).await?;
    let row: Option<ArtifactRow> = sql(artifacts!("id = $3"))
        .bind(workspace)
        .bind(conversation)
        .bind(id)
        .optional(conn)
        .await?;
    row.map(|row| row.read(moved_at)).transpose()
}

/// Counts what became of a suggested reply. `false` if there is no such reply.
///
/// # Errors
/// When the database is away or the row is broken.
pub async fn count_fate(
    conn: &mut Conn,
    workspace: WorkspaceId,
    conversation: ConversationId,
    (artifact, index): (ArtifactId, usize),
    fate: Fate,
) -> Result<bool, DbError> {
    let row: Option<(Option<String>, String)> =
        sql("SELECT content, fates FROM artifact WHERE workspace = $1 AND conversation = $2 AND id = $3")
            .bind(workspace)
            .bind(conversation)
            .bind(artifact)
            .optional(conn)
            .await?;
    let Some((Some(content), before)) = row else { return Ok(false) };
    let Content::Suggestions(suggestions) = stored_json(&content)? else { return Ok(false) };
    if index >= suggestions.replies.len() {
        return Ok(false);
    }
    let mut fates: Fates = stored_json(&before)?;
    *fates.entry(index.to_string()).or_default().entry(fate.as_str().to_owned()).or_default() += 1;
    let changed =
        sql("UPDATE artifact SET fates = $3 WHERE workspace = $1 AND id = $2 AND fates = $4")
            .bind(workspace)
            .bind(artifact)
            .bind(to_json(&fates)?)
            .bind(before)
            .execute(conn)
            .await?;
    // Somebody counted in the same moment: count again.
    if changed == 1 { Ok(true) } else { Err(DbError::Conflict) }
}

/// By the reply's number, then by fate: how often.
type Fates = std::collections::BTreeMap<String, std::collections::BTreeMap<String, u32>>;
