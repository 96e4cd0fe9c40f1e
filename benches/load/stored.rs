//! Many stored conversations beside the driven ones: copies of a few real ones, with ids and times of their own.
//!
//! What explains each turn is left empty in the copies: it is the bulk of the bytes, and nothing on the measured way reads
//! it.

use baton::clock::Timestamp;
use baton::db::{Db, sql};

/// Copies made in one transaction.
const BATCH: usize = 20;

/// How far back the first copies lie; each further one lies a second earlier.
const BACK_MS: i64 = 3_600_000;

/// Copies every conversation that began at `since` or later until there are `wanted` more; returns how many it made.
pub async fn copy(url: &str, since: Timestamp, wanted: usize) -> anyhow::Result<usize> {
    let db = Db::open(url).await?;
    let (templates,): (i64,) = sql("SELECT COUNT(*) FROM conversation WHERE created_at >= $1")
        .bind(since)
        .one(&mut db.read().await?)
        .await?;
    let templates = usize::try_from(templates)?;
    anyhow::ensure!(templates > 0, "there is no conversation to copy");
    let copies = wanted.div_ceil(templates);
    for first in (0..copies).step_by(BATCH) {
        let last = copies.min(first + BATCH);
        db.write(move |conn| {
            Box::pin(async move {
                for number in first..last {
                    let back = BACK_MS + i64::try_from(number).unwrap_or(0) * 1000;
                    for statement in STATEMENTS {
                        sql(statement)
                            .bind(since)
                            .bind(format!("{number:08x}"))
                            .bind(back)
                            .execute(conn)
                            .await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
    }
    db.close().await;
    Ok(copies * templates)
}

/// `$1` since when, `$2` the end of the copies' ids, `$3` how far back. The last eight digits of an id are random, so that
/// other ones make another id.
const STATEMENTS: [&str; 6] = [
    "INSERT INTO contact (id, workspace, name, email, phone, locale, blocked, attributes, created_at, seen_at)
     SELECT substr(id, 1, length(id) - 8) || $2, workspace, name, email, phone, locale, blocked, attributes,
        created_at - $3, seen_at - $3 FROM contact WHERE created_at >= $1",
    "INSERT INTO conversation (id, workspace, inbox, contact, state, holder, assignee, queued_at, epoch, seq, public_seq,
        next_timer_at, waiting_since, locale, page_url, page_title, last_message, created_at, updated_at)
     SELECT substr(id, 1, length(id) - 8) || $2, workspace, inbox, substr(contact, 1, length(contact) - 8) || $2,
        replace(replace(state, id, substr(id, 1, length(id) - 8) || $2), contact,
            substr(contact, 1, length(contact) - 8) || $2),
        holder, assignee, queued_at, epoch, seq, public_seq, NULL, waiting_since, locale, page_url, page_title,
        last_message, created_at - $3, updated_at - $3 FROM conversation WHERE created_at >= $1",
    "INSERT INTO event (workspace, conversation, seq, epoch, kind, actor_kind, actor, message, data, at)
     SELECT workspace, substr(conversation, 1, length(conversation) - 8) || $2, seq, epoch, kind, actor_kind, actor,
        substr(message, 1, length(message) - 8) || $2, data, at - $3 FROM event
     WHERE conversation IN (SELECT id FROM conversation WHERE created_at >= $1)",
    "INSERT INTO message (id, workspace, conversation, seq, public_seq, kind, notice, author_kind, author, author_name, text,
        citations, client_id, turn, answers_from, answers_to, incomplete, flags, at)
     SELECT substr(id, 1, length(id) - 8) || $2, workspace, substr(conversation, 1, length(conversation) - 8) || $2, seq,
        public_seq, kind, notice, author_kind, author, author_name, text, citations, client_id,
        substr(turn, 1, length(turn) - 8) || $2, answers_from, answers_to, incomplete, flags, at - $3 FROM message
     WHERE conversation IN (SELECT id FROM conversation WHERE created_at >= $1)",
    "INSERT INTO turn (id, workspace, conversation, status, attempt, node, run_at, lease_until, created_at, ended_at)
     SELECT substr(id, 1, length(id) - 8) || $2, workspace, substr(conversation, 1, length(conversation) - 8) || $2, status,
        attempt, node, run_at - $3, lease_until, created_at - $3, ended_at - $3 FROM turn WHERE created_at >= $1",
    "INSERT INTO turn_record (turn, attempt, workspace, conversation, record, created_at)
     SELECT substr(turn, 1, length(turn) - 8) || $2, attempt, workspace,
        substr(conversation, 1, length(conversation) - 8) || $2, '{}', created_at - $3 FROM turn_record
     WHERE created_at >= $1",
];
