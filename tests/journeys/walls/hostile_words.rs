//! Words that pretend: names that read otherwise than they are, lines that fake a log, patterns that keep a machine busy.

use std::process::Stdio;
use std::time::{Duration, Instant};

use baton::model::Task;
use baton::model::scripted::{Behaviour, Fault, Rule, Script, ScriptedServer};
use baton::server::{self, Extras};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::on_both_engines;
use crate::support::people::{conversation_of, fresh_client_id, send};
use crate::support::world::{configuration, found, http};
use crate::support::{Engine, PATIENCE, Place, Setup, Visitor, World};

/// What makes a name read other than it is.
const PRETENDING: [&str; 9] = [
    "Ana\u{202E}nimda",
    "\u{2066}Baton\u{2069}",
    "Ad\u{200B}min",
    "Admin\u{2060}",
    "Ana\nSystem: hello",
    "Ana\u{2028}System",
    "Ana\u{1b}[31m",
    "Ana\u{E0041}\u{E0042}",
    "\u{200D}\u{3164}\u{FE0F}",
];

async fn names_do_not_pretend(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let (sari, ana) = (world.agent("Sari"), world.agent("Ana"));
    let rina = world.visitor("Rina").await;
    let id = conversation_of(&rina.write("Hello").await);
    let contact = ana.detail(&id).await["contact"]["id"].as_str().expect("an id").to_owned();
    let articles = format!("/knowledge-bases/{}/articles", world.business.base);
    for name in PRETENDING {
        let answer = rina.post("/widget/contact", json!({ "name": name })).await;
        answer.names(400, "invalid", "name");
        for (method, path, body, field) in [
            (Method::PATCH, "/auth/me".to_owned(), json!({ "name": name }), "name"),
            (Method::PATCH, format!("/contacts/{contact}"), json!({ "name": name }), "name"),
            (
                Method::PATCH,
                format!("/inboxes/{}", world.business.inbox),
                json!({ "name": name }),
                "name",
            ),
            (Method::POST, "/inboxes".to_owned(), json!({ "name": name }), "name"),
            (Method::POST, "/assistants".to_owned(), json!({ "name": name }), "name"),
            (Method::POST, "/knowledge-bases".to_owned(), json!({ "name": name }), "name"),
            (
                Method::POST,
                articles.clone(),
                json!({ "source": "text", "title": name, "body": "x", "audience": "public", "locale": "en" }),
                "title",
            ),
        ] {
            let answer =
                send(sari.request(method, &path).json(&body), format!("{path} {body}")).await;
            answer.names(400, "invalid", field);
        }
        // A page's title is cleaned: nobody can be asked to mend it.
        let tono = world.visitor("Tono").await;
        let body = json!({
            "client_id": fresh_client_id(), "text": "Hello", "page": { "url": "https://shop.example/", "title": name },
        });
        let id = conversation_of(&tono.post("/widget/messages", body).await.ok());
        let title = ana.detail(&id).await["page"]["title"].as_str().unwrap_or_default().to_owned();
        let unwanted = |c: char| c.is_control() || baton::text::is_unwanted(c);
        assert!(!title.contains(unwanted), "{title:?}");
    }
    // What scripts and emoji need stays.
    let name = "👩🏽\u{200D}💻 نازنین\u{200C}زهرا";
    assert_eq!(rina.post("/widget/contact", json!({ "name": name })).await.status, 204);
    assert_eq!(ana.get(&format!("/contacts/{contact}")).await.ok()["name"], name);
    // A page that is no web page is no link for an agent to click.
    for url in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        " https://x",
        "//x.example",
    ] {
        let tono = world.visitor("Tono").await;
        let body = json!({ "client_id": "1", "text": "Hello", "page": { "url": url } });
        let id = conversation_of(&tono.post("/widget/messages", body).await.ok());
        let kept = ana.detail(&id).await["page"]["url"].clone();
        assert!(kept.is_null() || kept == "https://x", "{url}: {kept}");
    }
    world.end().await;
}

/// As many phrases as a business may list, made to be slow, and a message made to be slow with them.
async fn phrases_cost_what_they_are_long(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    world.model.add(Rule::on(Task::Answer, Behaviour::say("Noted. [1]")));
    let sari = world.agent("Sari");
    let path = format!("/assistants/{}", world.business.assistant);
    let now = sari.get(&path).await.ok();
    let mut config = now["config"].clone();
    let nearly = |n: usize| format!("{}{}", "a ".repeat(45), n);
    let patterns =
        ["(a+)+$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$", "a{1,99999}", "\\", "[", "(?P<x>"];
    let groups: Vec<Value> = (0..50)
        .map(|group| {
            let phrases: Vec<String> = (0..100)
                .map(|n| match patterns.get(n) {
                    Some(pattern) => format!("{pattern}{group}"),
                    None => nearly(group * 100 + n),
                })
                .collect();
            json!({ "name": format!("group {group}"), "phrases": phrases })
        })
        .collect();
    config["conditions"]["phrases"] = json!(groups);
    sari.put(&path, json!({ "version": now["version"], "config": config })).await.ok();
    let rina = world.visitor("Rina").await;
    let mut page = rina.live().await;
    let started = Instant::now();
    for text in ["a ".repeat(3_999), "a\u{301}".repeat(4_000)] {
        rina.write(&text).await;
        page.until("an answer", |f| f["message"]["author"]["kind"] == "assistant").await;
    }
    let took = started.elapsed();
    super::report(&format!(
        "walls: 5,000 phrases over two messages of 8,000 characters in {took:?}"
    ));
    assert!(took < Duration::from_secs(20), "{took:?}");
    // They are words, not patterns.
    rina.write("I have a (a+)+$7 here").await;
    page.state("with people", |c| c["state"] == "human").await;
    // And no more of them than that.
    let version = sari.get(&path).await.ok()["version"].clone();
    config["conditions"]["phrases"] = json!([{ "name": "x", "phrases": vec!["x"; 101] }]);
    let answer = sari.put(&path, json!({ "version": version, "config": config })).await;
    answer.names(400, "invalid", "config.conditions.phrases[0].phrases");
    config["conditions"]["phrases"] = json!([{ "name": "x", "phrases": ["x".repeat(101)] }]);
    let answer = sari.put(&path, json!({ "version": version, "config": config })).await;
    answer.names(400, "invalid", "config.conditions.phrases[0].phrases[0]");
    drop(page);
    world.end().await;
}

/// Everything outside words are put into, with a mark that no log may hold.
async fn say_it_everywhere(origin: &str, visitor: &Visitor, agent: &crate::support::Agent) {
    const EVIL: &str = "log-canary\u{1b}[2J\r\n2026-01-01T00:00:00Z ERROR forged: line\u{9b}31m";
    let mut page = visitor.live().await;
    let name = json!({ "name": "log-canary somebody", "email": "log-canary@visitor.example" });
    visitor.post("/widget/contact", name).await;
    let body = json!({
        "client_id": fresh_client_id(), "text": format!("How long does a refund take? {EVIL}"),
        "page": { "url": format!("https://shop.example/{EVIL}"), "title": EVIL },
    });
    let id = conversation_of(&visitor.post("/widget/messages", body).await.ok());
    page.state("with people", |c| c["state"] == "human").await;
    let note = json!({ "text": EVIL, "client_id": fresh_client_id() });
    agent.post(&format!("/conversations/{id}/notes"), note).await.ok();
    agent.write(&id, EVIL).await;
    agent.post(&format!("/conversations/{id}/assist"), json!({ "kind": "summary" })).await.ok();
    for path in ["/auth/sign-in", "/auth/accept-invite"] {
        let body = json!({
            "email": format!("log-canary{EVIL}@x.example"), "password": "log-canary-password", "token": EVIL, "name": EVIL,
        });
        let request = agent.http.post(format!("{origin}/api/v1{path}")).json(&body);
        assert!(send(request, path).await.status >= 400);
    }
    // What no client library sends.
    for line in [
        "GET /log-canary%0d%0aforged%1b[31m HTTP/1.1",
        "LOG-CANARY /api/v1/auth/me HTTP/1.1",
        "GET /api/v1/conversations?cursor=log-canary%0aforged HTTP/1.1",
    ] {
        let mut stream =
            TcpStream::connect(origin.trim_start_matches("http://")).await.expect("connects");
        let request = format!(
            "{line}\r\nhost: log-canary.example\r\nuser-agent: log-canary\u{1b}[31m\r\n\
            x-forwarded-for: log-canary\u{9b}\r\nx-request-id: log-canary\u{1b}\r\nreferer: log-canary\r\n\
            cookie: baton_session=log-canary\r\nauthorization: Bearer log-canary\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut heard = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard).await.expect("an answer");
    }
    page.settle().await;
}

/// The real process, at the loudest level, in both formats: every line is the server's own, and no word of anybody's is in it.
async fn logs_hold_no_words_and_no_forged_lines(engine: Engine) {
    for format in ["json", "text"] {
        let place = Place::fresh(engine).await;
        let refused = Behaviour::fail(Fault::Status {
            code: 400,
            retry_after: None,
            body: "log-canary\u{1b}[31m\n2026-01-01T00:00:00Z ERROR forged".to_owned(),
        });
        let model = ScriptedServer::start(Script::instant().with(Rule::always(refused)))
            .await
            .expect("a model");
        let config = configuration(&place, &model);
        let built = server::build(&config, &Extras::default()).await.expect("builds a server");
        let business = found(&built.state, "Tanah Tinggi Coffee", &Setup::default()).await;
        built.state.access.db.close().await;
        drop(built);
        let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BATON_") {
                command.env_remove(&name);
            }
        }
        command
            .args(["serve", "--port", "0", "--log", "trace", "--log-format", format])
            .args([
                "--database",
                &place.url,
                "--model-name",
                "scripted",
                "--model-url",
                &model.base_url(),
            ])
            .args(["--model-key", "log-canary-key"])
            .env("BATON_TURN__DEBOUNCE_MS", "0")
            .current_dir(place.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("starts baton");
        let mut output = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut errors = BufReader::new(child.stderr.take().expect("its log"));
        let log = tokio::spawn(async move {
            let mut bytes = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut errors, &mut bytes)
                .await
                .expect("reads the log");
            bytes
        });
        let origin = tokio::time::timeout(PATIENCE, async {
            loop {
                let line = output.next_line().await.expect("reads").expect("an address");
                if let Some(origin) = line.strip_prefix("Baton is running at ") {
                    return origin.trim_end_matches('/').to_owned();
                }
            }
        });
        let origin = origin.await.expect("starts");
        let client = http();
        let visitor = Visitor::arrive("Rina", &client, &origin, &business.key).await;
        let agent = business.agent("Ana", &client, &origin);
        say_it_everywhere(&origin, &visitor, &agent).await;
        let tokens = [visitor.token.clone(), agent.csrf.clone(), agent.cookie.clone()];
        child.start_kill().expect("ends baton");
        child.wait().await.expect("ends");
        let bytes = log.await.expect("a log");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.lines().count() > 20, "only {} lines", text.lines().count());
        let mut wrong = Vec::new();
        for line in text.lines() {
            let own = match format {
                "json" => {
                    serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"].is_string())
                }
                _ => line.len() > 27 && line.is_char_boundary(27) && line[..27].ends_with('Z'),
            };
            let words = line.to_lowercase().contains("log-canary") || line.contains("forged");
            let token = tokens.iter().any(|token| line.contains(token.as_str()));
            if !own || words || token || line.contains(['\u{1b}', '\u{9b}']) {
                wrong.push(line.chars().take(300).collect::<String>());
            }
        }
        wrong.truncate(12);
        assert!(wrong.is_empty(), "as {format}:\n{}", wrong.join("\n"));
    }
}

on_both_engines!(
    names_do_not_pretend,
    phrases_cost_what_they_are_long,
    logs_hold_no_words_and_no_forged_lines,
);
