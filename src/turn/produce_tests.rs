//! The production of a reply against models that misbehave on cue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::plan::{Plan, Settings};
use super::produce::{Limits, Produced, Producer, Release};
use super::prompt::Persona;
use super::record::Explained;
use crate::clock::{Clock, Timestamp};
use crate::conditions::{Conditions, WordedCondition};
use crate::conversation::{
    Actor, Conversation, HandoffCode, Mark, Message, MessageKind, Return, ReturnNote,
};
use crate::ids::{Ids, KnowledgeBaseId, WorkspaceId};
use crate::knowledge::article::ArticleDraft;
use crate::knowledge::{Audience, Knowledge};
use crate::model::prompt::Prompts;
use crate::model::{
    ChatModel, ChatRequest, ChatStream, Completion, Delta, ModelError, ModelKind, ModelSet, Models,
    Task,
};

/// What a fake model does when it is asked.
#[derive(Clone)]
enum Act {
    /// Says these pieces and ends well.
    Says(Vec<&'static str>),
    /// Says these pieces and breaks off.
    Breaks(Vec<&'static str>, ModelError),
    /// Refuses.
    Fails(ModelError),
    /// Says the first piece, waits to be let go, says the rest.
    Waits(&'static str, Arc<Notify>, &'static str),
    /// Never answers.
    Hangs,
}

/// A model that does one act after another, apart for answers and verdicts.
#[derive(Default)]
struct Fake {
    answers: Mutex<VecDeque<Act>>,
    verdicts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Task>>,
}

impl Fake {
    fn new(answers: Vec<Act>, verdicts: Vec<Act>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into()),
            verdicts: Mutex::new(verdicts.into()),
            asked: Mutex::default(),
        })
    }

    fn next(&self, task: Task) -> Act {
        self.asked.lock().expect("not poisoned").push(task);
        let acts = if task == Task::Judge { &self.verdicts } else { &self.answers };
        acts.lock().expect("not poisoned").pop_front().unwrap_or(Act::Hangs)
    }

    fn asked(&self, task: Task) -> usize {
        self.asked.lock().expect("not poisoned").iter().filter(|t| **t == task).count()
    }
}

#[async_trait]
impl ChatModel for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn kind(&self) -> ModelKind {
        ModelKind::Remote
    }

    fn context_tokens(&self) -> usize {
        16_000
    }

    async fn complete(&self, request: &ChatRequest) -> Result<Completion, ModelError> {
        match self.next(request.task) {
            Act::Says(pieces) => {
                Ok(Completion { text: pieces.concat(), usage: None, model: "fake".to_owned() })
            }
            Act::Fails(error) | Act::Breaks(_, error) => Err(error),
            Act::Waits(first, until, rest) => {
                until.notified().await;
                let text = format!("{first}{rest}");
                Ok(Completion { text, usage: None, model: "fake".to_owned() })
            }
            Act::Hangs => std::future::pending().await,
        }
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        let text = |piece: &str| Ok(Delta::Text(piece.to_owned()));
        let done = || Ok(Delta::Done { usage: None, model: "fake".to_owned() });
        let items = |pieces: Vec<&'static str>| {
            futures_util::stream::iter(pieces.into_iter().map(text).collect::<Vec<_>>())
        };
        Ok(match self.next(request.task) {
            Act::Says(pieces) => items(pieces).chain(futures_util::stream::iter([done()])).boxed(),
            Act::Breaks(pieces, error) => {
                items(pieces).chain(futures_util::stream::iter([Err(error)])).boxed()
            }
            Act::Fails(error) => return Err(error),
            Act::Waits(first, until, rest) => items(vec![first])
                .chain(
                    futures_util::stream::once(async move {
                        until.notified().await;
                        Ok(Delta::Text(rest.to_owned()))
                    })
                    .boxed(),
                )
                .chain(futures_util::stream::iter([done()]))
                .boxed(),
            Act::Hangs => return std::future::pending().await,
        })
    }
}

/// Collects what is released and can be stopped.
#[derive(Default)]
struct Out {
    said: Mutex<String>,
    heard: Notify,
    stop: CancellationToken,
}

impl Out {
    fn said(&self) -> String {
        self.said.lock().expect("not poisoned").clone()
    }
}

impl Release for Out {
    fn release(&self, _index: u32, sentence: &str) -> bool {
        if self.stop.is_cancelled() {
            return false;
        }
        self.said.lock().expect("not poisoned").push_str(sentence);
        self.heard.notify_one();
        true
    }

    fn stopped(&self) -> &CancellationToken {
        &self.stop
    }
}

struct World {
    producer: Producer,
    settings: Settings,
}

const QUESTION: &str = "How many working days does a refund take after you receive the parcel?";

async fn world(first: &Arc<Fake>, fallback: Option<&Arc<Fake>>) -> World {
    let db = crate::db::testing::databases().await.remove(0);
    let clock = Clock::manual(Timestamp::from_millis(1_764_000_000_000));
    let workspace: WorkspaceId = Ids.fresh();
    crate::db::testing::workspace(&db, workspace).await;
    let knowledge = Knowledge::new(db, clock.clone(), Ids, None);
    let base: KnowledgeBaseId = knowledge.create_base(workspace, "Help").await.expect("makes").id;
    for (title, body) in [
        ("Refunds", "A refund takes five working days after we receive the parcel."),
        ("Opening hours", "Our studio in Bandung is open from nine to five on weekdays."),
        ("Grinders", "The hand grinder has a two year warranty against defects."),
    ] {
        let draft = ArticleDraft {
            title: title.to_owned(),
            body: body.to_owned(),
            audience: Audience::Public,
            locale: "en".to_owned(),
            url: None,
            updated: None,
        };
        knowledge.put_article(workspace, base, "text", title, draft).await.expect("stores");
    }
    let model: Arc<dyn ChatModel> = Arc::clone(first) as _;
    let mut set = ModelSet::of_one(&model);
    set.fallback = fallback.map(|f| Arc::clone(f) as Arc<dyn ChatModel>);
    let producer = Producer {
        knowledge,
        prompts: Arc::new(Prompts::embedded().expect("renders")),
        models: Arc::new(Models::new(&model).with_default(set)),
        clock,
        limits: Limits { budget: Duration::from_secs(30), judge: Duration::from_millis(500) },
    };
    let settings = Settings {
        workspace,
        assistant: Ids.fresh(),
        version: 3,
        persona: Persona { name: "Mira".to_owned(), ..Persona::default() },
        knowledge_bases: vec![base],
        conditions: Conditions::default(),
        model: "default".to_owned(),
    };
    World { producer, settings }
}

impl World {
    fn worded(mut self) -> Self {
        self.settings.conditions.worded = vec![WordedCondition {
            name: "Cancels".to_owned(),
            text: "The visitor wants to cancel.".to_owned(),
        }];
        self
    }

    fn plan(&self, text: &str, returned: bool) -> Plan {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let workspace = self.settings.workspace;
        let mut c = Conversation::unborn(Ids.fresh(), workspace, Ids.fresh(), Ids.fresh(), now);
        c.unanswered = Some(Mark { seq: 2, at: now });
        let mut thread = vec![message(2, Actor::Visitor(c.contact), MessageKind::Text, text)];
        if returned {
            let agent = Ids.fresh();
            let note = message(4, Actor::Agent(agent), MessageKind::ReturnNote, "refund approved");
            c.returned = Some(Return { seq: 4, at: now, by: agent, note: Some(note.id) });
            thread.push(note);
        }
        Plan::new(self.settings.clone(), "en", &c, 9, &thread)
    }

    async fn produce(&self, plan: &Plan, out: &Out) -> (Produced, Explained) {
        self.producer.produce(plan, out).await
    }
}

fn message(seq: u64, author: Actor, kind: MessageKind, text: &str) -> Message {
    Message {
        public_seq: (kind == MessageKind::Text).then_some(seq),
        kind,
        ..Message::said(Ids.fresh(), seq, author, text, Timestamp::from_millis(0))
    }
}

const CLEAR: &str = r#"{"verdicts":[{"condition":"c1","fired":false,"evidence":""}]}"#;

fn hand_off_reason(produced: &Produced) -> Option<HandoffCode> {
    match produced {
        Produced::HandOff { reason, .. } | Produced::Failed { reason, .. } => Some(*reason),
        Produced::Answered { .. } | Produced::Stopped => None,
    }
}

#[tokio::test]
async fn sentences_wait_for_the_judge_and_the_answer_cites_its_passage() {
    let until = Arc::new(Notify::new());
    let verdict = Act::Waits("", Arc::clone(&until), CLEAR);
    let fake = Fake::new(
        vec![Act::Says(vec!["It takes five ", "working days [1]. ", "Anything else?"])],
        vec![verdict],
    );
    let w = world(&fake, None).await.worded();
    let out = Arc::new(Out::default());
    let plan = w.plan(QUESTION, false);
    let running = tokio::spawn({
        let (producer, plan, out) = (w.producer.clone(), plan, Arc::clone(&out));
        async move { producer.produce(&plan, out.as_ref()).await }
    });
    // Both were asked; nothing may be heard before the verdict.
    while fake.asked(Task::Judge) == 0 || fake.asked(Task::Answer) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(out.said(), "");
    until.notify_one();
    let (produced, explained) = running.await.expect("does not panic");
    let Produced::Answered { text, citations, still_unanswered } = produced else {
        panic!("{produced:?}")
    };
    assert_eq!(text, "It takes five working days. Anything else?");
    assert_eq!(out.said().trim_end(), text);
    assert_eq!(
        citations.first().map(|c| c.title.as_str()),
        Some("Refunds"),
        "{:?}",
        explained.passages
    );
    assert!(!still_unanswered);
    assert_eq!(explained.outcome, "answered");
    assert_eq!(explained.assistant_version, 3);
    assert!(explained.prompt.is_some_and(|p| p.iter().any(|m| m.content.contains(QUESTION))));
}

#[tokio::test]
async fn a_worded_condition_that_fires_lets_nothing_out() {
    let fired =
        r#"{"verdicts":[{"condition":"c1","fired":true,"evidence":"cancel my subscription"}]}"#;
    let fake = Fake::new(vec![Act::Says(vec!["Sure. ", "Bye."])], vec![Act::Says(vec![fired])]);
    let w = world(&fake, None).await.worded();
    let out = Out::default();
    let plan = w.plan("Please cancel my subscription to refunds", false);
    let (produced, explained) = w.produce(&plan, &out).await;
    let Produced::HandOff { reason, evidence } = produced else { panic!("{produced:?}") };
    assert_eq!(reason, HandoffCode::Worded);
    assert_eq!(evidence.condition.as_deref(), Some("Cancels"));
    assert_eq!(evidence.quote.as_deref(), Some("cancel my subscription"));
    assert_eq!(out.said(), "");
    assert!(explained.verdicts[0].fired);
}

#[tokio::test]
async fn a_judge_that_never_speaks_ends_at_a_human() {
    let fake = Fake::new(vec![Act::Says(vec!["Hello."])], vec![Act::Hangs, Act::Hangs]);
    let w = world(&fake, None).await.worded();
    let out = Out::default();
    let (produced, _) = w.produce(&w.plan(QUESTION, false), &out).await;
    assert_eq!(hand_off_reason(&produced), Some(HandoffCode::JudgeFailed));
    assert_eq!(fake.asked(Task::Judge), 2, "one retry");
    assert_eq!(out.said(), "");
}

#[tokio::test]
async fn what_failed_before_a_word_is_tried_again_then_the_fallback_answers() {
    let server = Act::Fails(ModelError::Server { status: 500 });
    let first = Fake::new(vec![server, Act::Breaks(vec![], ModelError::CutStream)], vec![]);
    let second = Fake::new(vec![Act::Says(vec!["Five days [1]."])], vec![]);
    let w = world(&first, Some(&second)).await;
    let out = Out::default();
    let (produced, explained) = w.produce(&w.plan(QUESTION, false), &out).await;
    assert!(matches!(produced, Produced::Answered { .. }), "{produced:?}");
    let errors: Vec<_> = explained.calls.iter().map(|c| c.error.as_deref()).collect();
    assert_eq!(errors, [Some("server_error"), Some("cut_stream"), None]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_asked_again() {
    let fake = Fake::new(vec![Act::Fails(ModelError::Unauthorized)], vec![]);
    let w = world(&fake, None).await;
    let (produced, explained) = w.produce(&w.plan(QUESTION, false), &Out::default()).await;
    assert_eq!(hand_off_reason(&produced), Some(HandoffCode::ModelFailed));
    assert_eq!(explained.error.as_deref(), Some("unauthorized"));
    assert_eq!(fake.asked(Task::Answer), 1);
}

#[tokio::test]
async fn what_wants_hours_is_not_waited_for() {
    let busy =
        || Act::Fails(ModelError::RateLimited { retry_after: Some(Duration::from_hours(2)) });
    let first = Fake::new(vec![busy(), busy()], vec![]);
    let second = Fake::new(vec![Act::Says(vec!["Five days [1]."])], vec![]);
    let w = world(&first, Some(&second)).await;
    let (produced, explained) = w.produce(&w.plan(QUESTION, false), &Out::default()).await;
    assert!(matches!(produced, Produced::Answered { .. }), "{produced:?}");
    assert_eq!(first.asked(Task::Answer), 1);
    assert!(explained.stages_ms["total"] < 2_000.0, "{:?}", explained.stages_ms);
}

#[tokio::test]
async fn released_words_are_kept_when_the_stream_breaks() {
    let breaks = Act::Breaks(vec!["It takes five days. ", "Then "], ModelError::CutStream);
    let fake = Fake::new(vec![breaks], vec![]);
    let w = world(&fake, None).await;
    let out = Out::default();
    let (produced, _) = w.produce(&w.plan(QUESTION, false), &out).await;
    let Produced::Failed { reason, released: Some((text, _)), .. } = produced else {
        panic!("{produced:?}")
    };
    assert_eq!(reason, HandoffCode::ModelFailed);
    assert_eq!(text, "It takes five days.");
    assert_eq!(fake.asked(Task::Answer), 1, "never again after a released word");
}

#[tokio::test]
async fn released_words_are_kept_when_the_model_thinks_better_of_it() {
    let says = Act::Says(vec!["It takes five days. ", "But ", "[[handoff]] a refund"]);
    let fake = Fake::new(vec![says], vec![]);
    let w = world(&fake, None).await;
    let (produced, _) = w.produce(&w.plan(QUESTION, false), &Out::default()).await;
    let Produced::Failed { reason, evidence, released: Some((text, _)) } = produced else {
        panic!("{produced:?}")
    };
    assert_eq!((reason, text.as_str()), (HandoffCode::JobDescription, "It takes five days."));
    assert_eq!(evidence.quote.as_deref(), Some(QUESTION));
}

#[tokio::test]
async fn a_stop_in_the_middle_drops_the_rest() {
    let until = Arc::new(Notify::new());
    let waits = Act::Waits("It takes five days. Or ", Arc::clone(&until), "ten.");
    let fake = Fake::new(vec![waits], vec![]);
    let w = world(&fake, None).await;
    let out = Arc::new(Out::default());
    let plan = w.plan(QUESTION, false);
    let running = tokio::spawn({
        let (producer, out) = (w.producer.clone(), Arc::clone(&out));
        async move { producer.produce(&plan, out.as_ref()).await }
    });
    out.heard.notified().await;
    out.stop.cancel();
    let (produced, explained) = running.await.expect("does not panic");
    assert_eq!(produced, Produced::Stopped);
    assert_eq!(explained.released.as_deref(), Some("It takes five days. "));
    until.notify_one();
}

#[tokio::test]
async fn a_model_that_hangs_ends_at_a_human_within_the_budget() {
    let fake = Fake::new(vec![], vec![]);
    let mut w = world(&fake, None).await;
    w.producer.limits.budget = Duration::from_millis(100);
    let (produced, explained) = w.produce(&w.plan(QUESTION, false), &Out::default()).await;
    assert_eq!(hand_off_reason(&produced), Some(HandoffCode::ModelFailed));
    assert_eq!(explained.error.as_deref(), Some("timeout"));
}

#[tokio::test]
async fn no_answer_goes_to_a_human_but_not_twice_on_the_old_question() {
    let says = || Act::Says(vec!["[[no_", "answer]]"]);
    let fake = Fake::new(vec![says(), says()], vec![]);
    let w = world(&fake, None).await;
    let out = Out::default();
    let (produced, _) = w.produce(&w.plan("Do you sell tea?", false), &out).await;
    assert_eq!(hand_off_reason(&produced), Some(HandoffCode::NoAnswer));
    let back = w.plan("Do you sell tea?", true);
    assert!(back.is_return());
    assert_eq!(back.note.as_ref().map(ReturnNote::text), Some("refund approved"));
    let (produced, _) = w.produce(&back, &out).await;
    assert!(matches!(produced, Produced::Answered { still_unanswered: true, .. }), "{produced:?}");
    assert_eq!(out.said(), "", "the fixed text is committed, not streamed");
}

#[tokio::test]
async fn asking_for_a_person_needs_no_model() {
    let fake = Fake::new(vec![], vec![]);
    let w = world(&fake, None).await;
    let plan = w.plan("I want to talk to a human please", false);
    let (produced, _) = w.produce(&plan, &Out::default()).await;
    let Produced::HandOff { reason, evidence } = produced else { panic!("{produced:?}") };
    assert_eq!(reason, HandoffCode::AskedForPerson);
    assert!(evidence.quote.is_some());
    assert_eq!(fake.asked(Task::Answer), 0);
    // The same words before the return are no evidence any more.
    let back = w.plan("I want to talk to a human please", true);
    let answers = Fake::new(vec![Act::Says(vec!["How can I help?"])], vec![]);
    let w2 = world(&answers, None).await;
    let plan = Plan { settings: w2.settings.clone(), ..back };
    let (produced, _) = w2.produce(&plan, &Out::default()).await;
    assert!(matches!(produced, Produced::Answered { .. }), "{produced:?}");
}
