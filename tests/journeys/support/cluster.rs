//! A PostgreSQL server of a test's own, with fsync on, that can be restarted while others use it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

/// How the server is told to stop.
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// Connections are ended, work is rolled back.
    Fast,
    /// As if it were killed: it recovers when it starts again.
    Immediate,
}

/// The server; stopped and removed when the last handle is dropped.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    home: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Cluster {
    /// A new server on a free port.
    pub fn start() -> Self {
        let home = tempfile::tempdir().expect("makes a temporary folder");
        let cluster = Self(Arc::new(Inner { home, bin: bin(), port: free_port() }));
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(cluster.0.home.path()));
        }
        let data = cluster.0.data();
        let mut init = cluster.0.tool("initdb");
        init.args(["-U", "baton", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        run(init.arg(&data));
        cluster.0.control(&["start"]);
        cluster
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("postgres://baton@127.0.0.1:{}/postgres", self.0.port)
    }

    /// Stops it and starts it again.
    pub async fn restart(&self, how: Stop) {
        let inner = Arc::clone(&self.0);
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        let restarted = tokio::task::spawn_blocking(move || {
            inner.control(&["stop", "-m", mode]);
            inner.control(&["start"]);
        });
        restarted.await.expect("PostgreSQL is back");
    }
}

impl Inner {
    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// One of the server's programs; it refuses to run as root.
    fn tool(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    fn control(&self, what: &[&str]) {
        let home = self.home.path().display();
        let options = format!(
            // What nobody waited for is still in memory when the server is killed.
            "-c listen_addresses=127.0.0.1 -p {} -c unix_socket_directories={home} -c max_connections=200 \
             -c wal_writer_delay=10s",
            self.port
        );
        let mut control = self.tool("pg_ctl");
        control.args(["-s", "-w", "-t", "60", "-D"]).arg(self.data());
        control.arg("-l").arg(self.home.path().join("log")).args(["-o", &options]).args(what);
        run(&mut control);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut stop = self.tool("pg_ctl");
        stop.args(["-s", "-w", "-m", "immediate", "-D"]).arg(self.data()).arg("stop");
        // A test that fails says more than this could.
        let _ended = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == 0
    })
}

/// Where the newest server's programs are.
fn bin() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
    };
    let newest = installed.map(|entry| entry.path()).max_by_key(|path| number(path));
    let debian = newest.map(|path| path.join("bin")).filter(|bin| bin.join("initdb").exists());
    debian.unwrap_or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .find(|folder| folder.join("initdb").exists())
            .expect("PostgreSQL is missing: run tools/install-test-tools")
    })
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
