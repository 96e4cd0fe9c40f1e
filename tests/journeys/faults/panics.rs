//! Something in the process panics: a handler, or the making of a reply.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use baton::model::scripted::{Script, ScriptedServer};
use baton::model::{
    ChatModel, ChatRequest, ChatStream, Completion, Delta, ModelError, ModelKind, ModelSet, Task,
};
use baton::server::{self, Extras};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::on_both_engines;
use crate::support::people::{conversation_of, send};
use crate::support::world::{configuration, found, http};
use crate::support::{Engine, Place, Setup, Visitor};

/// A model whose client panics, before its first word or after a sentence.
struct Panicking;

#[async_trait]
impl ChatModel for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }

    fn kind(&self) -> ModelKind {
        ModelKind::Remote
    }

    fn context_tokens(&self) -> usize {
        32_000
    }

    async fn complete(&self, _: &ChatRequest) -> Result<Completion, ModelError> {
        panic!("a helper panics")
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        assert!(request.task == Task::Answer, "only answers are streamed");
        assert!(request.material.question.contains("later"), "the stream panics at once");
        let words = "Refunds take five working days. The money goes back".to_owned();
        let first = stream::iter([Ok(Delta::Text(words))]);
        Ok(first.chain(stream::once(async { panic!("the stream panics later") })).boxed())
    }
}

async fn panics_stay_where_they_are(engine: Engine) {
    let place = Place::fresh(engine).await;
    let spare = ScriptedServer::start(Script::instant()).await.expect("starts a model");
    let model: Arc<dyn ChatModel> = Arc::new(Panicking);
    let models = vec![("panicking".to_owned(), ModelSet::of_one(&model))];
    let extras = Extras { models, ..Extras::default() };
    let built = server::build(&configuration(&place, &spare), &extras).await.expect("builds");
    let setup = Setup::default().assistant(|config| "panicking".clone_into(&mut config.model));
    let business = found(&built.state, "Tanah Tinggi Coffee", &setup).await;
    let handler = || async {
        if true {
            panic!("a handler panics")
        }
    };
    let beside = Router::new().route("/panics", get(handler));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let running = built.start(listener, Some(beside)).await.expect("starts");
    let (origin, http) = (format!("http://{}", running.address), http());
    for _ in 0..20 {
        send(http.get(format!("{origin}/panics")), "a handler that panics")
            .await
            .refused(500, "internal");
    }
    let ana = business.agent("Ana", &http, &origin);
    for (words, kept) in
        [("How long?", None), ("And later?", Some("Refunds take five working days."))]
    {
        let visitor = Visitor::arrive("Rina", &http, &origin, &business.key).await;
        let mut page = visitor.live().await;
        let id = conversation_of(&visitor.write(words).await);
        page.until("a person", |f| f["message"]["notice"] == "handoff_nobody_online").await;
        let detail = ana.detail(&id).await;
        assert_eq!(detail["holder"]["queue"]["reason"]["code"], "model_failed", "{detail}");
        let said = visitor.messages().await;
        let ai: Vec<&Value> = said.iter().filter(|m| m["author"]["kind"] == "assistant").collect();
        assert_eq!(ai.first().and_then(|m| m["text"].as_str()), kept, "{said:?}");
        assert!(ai.iter().all(|m| m["incomplete"] == true), "{said:?}");
        ana.take_over(&id).await;
        ana.write(&id, "Here is Ana.").await;
        page.message("Here is Ana.").await;
    }
    let ready = send(http.get(format!("{origin}/ready")), "/ready").await.ok();
    assert_eq!(ready["workers"]["turns"]["state"], json!("ok"), "{ready}");
    assert_eq!(ready["workers"]["jobs"]["state"], json!("ok"), "{ready}");
    running.stop().await;
    crate::laws::assert_lawful(&place.url).await;
}

on_both_engines!(panics_stay_where_they_are);
