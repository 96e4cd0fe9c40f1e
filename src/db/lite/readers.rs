//! The reading connections of a file, kept between two uses.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Lite, Options};
use crate::db::DbError;
use crate::db::kept::survives;

/// How many may read at once: each keeps pages of its own in memory.
const MOST: usize = 4;
/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The readers of one file. Cheap to clone.
#[derive(Clone)]
pub(in crate::db) struct Readers(Arc<Shared>);

struct Shared {
    options: Options,
    places: Arc<Semaphore>,
    /// Those that nobody uses; none once closed.
    idle: Mutex<Option<Vec<Lite>>>,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Option<Vec<Lite>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers {
    /// The readers of a file that is there; opens the first.
    pub fn open(options: Options) -> Result<Self, DbError> {
        let first = Lite::open(&options)?;
        let (places, idle) = (Arc::new(Semaphore::new(MOST)), Mutex::new(Some(vec![first])));
        Ok(Self(Arc::new(Shared { options, places, idle })))
    }

    /// A connection; waits for one if all are in use.
    pub async fn take(&self) -> Result<Lent, DbError> {
        let places = Arc::clone(&self.0.places);
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => tokio::time::timeout(PATIENCE, places.acquire_owned())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)?
                .map_err(|_| DbError::Closed)?,
        };
        let idle = match &mut *self.0.idle() {
            Some(idle) => idle.pop(),
            None => return Err(sqlx::Error::PoolClosed.into()),
        };
        let lite = match idle {
            Some(lite) => lite,
            None => Lite::open(&self.0.options)?,
        };
        let shared = Arc::clone(&self.0);
        Ok(Lent { lite: Some(lite), stays: true, apart: false, shared, _place: place })
    }

    /// Closes every connection, idle ones at once and the others when they come back.
    pub async fn close(&self) {
        drop(self.0.idle().take());
        let most = u32::try_from(MOST).unwrap_or(u32::MAX);
        // Whoever reads still ends first; the semaphore itself is never closed.
        let _all = self.0.places.acquire_many(most).await;
    }
}

/// A connection in use; it is kept again when this is dropped, if nothing is wrong with it.
pub(in crate::db) struct Lent {
    lite: Option<Lite>,
    stays: bool,
    apart: bool,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Lent {
    /// Its statements read much: nobody else's work waits for them.
    pub fn apart(&mut self) {
        self.apart = true;
    }

    /// Begins a transaction, which ends with the connection.
    pub fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.stays = false;
        self.run(|lite| lite.execute("BEGIN", &[]).map(drop))
    }

    /// Uses the connection.
    pub fn run<T>(
        &mut self,
        what: impl FnOnce(&mut Lite) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let lite = self.lite.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let done = if self.apart && may_step_aside() {
            tokio::task::block_in_place(|| what(lite))
        } else {
            what(lite)
        };
        if done.as_ref().err().is_some_and(|error| !survives(error)) {
            self.stays = false;
        }
        done
    }

    /// Lends the connection out for good, until it is [put back](Self::put_back).
    pub fn take(&mut self) -> Result<Lite, sqlx::Error> {
        self.lite.take().ok_or(sqlx::Error::PoolClosed)
    }

    /// The other half of [`Self::take`].
    pub fn put_back(&mut self, lite: Lite) {
        self.lite = Some(lite);
    }
}

/// Whether the runtime can give this thread's other work to another.
fn may_step_aside() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(lite) = self.lite.take().filter(|_| self.stays) else { return };
        if let Some(idle) = &mut *self.shared.idle() {
            idle.push(lite);
        }
    }
}
