//! The jobs that make help for agents: read the conversation, find passages, ask a model or put it together, store it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::ask::{self, DEADLINE};
use super::prompt::{ASSIST_TOKENS, BriefPrompt, SuggestPrompt, SummaryPrompt};
use super::store::{self, Made, Wanted};
use super::thread::Thread;
use super::view::{Artifact, BriefContent, Content, Kind, Ref, Reply, Source, SuggestionsContent};
use super::{extract, said, suggest};
use crate::conversation::{Conversations, Heard, Holder, Wire, lists};
use crate::db::DbError;
use crate::ids::{ArtifactId, ConversationId, JobId, KnowledgeBaseId, WorkspaceId};
use crate::jobs::{self, Handler, Job, JobError, Order, Worker};
use crate::knowledge::{Knowledge, KnowledgeError, Passage};
use crate::model::prompt::Prompts;
use crate::model::tokens::TokenBudget;
use crate::model::{ChatModel, Models, Task};

/// How many passages are looked at for suggestions.
const PASSAGES: usize = 8;

/// Makes briefs, summaries and suggested replies. Cheap to clone.
#[derive(Clone)]
pub struct Assistance {
    pub(super) conversations: Conversations,
    pub(super) knowledge: Knowledge,
    models: Arc<Models>,
    prompts: Arc<Prompts>,
}

/// Why help was not ordered.
#[derive(Debug, thiserror::Error)]
pub enum AssistError {
    /// The workspace has no such conversation.
    #[error("there is no such conversation")]
    NotFound,
    /// The contact is blocked or erased.
    #[error("nothing is made of a blocked or erased conversation")]
    Silent,
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Assistance {
    /// With these models, prompts and knowledge.
    #[must_use]
    pub fn new(
        conversations: Conversations,
        knowledge: Knowledge,
        models: Arc<Models>,
        prompts: Arc<Prompts>,
    ) -> Self {
        Self { conversations, knowledge, models, prompts }
    }

    /// Has this worker do the jobs of every kind.
    #[must_use]
    pub fn register(&self, worker: Worker) -> Worker {
        Kind::ALL.into_iter().fold(worker, |worker, kind| {
            let maker = Maker { assistance: self.clone(), kind };
            worker.with(kind.as_str(), Arc::new(maker))
        })
    }

    /// Orders help that an agent asked for; made anew whatever there is. What waits already is not ordered twice.
    ///
    /// # Errors
    /// [`AssistError`]; nothing is ordered then.
    pub async fn order(
        &self,
        workspace: WorkspaceId,
        id: ConversationId,
        kind: Kind,
        locale: &str,
    ) -> Result<Artifact, AssistError> {
        let (job, now) =
            (self.conversations.ids().fresh::<JobId>(), self.conversations.clock().now());
        let wire = Arc::clone(self.conversations.wire());
        let locale = locale.to_owned();
        let ordered = self.conversations.db().write(move |conn| {
            let (wire, locale) = (Arc::clone(&wire), locale.clone());
            Box::pin(async move {
                let Some(c) = lists::state(conn, workspace, id).await? else {
                    return Ok(Err(AssistError::NotFound));
                };
                if c.erased || c.blocked {
                    return Ok(Err(AssistError::Silent));
                }
                let waiting = jobs::store::waiting(conn, workspace, id).await?;
                let same = waiting.iter().find(|job| {
                    job.kind == kind.as_str() && !job.running && Wanted::of(&job.payload).asked
                });
                if let Some(same) = same {
                    return Ok(Ok(store::pending(kind, same)?));
                }
                let wanted = Wanted { at_seq: c.seq, asked: true, locale: Some(locale) };
                let order =
                    Order { id: job, kind: kind.as_str(), payload: crate::db::to_json(&wanted)? };
                jobs::store::order(conn, workspace, id, &order, now).await?;
                conn.after_commit(move || wire.job_due.notify_one());
                let job = jobs::Waiting {
                    id: job,
                    kind: kind.as_str().to_owned(),
                    payload: order.payload,
                    running: false,
                    created_at: now,
                };
                Ok(Ok(store::pending(kind, &job)?))
            })
        });
        ordered.await?
    }

    fn announce(&self, workspace: WorkspaceId, conversation: ConversationId, artifact: ArtifactId) {
        let heard = Heard::Artifact { conversation, artifact };
        self.conversations.wire().tell_agents(workspace, heard);
    }

    /// Everything help is made from, and what there is of this kind.
    async fn read(
        &self,
        workspace: WorkspaceId,
        id: ConversationId,
    ) -> Result<Option<(Thread, super::Assist)>, DbError> {
        let mut conn = self.conversations.db().read().await?;
        let Some(thread) = store::thread(&mut conn, workspace, id).await? else { return Ok(None) };
        let assist = store::stored_assist(&mut conn, workspace, id).await?;
        Ok(Some((thread, assist)))
    }

    async fn make(&self, kind: Kind, thread: &Thread) -> Result<(Source, Content), JobError> {
        match kind {
            Kind::Brief => self.brief(thread).await,
            Kind::Summary => Ok(self.summary(thread).await),
            Kind::Suggestions => self.suggestions(thread).await,
        }
    }

    fn budget(&self, model: &dyn ChatModel) -> TokenBudget {
        model.prompt_budget(ASSIST_TOKENS)
    }

    async fn brief(&self, thread: &Thread) -> Result<(Source, Content), JobError> {
        let prompt = BriefPrompt::new(&thread.agents_locale, &thread.messages)
            .with_reason(thread.reason_in_words());
        let made = ask::ask(
            self.models.of(&thread.settings.model),
            Task::Brief,
            DEADLINE,
            |model| prompt.request(&self.prompts, &self.budget(model)),
            |text| prompt.parse(text),
        );
        let (source, brief) = match made.await {
            Some(brief) => (Source::Model, brief),
            None => {
                let found = self.find(thread, &said::question(thread)).await?;
                (Source::Extractive, extract::brief(thread, &found))
            }
        };
        let refs = thread.refs().into_iter().map(|message_id| Ref { message_id }).collect();
        Ok((source, Content::Brief(BriefContent { brief, refs })))
    }

    async fn summary(&self, thread: &Thread) -> (Source, Content) {
        let prompt = SummaryPrompt::new(&thread.agents_locale, &thread.messages);
        let made = ask::ask(
            self.models.of(&thread.settings.model),
            Task::Summary,
            DEADLINE,
            |model| prompt.request(&self.prompts, &self.budget(model)),
            |text| prompt.parse(text),
        );
        match made.await {
            Some(summary) => (Source::Model, Content::Summary(summary)),
            None => (Source::Extractive, Content::Summary(extract::summary(thread))),
        }
    }

    async fn suggestions(&self, thread: &Thread) -> Result<(Source, Content), JobError> {
        let question = said::question(thread);
        let found = self.find(thread, &question).await?;
        let kept: Vec<Passage> = found.iter().filter(|p| p.kept).cloned().collect();
        let prompt = SuggestPrompt::new(&thread.locale, thread.settings.tone, &thread.messages)
            .with_agent(thread.agent_name.clone())
            .with_passages(kept);
        let made = ask::ask(
            self.models.of(&thread.settings.model),
            Task::Suggest,
            DEADLINE,
            |model| prompt.request(&self.prompts, &self.budget(model)),
            |text| prompt.parse(text),
        );
        let (source, replies) = match made.await {
            Some(made) => {
                let cite = |number: &usize| prompt.passages().get(number.checked_sub(1)?);
                let replies = made.replies.into_iter().map(|reply| Reply {
                    text: reply.text,
                    citations: reply
                        .sources
                        .iter()
                        .filter_map(cite)
                        .map(Passage::citation)
                        .collect(),
                });
                (Source::Model, replies.collect())
            }
            None => (Source::Extractive, suggest::suggestions(thread, &question, &found)),
        };
        Ok((source, Content::Suggestions(SuggestionsContent { replies })))
    }

    /// What the knowledge holds for agents, best first.
    async fn find(&self, thread: &Thread, question: &str) -> Result<Vec<Passage>, JobError> {
        if question.trim().is_empty() {
            return Ok(Vec::new());
        }
        let workspace = thread.conversation.workspace;
        let found = async {
            let mut bases = thread.settings.bases.clone();
            if bases.is_empty() {
                let all = self.knowledge.bases(workspace).await?;
                bases = all.into_iter().map(|base| base.id).collect::<Vec<KnowledgeBaseId>>();
            }
            let locale = Some(thread.locale.as_str());
            self.knowledge.search_for_agents(workspace, &bases, question, locale, PASSAGES).await
        };
        found.await.map_err(|error: KnowledgeError| {
            tracing::warn!(%error, "knowledge search failed");
            JobError::again("knowledge")
        })
    }

    /// Orders suggestions beside a brief, unless they wait already.
    async fn order_suggestions(
        &self,
        workspace: WorkspaceId,
        id: ConversationId,
        at_seq: u64,
    ) -> Result<(), DbError> {
        let (job, now) =
            (self.conversations.ids().fresh::<JobId>(), self.conversations.clock().now());
        let wire = Arc::clone(self.conversations.wire());
        let unit = self.conversations.db().write(move |conn| {
            let wire = Arc::clone(&wire);
            Box::pin(async move {
                let kind = Kind::Suggestions.as_str();
                let waiting = jobs::store::waiting(conn, workspace, id).await?;
                if waiting.iter().any(|job| job.kind == kind && !job.running) {
                    return Ok(());
                }
                let wanted = Wanted { at_seq, ..Wanted::default() };
                let order = Order { id: job, kind, payload: crate::db::to_json(&wanted)? };
                jobs::store::order(conn, workspace, id, &order, now).await?;
                conn.after_commit(move || wire.job_due.notify_one());
                Ok(())
            })
        });
        unit.await
    }

    /// Stores and announces what was made, unless the conversation has been silenced meanwhile.
    async fn keep(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
        made: Made,
    ) -> Result<(), DbError> {
        let (id, now) = (made.id, self.conversations.clock().now());
        let unit = self.conversations.db().write(move |conn| {
            let made = made.clone();
            Box::pin(async move {
                let held = store::hold(conn, workspace, conversation).await?;
                if held.is_none_or(|c| c.erased || c.blocked) {
                    return Ok(false);
                }
                store::put(conn, workspace, conversation, &made, now).await?;
                Ok(true)
            })
        });
        if unit.await? {
            self.announce(workspace, conversation, id);
        }
        Ok(())
    }
}

impl jobs::Woken for Wire {
    fn job_due(&self) -> &Notify {
        &self.job_due
    }
}

/// Makes help of one kind.
struct Maker {
    assistance: Assistance,
    kind: Kind,
}

#[async_trait]
impl Handler for Maker {
    async fn run(&self, job: &Job) -> Result<(), JobError> {
        let Self { assistance, kind } = self;
        let conversation = job.conversation.ok_or(JobError::never("no_conversation"))?;
        let workspace = job.workspace;
        let wanted = Wanted::of(&job.payload);
        let Some((mut thread, mut there)) = assistance.read(workspace, conversation).await? else {
            return Ok(());
        };
        if thread.is_silent() {
            return Ok(());
        }
        let is_closed = matches!(thread.conversation.holder, Holder::Closed { .. });
        let waits = thread.unanswered().next().is_some() && !is_closed;
        if *kind == Kind::Brief && !wanted.asked && waits {
            let at_seq = thread.conversation.seq;
            assistance.order_suggestions(workspace, conversation, at_seq).await?;
        }
        if !wanted.asked {
            // Taking over what was just handed off needs no second brief; what is settled needs no replies.
            if let Some(there) = there.place(*kind).as_ref().filter(|made| store::holds(made)) {
                assistance.announce(workspace, conversation, there.id);
                return Ok(());
            }
            if *kind == Kind::Suggestions && !waits {
                return Ok(());
            }
        }
        if let Some(locale) = wanted.locale {
            thread.agents_locale = locale;
        }
        let content = assistance.make(*kind, &thread).await?;
        let id = store::artifact_of(job.id)?;
        let at_seq = thread.conversation.seq;
        let made = Made { id, kind: *kind, at_seq, content: Some(content) };
        Ok(assistance.keep(workspace, conversation, made).await?)
    }

    async fn gave_up(&self, job: &Job, _: JobError) {
        let Some(conversation) = job.conversation else { return };
        let failed = async {
            let at_seq = Wanted::of(&job.payload).at_seq;
            let id = store::artifact_of(job.id)?;
            let made = Made { id, kind: self.kind, at_seq, content: None };
            self.assistance.keep(job.workspace, conversation, made).await
        };
        if let Err(error) = failed.await {
            tracing::warn!(conversation.id = %conversation, %error,
                "that help could not be made could not be stored");
        }
    }
}
