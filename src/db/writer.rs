//! The SQLite writer: one task that drains its queue into one transaction, a savepoint for each unit, one fsync for all.

use std::fs::{File, OpenOptions};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use fs4::fs_std::FileExt;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::query::{AfterCommit, Conn, sql};
use super::{DbError, UnitFuture};

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
    Migrate(oneshot::Sender<Result<(), DbError>>),
}

/// The handle to the writer task. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Command>,
    task: Arc<Mutex<Option<tokio::task::JoinHandle<()>>>>,
    stop: tokio_util::sync::CancellationToken,
}

impl Writer {
    pub(super) async fn start(options: &SqliteConnectOptions, lock: File) -> Result<Self, DbError> {
        let conn = options.connect().await?;
        let (queue, commands) = mpsc::channel(QUEUE);
        let stop = tokio_util::sync::CancellationToken::new();
        let task = tokio::spawn(drain(conn, commands, options.clone(), stop.clone(), lock));
        Ok(Self { queue, task: Arc::new(Mutex::new(Some(task))), stop })
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

    pub(super) async fn migrate(&self) -> Result<(), DbError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Command::Migrate(reply)).await.map_err(|_| DbError::Closed)?;
        answer.await.map_err(|_| DbError::Closed)?
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take() {
            let _ended = task.await;
        }
    }
}

async fn drain(
    conn: sqlx::SqliteConnection,
    mut commands: mpsc::Receiver<Command>,
    options: SqliteConnectOptions,
    stop: tokio_util::sync::CancellationToken,
    _lock: File,
) {
    let mut conn = Conn::sqlite_writer(conn);
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
            Command::Migrate(reply) => migrations.push(reply),
        };
        take(first);
        for _ in 1..MAX_GROUP {
            let Ok(command) = commands.try_recv() else { break };
            take(command);
        }
        for reply in migrations {
            let _gone = reply.send(super::migrate::sqlite(&options).await);
        }
        if !group.is_empty() {
            commit_group(&mut conn, group).await;
        }
    }
}

/// One transaction for the whole group. Units hardly ever fail, so the group runs as it is first; if one of them does, it runs
/// again with a savepoint for each. If the transaction is lost (disk full, I/O error), the units run again one by one, so
/// that one unit's trouble is not another's.
async fn commit_group(conn: &mut Conn, mut group: Vec<Box<dyn Work>>) {
    let mut result = try_group(conn, &mut group, Units::AsTheyAre).await;
    if matches!(result, Ok(None)) {
        result = try_group(conn, &mut group, Units::Apart).await;
    }
    match result {
        Ok(Some(outcomes)) => {
            for (unit, outcome) in group.into_iter().zip(outcomes) {
                unit.finish(outcome);
            }
        }
        Err(lost) if group.len() == 1 => {
            if let Some(unit) = group.pop() {
                unit.finish(Err(lost));
            }
        }
        Ok(None) | Err(_) => {
            for unit in group {
                let mut alone = [unit];
                let outcome =
                    try_group(conn, &mut alone, Units::Apart).await.and_then(|outcomes| {
                        outcomes.and_then(|mut all| all.pop()).unwrap_or(Err(DbError::Closed))
                    });
                let [unit] = alone;
                unit.finish(outcome);
            }
        }
    }
}

/// How the units of a group share a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Units {
    /// One after the other; the first that fails ends it for all.
    AsTheyAre,
    /// Each in a savepoint of its own.
    Apart,
}

impl Units {
    fn before_first(self) -> &'static str {
        match self {
            Self::AsTheyAre => "BEGIN IMMEDIATE",
            Self::Apart => "BEGIN IMMEDIATE; SAVEPOINT unit",
        }
    }

    /// What follows upon each other goes in one call, since every call crosses to the engine's thread and back.
    fn before_next(self, done: bool) -> Option<&'static str> {
        match (self, done) {
            (Self::AsTheyAre, _) => None,
            (Self::Apart, true) => Some("RELEASE unit; SAVEPOINT unit"),
            (Self::Apart, false) => Some("ROLLBACK TO unit; RELEASE unit; SAVEPOINT unit"),
        }
    }

    fn after_last(self, done: bool) -> &'static str {
        match (self, done) {
            (Self::AsTheyAre, _) => "COMMIT",
            (Self::Apart, true) => "RELEASE unit; COMMIT",
            (Self::Apart, false) => "ROLLBACK TO unit; RELEASE unit; COMMIT",
        }
    }
}

/// What became of each unit; `None` if one of those that run as they are has failed, and nothing was stored.
type Outcomes = Option<Vec<Result<(), DbError>>>;

async fn try_group(
    conn: &mut Conn,
    group: &mut [Box<dyn Work>],
    units: Units,
) -> Result<Outcomes, DbError> {
    let result = run_group(conn, group, units).await;
    match result {
        Ok(Some((outcomes, actions))) => {
            for action in actions {
                action();
            }
            Ok(Some(outcomes))
        }
        Ok(None) | Err(_) => {
            conn.take_after_commit();
            // Already rolled back by the engine, or about to be.
            let _none = sql("ROLLBACK").execute(conn).await;
            result.map(|_| None)
        }
    }
}

type GroupRun = (Vec<Result<(), DbError>>, Vec<AfterCommit>);

async fn run_group(
    conn: &mut Conn,
    group: &mut [Box<dyn Work>],
    units: Units,
) -> Result<Option<GroupRun>, DbError> {
    sql(units.before_first()).execute(conn).await?;
    let mut outcomes: Vec<Result<(), DbError>> = Vec::with_capacity(group.len());
    let mut actions = Vec::new();
    for unit in group.iter_mut() {
        // A lost transaction makes this fail, and the group runs again one by one.
        if let Some(last) = outcomes.last()
            && let Some(between) = units.before_next(last.is_ok())
        {
            sql(between).execute(conn).await?;
        }
        let outcome = unit.run(conn).await;
        let wanted = conn.take_after_commit();
        match outcome {
            Ok(()) => actions.extend(wanted),
            Err(_) if units == Units::AsTheyAre => return Ok(None),
            Err(_) => {}
        }
        outcomes.push(outcome);
    }
    let done = outcomes.last().is_none_or(Result::is_ok);
    sql(units.after_last(done)).execute(conn).await?;
    Ok(Some((outcomes, actions)))
}
