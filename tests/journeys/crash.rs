//! The real process is killed (SIGKILL) at four points of a visitor's message and started again on the same data.
//!
//! What is looked at afterwards is what people see, and in the end the laws of everything that was stored: every acknowledged
//! message is there exactly once, one answer per range, no gap in either number, nothing of the AI's after a takeover, the
//! pending turn runs once.
//!
//! How exactly each point is hit:
//! - *between acknowledgement and lease*: exactly. The turn waits for more words (`turn.debounce_ms`) when the kill comes, and a
//!   look at the database before the next start tells whether it still waited; kills that came too late are not counted.
//! - *mid-stream*: exactly. The model stops at a gate behind the first sentence, the visitor has read it, then the kill comes;
//!   in every other round an agent's takeover has been acknowledged in between.
//! - *before the acknowledgement*: by a spread. The kill comes 0 to 12 ms after the request was sent, so some rounds find
//!   nothing stored, some a message that was stored and never acknowledged, and some an acknowledgement; the last are not counted. How many of each is
//!   printed with the seed (`BATON_TEST_SEED` repeats it, as far as two processes repeat).
//! - *between commit and delivery*: by observation. A second connection asks the database for the answer over and over and the
//!   kill comes at its first sight, usually before, sometimes after the frame has left; on SQLite only the
//!   first are counted, both are printed.
//!
//! The process is `baton serve` on a database that the test has filled, since `baton demo` hashes three passwords at every
//! start. Starting takes some hundred milliseconds in a debug build; the longest is printed.

use std::time::Duration;

use baton::conversation::TURN_LEASE;
use baton::ids::{Ids, NodeId};
use baton::model::Task;
use baton::model::scripted::{Behaviour, Gate, Rule, Script};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::on_both_engines;
use crate::support::people::fresh_client_id;
use crate::support::{Engine, Launch, Live, PATIENCE, Place, Scene, Visitor, kind_is, say};

/// What the visitor reads in the end.
const ANSWER: &str =
    "Refunds take five working days. The money goes back to the card you paid with.";
/// The turn waits this long for more words.
const DEBOUNCE: &str = "150";
/// The shortest lease the configuration takes: on PostgreSQL the next process waits for its end.
const LEASE: &str = "1000";

/// Kills that may miss a point that cannot be hit exactly; they are checked like the others, and not counted.
const MOST_LATE: usize = 200;

/// How often each point is hit.
fn rounds(engine: Engine) -> usize {
    match engine {
        Engine::Sqlite => 20,
        Engine::Postgres => 5,
    }
}

/// A business whose AI says [`ANSWER`], and processes that wait for more words and lease shortly.
async fn scene(engine: Engine) -> Scene {
    let script = Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER)));
    let launch = Launch::default()
        .set("BATON_TURN__DEBOUNCE_MS", DEBOUNCE)
        .set("BATON_TURN__LEASE_MS", LEASE);
    Scene::new(engine, script, launch).await
}

fn seed() -> u64 {
    let given = std::env::var("BATON_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let id = Ids.fresh::<NodeId>().to_string();
        u64::from_str_radix(&id[id.len() - 12..], 16).unwrap_or(1)
    })
}

/// The visitor reads the whole conversation: numbers without gaps, their words once, so many answers.
#[track_caller]
fn check_messages(messages: &[Value], words: &str, answers: usize) {
    let numbers: Vec<u64> = messages.iter().filter_map(|m| m["public_seq"].as_u64()).collect();
    let wanted: Vec<u64> = (1..).take(messages.len()).collect();
    assert_eq!(numbers, wanted, "a gap: {messages:?}");
    let said = messages.iter().filter(|m| m["text"].as_str() == Some(words)).count();
    assert_eq!(said, 1, "“{words}” is there {said} times: {messages:?}");
    let from_ai: Vec<&Value> =
        messages.iter().filter(|m| m["author"]["kind"] == "assistant").collect();
    assert_eq!(from_ai.len(), answers, "{messages:?}");
    for answer in from_ai {
        assert_eq!((&answer["text"], &answer["incomplete"]), (&json!(ANSWER), &json!(false)));
    }
}

/// Waits until the AI's whole answer has been read.
async fn answered(visitor: &Visitor) -> Live {
    let mut page = visitor.live().await;
    let is_answer = |message: &Value| message["author"]["kind"] == "assistant";
    let in_frame = |frame: &Value| {
        let all = frame["conversation"]["messages"].as_array();
        is_answer(&frame["message"]) || all.is_some_and(|all| all.iter().any(is_answer))
    };
    page.ever("the answer after the restart", in_frame).await;
    page
}

async fn before_the_acknowledgement(engine: Engine) {
    let scene = scene(engine).await;
    let seed = seed();
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut nothing, mut unacknowledged, mut acknowledged) = (0, 0, 0);
    let mut process = scene.start().await;
    while nothing + unacknowledged < rounds(engine) {
        let round = nothing + unacknowledged + acknowledged;
        assert!(acknowledged <= MOST_LATE, "nearly every kill came after the acknowledgement");
        let words = format!("question A{round}: how long does a refund take?");
        let visitor = scene.visitor(&process, "Rina").await;
        let client_id = fresh_client_id();
        let body = json!({ "client_id": client_id, "text": words });
        let request = visitor.request(reqwest::Method::POST, "/widget/messages").json(&body);
        let sent = tokio::spawn(async move {
            let response = request.send().await?.error_for_status()?;
            response.json::<Value>().await
        });
        let delay = Duration::from_micros(chance.random_range(0..12_000));
        tokio::time::sleep(delay).await;
        process.kill().await;
        let first = sent.await.expect("the request ends").ok();
        process = scene.start().await;
        let visitor = visitor.at(&process.origin);
        let there = visitor.get("/widget/conversation").await;
        match (&first, there.status) {
            (Some(answer), status) => {
                assert_eq!(status, 200, "acknowledged and gone: {answer}");
                scene.acknowledge(answer);
                acknowledged += 1;
            }
            (None, 200) => unacknowledged += 1,
            (None, 404) => nothing += 1,
            (None, status) => panic!("{status} {}", there.text),
        }
        // The widget sends what was not acknowledged again, under the same id.
        let again = visitor.write_as(&client_id, &words).await.ok();
        scene.acknowledge(&again);
        if let Some(first) = first {
            assert_eq!(first["message"], again["message"]);
        }
        drop(answered(&visitor).await);
        check_messages(&visitor.messages().await, &words, 1);
    }
    say(&format!(
        "seed {seed}: {nothing} found nothing stored, {unacknowledged} a message without its acknowledgement, \
         {acknowledged} were acknowledged"
    ));
    let what = format!("{} kills before the acknowledgement", rounds(engine));
    scene.end(process, &what).await;
}

async fn between_acknowledgement_and_lease(engine: Engine) {
    let scene = scene(engine).await;
    let mut process = scene.start().await;
    let (mut hit, mut late) = (0, 0);
    while hit < rounds(engine) {
        assert!(
            late <= rounds(engine),
            "the machine is too slow: {late} kills came after the lease"
        );
        let words = format!("question B{}: how long does a refund take?", hit + late);
        let visitor = scene.visitor(&process, "Rina").await;
        let answer = visitor.write_as(&fresh_client_id(), &words).await;
        process.kill().await;
        let id = scene.acknowledge(&answer.ok());
        let leases = Watch::open(&scene.place).await.leases(&id).await;
        process = scene.start().await;
        let visitor = visitor.at(&process.origin);
        drop(answered(&visitor).await);
        check_messages(&visitor.messages().await, &words, 1);
        if leases > 0 {
            late += 1;
            continue;
        }
        hit += 1;
        assert_eq!(scene.asked(&words), 1, "the pending turn ran more than once");
        let kinds = scene.agent(&process).kinds(&id).await;
        let started = kinds.iter().filter(|kind| *kind == "turn_started").count();
        assert_eq!(started, 1, "{kinds:?}");
    }
    let what = format!("{hit} kills between acknowledgement and lease, {late} more came too late");
    scene.end(process, &what).await;
}

async fn in_the_middle_of_the_stream(engine: Engine) {
    let scene = scene(engine).await;
    let mut process = scene.start().await;
    for round in 0..rounds(engine) {
        let marker = format!("question C{round}:");
        let words = format!("{marker} how long does a refund take?");
        let gate = Gate::after(8);
        let held = Behaviour::say(ANSWER).with_gate(gate.clone());
        scene.model.add(Rule::on(Task::Answer, held).when_said(&marker).once());
        let visitor = scene.visitor(&process, "Rina").await;
        let mut page = visitor.live().await;
        let id = scene.acknowledge(&visitor.write(&words).await);
        page.until("the first sentence", |frame| kind_is(frame, "draft")).await;
        gate.arrived().await;
        let taken_over = round % 2 == 1;
        if taken_over {
            scene.agent(&process).take_over(&id).await;
        }
        process.kill().await;
        page.closed("the process was killed").await;
        gate.open();
        process = scene.start().await;
        let (visitor, ana) = (visitor.at(&process.origin), scene.agent(&process));
        if taken_over {
            let mut page = visitor.live().await;
            ana.write(&id, "Here is Ana.").await;
            page.message("Here is Ana.").await;
            check_messages(&visitor.messages().await, &words, 0);
            assert_eq!(scene.asked(&words), 1, "the AI went on after the takeover");
        } else {
            drop(answered(&visitor).await);
            check_messages(&visitor.messages().await, &words, 1);
            assert_eq!(scene.asked(&words), 2, "once before the kill, once after it");
        }
        let timeline = ana.timeline(&id).await;
        let seqs: Vec<u64> = timeline.iter().filter_map(|item| item["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..).take(seqs.len()).collect::<Vec<u64>>());
    }
    let what = format!("{} kills in the middle of the stream", rounds(engine));
    scene.end(process, &what).await;
}

/// A second look at the database, past the process that owns it.
enum Watch {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Watch {
    async fn open(place: &Place) -> Self {
        match place.engine {
            Engine::Sqlite => {
                let path = place.url.trim_start_matches("sqlite:");
                let conn = SqliteConnection::connect(&format!("sqlite:{path}?mode=ro")).await;
                Self::Sqlite(conn.expect("opens the file beside the process"))
            }
            Engine::Postgres => {
                Self::Postgres(PgConnection::connect(&place.url).await.expect("connects"))
            }
        }
    }

    /// Returns when an answer is committed in this conversation.
    async fn answered(&mut self, conversation: &str) {
        const ASK: &str =
            "SELECT count(*) FROM message WHERE conversation = $1 AND author_kind = 'assistant'";
        while self.count(ASK, conversation).await == 0 {}
    }

    /// How often a turn of this conversation was leased.
    async fn leases(mut self, conversation: &str) -> i64 {
        const ASK: &str =
            "SELECT count(*) FROM event WHERE conversation = $1 AND kind = 'turn_started'";
        self.count(ASK, conversation).await
    }

    async fn count(&mut self, ask: &'static str, conversation: &str) -> i64 {
        let count: Result<i64, sqlx::Error> = match self {
            Self::Sqlite(conn) => sqlx::query_scalar(ask).bind(conversation).fetch_one(conn).await,
            Self::Postgres(conn) => {
                sqlx::query_scalar(ask).bind(conversation).fetch_one(conn).await
            }
        };
        count.expect("asks the database")
    }
}

async fn between_commit_and_delivery(engine: Engine) {
    let scene = scene(engine).await;
    let (mut delivered, mut undelivered) = (0, 0);
    let mut process = scene.start().await;
    // PostgreSQL's answer is seen later than it is sent as often as not: there the kills are counted, not the hits.
    let short = |delivered: usize, undelivered: usize| match engine {
        Engine::Sqlite => undelivered < rounds(engine),
        Engine::Postgres => delivered + undelivered < rounds(engine),
    };
    while short(delivered, undelivered) {
        let round = delivered + undelivered;
        assert!(delivered <= MOST_LATE, "nearly every kill came after the delivery");
        let marker = format!("question D{round}:");
        let words = format!("{marker} how long does a refund take?");
        let gate = Gate::after(8);
        let held = Behaviour::say(ANSWER).with_gate(gate.clone());
        scene.model.add(Rule::on(Task::Answer, held).when_said(&marker).once());
        let visitor = scene.visitor(&process, "Rina").await;
        let mut page = visitor.live().await;
        let acknowledged = visitor.write(&words).await;
        let id = scene.acknowledge(&acknowledged);
        gate.arrived().await;
        let mut watch = Watch::open(&scene.place).await;
        gate.open();
        let seen = tokio::time::timeout(PATIENCE, watch.answered(&id)).await;
        seen.expect("the answer is committed");
        process.kill().await;
        page.closed("the process was killed").await;
        let heard = |frame: &Value| frame["message"]["author"]["kind"] == "assistant";
        if page.heard().iter().any(heard) {
            delivered += 1;
        } else {
            undelivered += 1;
        }
        process = scene.start().await;
        let (visitor, ana) = (visitor.at(&process.origin), scene.agent(&process));
        // The page comes back with the last number it has.
        let last = page.heard().iter().filter_map(|f| f["message"]["public_seq"].as_u64()).max();
        let mut page = visitor.live_after(last.unwrap_or(0)).await;
        page.settle().await;
        let resumed = page.heard()[0]["conversation"]["messages"].as_array().cloned();
        let resumed = resumed.unwrap_or_default();
        let wanted = usize::from(last.unwrap_or(0) < 2);
        let answers = resumed.iter().filter(|m| m["author"]["kind"] == "assistant").count();
        assert_eq!(answers, wanted, "after {last:?} came {resumed:?}");
        check_messages(&visitor.messages().await, &words, 1);
        assert_eq!(scene.asked(&words), 1, "what was committed was asked for again");
        let detail = ana.detail(&id).await;
        assert_eq!(detail["waiting_since"], Value::Null, "{detail}");
    }
    say(&format!(
        "{undelivered} answers had not been delivered when the kill came, {delivered} had"
    ));
    let what = format!("{} kills between commit and delivery", rounds(engine));
    scene.end(process, &what).await;
}

/// On PostgreSQL nobody else's turn is taken before its lease ends; here it is short, so that the journeys are.
#[test]
fn the_standard_lease_is_longer_than_the_one_used_here() {
    let used = Duration::from_millis(LEASE.parse().expect("a number"));
    assert!(TURN_LEASE > used);
}

on_both_engines!(
    before_the_acknowledgement,
    between_acknowledgement_and_lease,
    in_the_middle_of_the_stream,
    between_commit_and_delivery,
);
