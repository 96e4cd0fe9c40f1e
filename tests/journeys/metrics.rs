//! `GET /metrics`: closed until it has a token, and then it says exactly what happened, in names that `docs/OPERATIONS.md`
//! explains, without a word of anybody's.

use std::collections::{BTreeMap, BTreeSet};

use baton::model::Task;
use baton::model::scripted::{Behaviour, Rule, Script};

use crate::on_both_engines;
use crate::support::people::conversation_of;
use crate::support::{Engine, Launch, Process, Scene, eventually};

const TOKEN: &str = "a-token-of-the-operators-own";
const ANSWER: &str = "Refunds take five working days, as canary-answer says.";

/// What the process says of itself, by series: the name with its labels as written.
struct Figures {
    text: String,
    values: BTreeMap<String, f64>,
}

impl Figures {
    async fn of(scene: &Scene, process: &Process) -> Self {
        let request = scene.http.get(format!("{}/metrics", process.origin)).bearer_auth(TOKEN);
        let answer = request.send().await.expect("answers");
        assert_eq!(answer.status().as_u16(), 200);
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let text = answer.text().await.expect("text");
        let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let pair = |line: &str| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        };
        let values = series.map(pair).collect();
        Self { text, values }
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {}", self.text))
    }

    /// Fails unless each series has this value.
    #[track_caller]
    fn are(&self, wanted: &[(&str, f64)]) {
        let wrong = wanted.iter().filter(|(series, value)| self.value(series) != *value);
        let wrong: Vec<_> =
            wrong.map(|(series, value)| (series, value, self.value(series))).collect();
        assert!(wrong.is_empty(), "series, wanted, told: {wrong:#?}");
    }

    /// Names and types, as the output declares them.
    fn declared(&self) -> BTreeSet<(String, String)> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let pair = |line: &str| line.split_once(' ').map(|(n, k)| (n.to_owned(), k.to_owned()));
        lines.filter_map(pair).collect()
    }
}

/// Names and types, as the table of the document has them.
fn documented() -> BTreeSet<(String, String)> {
    let text = include_str!("../../docs/OPERATIONS.md");
    let (_, section) = text.split_once("## Figures").expect("a section on figures");
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let pair = |row: &str| {
        let (name, rest) = row.split_once("` | ")?;
        let (kind, _) = rest.split_once(" |")?;
        Some((name.to_owned(), kind.to_owned()))
    };
    rows.filter_map(pair).collect()
}

/// Buckets of every histogram rise to the count, have the bounds that are promised, and sums are there.
fn check_histograms(figures: &Figures) {
    let declared = figures.declared();
    let histograms = declared.iter().filter(|(_, kind)| kind == "histogram");
    let mut seen = 0;
    for (name, _) in histograms {
        let counts = figures.values.iter().filter(|(s, _)| s.starts_with(&format!("{name}_count")));
        for (series, count) in counts {
            let labels = series.strip_prefix(&format!("{name}_count")).unwrap_or_default();
            let inner = labels.trim_start_matches('{').trim_end_matches('}');
            let comma = if inner.is_empty() { "" } else { "," };
            let bucket =
                |le: &str| figures.value(&format!("{name}_bucket{{{inner}{comma}le=\"{le}\"}}"));
            assert_eq!(bucket("+Inf"), *count, "{series}");
            if name.ends_with("_seconds") {
                let bounds = ["0.0001", "0.001", "0.01", "0.1", "1", "10", "60"];
                let steps: Vec<f64> = bounds.into_iter().map(bucket).collect();
                assert!(steps.is_sorted(), "{series}: {steps:?}");
                assert!(steps[6] <= *count);
            }
            assert!(figures.value(&format!("{name}_sum{labels}")) >= 0.0);
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} histograms");
}

async fn a_short_story_is_counted_exactly(engine: Engine) {
    let script = Script::instant().with(Rule::on(Task::Answer, Behaviour::say(ANSWER)));
    let launch =
        Launch::default().set("BATON_METRICS__TOKEN", TOKEN).set("BATON_TURN__DEBOUNCE_MS", "0");
    let scene = Scene::new(engine, script, launch).await;
    let process = scene.start().await;

    let ana = scene.agent(&process);
    let mut desk = ana.live(None).await;
    let rina = scene.visitor(&process, "Rina").await;
    let mut page = rina.live().await;
    let id = conversation_of(&rina.write("canary-question: how long does a refund take?").await);
    page.message("canary-answer").await;
    ana.take_over(&id).await;
    ana.write(&id, "canary-human: it is on its way.").await;
    page.message("canary-human").await;
    rina.write("canary-thanks to you").await;
    // Somebody else asks for a person, and for somebody else at that.
    let dewi = scene.visitor(&process, "Dewi").await;
    let asked = dewi.ask_for_person().await;
    let waiting = asked["id"].as_str().expect("an id").to_owned();
    desk.event(&waiting, "handed_off").await;

    // The turn's end and the brief are counted after everybody has heard of them.
    let figures = eventually("the figures of the whole story", || async {
        let figures = Figures::of(&scene, &process).await;
        let turn = figures.value("baton_turns_total{outcome=\"answered\"}");
        let jobs = figures.value("baton_jobs_total{kind=\"brief\",outcome=\"done\"}");
        if turn + jobs >= 3.0 { Ok(figures) } else { Err(figures.text) }
    })
    .await;
    figures.are(&[
        ("baton_turns_total{outcome=\"answered\"}", 1.0),
        ("baton_turns_total{outcome=\"handed_off\"}", 0.0),
        ("baton_turns_total{outcome=\"failed\"}", 0.0),
        ("baton_turns_total{outcome=\"discarded\"}", 0.0),
        ("baton_turn_first_release_seconds_count", 1.0),
        ("baton_turn_added_seconds_count", 1.0),
        ("baton_turn_stage_seconds_count{stage=\"queue\"}", 1.0),
        ("baton_turn_stage_seconds_count{stage=\"search\"}", 1.0),
        ("baton_turn_stage_seconds_count{stage=\"model\"}", 1.0),
        ("baton_turn_stage_seconds_count{stage=\"model_first_token\"}", 1.0),
        ("baton_turn_stage_seconds_count{stage=\"commit\"}", 1.0),
        ("baton_messages_total{author=\"visitor\"}", 2.0),
        ("baton_messages_total{author=\"assistant\"}", 1.0),
        ("baton_messages_total{author=\"agent\"}", 1.0),
        ("baton_takeovers_total{from=\"assistant\"}", 1.0),
        ("baton_takeovers_total{from=\"queue\"}", 0.0),
        ("baton_handoffs_total{reason=\"asked_for_person\"}", 1.0),
        ("baton_handoffs_total{reason=\"no_answer\"}", 0.0),
        ("baton_message_delivery_seconds_count{author=\"agent\"}", 1.0),
        ("baton_message_delivery_seconds_count{author=\"assistant\"}", 1.0),
        ("baton_sockets_open{kind=\"visitor\"}", 1.0),
        ("baton_sockets_open{kind=\"agent\"}", 1.0),
        ("baton_search_seconds_count", 1.0),
        ("baton_drafts_dropped_total{by=\"gate\"}", 0.0),
        ("baton_jobs_total{kind=\"brief\",outcome=\"parked\"}", 0.0),
        ("baton_http_requests_total{method=\"POST\",route=\"/api/v1/widget/messages\",status=\"200\"}", 2.0),
        ("baton_http_requests_total{method=\"GET\",route=\"/api/v1/live\",status=\"101\"}", 2.0),
        ("baton_nodes", 1.0),
    ]);
    assert!(figures.value("baton_model_calls_total{endpoint=\"main\",status=\"ok\"}") >= 1.0);
    assert!(figures.value("baton_model_tokens_total{endpoint=\"main\",kind=\"prompt\"}") > 0.0);
    assert!(figures.value("baton_db_commit_seconds_sum") > 0.0);
    assert!(
        figures.value("baton_db_commit_units_sum") >= figures.value("baton_db_commit_units_count")
    );
    assert!(figures.value("baton_index_bytes") > 0.0);
    assert!(figures.value("process_resident_memory_bytes") > 1e6);
    check_histograms(&figures);
    assert_eq!(
        figures.declared(),
        documented(),
        "the table of docs/OPERATIONS.md, left: told, right: there"
    );

    // No words, ids, addresses, names of people or secrets.
    let ids = [id.as_str(), waiting.as_str(), rina.token.as_str(), rina.key.as_str()];
    for hidden in ids.into_iter().chain(["canary", "Rina", "Ana", TOKEN, "sqlite:", "postgres:"]) {
        assert!(!figures.text.contains(hidden), "`{hidden}` stands in {}", figures.text);
    }

    // A socket that ends is not open any more.
    drop(page);
    eventually("the closed socket", || async {
        let figures = Figures::of(&scene, &process).await;
        let open = figures.value("baton_sockets_open{kind=\"visitor\"}");
        if open == 0.0 { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await;
    drop(desk);
    scene.end(process, "figures").await;
}

/// Nobody reads it without the token, and nobody at all while there is none.
async fn only_the_operators_token_opens_it(engine: Engine) {
    let scene = Scene::new(engine, Script::instant(), Launch::default()).await;
    let process = scene.start().await;
    let ask = |process: &Process, token: Option<&str>| {
        let request = scene.http.get(format!("{}/metrics", process.origin));
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        async move { request.send().await.expect("answers").status().as_u16() }
    };
    assert_eq!(ask(&process, Some("")).await, 404);
    assert_eq!(ask(&process, Some(TOKEN)).await, 404);
    process.kill().await;
    let launch = Launch::default().set("BATON_METRICS__TOKEN", TOKEN);
    let process = Process::start(&scene.place, &scene.model.base_url(), &launch).await;
    let longer = format!("{TOKEN}x");
    for (token, status) in [
        (None, 401),
        (Some(""), 401),
        (Some(&TOKEN[1..]), 401),
        (Some(longer.as_str()), 401),
        (Some(TOKEN), 200),
    ] {
        assert_eq!(ask(&process, token).await, status, "{token:?}");
    }
    scene.end(process, "closed figures").await;
}

on_both_engines!(a_short_story_is_counted_exactly, only_the_operators_token_opens_it);
