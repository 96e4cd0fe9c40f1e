//! The watch over the database: notices when it is away, full or held up and when it is back, and follows its clock.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::db::{Db, DbError, EngineKind, sql};
use crate::health::{Part, Pulse};

/// How often it looks while all is well; a write that fails is heard of at once.
const CALM: Duration = Duration::from_secs(5);
/// How often it looks while something is wrong.
const ALERT: Duration = Duration::from_millis(500);
/// How long the database may take to answer the shortest question.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How many bytes a probe writes.
const ROOM: usize = 128 * 1024;
/// A clock that differs by more than this from what was followed is worth a line.
const JUMP_MILLIS: u64 = 1_000;

/// Watches until `stop`.
pub(super) async fn run(db: Db, clock: Clock, part: Part, stop: CancellationToken, pulse: Pulse) {
    while !stop.is_cancelled() {
        pulse.beat();
        let wait = match look(&db, &clock).await {
            Ok(()) => {
                part.works();
                CALM
            }
            Err(code) => {
                part.fails(code);
                ALERT
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = db.news() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn look(db: &Db, clock: &Clock) -> Result<(), &'static str> {
    let answered = timeout(PATIENCE, answers(db, clock)).await;
    named(answered.unwrap_or(Err(DbError::Unavailable("timeout"))))?;
    if db.refuses_writes().is_some() {
        // Readers see nothing of a full disk; and without a try nobody would know that there is room again.
        named(timeout(PATIENCE, probe(db)).await.unwrap_or(Err(DbError::Unavailable("timeout"))))?;
        db.accepts_writes();
    }
    Ok(())
}

fn named(outcome: Result<(), DbError>) -> Result<(), &'static str> {
    outcome.map_err(|error| error.trouble().unwrap_or("error"))
}

/// It answers; on PostgreSQL with its time, which every node follows, so that leases mean the same everywhere.
async fn answers(db: &Db, clock: &Clock) -> Result<(), DbError> {
    if db.kind() == EngineKind::Sqlite {
        sql("SELECT 1").one::<(i32,)>(&mut db.read().await?).await?;
        return Ok(());
    }
    let Some(lead) = db.clock_lead_millis(clock).await? else { return Ok(()) };
    let before = clock.follow(lead);
    if lead.abs_diff(before) > JUMP_MILLIS {
        tracing::warn!(
            clock.lead_ms = lead,
            clock.lead_before_ms = before,
            "this machine's clock and the database's have moved apart"
        );
    }
    Ok(())
}

/// One row written, as long as several messages together: where only a byte has room, nothing has returned.
async fn probe(db: &Db) -> Result<(), DbError> {
    db.write(|conn| {
        Box::pin(async move {
            sql("UPDATE write_probe SET tries = tries + 1, room = $1 WHERE id = 1")
                .bind("probe ".repeat(ROOM / 6))
                .execute(conn)
                .await?;
            Ok(())
        })
    })
    .await
}
