//! The unread marks' ground: which events of a conversation are the visitor's messages, kept while the log tells of more.

use crate::conversation::lists;
use crate::conversation::{Logged, Record};
use crate::db::{Conn, DbError};
use crate::ids::{ConversationId, WorkspaceId};

/// Visitor messages counted for the unread number.
const COUNTED: u32 = 100;

/// The numbers of a conversation's newest visitor messages, newest first: read once, and then the log tells of more.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) seqs: Vec<u64>,
    /// The last event that they know of.
    through: u64,
}

impl Counted {
    /// As the log has them, up to `through` at least.
    ///
    /// # Errors
    /// When the database is away.
    pub(super) async fn read(
        conn: &mut Conn,
        workspace: WorkspaceId,
        id: ConversationId,
        through: u64,
    ) -> Result<Self, DbError> {
        let seqs = lists::visitor_seqs(conn, workspace, id, COUNTED).await?;
        Ok(Self { seqs, through })
    }

    /// Takes in what was told. `false` if something before it was not.
    pub(super) fn goes_on(&mut self, events: &[Logged]) -> bool {
        let known = self.through;
        for event in events.iter().filter(|event| event.seq > known) {
            if event.seq != self.through + 1 {
                return false;
            }
            self.through = event.seq;
            // What was read may have known more than the state that was read before it.
            let is_new = self.seqs.first().is_none_or(|newest| *newest < event.seq);
            if matches!(event.record, Record::VisitorWrote { .. }) && is_new {
                self.seqs.insert(0, event.seq);
            }
        }
        self.seqs.truncate(COUNTED as usize);
        true
    }
}
