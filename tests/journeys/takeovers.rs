//! Ten thousand takeovers, each after a released sentence and before the turn's commit.
//!
//! The real turn worker and producer write replies; the model is in the process and stops behind its first sentence. The
//! takeover is handed to `commit` first, then the model goes on: with one more sentence, so that the answer's commit meets the
//! takeover's in the writer's queue, or with many, so that drafts would still flow when the takeover has been committed. Each conversation's
//! listener hears drafts and changes in the order in which they were enqueued; a draft behind its takeover's change, or an
//! answer of a turn that was taken over, is counted, and the counts must be zero. A takeover that found the answer committed already does
//! not count as one of the ten thousand.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use baton::conversation::{
    By, Command, Committed, Conversation, Event, Live, Record, Target, Words,
};
use baton::conversation::{Conversations, Origin};
use baton::db::sql;
use baton::health::Pulse;
use baton::hub::Hearing;
use baton::ids::{AgentId, ContactId, MessageId, TurnId};
use baton::model::{
    ChatModel, ChatRequest, ChatStream, Completion, Delta, ModelError, ModelKind, ModelSet, Task,
};
use baton::server::{self, Extras};
use baton::turn::{Published, TurnWorker};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::on_both_engines;
use crate::support::world::{Business, configuration, found};
use crate::support::{Engine, PATIENCE, Place, Setup, say};
use baton::model::scripted::{Script, ScriptedServer};

/// Conversations that go on at once.
const CONVERSATIONS: usize = 64;
/// How long the model takes for a sentence.
const PACE: Duration = Duration::from_millis(1);
/// Takeovers of one conversation before the next visitor comes: a longer history would only make prompts longer.
const ROUNDS: usize = 8;

fn takeovers(engine: Engine) -> usize {
    let wanted = std::env::var("BATON_TEST_TAKEOVERS").ok().and_then(|text| text.parse().ok());
    match engine {
        Engine::Sqlite => wanted.unwrap_or(10_000),
        // Every commit is a round trip there.
        Engine::Postgres => wanted.unwrap_or(10_000) / 10,
    }
}

/// A model that stops behind its first sentence until it is told how many more to say.
#[derive(Default)]
struct Stopping {
    rounds: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Stopping {
    /// Where the reply to this question waits.
    fn round(&self, question: &str) -> Arc<Semaphore> {
        let mut rounds = self.rounds.lock().expect("not poisoned");
        Arc::clone(rounds.entry(question.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    fn forget(&self, question: &str) {
        self.rounds.lock().expect("not poisoned").remove(question);
    }
}

#[async_trait]
impl ChatModel for Stopping {
    fn name(&self) -> &str {
        "stopping"
    }

    fn kind(&self) -> ModelKind {
        ModelKind::Remote
    }

    fn context_tokens(&self) -> usize {
        32_000
    }

    async fn complete(&self, _: &ChatRequest) -> Result<Completion, ModelError> {
        Ok(Completion { text: String::new(), usage: None, model: "stopping".to_owned() })
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        if request.task != Task::Answer {
            return Err(ModelError::EmptyStream);
        }
        let round = self.round(request.material.question.trim());
        let first = stream::iter([Ok(Delta::Text("One moment, please. I look it up".to_owned()))]);
        let rest = stream::once(async move {
            // As many permits as there are sentences to come, and one to go on.
            let go_on = round.acquire().await.map_err(|_| ModelError::CutStream);
            go_on?.forget();
            Ok(round.available_permits())
        })
        .flat_map(|more: Result<usize, ModelError>| match more {
            Err(error) => stream::iter([Err(error)]).boxed(),
            Ok(more) => stream::iter([Ok(Delta::Text(" now. ".to_owned()))])
                .chain(stream::iter(0..more).then(|number| async move {
                    // The pace of a fast model: the reply outlasts the takeover's commit.
                    tokio::time::sleep(PACE).await;
                    Ok(Delta::Text(format!("This is sentence number {number}. ")))
                }))
                .chain(stream::iter([Ok(Delta::Done {
                    usage: None,
                    model: "stopping".to_owned(),
                })]))
                .boxed(),
        });
        Ok(first.chain(rest).boxed())
    }
}

/// What was heard that must not be.
#[derive(Debug, Default)]
struct Heard {
    drafts: usize,
    late_drafts: usize,
    answers: usize,
    stale_answers: usize,
    taken: HashSet<TurnId>,
}

impl Heard {
    fn hear(&mut self, live: &Live) {
        match live {
            Live::Draft(draft) => {
                self.drafts += 1;
                self.late_drafts += usize::from(self.taken.contains(&draft.turn));
            }
            Live::Changed(change) => {
                for logged in &change.events {
                    match &logged.record {
                        Record::TurnCancelled { turn, .. } => {
                            self.taken.insert(*turn);
                        }
                        Record::AssistantAnswered { turn, .. } => {
                            self.answers += 1;
                            self.stale_answers += usize::from(self.taken.contains(turn));
                        }
                        _ => {}
                    }
                }
            }
            Live::Moved(_) | Live::DraftDropped { .. } | Live::Typing { .. } => {}
        }
    }
}

struct Talk {
    conversations: Conversations,
    model: Arc<Stopping>,
    business: Arc<Business>,
    agent: AgentId,
    number: usize,
    contact: ContactId,
    live: Hearing<Live>,
    /// Of visitors before this one: late words may still come there.
    before: Vec<Hearing<Live>>,
    heard: Heard,
}

impl Talk {
    /// Another visitor comes.
    async fn next_visitor(&mut self) {
        self.contact = contact(&self.conversations, &self.business).await;
        let topic = (self.business.inbox, self.contact);
        let live = self.conversations.wire().visitors.subscribe(topic);
        self.before.push(std::mem::replace(&mut self.live, live));
    }

    /// Hears what has come meanwhile, from every visitor's topic.
    fn hear_the_rest(&mut self) {
        for topic in self.before.iter_mut().chain(std::iter::once(&mut self.live)) {
            while let Ok(live) = topic.try_recv() {
                self.heard.hear(&live);
            }
        }
    }

    async fn commit(&self, command: Command) -> Committed {
        let committed = self.conversations.commit(command).await;
        committed.unwrap_or_else(|error| panic!("conversation {}: {error}", self.number))
    }

    async fn as_agent(&self, c: &Conversation, event: Event, words: Option<Words>) -> Committed {
        let mut command = Command::new(self.business.workspace, c.id, event);
        command.words = words;
        self.commit(command).await
    }

    fn by(&self) -> By {
        By { agent: self.agent, expected_epoch: None }
    }

    /// The visitor asks; returns once the first sentence is released.
    async fn ask(&mut self, question: &str) -> Conversation {
        let message: MessageId = self.conversations.ids().fresh();
        let words = Words { text: question.to_owned(), ..Words::default() };
        let origin = Origin { locale: "en".to_owned(), ..Origin::default() };
        let target = Target::Contact { inbox: self.business.inbox, contact: self.contact, origin };
        let command = Command {
            workspace: self.business.workspace,
            target,
            event: Event::VisitorWrote { message, bare_thanks: false },
            words: Some(words),
            evidence: None,
            turn_record: None,
        };
        let asked = self.commit(command).await;
        let turn = asked.conversation.holder.turn().expect("the AI's turn is due").id;
        loop {
            let live = tokio::time::timeout(PATIENCE * 4, self.live.recv()).await;
            let live = live.expect("the first sentence is released").expect("nobody lags");
            self.heard.hear(&live);
            if matches!(&live, Live::Draft(draft) if draft.turn == turn) {
                return asked.conversation;
            }
        }
    }

    /// One takeover. Returns whether it came before the turn's commit.
    async fn round(&mut self, round: usize) -> bool {
        let question = format!("question {} of visitor {}", round, self.number);
        let c = self.ask(&question).await;
        let gate = self.model.round(&question);
        let takes_over = Event::AgentTakesOver { by: self.by(), from_colleague: false };
        let answers = self.heard.answers;
        let takeover = self.as_agent(&c, takes_over, None);
        let goes_on = async {
            // One sentence more, or enough to be still talking when the takeover has been committed.
            gate.add_permits(if round.is_multiple_of(2) { 1 } else { 120 });
        };
        // The takeover is handed over first: then the model goes on while it waits for its turn to be stored.
        let (taken, ()) = tokio::join!(biased; takeover, goes_on);
        self.model.forget(&question);
        while let Ok(live) = self.live.try_recv() {
            self.heard.hear(&live);
        }
        let before = self.heard.answers == answers;
        let message: MessageId = self.conversations.ids().fresh();
        let words = Words { text: "Here is Ana.".to_owned(), ..Words::default() };
        let writes = Event::AgentWrites { by: self.by(), message };
        self.as_agent(&taken.conversation, writes, Some(words)).await;
        let back = Event::AssignToAi { by: self.by(), note: None };
        self.as_agent(&taken.conversation, back, None).await;
        before
    }
}

/// A contact of the inbox; who they are does not matter.
async fn contact(conversations: &Conversations, business: &Business) -> ContactId {
    let id: ContactId = conversations.ids().fresh();
    let workspace = business.workspace;
    let made = conversations.db().write(move |conn| {
        Box::pin(async move {
            sql("INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at)
                 VALUES ($1, $2, 'en', '{}', 0, 0)")
            .bind(id)
            .bind(workspace)
            .execute(conn)
            .await
        })
    });
    made.await.expect("stores a contact");
    id
}

async fn every_takeover_is_the_last_word(engine: Engine) {
    let place = Place::fresh(engine).await;
    let spare = ScriptedServer::start(Script::instant()).await.expect("starts a model");
    let model = Arc::new(Stopping::default());
    let shared: Arc<dyn ChatModel> = Arc::clone(&model) as Arc<dyn ChatModel>;
    let models = vec![("stopping".to_owned(), ModelSet::of_one(&shared))];
    let extras = Extras { models, ..Extras::default() };
    let config = configuration(&place, &spare);
    let built = server::build(&config, &extras).await.expect("builds");
    let setup = Setup::default().assistant(|config| {
        "stopping".clone_into(&mut config.model);
        config.conditions.worded.clear();
    });
    let state = built.state.clone();
    let business = Arc::new(found(&state, "Tanah Tinggi Coffee", &setup).await);
    let agent = business.agent("Ana", &crate::support::world::http(), "").id;
    let agent: AgentId = agent.parse().expect("an id");
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let conversations = state.conversations.clone();
    let worker = TurnWorker::new(
        conversations.clone(),
        state.minds.producer.clone(),
        Arc::new(Published::new(conversations.db().clone())),
        CONVERSATIONS * 2,
        tasks.clone(),
        stop.clone(),
    );
    tasks.spawn(worker.run(Pulse::default()));
    let each = takeovers(engine).div_ceil(CONVERSATIONS);
    let started = Instant::now();
    let mut talks = Vec::new();
    for number in 0..CONVERSATIONS {
        let contact = contact(&conversations, &business).await;
        let live = conversations.wire().visitors.subscribe((business.inbox, contact));
        talks.push(Talk {
            conversations: conversations.clone(),
            model: Arc::clone(&model),
            business: Arc::clone(&business),
            agent,
            number,
            contact,
            live,
            before: Vec::new(),
            heard: Heard::default(),
        });
    }
    let talking = talks.into_iter().map(|mut talk| {
        tokio::spawn(async move {
            let (mut counted, mut round, mut after) = (0, 0, 0);
            while counted < each {
                if round % ROUNDS == ROUNDS - 1 {
                    talk.next_visitor().await;
                }
                round += 1;
                if talk.round(round).await {
                    counted += 1;
                } else {
                    after += 1;
                }
                assert!(after <= each + 50, "nearly every takeover came after the answer");
            }
            (talk, counted, after)
        })
    });
    let done = join_all(talking).await;
    let took = started.elapsed();
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let (mut heard, mut counted, mut after) = (Heard::default(), 0, 0);
    for ended in done {
        let (mut talk, of_it, too_late) = ended.expect("the conversation goes well");
        talk.hear_the_rest();
        counted += of_it;
        after += too_late;
        heard.drafts += talk.heard.drafts;
        heard.late_drafts += talk.heard.late_drafts;
        heard.stale_answers += talk.heard.stale_answers;
    }
    let refused = discarded(&conversations).await;
    say(&format!(
        "{engine:?}: {counted} takeovers between a released sentence and the turn's commit ({after} more came after it) in {:.1} s; \
         {} drafts, {} after the takeover; {refused} stale results were tried, {} were committed",
        took.as_secs_f64(),
        heard.drafts,
        heard.late_drafts,
        heard.stale_answers,
    ));
    assert_eq!(heard.late_drafts, 0, "drafts were enqueued after the takeover's commit");
    assert_eq!(heard.stale_answers, 0, "assistant messages were committed under a stale fence");
    assert!(refused > counted / 1_000, "no result came late enough to try the fence");
    conversations.db().close().await;
    drop((state, built));
    crate::laws::assert_lawful(&place.url).await;
}

/// How many results met the fence.
async fn discarded(conversations: &Conversations) -> usize {
    let mut conn = conversations.db().read().await.expect("reads");
    let (count,): (i64,) =
        sql("SELECT count(*) FROM turn_record WHERE record LIKE '%\"outcome\":\"discarded\"%'")
            .one(&mut conn)
            .await
            .expect("counts");
    usize::try_from(count).expect("a count")
}

#[test]
fn a_draft_of_a_turn_that_was_taken_over_is_counted() {
    let ids = baton::ids::Ids;
    let (conversation, turn): (_, TurnId) = (ids.fresh(), ids.fresh());
    let text = "Late.".to_owned();
    let draft =
        baton::conversation::Draft { conversation, turn, attempt: 1, epoch: 1, index: 0, text };
    let draft = Live::Draft(Arc::new(draft));
    let mut heard = Heard::default();
    heard.hear(&draft);
    heard.taken.insert(turn);
    heard.hear(&draft);
    assert_eq!((heard.drafts, heard.late_drafts), (2, 1));
}

on_both_engines!(every_takeover_is_the_last_word);
