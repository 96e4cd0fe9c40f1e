//! Reads the laws off everything that an installation has stored: every log, and what stands beside it.
//!
//! One consistent look (a server may run and write meanwhile), conversation by conversation, so that memory does not grow
//! with the installation. Findings are told as they are met, in ids and numbers, never in words.

mod rows;

use std::fmt;

use serde::Serialize;

use super::store::{Span, timeline};
use super::verify::{Kind, Reading, Violation, columns, timer};
use crate::db::{Conn, Db, DbError};
use crate::ids::{ConversationId, WorkspaceId};
use rows::Head;

/// Events of one log read at once.
const EVENTS_AT_ONCE: u32 = 500;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where; as stored, since that may be what is wrong.
    pub workspace: String,
    /// In which conversation; none if it is about the whole.
    pub conversation: Option<String>,
    /// What.
    pub violation: Violation,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.conversation.as_ref().unwrap_or(&self.workspace);
        write!(f, "{place}: {}", self.violation)
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            law: u8,
            kind: Kind,
            workspace: &'a str,
            conversation: Option<&'a str>,
            seq: Option<u64>,
            what: &'a str,
        }
        let Violation { kind, seq, what } = &self.violation;
        let wire = Wire {
            law: kind.law().number(),
            kind: *kind,
            workspace: &self.workspace,
            conversation: self.conversation.as_deref(),
            seq: *seq,
            what,
        };
        wire.serialize(s)
    }
}

/// How much was read, and how much of it is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Conversations.
    pub conversations: u64,
    /// Events of their logs.
    pub events: u64,
    /// Messages beside them.
    pub messages: u64,
    /// Findings.
    pub findings: u64,
}

/// Everything that is wrong in a database; for a look at all of it at once, such as a test's.
///
/// # Errors
/// When the database cannot be read.
pub async fn findings(db: &Db) -> Result<Vec<Finding>, DbError> {
    let mut all = Vec::new();
    audit(db, None, &mut |finding| all.push(finding)).await?;
    Ok(all)
}

/// Checks every law that can be read off storage, of one workspace or of all, and tells each finding.
///
/// # Errors
/// When the database cannot be read.
pub async fn audit(
    db: &Db,
    only: Option<WorkspaceId>,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<Counts, DbError> {
    let mut conn = db.snapshot().await?;
    let mut counts = Counts::default();
    let mut found = 0;
    let mut tell = |finding| {
        found += 1;
        tell(finding);
    };
    let mut after = String::new();
    loop {
        let heads = rows::heads(&mut conn, only, &after).await?;
        let Some(last) = heads.last() else { break };
        after.clone_from(&last.id);
        for head in heads {
            counts.conversations += 1;
            let place = (head.workspace.clone(), head.id.clone());
            let violations = match conversation(&mut conn, &head, &mut counts).await {
                Ok(violations) => violations,
                Err(error) => match error.broken() {
                    Some(what) => vec![unreadable(&what)],
                    None => return Err(error),
                },
            };
            for violation in violations {
                let (workspace, conversation) = (place.0.clone(), Some(place.1.clone()));
                tell(Finding { workspace, conversation, violation });
            }
        }
    }
    rows::across(&mut conn, only, &mut tell).await?;
    counts.findings = found;
    Ok(counts)
}

/// Names the column alone: what stands in it may be words.
fn unreadable(what: &str) -> Violation {
    let column = what.split([':', ' ', '`']).next().unwrap_or_default();
    Violation { kind: Kind::Unreadable, seq: None, what: format!("{column} does not read") }
}

/// One conversation: its log against its state, and both against the tables beside them.
async fn conversation(
    conn: &mut Conn,
    head: &Head,
    counts: &mut Counts,
) -> Result<Vec<Violation>, DbError> {
    let (row, policy) = head.read()?;
    let id: ConversationId = row.id;
    let mut reading = Reading::of(&row);
    let mut after = 0;
    loop {
        let page = timeline(conn, row.workspace, id, Span::After(after), EVENTS_AT_ONCE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for logged in &page {
            counts.events += 1;
            counts.messages += u64::from(logged.message.is_some());
            reading.read(logged);
        }
        if u32::try_from(page.len()).is_ok_and(|read| read < EVENTS_AT_ONCE) {
            break;
        }
    }
    let (mut found, beside) = reading.end(&row);
    found.extend(columns(&row, &head.columns()));
    found.extend(timer(&row, &policy, head.next_timer_at()));
    found.extend(beside.turns(&rows::turns(conn, id).await?));
    found.extend(beside.promises(&rows::promises(conn, id).await?));
    found.extend(beside.alarms(&rows::alarms(conn, id).await?));
    Ok(found)
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
