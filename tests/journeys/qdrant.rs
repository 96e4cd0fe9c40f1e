//! Qdrant goes away in the middle of a conversation and comes back: the visitor notices nothing, the operator is told.

use axum::routing::post;
use axum::{Json, Router};
use baton::config::{EmbeddingProvider, IndexBackend};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::qdrant_double::Double;
use crate::support::people::conversation_of;
use crate::support::{Agent, Engine, Live, PATIENCE, Setup, Visitor, World, eventually};

/// An embedding model that counts letters.
async fn letters() -> String {
    async fn embed(Json(request): Json<Value>) -> Json<Value> {
        let texts = request["input"].as_array().cloned().unwrap_or_default();
        let vector = |text: &Value| {
            let mut counts = vec![0_u32; 26];
            for letter in text.as_str().unwrap_or_default().bytes().filter(u8::is_ascii_lowercase) {
                counts[usize::from(letter - b'a')] += 1;
            }
            counts
        };
        let each = texts.iter().enumerate();
        let data: Vec<Value> = each
            .map(|(index, text)| {
                json!({"object": "embedding", "index": index, "embedding": vector(text)})
            })
            .collect();
        Json(json!({"object": "list", "model": "letters", "data": data}))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("has an address");
    let app = Router::new().route("/v1/embeddings", post(embed));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/v1")
}

/// Asks, hears the answer, and returns what the record says of the search.
async fn asks(rina: &Visitor, page: &mut Live, ana: &Agent, question: &str, answer: &str) -> Value {
    let asked = rina.write(question).await;
    let heard = page.message(answer).await;
    assert_eq!(heard["author"]["kind"], "assistant", "{heard}");
    let conversation = conversation_of(&asked);
    let turn = eventually("the turn's record", || async {
        let timeline = ana.timeline(&conversation).await;
        let started = timeline.iter().filter(|entry| entry["kind"] == "turn_started");
        let mut turns = started.filter_map(|entry| entry["data"]["turn"].as_str());
        turns.next_back().map(str::to_owned).ok_or_else(|| format!("{timeline:?}"))
    })
    .await;
    let turn = ana.get(&format!("/turns/{turn}")).await.ok();
    assert_eq!(turn["status"], "answered", "{turn}");
    turn["search_degraded"].clone()
}

async fn qdrant_goes_away_and_answers_go_on(engine: Engine) {
    let (double, model) = (Double::start(), letters().await);
    let url = double.url();
    let setup = Setup::default().config(move |config| {
        config.embeddings.provider = EmbeddingProvider::Openai;
        config.embeddings.base_url = Some(model.clone());
        config.embeddings.model = Some("letters".to_owned());
        config.index.backend = IndexBackend::Qdrant;
        config.index.url = Some(url.clone());
        let patience = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        config.index.timeout_ms = crate::support::world::millis(patience);
    });
    let world = World::new(engine, setup).await;
    let ana = world.agent("Ana");
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let ready = || async {
        let answer = world.http.get(format!("{}/ready", world.origin)).send().await;
        let answer = answer.expect("answers").error_for_status().expect("is ready");
        answer.json::<Value>().await.expect("is JSON")
    };
    let refund = ("How long does a refund take?", "five working days");
    let parcel = ("How long does a parcel to Jakarta take?", "two days");
    let coffee = ("How many bags of coffee does the subscription send?", "two bags");

    let degraded = asks(&rina, &mut page, &ana, refund.0, refund.1).await;
    assert_eq!(degraded, Value::Null);
    assert!(double.calls("query_batch") > 0, "Qdrant was asked");
    assert_eq!(ready().await["index"]["state"], "ok");

    double.stop();
    let degraded = asks(&rina, &mut page, &ana, parcel.0, parcel.1).await;
    assert_eq!(degraded, "away");
    let told = ready().await;
    assert_eq!(
        (&told["ready"], &told["index"]["state"]),
        (&json!(true), &json!("failing")),
        "{told}"
    );
    assert!(told["index"]["degraded"].as_str().is_some_and(|why| why.contains("Qdrant")), "{told}");

    double.start_again();
    eventually("Qdrant's return", || async {
        let told = ready().await;
        if told["index"].get("degraded").is_none() { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    let degraded = asks(&rina, &mut page, &ana, coffee.0, coffee.1).await;
    assert_eq!(degraded, Value::Null);
    world.end().await;
    double.stop();
}

on_both_engines!(qdrant_goes_away_and_answers_go_on);
