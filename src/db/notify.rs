//! What the nodes of one PostgreSQL database say to each other: NOTIFY and LISTEN, each on a connection of its own.
//!
//! A notification takes one lock of the whole cluster until its commit is on disk, so it is never sent inside a write: it has
//! a transaction of its own that waits for no disk. What is said while a listener is not connected is lost to it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::{Db, DbError, Engine};

/// The channel's name.
const CHANNEL: &str = "baton_nodes";
/// PostgreSQL refuses payloads of 8,000 bytes and more.
pub const MAX_PAYLOAD_BYTES: usize = 7_999;
/// How long a connection or a statement may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(3);

impl Db {
    /// The channel between the nodes of the database; none on SQLite, which belongs to one process.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        match &self.engine {
            Engine::Sqlite { .. } => None,
            Engine::Postgres(kept) => {
                let options = kept.options();
                // Nothing of it is worth waiting for the disk.
                let options = options.options([("synchronous_commit", "off")]);
                Some(Channel { options: Arc::new(options) })
            }
        }
    }
}

/// The way to the channel. Cheap to clone.
#[derive(Clone)]
pub struct Channel {
    options: Arc<PgConnectOptions>,
}

impl Channel {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the database cannot be reached in time.
    pub async fn listen(&self) -> Result<Listener, DbError> {
        // A pool of one, so that a connection that is lost does not stand in the way of the next listener.
        let pool: PgPool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(self.options.as_ref().clone().application_name("baton listens"));
        let listening = async {
            let mut inner = PgListener::connect_with(&pool).await?;
            inner.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(Listener(inner))
        };
        Ok(timeout(PATIENCE, listening).await.map_err(|_| late())??)
    }

    /// A connection to speak on.
    ///
    /// # Errors
    /// When the database cannot be reached in time.
    pub async fn speak(&self) -> Result<Speaker, DbError> {
        let options = self.options.as_ref().clone().application_name("baton speaks");
        let conn = timeout(PATIENCE, options.connect()).await.map_err(|_| late())??;
        Ok(Speaker(conn))
    }
}

fn late() -> DbError {
    DbError::Sql(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}

/// Hears the channel.
pub struct Listener(PgListener);

impl Listener {
    /// The next payload; `None` when the connection was lost and is there again: what was said meanwhile is lost.
    ///
    /// # Errors
    /// When the connection cannot be had again: listen anew.
    pub async fn hear(&mut self) -> Result<Option<String>, DbError> {
        Ok(self.0.try_recv().await?.map(|notification| notification.payload().to_owned()))
    }
}

/// Speaks on the channel.
pub struct Speaker(PgConnection);

impl Speaker {
    /// Says these payloads, in order, in one transaction.
    ///
    /// # Errors
    /// When the connection is lost: some listeners may have heard, others not.
    pub async fn say(&mut self, payloads: &[String]) -> Result<(), DbError> {
        let said = sqlx::query("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload")
            .bind(CHANNEL)
            .bind(payloads)
            .execute(&mut self.0);
        timeout(PATIENCE, said).await.map_err(|_| late())??;
        Ok(())
    }

    /// Ends the connection in good order.
    pub async fn close(self) {
        let _gone = timeout(PATIENCE, self.0.close()).await;
    }
}
