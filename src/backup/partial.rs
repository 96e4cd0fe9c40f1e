//! A file in the making: nobody finds it under its name before it is whole, and nothing stays of one that fails.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt;

use super::BackupError;

/// The file `NAME.partial` beside the one that is wanted; gone when dropped, unless it was finished.
pub(super) struct Partial {
    wanted: PathBuf,
    path: PathBuf,
    /// Holds the lock against a second backup to the same name.
    file: File,
    replace: bool,
    finished: bool,
}

impl Partial {
    /// Begins. What a killed backup left is used again.
    pub(super) fn create(wanted: &Path, replace: bool) -> Result<Self, BackupError> {
        if !replace && wanted.exists() {
            return Err(BackupError::Exists(wanted.to_owned()));
        }
        let mut path = wanted.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let file = options.open(&path).map_err(BackupError::io(&path))?;
        if !matches!(file.try_lock_exclusive(), Ok(true)) {
            return Err(BackupError::Busy(wanted.to_owned()));
        }
        let partial = Self { wanted: wanted.to_owned(), path, file, replace, finished: false };
        let owner_only = std::fs::Permissions::from_mode(0o600);
        partial
            .file
            .set_len(0)
            .and_then(|()| partial.file.set_permissions(owner_only))
            .map_err(BackupError::io(&partial.path))?;
        Ok(partial)
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle to write with.
    pub(super) fn handle(&self) -> Result<File, BackupError> {
        self.file.try_clone().map_err(BackupError::io(&self.path))
    }

    /// Gives it its name, for good: the folder is on disk when this returns.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        if !self.replace && self.wanted.exists() {
            return Err(BackupError::Exists(self.wanted.clone()));
        }
        std::fs::rename(&self.path, &self.wanted).map_err(BackupError::io(&self.wanted))?;
        self.finished = true;
        let folder = self.wanted.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::io(folder))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed is at least no backup by its name, and the next one uses it again.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}
