//! Law 5 for who resumes: a commit is held open while a later one lands, and no reader skips it.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::*;
use crate::db::Db;
use crate::db::testing::databases;
use crate::handoff::testing::Shop;

/// Writes one more event of a conversation and holds its commit open until told.
fn held_open(
    db: &Db,
    workspace: WorkspaceId,
    conversation: ConversationId,
    seq: u64,
) -> (oneshot::Receiver<()>, oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), DbError>>) {
    let (begun, has_begun) = oneshot::channel();
    let (go, may_go) = oneshot::channel::<()>();
    let mut parts = Some((begun, may_go));
    let db = db.clone();
    let slow = tokio::spawn(async move {
        db.write(move |conn| {
            let parts = parts.take();
            Box::pin(async move {
                let (begun, may_go) = parts.ok_or(DbError::Closed)?;
                sql("INSERT INTO event (workspace, conversation, seq, epoch, kind, actor_kind, data, at)
                     VALUES ($1, $2, $3, 1, 'unsnoozed', 'system', '{}', 0)")
                    .bind(workspace)
                    .bind(conversation)
                    .bind(seq)
                    .execute(conn)
                    .await?;
                begun.send(()).map_err(|()| DbError::Closed)?;
                may_go.await.map_err(|_| DbError::Closed)
            })
        })
        .await
    });
    (has_begun, go, slow)
}

/// Waits until the horizon has passed an event: other databases of the server may hold it back too.
async fn settled(db: &Db, workspace: WorkspaceId, conversation: ConversationId, seq: u64) {
    let mut conn = db.read().await.expect("a connection");
    let (tx, feed): (i64, i64) =
        sql("SELECT tx, feed FROM event WHERE conversation = $1 AND seq = $2")
            .bind(conversation)
            .bind(seq)
            .one(&mut conn)
            .await
            .expect("it is committed");
    while feed_now(&mut conn, workspace).await.expect("reads") < (Cursor { tx, feed }) {
        tokio::task::yield_now().await;
    }
}

/// Somebody who reads the feed from a place on and remembers how far they came.
struct Reader {
    place: Cursor,
    seen: BTreeSet<(ConversationId, u64)>,
}

impl Reader {
    async fn read(&mut self, db: &Db, workspace: WorkspaceId) {
        let mut conn = db.read().await.expect("a connection");
        loop {
            let fed = feed_after(&mut conn, workspace, self.place, 2).await.expect("reads");
            let Some(last) = fed.last() else { return };
            self.place = last.cursor;
            for fed in fed {
                assert!(self.seen.insert((fed.conversation, fed.seq)), "told twice: {fed:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_commit_that_lands_late_is_never_skipped() {
    for db in databases().await {
        let is_postgres = db.kind() == EngineKind::Postgres;
        let shop = Shop::open(db.clone()).await;
        let (slow, fast) = (shop.visitor(None, "en").await, shop.visitor(None, "en").await);
        let late = slow.says("One").await.conversation;
        fast.says("Two").await;
        let mut conn = db.read().await.expect("a connection");
        let place = feed_now(&mut conn, shop.workspace).await.expect("reads");
        drop(conn);
        let mut one = Reader { place, seen: BTreeSet::new() };
        let seq = late.seq + 1;
        let (has_begun, go, held) = held_open(&db, shop.workspace, late.id, seq);
        has_begun.await.expect("the slow one has begun");
        // On SQLite there is one writer: who comes later waits.
        let overtakes = tokio::spawn(async move { fast.says("Three").await.conversation });
        let overtaken = if is_postgres {
            let overtaken = overtakes.await.expect("committed");
            one.read(&db, shop.workspace).await;
            let mut conn = db.read().await.expect("a connection");
            let place = feed_now(&mut conn, shop.workspace).await.expect("reads");
            drop(conn);
            let mut two = Reader { place, seen: BTreeSet::new() };
            go.send(()).expect("it waits");
            held.await.expect("ran").expect("committed");
            settled(&db, shop.workspace, late.id, seq).await;
            two.read(&db, shop.workspace).await;
            assert!(two.seen.contains(&(late.id, seq)), "skipped by who came while it was open");
            overtaken
        } else {
            one.read(&db, shop.workspace).await;
            assert!(one.seen.is_empty(), "{:?}", one.seen);
            go.send(()).expect("it waits");
            held.await.expect("ran").expect("committed");
            overtakes.await.expect("committed")
        };
        settled(&db, shop.workspace, overtaken.id, overtaken.seq).await;
        one.read(&db, shop.workspace).await;
        assert!(one.seen.contains(&(late.id, seq)), "skipped by who read while it was open");
        assert!(one.seen.contains(&(overtaken.id, overtaken.seq)));
    }
}

#[tokio::test]
async fn a_reader_gets_commits_whole() {
    for db in databases().await {
        let shop = Shop::open(db.clone()).await;
        let visitor = shop.visitor(None, "en").await;
        for words in ["One", "Two", "Three"] {
            visitor.says(words).await;
        }
        let last = visitor.says("Four").await.conversation;
        settled(&db, shop.workspace, last.id, last.seq).await;
        let mut conn = db.read().await.expect("a connection");
        let all = feed_after(&mut conn, shop.workspace, Cursor::default(), 500).await;
        let all = all.expect("reads");
        for limit in 1..6 {
            let place = Cursor::default();
            let some = feed_after(&mut conn, shop.workspace, place, limit).await.expect("reads");
            let (last, rest) = (some.last().expect("some"), &all[some.len()..]);
            assert_eq!(some, all[..some.len()]);
            if db.kind() == EngineKind::Postgres && some[0].cursor.tx < last.cursor.tx {
                let cut = rest.iter().any(|fed| fed.cursor.tx == last.cursor.tx);
                assert!(!cut, "{limit}: the last commit is cut in two");
            }
        }
    }
}
