//! Backup and restore: one file for either engine, so that a backup of SQLite restores into PostgreSQL and the other way round.
//!
//! Invariants: a backup is one moment of the database, taken while servers go on; a file under its final name is whole and was
//! read back before it got that name; a restore goes into an empty database in one transaction, reads everything back, or
//! leaves nothing. `format` says what is in the file, `fresh` what a restore does not bring back.

mod format;
mod fresh;
mod partial;
mod read;
mod restore;
mod seal;
mod write;

use std::path::PathBuf;

pub use format::{Contents, Header};
pub use read::check;
pub use restore::{Restored, restore};
pub use write::{Made, back_up};

use crate::db::DbError;

/// Why there is no backup, or no restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is such a file already.
    #[error("{} is there already: choose another name, or replace it with --force", .0.display())]
    Exists(PathBuf),
    /// Another backup is being written to the same name.
    #[error("another backup is being written to {}", .0.display())]
    Busy(PathBuf),
    /// The file is something else.
    #[error("{} is not a backup made by Baton", .0.display())]
    NotABackup(PathBuf),
    /// The file is not as it was written.
    #[error("{} is damaged or incomplete: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How that is known.
        what: String,
    },
    /// A newer Baton made it.
    #[error(
        "the backup was made by a newer Baton ({0}): restore it with that version or a later one"
    )]
    Newer(String),
    /// The database is not empty.
    #[error(
        "a restore needs an empty database, and this one has rows in `{0}`: name a new file or a new database"
    )]
    NotEmpty(String),
    /// The schema does not fit.
    #[error("the backup does not fit the schema of this database: {0}")]
    Schema(String),
    /// What was stored is not what the file says.
    #[error("`{0}` was stored otherwise than the backup has it; nothing was kept")]
    Differs(String),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl BackupError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Runs what blocks (files, compression, hashes) on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| DbError::Panicked)?
}

#[cfg(test)]
mod tests;
