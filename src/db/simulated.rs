//! The database of the simulation: one SQLite file, several nodes, every statement a step that a test may delay or spoil.
//!
//! Invariants: a statement is done at once, on the thread that asks, so that the order of everything follows from the order
//! in which tasks run; only a [`Fate`] makes tasks wait, in the runtime's (virtual) time. One node writes at a time, as on a
//! server that locks the row; the others wait in line. What a statement does is the engine's own business: nothing is
//! imitated but its failures.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use async_trait::async_trait;

use super::lite::{Lite, Options};
use super::query::Conn;
use super::writer::Writer;
use super::{Db, DbError, Engine, Readers};

/// Waits for the future on this thread. What runs here waits for an engine's own thread only, never for a task.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// What becomes of a statement.
pub enum Verdict {
    /// It is done, and its result comes back.
    Goes,
    /// This comes back instead: before it is done nothing has happened then, after it everything has.
    Fails(DbError),
    /// This comes back, and the transaction is gone.
    Loses(DbError),
    /// Nothing comes back, ever: the process is dead. An open transaction is rolled back.
    Dies,
}

/// Decides what becomes of the statements of one node.
#[async_trait]
pub trait Fate: Send + Sync {
    /// Before it is done; may take its time. Whether it stands in a transaction is told.
    async fn before(&self, text: &str, inside: bool) -> Verdict;
    /// It was done and went well, and nobody knows yet; may take its time.
    async fn after(&self, text: &str) -> Verdict;
}

/// One database file that several nodes share.
#[derive(Clone)]
pub struct Shared {
    path: PathBuf,
    writing: Arc<tokio::sync::Mutex<()>>,
    idle: Arc<Mutex<Vec<Lite>>>,
}

impl Shared {
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), writing: Arc::default(), idle: Arc::default() }
    }

    /// One node's handle.
    pub fn open(&self, fate: Arc<dyn Fate>) -> Result<Db, DbError> {
        let station = Arc::new(Station { shared: self.clone(), fate });
        let conn = Conn::simulated(station.link()?);
        let writer = Writer::simulated(conn, &self.path);
        Ok(Db::of(Engine::Sqlite { readers: Readers::Simulated(station), writer: Some(writer) }))
    }

    fn connection(&self) -> Result<Lite, DbError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(lite) => Ok(lite),
            // Processes die here, machines do not.
            None => Ok(Lite::open(&Options::simulated(&self.path))?),
        }
    }
}

/// Where the connections of one node come from.
pub struct Station {
    shared: Shared,
    fate: Arc<dyn Fate>,
}

impl Station {
    pub(super) fn link(self: &Arc<Self>) -> Result<Link, DbError> {
        let lite = Some(self.shared.connection()?);
        Ok(Link { lite, station: Arc::clone(self), writing: None })
    }
}

/// One connection of one node.
pub struct Link {
    lite: Option<Lite>,
    station: Arc<Station>,
    /// Held from BEGIN to the end of the transaction.
    writing: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Link {
    pub(super) fn lite(&mut self) -> &mut Lite {
        self.lite.as_mut().expect("a link has its connection until it is dropped")
    }

    pub(super) async fn before(&mut self, text: &str) -> Result<(), DbError> {
        match self.station.fate.before(text, self.writing.is_some()).await {
            Verdict::Goes => {
                if text.starts_with("BEGIN") {
                    let line = Arc::clone(&self.station.shared.writing);
                    self.writing = Some(line.lock_owned().await);
                }
                Ok(())
            }
            Verdict::Fails(error) => Err(error),
            Verdict::Loses(error) => {
                self.lose();
                Err(error)
            }
            Verdict::Dies => self.die().await,
        }
    }

    pub(super) async fn after<T>(
        &mut self,
        text: &str,
        done: Result<T, DbError>,
    ) -> Result<T, DbError> {
        if text == "COMMIT" && done.is_ok() || text == "ROLLBACK" {
            self.writing = None;
        }
        let done = done?;
        match self.station.fate.after(text).await {
            Verdict::Goes => Ok(done),
            Verdict::Fails(error) => Err(error),
            Verdict::Loses(error) => {
                self.lose();
                Err(error)
            }
            Verdict::Dies => self.die().await,
        }
    }

    /// The engine gives the transaction up; there may be none any more.
    fn lose(&mut self) {
        let _none = self.lite().execute("ROLLBACK", &[]);
    }

    async fn die<T>(&mut self) -> T {
        self.lose();
        self.writing = None;
        std::future::pending().await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A reader; a connection that may be in a transaction is closed instead.
        if let (Some(lite), None) = (self.lite.take(), &self.writing) {
            self.station.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lite);
        }
    }
}
