//! What a restore does not bring back as it was.
//!
//! - **Sign-ins and open invitations** stay out: one that was ended or used after the backup must not be good again. Everybody
//!   signs in anew; visitors keep their tokens, or they would lose their conversations.
//! - **Leases** end now and belong to nobody: whoever ran under them runs on another database. The attempt stays, so a result
//!   of theirs finds a newer one.
//! - **Transaction numbers** of the feed become 0, below every transaction of the new database: the order is that of `feed`,
//!   and a number from elsewhere would hide events from readers until the new database has counted so far.
//! - **What processes tell each other while they run** (who is alive, whose sockets are open, tickets, probes) is nobody's data: it is
//!   not in a backup at all.
//! - NUL in text goes, since PostgreSQL cannot hold it.

use crate::clock::Timestamp;
use crate::db::Arg;
use crate::db::bulk::Row;
use crate::db::schema::Table;

/// Tables that say something of running processes only.
const OF_PROCESSES: [&str; 4] = ["agent_presence", "live_ticket", "node", "write_probe"];
/// A table without rows in any restored database.
const LEFT_OUT: &str = "session";
/// Only what was used is kept, as a record.
const INVITATIONS: (&str, &str) = ("invitation", "used_at");
/// Where work is leased.
const LEASE: (&str, &str) = ("lease_until", "node");
/// The feed's transaction.
const FEED: (&str, &str) = ("event", "tx");

/// Whether what the table holds belongs into a backup.
pub(super) fn is_data(table: &Table) -> bool {
    !OF_PROCESSES.contains(&table.name.as_str())
}

/// The row as it is restored; none if it stays out.
pub(super) fn restored(table: &Table, mut row: Row, now: Timestamp) -> Option<Row> {
    if table.name == LEFT_OUT {
        return None;
    }
    let at = |column: &str| table.place(column);
    if table.name == INVITATIONS.0 && at(INVITATIONS.1).is_some_and(|n| is_null(&row[n])) {
        return None;
    }
    if let Some(lease) = at(LEASE.0).filter(|n| !is_null(&row[*n])) {
        row[lease] = Arg::from(now);
        if let Some(node) = at(LEASE.1) {
            row[node] = Arg::Text(None);
        }
    }
    if table.name == FEED.0
        && let Some(tx) = at(FEED.1)
    {
        row[tx] = Arg::from(0_i64);
    }
    for value in &mut row {
        if let Arg::Text(Some(text)) = value
            && text.contains('\0')
        {
            *text = text.replace('\0', "");
        }
    }
    Some(row)
}

fn is_null(value: &Arg) -> bool {
    matches!(
        value,
        Arg::Text(None) | Arg::Int(None) | Arg::Bool(None) | Arg::Real(None) | Arg::Blob(None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A renamed column would switch a rule off in silence.
    #[tokio::test]
    async fn what_the_rules_name_is_in_the_schema() {
        for db in crate::db::testing::databases().await {
            let mut conn = db.read().await.expect("a connection");
            let tables = crate::db::schema::tables(&mut conn).await.expect("tables");
            let has = |table: &str, column: &str| {
                let table = tables.iter().find(|t| t.name == table);
                table.is_some_and(|table| table.place(column).is_some())
            };
            assert!(has(LEFT_OUT, "token_hash"));
            for table in OF_PROCESSES {
                assert!(tables.iter().any(|t| t.name == table), "{table}");
            }
            assert!(has(INVITATIONS.0, INVITATIONS.1));
            assert!(has(FEED.0, FEED.1));
            for table in ["turn", "job"] {
                assert!(has(table, LEASE.0) && has(table, LEASE.1), "{table}");
            }
        }
    }
}
