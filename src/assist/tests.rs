//! Help from order to artifact, on both engines.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::testing::Canned;
use super::*;
use crate::access::testing::{Client, signed_in};
use crate::access::{AccessState, Role};
use crate::conversation::{Event, Heard};
use crate::db::sql;
use crate::db::testing::databases;
use crate::handoff::testing::{Shop, config};
use crate::ids::{ConversationId, Ids, KnowledgeBaseId};
use crate::jobs::Worker;
use crate::knowledge::{Audience, Citation, Knowledge};
use crate::model::builtin::BuiltIn;
use crate::model::prompt::Prompts;
use crate::model::{ChatModel, ModelError, ModelSet, Models};

/// A shop with knowledge and a worker.
struct Desk {
    shop: Shop,
    assistance: Assistance,
    worker: Worker,
}

const TIMES: &str = "Refunds take time. A refund by QRIS reaches you in 1–3 working days.";
const LIMITS: &str = "How long a refund by QRIS above 2 million takes is up to the finance desk.";

impl Desk {
    async fn open(shop: Shop, model: Option<Arc<dyn ChatModel>>) -> Self {
        let conversations = shop.conversations.clone();
        let knowledge = Knowledge::new(conversations.db().clone(), shop.clock.clone(), Ids, None);
        let base = knowledge.create_base(shop.workspace, "Help").await.expect("a base").id;
        for (question, answer, audience) in [
            ("How long does a refund take?", TIMES, Audience::Public),
            ("How high may a refund be?", LIMITS, Audience::Internal),
        ] {
            let put =
                knowledge.put_question(shop.workspace, base, question, answer, audience, "en");
            put.await.expect("stores");
        }
        shop.publish(&config(&[base], "default")).await;
        let built_in: Arc<dyn ChatModel> = Arc::new(BuiltIn);
        let mut models = Models::new(&built_in);
        if let Some(model) = model {
            models = models.with_default(ModelSet::of_one(&model));
        }
        let prompts = Arc::new(Prompts::embedded().expect("prompts"));
        let assistance =
            Assistance::new(conversations.clone(), knowledge, Arc::new(models), prompts);
        let worker =
            Worker::new(conversations.db().clone(), shop.clock.clone(), conversations.node());
        let worker = assistance.register(worker);
        Self { shop, assistance, worker }
    }

    async fn all(model: impl Fn() -> Option<Arc<dyn ChatModel>>) -> Vec<Self> {
        let mut desks = Vec::new();
        for db in databases().await {
            desks.push(Self::open(Shop::open(db).await, model()).await);
        }
        desks
    }

    async fn assist(&self, id: ConversationId) -> Assist {
        let mut conn = self.shop.conversations.db().read().await.expect("reads");
        store::assist(&mut conn, self.shop.workspace, id).await.expect("reads")
    }

    async fn work(&self) -> usize {
        self.worker.run_due().await.expect("works")
    }

    /// A visitor who asked for a refund and then for a person.
    async fn handed_off(&self) -> ConversationId {
        let visitor = self.shop.visitor(Some("Budi"), "en").await;
        visitor.says("Hi! How long does a refund by QRIS take?").await;
        visitor.asks_for_person().await.conversation.id
    }

    /// What an answer on refunds cites.
    async fn cited(&self) -> Vec<Citation> {
        let knowledge = &self.assistance.knowledge;
        let bases = knowledge.bases(self.shop.workspace).await.expect("reads");
        let bases: Vec<KnowledgeBaseId> = bases.into_iter().map(|base| base.id).collect();
        let found = knowledge
            .search_public(self.shop.workspace, &bases, "refund by QRIS", Some("en"), 1)
            .await
            .expect("finds");
        found.iter().map(|passage| passage.citation()).collect()
    }

    async fn count(&self, table: &'static str) -> i64 {
        self.shop.count(sql(table).bind(self.shop.workspace)).await
    }
}

const ARTIFACTS: &str = "SELECT COUNT(*) FROM artifact WHERE workspace = $1";
const JOBS: &str = "SELECT COUNT(*) FROM job WHERE workspace = $1";

fn brief_of(artifact: Option<&Artifact>) -> &BriefContent {
    match artifact.and_then(|made| made.content.as_ref()) {
        Some(Content::Brief(brief)) => brief,
        other => panic!("no brief but {other:?}"),
    }
}

fn replies_of(artifact: Option<&Artifact>) -> &[Reply] {
    match artifact.and_then(|made| made.content.as_ref()) {
        Some(Content::Suggestions(suggestions)) => &suggestions.replies,
        other => panic!("no suggestions but {other:?}"),
    }
}

#[tokio::test]
async fn a_handoff_brings_a_brief_and_replies_without_a_model() {
    for desk in Desk::all(|| None).await {
        let mut heard = desk.shop.conversations.wire().agents.subscribe(desk.shop.workspace);
        let id = desk.handed_off().await;
        let before = desk.assist(id).await;
        assert_eq!(before.brief.as_ref().map(|b| b.state), Some(State::Pending));
        assert_eq!(desk.work().await, 2);
        let after = desk.assist(id).await;
        assert_eq!(
            before.brief.map(|b| b.id),
            after.brief.as_ref().map(|b| b.id),
            "what was pending is what is ready"
        );
        let made = after.brief.as_ref().expect("made");
        assert_eq!(
            (made.state, made.source, made.stale),
            (State::Ready, Some(Source::Extractive), false)
        );
        let brief = brief_of(after.brief.as_ref());
        assert_eq!(brief.brief.wants, "How long does a refund by QRIS take?");
        assert_eq!(brief.refs.len(), 1);
        let replies = replies_of(after.suggestions.as_ref());
        assert!(replies[0].text.contains("1–3 working days"), "{replies:?}");
        let audiences: Vec<Audience> =
            replies.iter().flat_map(|r| r.citations.iter().map(|c| c.audience)).collect();
        assert_eq!(audiences, [Audience::Public, Audience::Internal]);
        let mut announced = 0;
        while let Ok(heard) = heard.try_recv() {
            announced += usize::from(matches!(heard, Heard::Artifact { .. }));
        }
        assert_eq!(announced, 2);
        assert_eq!(desk.count(JOBS).await, 0);
    }
}

#[tokio::test]
async fn what_the_ai_answered_is_what_was_tried() {
    for desk in Desk::all(|| None).await {
        let visitor = desk.shop.visitor(None, "en").await;
        let asked = visitor.says("How long does a refund by QRIS take?").await.conversation;
        let found = desk.cited().await;
        let answered = desk.shop.assistant_says(&asked, TIMES, found).await.conversation;
        visitor.asks_for_person().await;
        desk.work().await;
        let assist = desk.assist(answered.id).await;
        assert_eq!(
            brief_of(assist.brief.as_ref()).brief.tried,
            ["The AI answered from “How long does a refund take?”: “Refunds take time.”"]
        );
        assert!(assist.suggestions.is_none(), "no message waits for an answer");
    }
}

#[tokio::test]
async fn taking_over_keeps_the_brief_and_new_words_make_it_stale() {
    for desk in Desk::all(|| None).await {
        let id = desk.handed_off().await;
        desk.work().await;
        let first = desk.assist(id).await.brief.expect("made");
        let take_over = Event::AgentTakesOver { by: desk.shop.by(), from_colleague: false };
        desk.shop.commit(id, take_over).await;
        assert_eq!(desk.assist(id).await.brief.expect("stays").id, first.id, "while the job looks");
        desk.work().await;
        assert_eq!(desk.assist(id).await.brief.expect("stays").id, first.id);
        desk.shop.agent_notes(id, "The bank is asked.").await;
        assert!(desk.assist(id).await.brief.expect("there").stale);
    }
}

#[tokio::test]
async fn a_model_sees_notes_and_its_help_is_labelled() {
    let model = Canned::says([
        "```json\n{\"wants\":\"A refund\",\"tried\":[],\"mood\":\"calm\",\"open_question\":\"How long?\",\"next_step\":\"Tell\"}\n```",
        r#"{"replies":[{"text":"1–3 days.","sources":[1]},{"text":"Ask finance.","sources":[2]}]}"#,
    ]);
    let db = databases().await.remove(0);
    let desk = Desk::open(Shop::open(db).await, Some(model.clone())).await;
    let id = desk.handed_off().await;
    desk.shop.agent_notes(id, "VIP, be quick.").await;
    assert_eq!(desk.work().await, 2);
    let assist = desk.assist(id).await;
    assert_eq!(assist.brief.as_ref().and_then(|b| b.source), Some(Source::Model));
    assert_eq!(brief_of(assist.brief.as_ref()).brief.wants, "A refund");
    let replies = replies_of(assist.suggestions.as_ref());
    let internal: Vec<bool> = replies.iter().map(Reply::is_internal).collect();
    assert_eq!(internal.len(), 2);
    assert!(internal.contains(&true) && internal.contains(&false), "{replies:?}");
    assert!(model.last_prompt().contains("VIP, be quick."));
}

#[tokio::test]
async fn a_failing_model_falls_back_to_the_extractive() {
    for desk in Desk::all(|| Some(Canned::fails(ModelError::Connect) as Arc<dyn ChatModel>)).await {
        let id = desk.handed_off().await;
        desk.work().await;
        let brief = desk.assist(id).await.brief.expect("made");
        assert_eq!((brief.state, brief.source), (State::Ready, Some(Source::Extractive)));
    }
}

#[tokio::test]
async fn closing_makes_a_summary() {
    for desk in Desk::all(|| None).await {
        let id = desk.handed_off().await;
        desk.shop.agent_says(id, "It takes three working days.").await;
        let by = crate::conversation::Closer::Agent(desk.shop.by());
        let close = Event::Close { by, outcome: crate::conversation::Outcome::Solved };
        desk.shop.commit(id, close).await;
        desk.work().await;
        let assist = desk.assist(id).await;
        let Some(Content::Summary(summary)) = assist.summary.and_then(|s| s.content) else {
            panic!("no summary");
        };
        assert!(summary.text.starts_with("Budi wrote: “How long"), "{}", summary.text);
        assert!(summary.text.ends_with("Closed as solved."), "{}", summary.text);
        assert!(assist.suggestions.is_none(), "what is settled needs no replies");
    }
}

#[tokio::test]
async fn nothing_is_made_of_blocked_and_erased_conversations() {
    for desk in Desk::all(|| None).await {
        for silence in [Event::BlockContact { blocked: true }, Event::EraseContact] {
            let id = desk.handed_off().await;
            desk.shop.commit(id, silence).await;
            desk.work().await;
            assert_eq!(desk.count(ARTIFACTS).await, 0);
            assert_eq!(desk.count(JOBS).await, 0);
            let ordered = desk.assistance.order(desk.shop.workspace, id, Kind::Brief, "en").await;
            assert!(matches!(ordered, Err(AssistError::Silent)));
        }
    }
}

#[tokio::test]
async fn help_that_cannot_be_made_shows_as_failed() {
    for desk in Desk::all(|| None).await {
        let id = desk.handed_off().await;
        let spoil = sql("UPDATE message SET citations = 'x' WHERE conversation = $1").bind(id);
        desk.shop.write(vec![spoil]).await;
        desk.work().await;
        assert_eq!(desk.assist(id).await.brief.map(|b| b.state), Some(State::Failed));
    }
}

struct Http {
    desk: Desk,
    app: axum::Router,
    client: Client,
}

#[derive(Clone)]
struct World {
    access: AccessState,
    assistance: Assistance,
}

impl axum::extract::FromRef<World> for AccessState {
    fn from_ref(world: &World) -> Self {
        world.access.clone()
    }
}

impl axum::extract::FromRef<World> for Assistance {
    fn from_ref(world: &World) -> Self {
        world.assistance.clone()
    }
}

impl Http {
    async fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for db in databases().await {
            let access = crate::access::testing::state(db.clone());
            let client = signed_in(&access, Role::Agent, "ana@shop.example").await;
            let shop = Shop::open_in(db, client.workspace).await;
            let desk = Desk::open(shop, None).await;
            let world = World { access, assistance: desk.assistance.clone() };
            let (router, _) = router::<World>().split_for_parts();
            all.push(Self { desk, app: router.with_state(world), client });
        }
        all
    }

    async fn get(&self, id: ConversationId) -> crate::access::testing::Answer {
        self.client
            .send(&self.app, Method::GET, &format!("/conversations/{id}/assist"), Value::Null)
            .await
    }

    async fn post(&self, path: &str, body: Value) -> crate::access::testing::Answer {
        self.client.send(&self.app, Method::POST, path, body).await
    }
}

#[tokio::test]
async fn an_agent_asks_and_counts_over_http() {
    for http in Http::all().await {
        let id = http.desk.handed_off().await;
        let path = format!("/conversations/{id}/assist");
        http.desk.work().await;
        let asked = http.post(&path, json!({ "kind": "suggestions" })).await;
        assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
        assert_eq!(asked.body["state"], "pending");
        assert!(asked.body["content"].is_null());
        let again = http.post(&path, json!({ "kind": "suggestions" })).await;
        assert_eq!(asked.body["id"], again.body["id"], "ordered once");
        assert_eq!(http.get(id).await.body["suggestions"]["state"], "pending");
        http.desk.work().await;
        let there = http.get(id).await.body;
        assert_eq!(there["suggestions"]["id"], asked.body["id"]);
        assert_eq!(there["suggestions"]["source"], "extractive");
        assert!(there["brief"]["content"]["wants"].is_string());
        assert!(there["summary"].is_null());
        let artifact = asked.body["id"].as_str().expect("an id");
        let fates = format!("/conversations/{id}/suggestions/{artifact}");
        for _ in 0..2 {
            let counted = http.post(&format!("{fates}/0"), json!({ "fate": "inserted" })).await;
            assert_eq!(counted.status, StatusCode::NO_CONTENT);
        }
        let stored = sql("SELECT COUNT(*) FROM artifact WHERE id = $1 AND fates = $2")
            .bind(artifact)
            .bind(r#"{"0":{"inserted":2}}"#);
        assert_eq!(http.desk.shop.count(stored).await, 1);
        let none = http.post(&format!("{fates}/9"), json!({ "fate": "dismissed" })).await;
        assert_eq!((none.status, none.code()), (StatusCode::NOT_FOUND, "not_found"));
    }
}

#[tokio::test]
async fn other_workspaces_and_bad_input_are_refused() {
    for http in Http::all().await {
        let id = http.desk.handed_off().await;
        let stranger: ConversationId = Ids.fresh();
        assert_eq!(http.get(stranger).await.status, StatusCode::NOT_FOUND);
        let elsewhere = Shop::open(http.desk.shop.conversations.db().clone()).await;
        let theirs = elsewhere.visitor(None, "en").await.asks_for_person().await.conversation.id;
        assert_eq!(http.get(theirs).await.status, StatusCode::NOT_FOUND);
        let path = format!("/conversations/{id}/assist");
        let bad = http.post(&path, json!({ "kind": "poem" })).await;
        assert_eq!((bad.status, bad.field()), (StatusCode::BAD_REQUEST, "kind"));
        let theirs =
            http.post(&format!("/conversations/{theirs}/assist"), json!({ "kind": "brief" })).await;
        assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    }
}
