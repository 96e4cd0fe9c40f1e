//! Against a fake model server and real files.

use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::*;

fn sources(flags: &[(&str, &str)]) -> Sources {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let mut all = vec![("listen.port".to_owned(), "0".to_owned())];
    all.extend(flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Sources { flags: all, folder: "/no/such/folder".into(), ..Sources::default() }
}

fn find<'a>(checks: &'a [Check], what: &str) -> &'a Check {
    checks.iter().rfind(|check| check.what == what).expect("checked")
}

async fn model_server() -> String {
    let list = |headers: HeaderMap| async move {
        if headers.get("authorization").is_none_or(|value| value != "Bearer good") {
            return Err(StatusCode::UNAUTHORIZED);
        }
        Ok(Json(json!({"object": "list", "data": [{"id": "small"}, {"id": "large:latest"}]})))
    };
    let app = Router::new()
        .route("/v1/models", get(list))
        .route("/open/models", get(|| async { Json(json!({"data": [{"id": "local"}]})) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_fresh_installation_is_fine() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite:{}", folder.path().join("new/baton.db").display());
    let checks = examine(&sources(&[("database.url", &url)])).await;
    assert!(checks.iter().all(|check| check.level == Level::Ok), "{checks:#?}");
    assert!(find(&checks, "database").found.contains("first start"));
    assert!(!folder.path().join("new").exists(), "doctor changes nothing");
}

#[tokio::test]
async fn databases_are_opened_written_and_compared() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite:{}", folder.path().join("baton.db").display());
    let db = crate::db::Db::open(&url).await.expect("opens");
    let running = examine(&sources(&[("database.url", &url)])).await;
    assert_eq!(find(&running, "database").level, Level::Warn);
    db.close().await;
    drop(db);
    let old = examine(&sources(&[("database.url", &url)])).await;
    assert!(find(&old, "database").found.contains("migrations"), "{old:#?}");
    let db = crate::db::Db::open(&url).await.expect("opens");
    crate::db::migrate(&db).await.expect("migrates");
    db.close().await;
    drop(db);
    let checks = examine(&sources(&[("database.url", &url)])).await;
    assert_eq!(find(&checks, "database").level, Level::Ok, "{checks:#?}");
    assert_eq!(find(&checks, "knowledge").level, Level::Warn);
    let gone = examine(&sources(&[("database.url", "postgres://u:hunter2@127.0.0.1:1/x")])).await;
    let gone = find(&gone, "database");
    assert_eq!(gone.level, Level::Fail);
    assert!(!gone.to_string().contains("hunter2"));
}

#[tokio::test]
async fn models_are_asked_for_what_they_have() {
    let server = model_server().await;
    let folder = tempfile::tempdir().expect("folder");
    let database = format!("sqlite:{}", folder.path().join("x.db").display());
    let ask = async |path: &str, key: &str, model: &str| {
        let url = format!("{server}{path}");
        let flags = [
            ("database.url", database.as_str()),
            ("model.url", url.as_str()),
            ("model.key", key),
            ("model.name", model),
        ];
        let checks = examine(&sources(&flags)).await;
        let shown = checks.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(!shown.contains("Bearer") && !shown.contains("good"), "{shown}");
        (find(&checks, "model").level, find(&checks, "model").to_string())
    };
    assert_eq!(ask("/v1", "good", "small").await.0, Level::Ok);
    assert_eq!(ask("/v1/", "good", "large").await.0, Level::Ok);
    let (level, line) = ask("/v1", "good", "huge").await;
    assert!(level == Level::Warn && line.contains("small"), "{line}");
    let (level, line) = ask("/v1", "bad", "small").await;
    assert!(level == Level::Fail && line.contains("api_key"), "{line}");
    let (level, line) = ask("/wrong", "good", "small").await;
    assert!(level == Level::Fail && line.contains("/v1"), "{line}");
    let offered = model::built_in(&format!("{server}/open")).await;
    assert!(offered.found.contains("--model-name local"), "{offered}");
}

#[tokio::test]
async fn a_bad_configuration_is_one_failing_line() {
    let checks = examine(&sources(&[("database.url", "mysql://x")])).await;
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].level, Level::Fail);
    assert!(checks[0].found.contains("database.url"));
}

#[tokio::test]
async fn qdrant_is_asked_and_what_nobody_uses_is_named() {
    let double = crate::knowledge::qdrant_double::Double::start();
    let embed = || async { Json(json!({"data": [{"index": 0, "embedding": [1.0, 0.0]}]})) };
    let app = Router::new().route("/v1/embeddings", axum::routing::post(embed));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let model = format!("http://{}/v1", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let folder = tempfile::tempdir().expect("folder");
    let database = format!("sqlite:{}", folder.path().join("x.db").display());
    let qdrant = double.url();
    let flags = [
        ("database.url", database.as_str()),
        ("embeddings.provider", "openai"),
        ("embeddings.base_url", model.as_str()),
        ("embeddings.model", "small"),
        ("index.backend", "qdrant"),
        ("index.url", qdrant.as_str()),
        ("index.api_key", "hunter2"),
    ];
    let ask = async || find(&examine(&sources(&flags)).await, "qdrant").clone();
    let fine = ask().await;
    assert!(fine.level == Level::Ok && fine.found.contains("baton_2_"), "{fine}");
    double.with_store(|store| {
        let (params, indexes, points) = Default::default();
        let left = crate::knowledge::qdrant_double::Collection { params, indexes, points };
        store.collections.insert("baton_7_0123abcd".to_owned(), left);
    });
    let left = ask().await;
    assert!(left.level == Level::Warn && left.found.contains("baton_7_0123abcd"), "{left}");
    double.stop();
    let away = ask().await;
    assert!(away.level == Level::Warn && away.found.contains("words alone"), "{away}");
    assert!(!away.to_string().contains("hunter2"), "{away}");
}
