//! The laws, read off everything that a journey has stored.
//!
//! `conversation::verify` judges each log; here are the tables beside it: no message without its event, no turn that runs
//! unknown to its conversation, no promise that only a table knows.

use std::collections::BTreeMap;

use baton::conversation::store::{Span, timeline};
use baton::conversation::verify::verify;
use baton::conversation::{Logged, lists};
use baton::db::{Conn, Db, DbError, sql};
use baton::ids::{ConversationId, WorkspaceId};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Setup, World};

/// Fails with everything that is wrong in a database that no server uses.
pub async fn assert_lawful(url: &str) {
    let db = Db::open(url).await.expect("opens what the server left");
    let found = broken(&db).await;
    db.close().await;
    let found = found.expect("reads what the server left");
    assert!(found.is_empty(), "the laws are broken:\n{}", found.join("\n"));
}

/// Everything that is wrong in a database.
pub async fn broken(db: &Db) -> Result<Vec<String>, DbError> {
    let mut conn = db.read().await?;
    let mut found = Vec::new();
    let all: Vec<(String, String)> =
        sql("SELECT workspace, id FROM conversation ORDER BY id").all(&mut conn).await?;
    for (workspace, id) in all {
        let workspace: WorkspaceId = workspace.parse().expect("a workspace's id");
        let id: ConversationId = id.parse().expect("a conversation's id");
        let row = lists::state(&mut conn, workspace, id).await?.expect("it is there");
        let log = whole_log(&mut conn, workspace, id).await?;
        found.extend(verify(&row, &log).into_iter().map(|violation| format!("{id}: {violation}")));
        beside(&mut conn, id, &row, &log, &mut found).await?;
    }
    Ok(found)
}

async fn whole_log(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: ConversationId,
) -> Result<Vec<Logged>, DbError> {
    let mut log = Vec::new();
    loop {
        let after = log.last().map_or(0, |logged: &Logged| logged.seq);
        let more = timeline(conn, workspace, id, Span::After(after), 500).await?;
        if more.is_empty() {
            return Ok(log);
        }
        log.extend(more);
    }
}

async fn count(conn: &mut Conn, text: &'static str, id: ConversationId) -> Result<i64, DbError> {
    let (count,): (i64,) = sql(text).bind(id).one(conn).await?;
    Ok(count)
}

/// The tables that a step writes beside the log.
async fn beside(
    conn: &mut Conn,
    id: ConversationId,
    row: &baton::conversation::Conversation,
    log: &[Logged],
    found: &mut Vec<String>,
) -> Result<(), DbError> {
    let mut same = |what: &str, stored: i64, wanted: usize| {
        if usize::try_from(stored) != Ok(wanted) {
            found.push(format!("{id}: {stored} {what} are stored, the log has {wanted}"));
        }
    };
    let messages = count(conn, "SELECT count(*) FROM message WHERE conversation = $1", id).await?;
    same("messages", messages, log.iter().filter(|logged| logged.message.is_some()).count());
    let turns = "SELECT count(*) FROM turn WHERE conversation = $1 AND ended_at IS NULL";
    let turns = count(conn, turns, id).await?;
    same("turns that have not ended", turns, usize::from(row.holder.turn().is_some()));
    let promises = "SELECT count(*) FROM obligation WHERE conversation = $1 AND ended_at IS NULL";
    let promises = count(conn, promises, id).await?;
    same("open promises", promises, usize::from(row.obligation.is_some()));
    let twice: Vec<(String, i64)> = sql("SELECT client_id, count(*) FROM message
         WHERE conversation = $1 AND client_id IS NOT NULL GROUP BY author_kind, client_id HAVING count(*) > 1")
        .bind(id)
        .all(conn)
        .await?;
    let twice: BTreeMap<String, i64> = twice.into_iter().collect();
    if !twice.is_empty() {
        found.push(format!("{id}: stored more than once: {twice:?}"));
    }
    Ok(())
}

async fn what_was_tampered_with_is_found(engine: Engine) {
    let world = World::new(engine, Setup::default()).await;
    let visitor = world.visitor("Rina").await;
    let mut hears = visitor.live().await;
    visitor.write("How long does a refund take?").await;
    hears.message("five working days").await;
    world.agent("Ana").post("/live/ticket", json!({})).await.ok();
    let db = world.state.conversations.db().clone();
    assert_eq!(broken(&db).await.expect("reads"), Vec::<String>::new());
    for (tamper, sign) in [
        ("UPDATE event SET actor_kind = 'system' WHERE kind = 'assistant_answered'", "law 1"),
        ("DELETE FROM event WHERE kind = 'turn_due'", "law 5"),
        ("DELETE FROM message WHERE author_kind = 'visitor'", "law 3"),
    ] {
        let done = db.write(move |conn| Box::pin(async move { sql(tamper).execute(conn).await }));
        assert_eq!(done.await.expect("tampers"), 1, "{tamper}");
        let found = broken(&db).await.expect("reads");
        assert!(found.iter().any(|what| what.contains(sign)), "{tamper}: {found:?}");
    }
}

on_both_engines!(what_was_tampered_with_is_found);
