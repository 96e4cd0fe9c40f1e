//! The real process: `baton serve` as a child, its log as JSON lines, what `/ready` says.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use baton::guard;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::{PATIENCE, Place, eventually};

/// How a process is started.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// A program with its arguments that starts ours in its own place.
    pub through: Vec<String>,
    /// Further variables.
    pub env: Vec<(String, String)>,
}

impl Launch {
    /// With one more setting.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Started by this program.
    pub fn through(mut self, words: &[&str]) -> Self {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }
}

/// One process of ours.
pub struct Process {
    child: Child,
    pub origin: String,
    /// How long the start took.
    pub took: Duration,
    log: PathBuf,
    /// Where this process's lines begin in the log.
    from: usize,
    /// Kept, so that writing to it does not fail.
    _output: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one on this database and model.
    pub async fn start(place: &Place, model_url: &str, launch: &Launch) -> Self {
        let log = place.folder().join("stderr.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let ours = env!("CARGO_BIN_EXE_baton").to_owned();
        let mut words = launch.through.iter().chain(std::iter::once(&ours));
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("BATON_") && name != guard::VARIABLE {
                command.env_remove(&*name);
            }
        }
        command
            .args(["serve", "--port", "0", "--model-name", "scripted"])
            .args(["--log", "info", "--log-format", "json"])
            .args(["--database", &place.url, "--model-url", model_url])
            .env("BATON_LIMITS__VISITOR_SESSIONS_PER_MINUTE", "100000")
            .env("BATON_LIMITS__VISITOR_MESSAGES_PER_MINUTE", "100000")
            .env("BATON_LIMITS__VISITOR_MESSAGES_BURST", "100000")
            .env("BATON_LIMITS__AGENT_REQUESTS_PER_SECOND", "100000")
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(place.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.expect("a log file"))
            .kill_on_drop(true);
        let from = lines(&log).len();
        let started = Instant::now();
        let mut child = command.spawn().expect("starts baton");
        let output = child.stdout.take().expect("its output");
        let mut output = BufReader::new(output).lines();
        let said = tokio::time::timeout(PATIENCE * 2, async {
            loop {
                let line = output.next_line().await.expect("reads its output")?;
                if let Some(origin) = line.strip_prefix("Baton is running at ") {
                    return Some(origin.trim_end_matches('/').to_owned());
                }
            }
        });
        let origin = said.await.ok().flatten();
        let origin = origin.unwrap_or_else(|| panic!("baton did not start: {}", tail(&log)));
        Self { child, origin, took: started.elapsed(), log, from, _output: output }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Kills it at once: SIGKILL, nothing can be tidied up.
    pub async fn kill(mut self) {
        self.child.start_kill().expect("kills baton");
        let ended = self.child.wait().await.expect("waits for its end");
        assert!(!ended.success(), "baton ended by itself before it was killed");
    }

    /// Every line that this process has logged.
    pub fn logged(&self) -> Vec<Value> {
        let all = lines(&self.log);
        let of = |line: &String| serde_json::from_str(line).ok();
        all.get(self.from..).unwrap_or_default().iter().filter_map(of).collect()
    }

    /// Waits for a line of the log in which all these fields have these values.
    pub async fn says(&self, what: &str, fields: &[(&str, Value)]) -> Value {
        eventually(&format!("the log line: {what}"), || async {
            let has = |line: &Value| fields.iter().all(|(name, value)| line[*name] == *value);
            self.logged().into_iter().find(has).ok_or_else(|| tail(&self.log))
        })
        .await
    }

    /// What `/ready` says: the status and the body.
    pub async fn ready(&self, http: &reqwest::Client) -> (u16, Value) {
        let answer = http.get(format!("{}/ready", self.origin)).send().await.expect("answers");
        let status = answer.status().as_u16();
        (status, answer.json().await.expect("JSON"))
    }

    /// Waits until `/ready` is as wanted.
    pub async fn becomes(
        &self,
        http: &reqwest::Client,
        what: &str,
        is: impl Fn(u16, &Value) -> bool,
    ) -> Value {
        eventually(what, || async {
            let (status, body) = self.ready(http).await;
            if is(status, &body) { Ok(body) } else { Err(format!("{status} {body}")) }
        })
        .await
    }

    /// A number of the kernel's about this process, such as `VmRSS` in kB.
    pub fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let number = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// How many files it has open.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("it runs").count()
    }
}

/// Runs a program to its end.
pub async fn run(program: &str, words: &[&str]) {
    let ended = Command::new(program).args(words).stdin(Stdio::null()).output().await;
    let ended = ended.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{program} {words:?}: {} {said}", ended.status);
}

fn lines(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn tail(log: &Path) -> String {
    let all = lines(log);
    all[all.len().saturating_sub(20)..].join("\n")
}
