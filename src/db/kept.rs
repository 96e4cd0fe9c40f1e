//! Connections kept at hand between two uses.
//!
//! The pool behind asks a connection for a sign of life each time it is taken and each time it is given back: two round trips
//! for a read of one. Here a connection that ended its last use well is handed on as it is, and asked only after it has lain
//! idle. One whose use broke off is closed, with whatever it had begun.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::DbError;

/// After so long a connection is asked for a sign of life before it is used: the server may have gone and come back.
const IDLE: Duration = Duration::from_secs(1);
/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections of one pool. Cheap to clone.
pub(super) struct Kept<DB: Database>(Arc<Shared<DB>>);

struct Shared<DB: Database> {
    pool: Pool<DB>,
    places: Arc<Semaphore>,
    /// Those that nobody uses, and since when.
    idle: Mutex<Vec<(PoolConnection<DB>, Instant)>>,
}

impl<DB: Database> Clone for Kept<DB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<DB: Database> Kept<DB> {
    /// Keeps the connections of this pool.
    pub fn new(pool: Pool<DB>) -> Self {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        let places = Arc::new(Semaphore::new(most));
        Self(Arc::new(Shared { pool, places, idle: Mutex::default() }))
    }

    /// The pool behind, for what brings its own use. It gets the idle connections back: it has no others.
    pub fn pool(&self) -> &Pool<DB> {
        self.doubt();
        &self.0.pool
    }

    /// How connections are made.
    pub fn options(&self) -> <DB::Connection as Connection>::Options {
        self.0.pool.connect_options().as_ref().clone()
    }

    /// A connection; waits for one if all are in use.
    pub async fn take(&self) -> Result<Lent<DB>, DbError> {
        let Shared { pool, places, .. } = &*self.0;
        let place = tokio::time::timeout(PATIENCE, Arc::clone(places).acquire_owned()).await;
        let place = place.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| DbError::Closed)?;
        let kept = self.0.idle().pop();
        let connection = match kept {
            Some((connection, since)) if since.elapsed() < IDLE => connection,
            Some((mut connection, _)) => match connection.ping().await {
                Ok(()) => connection,
                Err(_) => pool.acquire().await?,
            },
            None => pool.acquire().await?,
        };
        let shared = Arc::clone(&self.0);
        Ok(Lent { connection: Some(connection), whole: true, shared, _place: place })
    }

    /// Gives every idle connection back to the pool: they may be dead.
    pub fn doubt(&self) {
        self.0.doubt();
    }

    /// Closes every connection, idle ones at once and the others when they come back.
    pub async fn close(&self) {
        let closing = self.0.pool.close();
        self.doubt();
        closing.await;
    }
}

impl<DB: Database> Shared<DB> {
    fn idle(&self) -> MutexGuard<'_, Vec<(PoolConnection<DB>, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubt(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }
}

/// A connection in use; it is kept again when this is dropped, if its last use has ended.
pub(super) struct Lent<DB: Database> {
    connection: Option<PoolConnection<DB>>,
    whole: bool,
    shared: Arc<Shared<DB>>,
    _place: OwnedSemaphorePermit,
}

impl<DB: Database> Lent<DB> {
    /// The connection, for a use that [`Self::ended`] must follow: one that is dropped half-way is not kept.
    pub fn begin(&mut self) -> Result<&mut DB::Connection, DbError> {
        self.whole = false;
        self.connection.as_deref_mut().ok_or(DbError::Closed)
    }

    /// Says that the use has ended, and whether the connection can have another one.
    pub fn ended(&mut self, whole: bool) {
        self.whole = whole;
    }
}

impl<DB: Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if !self.whole {
            // Nobody knows what state it is in; there may be an open transaction.
            connection.close_on_drop();
            // What broke it may have broken the others: the pool asks each before it is used again.
            self.shared.doubt();
            return;
        }
        let mut idle = self.shared.idle();
        // Whoever closes marks the pool first and empties the list then.
        if !self.shared.pool.is_closed() {
            idle.push((connection, Instant::now()));
        }
    }
}

/// Whether a connection can go on after this: the engine itself has answered and is not going, or nothing was wrong with it.
pub(super) fn survives(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(db) = error {
        let trouble = super::trouble::of_code(&db.code().unwrap_or_default());
        return matches!(trouble, None | Some("locked"));
    }
    matches!(
        error,
        sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
    )
}
