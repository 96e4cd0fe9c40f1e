//! Over the router, on every engine that is at hand.

use axum::Router;
use axum::http::Method;
use serde_json::{Value, json};

use super::*;
use crate::access::testing::{signed_in, state};
use crate::access::{AllowedOrigins, Role};
use crate::assistant::inbox::InboxSettings;
use crate::assistant::inbox::store::NewInbox;
use crate::config::Models;
use crate::db::testing::databases;
use crate::ids::KnowledgeBaseId;

#[derive(Clone, FromRef)]
struct World {
    access: AccessState,
    options: ModelOptions,
}

fn app(access: &AccessState) -> Router {
    let options = ModelOptions::from_config(&Models::default());
    router::<World>().with_state(World { access: access.clone(), options }).into()
}

#[tokio::test]
async fn an_assistant_is_made_edited_and_published_by_versions() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let ana = signed_in(&access, Role::Admin, "ana@example.com").await;
        let made = ana.send(&app, Method::POST, "/assistants", json!({"name": " Ada "})).await;
        assert_eq!(made.status, 200, "{}", made.body);
        assert_eq!(
            (&made.body["version"], &made.body["config"]["identity"]["name"]),
            (&json!(1), &json!("Ada"))
        );
        let uri = format!("/assistants/{}", made.body["id"].as_str().expect("id"));

        let mut config = made.body["config"].clone();
        config["identity"]["tone"] = json!("formal");
        let save = json!({"version": 1, "config": config});
        let saved = ana.send(&app, Method::PUT, &uri, save.clone()).await;
        assert_eq!(saved.body["version"], 2, "{}", saved.body);
        let stale = ana.send(&app, Method::PUT, &uri, save).await;
        assert_eq!((stale.status.as_u16(), stale.code()), (409, "stale_version"));
        assert_eq!(stale.body["error"]["detail"]["version"], 2);

        config["knowledge_bases"] = json!([access.ids.fresh::<KnowledgeBaseId>()]);
        let save = json!({"version": 2, "config": config});
        let bad = ana.send(&app, Method::PUT, &uri, save).await;
        assert_eq!((bad.status.as_u16(), bad.field()), (400, "config.knowledge_bases"));
        config["knowledge_bases"] = json!([]);
        config["identity"]["languages"] = json!(["en", "id"]);
        let bad = ana.send(&app, Method::PUT, &uri, json!({"version": 2, "config": config})).await;
        assert_eq!((bad.status.as_u16(), bad.field()), (400, "config.identity.greeting.id"));
        config["identity"]["tone"] = json!("rude");
        let bad = ana.send(&app, Method::PUT, &uri, json!({"version": 2, "config": config})).await;
        assert_eq!((bad.status.as_u16(), bad.field()), (400, "config.identity.tone"));

        let list = ana.send(&app, Method::GET, "/assistants", Value::Null).await;
        assert_eq!(list.body["items"][0]["tone"], "formal");
        let id: AssistantId = made.body["id"].as_str().expect("id").parse().expect("id");
        let mut conn = access.db.read().await.expect("conn");
        let first =
            store::version(&mut conn, ana.workspace, id, 1).await.expect("read").expect("kept");
        assert_eq!(first.identity.tone, Tone::Friendly);
        let elsewhere = store::published(&mut conn, access.ids.fresh(), id).await.expect("read");
        assert_eq!(elsewhere, None);
    }
}

#[tokio::test]
async fn only_those_with_the_right_set_things_up() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let bo = signed_in(&access, Role::Supervisor, "bo@example.com").await;
        let refused = bo.send(&app, Method::POST, "/assistants", json!({"name": "Ada"})).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "forbidden"));
        let inboxes = bo.send(&app, Method::GET, "/inboxes", Value::Null).await;
        assert_eq!(inboxes.body, json!({"items": [], "next_cursor": null}));
        let ana = signed_in(&access, Role::Owner, "ana@example.com").await;
        let empty = ana.send(&app, Method::POST, "/assistants", json!({"name": "  "})).await;
        assert_eq!((empty.status.as_u16(), empty.field()), (400, "name"));
    }
}

#[tokio::test]
async fn an_inbox_is_changed_field_by_field() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let ana = signed_in(&access, Role::Admin, "ana@example.com").await;
        let (workspace, now) = (ana.workspace, access.clock.now());
        let id: InboxId = access.ids.fresh();
        let made = access.db.write(move |conn| {
            Box::pin(async move {
                let new = NewInbox {
                    name: "Web".to_owned(),
                    public_key: "pk".to_owned(),
                    assistant: None,
                    allowed_origins: AllowedOrigins::Any,
                    settings: InboxSettings::default(),
                };
                inbox::store::create(conn, workspace, id, &new, now).await
            })
        });
        made.await.expect("stored");
        let assistant = ana.send(&app, Method::POST, "/assistants", json!({"name": "Ada"})).await;
        let assistant = assistant.body["id"].clone();
        let uri = format!("/inboxes/{id}");
        let patch = async |body: Value| ana.send(&app, Method::PATCH, &uri, body).await;

        let changed = patch(json!({"assistant_id": assistant, "accent": "#FF0000",
            "allowed_origins": ["https://Shop.example/"], "reopen_to": "last_human"}))
        .await;
        let want = json!({"id": id, "name": "Web", "public_key": "pk", "assistant_id": assistant,
            "allowed_origins": ["https://shop.example"], "reopen_to": "last_human", "accent": "#ff0000",
            "snippet": "<script async src=\"http://baton.test/widget.js\" data-inbox=\"pk\"></script>"});
        assert_eq!(changed.body, want);
        assert_eq!(patch(json!({})).await.body, want);
        let listed = ana.send(&app, Method::GET, "/inboxes", Value::Null).await;
        assert_eq!(listed.body["items"][0], want);
        let rows = ana.send(&app, Method::GET, "/assistants", Value::Null).await;
        assert_eq!(rows.body["items"][0]["inboxes"][0]["name"], "Web");
        assert_eq!(patch(json!({"assistant_id": null})).await.body["assistant_id"], Value::Null);

        for (body, field) in [
            (json!({"accent": "red"}), "accent"),
            (json!({"allowed_origins": ["shop"]}), "allowed_origins[0]"),
            (json!({"reopen_to": "nobody"}), "reopen_to"),
            (json!({"name": ""}), "name"),
            (json!({"assistant_id": access.ids.fresh::<AssistantId>()}), "assistant_id"),
            (json!({"nonsense": 1}), "nonsense"),
        ] {
            let answer = patch(body).await;
            assert_eq!((answer.status.as_u16(), answer.field()), (400, field), "{}", answer.body);
        }
        let none = format!("/inboxes/{}", access.ids.fresh::<InboxId>());
        assert_eq!(ana.send(&app, Method::PATCH, &none, json!({})).await.status, 404);
    }
}
