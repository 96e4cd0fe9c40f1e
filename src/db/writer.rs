//! The SQLite writer: one thread that drains its queue into one transaction, one fsync for all.

use std::fs::{File, OpenOptions};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use fs4::fs_std::FileExt;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::lite::{Lite, Options};
use super::query::{AfterCommit, Conn, sql};
use super::{DbError, UnitFuture};
use crate::guard::Guard;
use crate::metrics;

/// How many units share one transaction at most, so that the first does not wait for ever.
const MAX_GROUP: usize = 256;
/// How many units may wait before callers are held back.
const QUEUE: usize = 4096;

/// Takes the lock file beside a SQLite file: one process owns it.
pub(super) fn lock_file(path: &Path) -> Result<File, DbError> {
    let io = |e| DbError::Sql(sqlx::Error::Io(e));
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(name).map_err(io)?;
    match file.try_lock_exclusive() {
        Ok(true) => Ok(file),
        _ => Err(DbError::InUse(path.to_owned())),
    }
}

/// A unit with its type erased.
trait Work: Send {
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> BoxFuture<'c, Result<(), DbError>>;
    fn finish(self: Box<Self>, outcome: Result<(), DbError>);
}

struct Unit<T, F> {
    run: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, DbError>>,
}

impl<T, F> Work for Unit<T, F>
where
    T: Send,
    F: for<'c> FnMut(&'c mut Conn) -> UnitFuture<'c, T> + Send,
{
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> BoxFuture<'c, Result<(), DbError>> {
        Box::pin(async move {
            self.value = None;
            let ran = AssertUnwindSafe((self.run)(conn)).catch_unwind().await;
            self.value = Some(ran.map_err(|_| DbError::Panicked)??);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, outcome: Result<(), DbError>) {
        let Self { value, reply, .. } = *self;
        // The caller may have gone; the work stands all the same.
        let _gone = reply.send(outcome.and_then(|()| value.ok_or(DbError::Closed)));
    }
}

enum Command {
    Work(Box<dyn Work>),
    /// Up to this migration.
    Migrate(i64, oneshot::Sender<Result<(), DbError>>),
}

/// The handle to the writer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Command>,
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
    stop: tokio_util::sync::CancellationToken,
}

impl Writer {
    /// On a thread of its own, since it waits for the disk; `lock` goes with it.
    pub(super) fn start(path: &Path, lock: File) -> Result<Self, DbError> {
        let conn = Conn::writer(Lite::open(&Options::writer(path))?);
        let (writer, work) = Self::over(conn, path, Some(lock));
        // What is done after a commit may be a task of the runtime's.
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || runtime.block_on(work))
            .map_err(|error| DbError::Sql(sqlx::Error::Io(error)))?;
        Ok(writer)
    }

    /// As a task, over a connection whose statements a test may delay.
    #[cfg(test)]
    pub(super) fn simulated(conn: Conn, path: &Path) -> Self {
        let (writer, work) = Self::over(conn, path, None);
        tokio::spawn(work);
        writer
    }

    fn over(
        conn: Conn,
        path: &Path,
        lock: Option<File>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, commands) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let stop = tokio_util::sync::CancellationToken::new();
        let drained = drain(conn, commands, path.to_owned(), stop.clone(), lock);
        let work = async move {
            drained.await;
            // Nobody may wait for it.
            let _gone = end.send(());
        };
        (Self { queue, ended: Arc::new(Mutex::new(Some(ended))), stop }, work)
    }

    pub(super) async fn run<T, F>(&self, run: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Conn) -> UnitFuture<'c, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let unit = Box::new(Unit { run, value: None, reply });
        self.queue.send(Command::Work(unit)).await.map_err(|_| DbError::Closed)?;
        answer.await.map_err(|_| DbError::Closed)?
    }

    pub(super) async fn migrate(&self, number: i64) -> Result<(), DbError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Command::Migrate(number, reply)).await.map_err(|_| DbError::Closed)?;
        answer.await.map_err(|_| DbError::Closed)?
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        if let Some(ended) = self.ended.lock().await.take() {
            let _ended = ended.await;
        }
    }
}

async fn drain(
    mut conn: Conn,
    mut commands: mpsc::Receiver<Command>,
    path: PathBuf,
    stop: tokio_util::sync::CancellationToken,
    _lock: Option<File>,
) {
    loop {
        let first = tokio::select! {
            biased;
            command = commands.recv() => command,
            () = stop.cancelled() => {
                commands.close();
                commands.recv().await
            }
        };
        let Some(first) = first else { break };
        let mut group = Vec::new();
        let mut migrations = Vec::new();
        let mut take = |command| match command {
            Command::Work(unit) => group.push(unit),
            Command::Migrate(number, reply) => migrations.push((number, reply)),
        };
        take(first);
        for _ in 1..MAX_GROUP {
            let Ok(command) = commands.try_recv() else { break };
            take(command);
        }
        for (number, reply) in migrations {
            let _gone = reply.send(super::migrate::sqlite(&path, number).await);
        }
        if !group.is_empty() {
            commit_group(&mut conn, group).await;
        }
    }
}

/// Why a group's transaction is gone.
enum Lost {
    /// It could not begin: nothing has run, and no unit is at fault.
    NotBegun(DbError),
    /// A unit that ran without a savepoint failed; the transaction was rolled back.
    ByUnit(DbError),
    /// It was lost on the way (disk full, I/O error).
    OnTheWay(DbError),
}

/// How the units of a group share a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Units {
    /// One after the other; the first that fails ends it for all.
    AsTheyAre,
    /// Each in a savepoint of its own.
    Apart,
}

/// One transaction for the whole group. Units hardly ever fail, so they run as they are first; if one of several does, all
/// run again, each in a savepoint. If the transaction is lost on the way, they run again one by one, so that one unit's
/// trouble is not another's. If it cannot begin, all are refused at once: each would wait as long again for the same.
async fn commit_group(conn: &mut Conn, mut group: Vec<Box<dyn Work>>) {
    let mut result = try_group(conn, &mut group, Units::AsTheyAre).await;
    if group.len() > 1 && matches!(result, Err(Lost::ByUnit(_))) {
        metrics::get().db.retries.add_many(&[], group.len() as u64);
        result = try_group(conn, &mut group, Units::Apart).await;
    }
    match result {
        Ok(outcomes) => finish(group, outcomes),
        Err(Lost::NotBegun(error)) => refuse(group, error),
        Err(Lost::ByUnit(error) | Lost::OnTheWay(error)) if group.len() == 1 => {
            refuse(group, error);
        }
        Err(Lost::ByUnit(_) | Lost::OnTheWay(_)) => {
            metrics::get().db.retries.add_many(&[], group.len() as u64);
            let mut units = group.into_iter();
            while let Some(unit) = units.next() {
                let mut alone = vec![unit];
                match try_group(conn, &mut alone, Units::AsTheyAre).await {
                    Ok(outcomes) => finish(alone, outcomes),
                    Err(Lost::ByUnit(error) | Lost::OnTheWay(error)) => refuse(alone, error),
                    Err(Lost::NotBegun(error)) => {
                        alone.extend(units.by_ref());
                        refuse(alone, error);
                    }
                }
            }
        }
    }
}

fn finish(group: Vec<Box<dyn Work>>, outcomes: Vec<Result<(), DbError>>) {
    for (unit, outcome) in group.into_iter().zip(outcomes) {
        unit.finish(outcome);
    }
}

/// The first hears the error itself, the others its name.
fn refuse(group: Vec<Box<dyn Work>>, error: DbError) {
    let name = error.trouble().unwrap_or("lost");
    let mut error = Some(error);
    for unit in group {
        unit.finish(Err(error.take().unwrap_or(DbError::Unavailable(name))));
    }
}

async fn try_group(
    conn: &mut Conn,
    group: &mut Vec<Box<dyn Work>>,
    units: Units,
) -> Result<Vec<Result<(), DbError>>, Lost> {
    let (started, count) = (Instant::now(), group.len());
    sql("BEGIN IMMEDIATE").execute(conn).await.map_err(Lost::NotBegun)?;
    match run_group(conn, group, units).await {
        Ok((outcomes, actions)) => {
            metrics::get().db.committed(count, started.elapsed());
            for action in actions {
                // What somebody wants done afterwards must not end the writer.
                if std::panic::catch_unwind(AssertUnwindSafe(action)).is_err() {
                    tracing::error!(
                        error.code = "panicked",
                        "what was to be done after a commit panicked"
                    );
                }
            }
            Ok(outcomes)
        }
        Err(lost) => {
            conn.take_after_commit();
            // Already rolled back by the engine, or about to be.
            let _none = sql("ROLLBACK").execute(conn).await;
            Err(lost)
        }
    }
}

type GroupRun = (Vec<Result<(), DbError>>, Vec<AfterCommit>);

async fn run_group(
    conn: &mut Conn,
    group: &mut Vec<Box<dyn Work>>,
    units: Units,
) -> Result<GroupRun, Lost> {
    let mut outcomes = Vec::with_capacity(group.len());
    let mut actions = Vec::new();
    for unit in group.iter_mut() {
        if units == Units::Apart {
            statement(conn, "SAVEPOINT unit").await?;
        }
        let outcome = unit.run(conn).await;
        let wanted = conn.take_after_commit();
        match (outcome, units) {
            (Ok(()), _) => {
                if units == Units::Apart {
                    statement(conn, "RELEASE unit").await?;
                }
                actions.extend(wanted);
                outcomes.push(Ok(()));
            }
            (Err(error), Units::AsTheyAre) => return Err(Lost::ByUnit(error)),
            (Err(error), Units::Apart) => {
                // A lost transaction makes this fail, and the group runs again one by one.
                statement(conn, "ROLLBACK TO unit").await?;
                statement(conn, "RELEASE unit").await?;
                outcomes.push(Err(error));
            }
        }
    }
    if Guard::AckAfterCommit.is_broken() {
        finish(std::mem::take(group), outcomes.iter().map(|_| Ok(())).collect());
    }
    statement(conn, "COMMIT").await?;
    Ok((outcomes, actions))
}

async fn statement(conn: &mut Conn, text: &'static str) -> Result<(), Lost> {
    sql(text).execute(conn).await.map(drop).map_err(Lost::OnTheWay)
}
