//! A PostgreSQL server of the test's own that it may stop, start, and watch: durable (fsync on), on loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::process::run;
use super::{PATIENCE, eventually};

/// A cluster and, while it runs, its server.
pub struct Cluster {
    home: TempDir,
    bin: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// Makes a cluster and starts it, by this program if one is given.
    pub async fn start(through: &[String]) -> Self {
        let home = tempfile::tempdir().expect("makes a temporary folder");
        let mut cluster = Self { home, bin: programs(), port: free_port(), server: None };
        let folder = cluster.home.path().to_str().expect("a plain path").to_owned();
        if is_root().await {
            // The server refuses to run as root.
            run("chown", &["postgres", &folder]).await;
        }
        let initdb = cluster.bin.join("initdb");
        let data = cluster.data();
        let words = [
            initdb.to_str().expect("a plain path"),
            "-D",
            &data,
            "-U",
            "baton",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ];
        let words = as_its_user(&words).await;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(words[0], &words[1..]).await;
        cluster.again(through).await;
        cluster
    }

    fn data(&self) -> String {
        self.home.path().join("data").display().to_string()
    }

    /// The address of its database.
    pub fn url(&self) -> String {
        format!("postgres://baton@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server and waits until it lets somebody in.
    pub async fn again(&mut self, through: &[String]) {
        let program = self.bin.join("postgres").display().to_string();
        let (data, port) = (self.data(), self.port.to_string());
        let sockets = format!("unix_socket_directories={}", self.home.path().display());
        let settings = ["listen_addresses=127.0.0.1", "max_connections=100", "fsync=on", &sockets];
        let mut words: Vec<&str> = vec![&program, "-D", &data, "-p", &port];
        for setting in settings {
            words.extend(["-c", setting]);
        }
        let words = as_its_user(&words).await;
        let mut words = through.iter().chain(&words);
        let server = Command::new(words.next().expect("a program"))
            .args(words)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.server = Some(server.expect("starts PostgreSQL"));
        let options = PgConnectOptions::from_str(&self.url()).expect("an address");
        eventually("PostgreSQL", || async {
            let conn = options.connect().await.map_err(|error| error.to_string())?;
            conn.close().await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Stops it at once, as a crash does: what was not yet on disk is gone.
    pub async fn crash(&mut self) {
        self.signal("-QUIT").await;
    }

    async fn signal(&mut self, signal: &str) {
        let Some(mut server) = self.server.take() else { return };
        let file = Path::new(&self.data()).join("postmaster.pid");
        let text = std::fs::read_to_string(file).expect("it runs");
        run("kill", &[signal, text.lines().next().unwrap_or_default()]).await;
        let ended = tokio::time::timeout(PATIENCE, server.wait()).await;
        ended.expect("PostgreSQL ends when told").expect("waits for its end");
    }

    /// Ends it for good.
    pub async fn end(mut self) {
        self.signal("-QUIT").await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // After a test that failed: its server, and no other.
        if self.server.take().is_some() {
            let text = std::fs::read_to_string(Path::new(&self.data()).join("postmaster.pid"));
            if let Some(pid) = text.ok().as_deref().and_then(|text| text.lines().next()) {
                let _gone = std::process::Command::new("kill").args(["-QUIT", pid]).status();
            }
        }
    }
}

/// A port that nobody has; it is free again when this returns.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Where PostgreSQL's programs are.
fn programs() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib/postgresql").ok();
    let versions = found.into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let mut versions: Vec<PathBuf> = versions.filter(|bin| bin.join("initdb").exists()).collect();
    versions.sort();
    let on_the_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    };
    versions.pop().or_else(on_the_path).expect("PostgreSQL (tools/install-test-tools)")
}

async fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().await.expect("asks who we are");
    id.stdout.trim_ascii() == b"0"
}

/// The words that run this as somebody PostgreSQL accepts.
async fn as_its_user(words: &[&str]) -> Vec<String> {
    let before: &[&str] = if is_root().await { &["runuser", "-u", "postgres", "--"] } else { &[] };
    before.iter().chain(words).map(|word| (*word).to_owned()).collect()
}
