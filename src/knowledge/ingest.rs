//! Takes a folder of article files into a knowledge base: what is new or changed is stored, what is gone is removed.
//!
//! A broken file is reported and keeps what was stored of it; it stops nothing else. Nothing outside the folder is read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;

use crate::ids::{KnowledgeBaseId, WorkspaceId};

use super::article::{MAX_BODY_BYTES, parse_article};
use super::index::BaseKey;
use super::put::Change;
use super::service::{Knowledge, KnowledgeError};
use super::store;

/// The `source` of articles from a folder.
pub const FOLDER: &str = "folder";

/// How deep folders may be nested, and how many files one may hold.
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 20_000;

/// A file that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct IngestProblem {
    /// The file, relative to the folder.
    pub file: String,
    /// Why, and what would help.
    pub reason: String,
}

/// What taking in a folder did, in articles.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct IngestReport {
    /// New ones.
    pub added: usize,
    /// Those whose content differs.
    pub changed: usize,
    /// Those that were there already.
    pub unchanged: usize,
    /// Those whose file is gone.
    pub removed: usize,
    /// Files that could not be taken.
    pub errors: Vec<IngestProblem>,
}

impl Knowledge {
    /// Makes the base hold what the folder holds: every `.md` file below it except READMEs, its path within the folder being its key.
    ///
    /// # Errors
    /// [`KnowledgeError::Folder`] if the folder itself cannot be read; a file that cannot be taken is in the report.
    pub async fn ingest_folder(
        &self,
        workspace: WorkspaceId,
        base: KnowledgeBaseId,
        folder: &Path,
    ) -> Result<IngestReport, KnowledgeError> {
        if self.base(workspace, base).await?.is_none() {
            return Err(KnowledgeError::NoSuchBase(base));
        }
        let unreadable =
            |reason: String| KnowledgeError::Folder { path: folder.display().to_string(), reason };
        let root = tokio::fs::canonicalize(folder).await.map_err(|e| unreadable(e.to_string()))?;
        if !root.is_dir() {
            return Err(unreadable("is not a folder".to_owned()));
        }
        let walked = root.clone();
        let listing = tokio::task::spawn_blocking(move || list(&walked))
            .await
            .map_err(|e| unreadable(e.to_string()))?;
        let mut report = IngestReport { errors: listing.problems, ..IngestReport::default() };
        let mut present: HashSet<String> = report.errors.iter().map(|e| e.file.clone()).collect();
        for (key, path) in listing.files {
            present.insert(key.clone());
            match self.ingest_file(workspace, base, &key, &path).await? {
                Ok(Change::Added) => report.added += 1,
                Ok(Change::Changed) => report.changed += 1,
                Ok(Change::Unchanged) => report.unchanged += 1,
                Err(reason) => report.errors.push(IngestProblem { file: key, reason }),
            }
        }
        // A folder that could not be listed completely proves of no file that it is gone.
        if listing.complete {
            let key = BaseKey { workspace, base };
            let stored = store::of_source(&mut self.db.read().await?, key, FOLDER).await?;
            for gone in stored.iter().filter(|stored| !present.contains(&stored.source_key)) {
                if self.delete_article(workspace, store::parsed(&gone.id)?).await? {
                    report.removed += 1;
                }
            }
        }
        report.errors.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(report)
    }

    /// The inner error is the file's own; the outer one stops everything.
    async fn ingest_file(
        &self,
        workspace: WorkspaceId,
        base: KnowledgeBaseId,
        key: &str,
        path: &Path,
    ) -> Result<Result<Change, String>, KnowledgeError> {
        let text = match read(path).await {
            Ok(text) => text,
            Err(reason) => return Ok(Err(reason)),
        };
        let draft = match parse_article(key, &text) {
            Ok(draft) => draft,
            Err(problem) => return Ok(Err(problem.reason)),
        };
        match self.put_article(workspace, base, FOLDER, key, draft).await {
            Ok(stored) => Ok(Ok(stored.change)),
            Err(KnowledgeError::Invalid(problem)) => Ok(Err(problem.to_string())),
            Err(other) => Err(other),
        }
    }
}

async fn read(path: &Path) -> Result<String, String> {
    let file = tokio::fs::File::open(path).await.map_err(|e| format!("cannot be read: {e}"))?;
    let mut bytes = Vec::new();
    let cap = MAX_BODY_BYTES as u64 + 1;
    file.take(cap).read_to_end(&mut bytes).await.map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err("is larger than 1 MiB: split the article".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text: save it as UTF-8".to_owned())
}

struct Listing {
    files: Vec<(String, PathBuf)>,
    problems: Vec<IngestProblem>,
    complete: bool,
}

/// Every article file below `root`, in order of its key. Hidden files and folders are passed over.
fn list(root: &Path) -> Listing {
    let mut listing = Listing { files: Vec::new(), problems: Vec::new(), complete: true };
    walk(root, root, 0, &mut listing);
    listing.files.sort();
    listing
}

fn walk(root: &Path, folder: &Path, depth: usize, listing: &mut Listing) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) if depth <= MAX_DEPTH => entries,
        Ok(_) => return stop(root, folder, "folders are nested too deeply", listing),
        Err(error) => return stop(root, folder, &format!("cannot be listed: {error}"), listing),
    };
    for entry in entries {
        let Ok(entry) = entry else {
            return stop(root, folder, "cannot be listed completely", listing);
        };
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            stop(root, &path, "cannot be examined", listing);
            continue;
        };
        if kind.is_dir() {
            walk(root, &path, depth + 1, listing);
        } else if is_article(&path) {
            take(root, path, kind.is_symlink(), listing);
        }
        if listing.files.len() > MAX_FILES {
            return stop(root, folder, "holds too many files: at most 20000 are taken", listing);
        }
    }
}

/// Markdown; a README is about the folder, not for its readers.
fn is_article(path: &Path) -> bool {
    let readme = path.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case("readme"));
    !readme
        && path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("md") || e.eq_ignore_ascii_case("markdown"))
}

/// A link is followed only to a file within the folder.
fn take(root: &Path, path: PathBuf, is_link: bool, listing: &mut Listing) {
    let key = key(root, &path);
    let problem = match (is_link, std::fs::canonicalize(&path)) {
        (_, Err(error)) => Some(format!("cannot be read: {error}")),
        (true, Ok(real)) if !real.starts_with(root) => {
            Some("is a link that leads outside the folder: copy the file here".to_owned())
        }
        (_, Ok(real)) if !real.is_file() => Some("is not a file".to_owned()),
        (_, Ok(_)) => None,
    };
    match problem {
        Some(reason) => listing.problems.push(IngestProblem { file: key, reason }),
        None => listing.files.push((key, path)),
    }
}

fn stop(root: &Path, path: &Path, reason: &str, listing: &mut Listing) {
    listing.complete = false;
    listing.problems.push(IngestProblem { file: key(root, path), reason: reason.to_owned() });
}

/// The path within the folder, with `/` on every system.
fn key(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
