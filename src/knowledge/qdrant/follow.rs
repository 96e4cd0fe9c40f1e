//! Brings a base in Qdrant up to the database.
//!
//! No lock between nodes: what a node writes was read at a revision, later readings win, and a node is done only when the
//! database has not moved since it began its last reading. Whatever a slower node wrote meanwhile, it finds the newer revision
//! when it is done and applies that too. A node that dies half-way leaves the marker where it was, so the next one does all
//! of it again; what it may have left behind shows as another number of points, and then the base is made anew.

use std::collections::HashSet;

use crate::ids::ChunkId;
use crate::knowledge::index::{BaseKey, Cursor, IndexError, Removed, Source, Want};

use super::remote::{Remote, RemoteError};

/// Why a base could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Source(#[from] IndexError),
}

/// Brings a base up to the revision that the database has when it is done, and returns that; `anew` whatever is there.
pub async fn bring(
    remote: &Remote,
    base: BaseKey,
    source: &dyn Source,
    anew: bool,
) -> Result<i64, FollowError> {
    remote.ensure().await?;
    let mut held = if anew { None } else { remote.marker(base).await? };
    let mut counted = false;
    loop {
        let Some(now) = source.revision(base).await? else {
            remote.forget(base).await?;
            return Ok(0);
        };
        match held {
            Some(at) if at == now => {
                if counted || agrees(remote, base, source, now).await? {
                    return Ok(now);
                }
                counted = true;
                held = None;
                continue;
            }
            // The database is an older one than was followed: a backup came back.
            Some(at) if at > now => {
                remote.forget(base).await?;
                held = None;
                continue;
            }
            Some(at) => {
                if !difference(remote, base, source, at, now).await? {
                    held = None;
                    continue;
                }
            }
            None => whole(remote, base, source, now).await?,
        }
        remote.mark(base, now).await?;
        held = Some(now);
    }
}

/// Whether there are as many points as there should be; if the database moved meanwhile, nobody knows.
async fn agrees(
    remote: &Remote,
    base: BaseKey,
    source: &dyn Source,
    now: i64,
) -> Result<bool, FollowError> {
    let (should, there) = (source.vectors(base).await?, remote.count(base).await?);
    if should == there || source.revision(base).await? != Some(now) {
        return Ok(true);
    }
    tracing::warn!(
        knowledge_base.id = %base.base,
        should,
        there,
        "Qdrant holds another number of chunks than the database: the base is made anew"
    );
    Ok(false)
}

/// Applies what changed after `since`; false if nobody knows any more what went away.
async fn difference(
    remote: &Remote,
    base: BaseKey,
    source: &dyn Source,
    since: i64,
    now: i64,
) -> Result<bool, FollowError> {
    let (_, mut gone) = put_changed(remote, base, source, since, now).await?;
    match source.removed(base, since).await? {
        Removed::Chunks(removed) => gone.extend(removed),
        Removed::Forgotten => return Ok(false),
    }
    remote.remove(&gone).await?;
    Ok(true)
}

/// Stores every chunk anew, then deletes what was not stored: searches never find the base empty.
async fn whole(
    remote: &Remote,
    base: BaseKey,
    source: &dyn Source,
    now: i64,
) -> Result<(), FollowError> {
    let (put, _) = put_changed(remote, base, source, 0, now).await?;
    let put: HashSet<ChunkId> = put.into_iter().collect();
    let held = remote.held(base, now).await?;
    let left: Vec<ChunkId> = held.into_iter().filter(|chunk| !put.contains(chunk)).collect();
    remote.remove(&left).await?;
    Ok(())
}

/// Stores what changed after `since`, and returns the chunks that have a vector and those that have none (any more).
async fn put_changed(
    remote: &Remote,
    base: BaseKey,
    source: &dyn Source,
    since: i64,
    now: i64,
) -> Result<(Vec<ChunkId>, Vec<ChunkId>), FollowError> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut cursor = Some(Cursor::after(since));
    while let Some(from) = cursor {
        let page = source.changed(base, from, Want::Vectors).await?;
        cursor = page.next;
        remote.put(base, now, &page.points).await?;
        for point in &page.points {
            let list = if remote.takes(point) { &mut with } else { &mut without };
            list.push(point.chunk);
        }
    }
    Ok((with, without))
}
