//! Knowledge over the router, on every engine that is at hand.

use axum::Router;
use axum::http::Method;
use serde_json::{Value, json};

use super::super::article::ArticleDraft;
use super::super::wire::BODY_MAX;
use super::*;
use crate::access::Role;
use crate::access::testing::{Answer, Client, signed_in, state};
use crate::db::testing::databases;
use crate::ids::Ids;

#[derive(Clone, FromRef)]
struct World {
    access: AccessState,
    knowledge: Knowledge,
}

struct Desk {
    app: Router,
    world: World,
    client: Client,
    base: String,
}

impl Desk {
    async fn all() -> Vec<Self> {
        let mut desks = Vec::new();
        for db in databases().await {
            let access = state(db.clone());
            let client = signed_in(&access, Role::Admin, "ana@example.com").await;
            let knowledge = Knowledge::new(db, access.clock.clone(), Ids, None);
            let world = World { access, knowledge };
            let (router, _) = router::<World>().split_for_parts();
            let mut desk =
                Self { app: router.with_state(world.clone()), world, client, base: String::new() };
            let made = desk.ask(Method::POST, "/knowledge-bases", json!({"name": " Help "})).await;
            assert_eq!(made.status, 200, "{}", made.body);
            assert_eq!((&made.body["name"], &made.body["chunks"]), (&json!("Help"), &json!(0)));
            let id = made.body["id"].as_str().expect("id");
            desk.base = format!("/knowledge-bases/{id}");
            desks.push(desk);
        }
        desks
    }

    async fn ask(&self, method: Method, uri: &str, body: Value) -> Answer {
        self.client.send(&self.app, method, uri, body).await
    }

    async fn add(&self, input: Value) -> Answer {
        self.ask(Method::POST, &format!("{}/articles", self.base), input).await
    }

    async fn get(&self, rest: &str) -> Answer {
        self.ask(Method::GET, &format!("{}{rest}", self.base), Value::Null).await
    }
}

fn text(title: &str, body: &str) -> Value {
    json!({"source": "text", "title": title, "body": body, "audience": "public", "locale": "en"})
}

#[tokio::test]
async fn an_article_is_added_found_edited_and_deleted() {
    for desk in Desk::all().await {
        let made = desk.add(text("Shipping", "Parcels to Bali take four days.")).await;
        assert_eq!(made.status, 200, "{}", made.body);
        assert_eq!((&made.body["source"], &made.body["chunks"]), (&json!("text"), &json!(1)));
        let found = desk.get("/search?q=parcels+to+Bali").await;
        assert_eq!(found.body["items"][0]["title"], "Shipping", "{}", found.body);
        assert_eq!(found.body["items"][0]["above_floor"], true);
        assert!(found.body["items"][0]["score"].is_number());
        let uri = format!("{}/articles/{}", desk.base, made.body["id"].as_str().expect("id"));
        let changed =
            desk.ask(Method::PUT, &uri, text("Shipping", "Parcels to Bali take two days.")).await;
        assert_eq!(changed.body["id"], made.body["id"], "{}", changed.body);
        assert!(changed.body["body"].as_str().is_some_and(|body| body.contains("two days")));
        let listed = desk.ask(Method::GET, "/knowledge-bases", Value::Null).await;
        assert_eq!(
            (&listed.body["items"][0]["articles"], &listed.body["items"][0]["chunks"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(desk.ask(Method::DELETE, &uri, Value::Null).await.status, 204);
        assert_eq!(desk.ask(Method::DELETE, &uri, Value::Null).await.status, 404);
        assert_eq!(desk.get("/articles").await.body["items"], json!([]));
        assert_eq!(desk.get("/search?q=Bali").await.body["items"], json!([]));
    }
}

#[tokio::test]
async fn a_question_is_edited_as_question_and_answer() {
    for desk in Desk::all().await {
        let qa = |question: &str, answer: &str| json!({"source": "qa", "question": question, "answer": answer, "audience": "internal", "locale": "id"});
        let made = desk.add(qa("Jam buka?", "09.00\n\n## Minggu\n\nTutup")).await;
        assert_eq!(
            (&made.body["title"], &made.body["source"]),
            (&json!("Jam buka?"), &json!("qa"))
        );
        assert_eq!(made.body["body"], "09.00\n\n## Minggu\n\nTutup", "without the question again");
        let uri = format!("{}/articles/{}", desk.base, made.body["id"].as_str().expect("id"));
        let changed = desk.ask(Method::PUT, &uri, qa("Buka jam berapa?", "08.00")).await;
        assert_eq!(
            (&changed.body["id"], &changed.body["body"]),
            (&made.body["id"], &json!("08.00"))
        );
        let public = desk.get("/search?q=buka+jam+berapa&audience=public").await;
        assert_eq!(public.body["items"], json!([]), "internal knowledge is not for visitors");
        let internal = desk.get("/search?q=buka+jam+berapa&audience=internal").await;
        assert_eq!(internal.body["items"][0]["title"], "Buka jam berapa?");
        let wrong = desk.ask(Method::PUT, &uri, text("x", "y")).await;
        assert_eq!((wrong.status.as_u16(), wrong.field()), (400, "source"));
    }
}

#[tokio::test]
async fn bad_input_names_the_field() {
    for desk in Desk::all().await {
        let with = |key: &str, value: Value| {
            let mut input = text("Title", "Body");
            input[key] = value;
            input
        };
        for (input, status, field) in [
            (with("title", json!("x".repeat(201))), 400, "title"),
            (with("title", json!(" ")), 400, "title"),
            (with("body", json!("")), 400, "body"),
            (with("body", json!("x".repeat(BODY_MAX + 1))), 413, "body"),
            (with("locale", json!("english!")), 400, "locale"),
            (with("url", json!("javascript:alert(1)")), 400, "url"),
            (with("audience", json!("everyone")), 400, "audience"),
            (
                json!({"source": "qa", "question": "x".repeat(501), "answer": "y", "audience": "public", "locale": "en"}),
                400,
                "question",
            ),
            (
                json!({"source": "qa", "question": "x", "answer": " ", "audience": "public", "locale": "en"}),
                400,
                "answer",
            ),
        ] {
            let answer = desk.add(input).await;
            assert_eq!(answer.status.as_u16(), status, "{field}: {}", answer.body);
            assert_eq!(answer.field(), field, "{}", answer.body);
        }
        assert_eq!(desk.get("/search?q=").await.field(), "q");
        assert_eq!(desk.get("/articles?cursor=x").await.field(), "cursor");
        let name = desk.ask(Method::POST, "/knowledge-bases", json!({"name": ""})).await;
        assert_eq!(name.field(), "name");
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    for desk in Desk::all().await {
        for n in 0..3 {
            assert_eq!(
                desk.add(text(&format!("Article {n}"), "Words about tea.")).await.status,
                200
            );
        }
        let first = desk.get("/articles?limit=2").await.body;
        assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
        assert_eq!(first["items"][0]["title"], "Article 2");
        let cursor = first["next_cursor"].as_str().expect("more");
        let second = desk.get(&format!("/articles?limit=2&cursor={cursor}")).await.body;
        assert_eq!(second["items"][0]["title"], "Article 0");
        assert_eq!(second["items"][0]["chunks"], 1);
        assert!(second["next_cursor"].is_null());
        assert_eq!(
            desk.get("/articles?q=article+1").await.body["items"].as_array().map(Vec::len),
            Some(1)
        );
    }
}

#[tokio::test]
async fn only_those_who_configure_may_and_only_their_own() {
    for desk in Desk::all().await {
        let made = desk.add(text("Shipping", "Parcels take four days.")).await;
        let uri = format!("{}/articles/{}", desk.base, made.body["id"].as_str().expect("id"));
        let agent = signed_in(&desk.world.access, Role::Agent, "bo@example.com").await;
        let refused = agent.send(&desk.app, Method::GET, &uri, Value::Null).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "forbidden"));
        let other: KnowledgeBaseId = Ids.fresh();
        let elsewhere = uri.replace(desk.base.rsplit('/').next().expect("id"), &other.to_string());
        assert_eq!(desk.ask(Method::GET, &elsewhere, Value::Null).await.status, 404);
        let missing = format!("/knowledge-bases/{other}/articles");
        assert_eq!(desk.ask(Method::POST, &missing, text("a", "b")).await.status, 404);
        assert_eq!(desk.ask(Method::GET, &missing, Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn what_lies_in_a_folder_is_changed_there() {
    for desk in Desk::all().await {
        let base = desk.base.rsplit('/').next().expect("id").parse().expect("an id");
        let draft = ArticleDraft {
            title: "From a file".into(),
            body: "Words.".into(),
            audience: Audience::Public,
            locale: "en".into(),
            url: None,
            updated: None,
        };
        let workspace = desk.client.workspace;
        let put = desk.world.knowledge.put_article(workspace, base, FOLDER, "a.md", draft).await;
        let uri = format!("{}/articles/{}", desk.base, put.expect("stores").article);
        assert_eq!(desk.ask(Method::PUT, &uri, text("a", "b")).await.code(), "refused");
        assert_eq!(desk.ask(Method::DELETE, &uri, Value::Null).await.code(), "refused");
        assert_eq!(desk.ask(Method::GET, &uri, Value::Null).await.body["source"], "folder");
    }
}
