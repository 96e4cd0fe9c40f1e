//! Layers, errors, and that the example and the document say what the struct says.

use std::collections::BTreeSet;

use super::*;

fn load(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, String> {
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let folder = tempfile::tempdir().expect("folder");
    if !file.is_empty() {
        std::fs::write(folder.path().join("baton.toml"), file).expect("written");
    }
    let sources = Sources {
        file: None,
        folder: folder.path().to_owned(),
        variables: own(variables),
        flags: own(flags),
    };
    Config::load(&sources).map_err(|error| error.to_string())
}

#[track_caller]
fn check_refused(result: Result<Loaded, String>, parts: &[&str]) {
    let error = result.expect_err("must be refused");
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn nothing_set_means_the_defaults() {
    let loaded = load("", &[], &[]).expect("valid");
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.origins.is_empty());
}

#[test]
fn later_sources_win_and_are_remembered() {
    let file = "[listen]\nport = 1\nhost = \"0.0.0.0\"\n[limits]\nmax_sockets = 5\n";
    let variables = [
        ("BATON_LISTEN__PORT", "2"),
        ("BATON_LISTEN__PORT_FALLBACK", "true"),
        ("BATON_DATABASE__URL", "postgres://u:12345@h/d"),
        ("BATON_LOG__FORMAT", "json"),
        ("BATON_TEST_POSTGRES", "not a setting"),
        ("OTHER", "x"),
    ];
    let loaded = load(file, &variables, &[("listen.port", "3")]).expect("valid");
    let config = &loaded.config;
    assert_eq!((config.listen.port, config.listen.port_fallback), (3, true));
    assert_eq!(config.listen.host.to_string(), "0.0.0.0");
    assert_eq!(config.limits.max_sockets.get(), 5);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(loaded.origins["listen.port"], Origin::Flag("--port".into()));
    assert_eq!(loaded.origins["log.format"], Origin::Variable("BATON_LOG__FORMAT".into()));
    assert!(matches!(loaded.origins["listen.host"], Origin::File(_)));
}

#[test]
fn numbers_in_variables_stay_words_where_words_are_meant() {
    let variables = [
        ("BATON_MODEL_URL", "http://127.0.0.1:11434/v1"),
        ("BATON_MODEL_NAME", "123"),
        ("BATON_MODEL_KEY", "456"),
        ("BATON_MODELS__ENDPOINTS__MAIN__CONTEXT_TOKENS", "8192"),
        ("BATON_EMBEDDINGS__DIMENSIONS", ""),
    ];
    let config = load("", &variables, &[]).expect("valid").config;
    let main = &config.models.endpoints["main"];
    assert_eq!(main.model, "123");
    assert_eq!(main.api_key, Some(Secret::new("456")));
    assert_eq!(main.context_tokens.get(), 8192);
    for task in Task::ALL {
        assert_eq!(config.models.of(task), "main");
    }
}

#[test]
fn unknown_keys_are_refused_wherever_they_come_from() {
    check_refused(load("[listen]\nprt = 1\n", &[], &[]), &["`listen.prt`", "baton.toml", "port"]);
    check_refused(
        load("", &[("BATON_LISTEN__PRT", "1")], &[]),
        &["`listen.prt`", "BATON_LISTEN__PRT"],
    );
    check_refused(load("", &[("BATON_NONSENSE", "1")], &[]), &["`nonsense`", "BATON_NONSENSE"]);
}

#[test]
fn errors_name_the_key_the_source_and_the_remedy() {
    check_refused(
        load("", &[("BATON_LISTEN__PORT", "x")], &[]),
        &["`listen.port`", "BATON_LISTEN__PORT", "whole number"],
    );
    check_refused(
        load("", &[], &[("listen.port", "70000")]),
        &["`listen.port`", "--port", "70000"],
    );
    check_refused(
        load("[limits]\nmax_sockets = 0\n", &[], &[]),
        &["`limits.max_sockets`", "nonzero"],
    );
    check_refused(load("a = [", &[], &[]), &["not valid TOML", "line 1"]);
    check_refused(
        load("", &[], &[("database.url", "mysql://x")]),
        &["`database.url`", "--database", "postgres://"],
    );
    check_refused(load("public_url = \"support\"", &[], &[]), &["`public_url`", "https://"]);
    check_refused(load("public_url = \"https://a.b/c\"", &[], &[]), &["`public_url`", "path"]);
    check_refused(
        load("[models]\nanswer = \"gpt\"", &[], &[]),
        &["`models.answer`", "models.endpoints.gpt"],
    );
    check_refused(
        load("", &[("BATON_MODEL_URL", "http://h/v1")], &[]),
        &["`models.endpoints.main.model`", "--model-name"],
    );
    check_refused(
        load("[embeddings]\nprovider = \"openai\"", &[], &[]),
        &["`embeddings.base_url`"],
    );
    check_refused(
        load("[embeddings]\nprovider = \"magic\"", &[], &[]),
        &["`embeddings.provider`", "`off`"],
    );
    let qdrant = |rest: &str| load(&format!("[index]\nbackend = \"qdrant\"\n{rest}"), &[], &[]);
    check_refused(qdrant(""), &["`index.url`", "6334"]);
    check_refused(qdrant("url = \"qdrant:6334\""), &["`index.url`", "https://"]);
    check_refused(qdrant("url = \"http://u:p@h:6334\""), &["`index.url`", "index.api_key"]);
    check_refused(qdrant("url = \"http://h:6334\""), &["`index.backend`", "embeddings.provider"]);
    check_refused(load("[index]\nbackend = \"disk\"", &[], &[]), &["`index.backend`", "`qdrant`"]);
    check_refused(load("[index]\ncollection = \"a b\"", &[], &[]), &["`index.collection`"]);
    check_refused(load("[index]\nmemory_mb = 0", &[], &[]), &["`index.memory_mb`", "nonzero"]);
    check_refused(
        load("[turn]\njudge_deadline_ms = 40000", &[], &[]),
        &["`turn.judge_deadline_ms`"],
    );
    check_refused(load("[log]\nfilter = \"a=b=c\"", &[], &[]), &["`log.filter`"]);
    for token in ["short", "sixteen letters and spaces"] {
        let refused = load("", &[("BATON_METRICS__TOKEN", token)], &[]);
        check_refused(refused, &["`metrics.token`", "BATON_METRICS__TOKEN", "16"]);
    }
    check_refused(load("[prompts]\nfolder = \"/no/such\"", &[], &[]), &["`prompts.folder`"]);
    let missing = Sources { file: Some("/no/such.toml".into()), ..Sources::default() };
    let error = Config::load(&missing).expect_err("refused").to_string();
    assert!(error.contains("/no/such.toml") && error.contains("--config"), "{error}");
}

#[test]
fn the_public_origin_is_ascii_and_without_the_usual_port() {
    let origin = |url: &str| {
        load(&format!("public_url = \"{url}\""), &[], &[]).map(|l| l.config.public_origin())
    };
    assert_eq!(origin("https://Support.Example:443/"), Ok(Some("https://support.example".into())));
    assert_eq!(origin("https://bücher.example"), Ok(Some("https://xn--bcher-kva.example".into())));
    for bad in ["https://u:p@x.y", "https://x.y/?a", "https://a!b.c", "ftp://x.y", "https://"] {
        assert!(origin(bad).is_err(), "{bad}");
    }
}

#[test]
fn secrets_do_not_print() {
    let variables = [("BATON_DATABASE__URL", "postgres://u:hunter2@h/d")];
    let config = load("", &variables, &[]).expect("valid").config;
    let shown = format!("{config:?} {}", serde_json::to_string(&config).expect("JSON"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

/// The example with its switched-off lines switched on.
fn everything_on() -> String {
    let on = |line: &str| {
        let off = line.strip_prefix("# ").unwrap_or("");
        let key = off.split(" = ").next().unwrap_or("");
        let is_key =
            off.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if is_key { off.to_owned() } else { line.to_owned() }
    };
    Config::example().lines().map(on).collect::<Vec<_>>().join("\n")
}

fn keys(value: &serde_json::Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                keys(value, &format!("{at}.{key}"), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

#[test]
fn the_example_names_every_key_with_its_default() {
    let mut expected = Config::default();
    let own = Endpoint {
        base_url: "https://api.openai.com/v1".to_owned(),
        model: "gpt-4.1-mini".to_owned(),
        ..Endpoint::default()
    };
    expected.models.endpoints.insert("example".to_owned(), own);
    let loaded = load(Config::example(), &[], &[]).expect("valid");
    assert_eq!(loaded.config, expected);

    let mut in_struct = BTreeSet::new();
    keys(&serde_json::to_value(&expected).expect("JSON"), "", &mut in_struct);
    let mut in_example = BTreeSet::new();
    let table: toml::Table = everything_on().parse().expect("TOML");
    keys(&serde_json::to_value(table).expect("JSON"), "", &mut in_example);
    assert_eq!(in_example, in_struct);
}

/// `BATON_TEST_WRITE=1 cargo test the_document` writes it.
#[test]
fn the_document_is_written_from_the_program() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIG.md");
    if std::env::var_os("BATON_TEST_WRITE").is_some() {
        std::fs::write(path, Config::document()).expect("written");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == Config::document(),
        "docs/CONFIG.md is out of date: run the test with BATON_TEST_WRITE=1"
    );
}
