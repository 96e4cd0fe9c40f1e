//! What is stored of a turn beside its steps: how long a worker has it, and what explains it.

use super::{Conversations, TurnRecord};
use crate::clock::Timestamp;
use crate::conversation::events::Heard;
use crate::conversation::store;
use crate::db::DbError;
use crate::ids::{ConversationId, NodeId, TurnId, WorkspaceId};

impl Conversations {
    /// Moves the end of a turn's lease on. Returns whether the lease is still held.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn renew_lease(
        &self,
        workspace: WorkspaceId,
        turn: TurnId,
        attempt: u32,
    ) -> Result<bool, DbError> {
        self.lease_until(workspace, turn, attempt, self.clock.now() + self.turn_lease).await
    }

    /// Gives a turn's lease back: whoever looks next may take it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn end_lease(
        &self,
        workspace: WorkspaceId,
        turn: TurnId,
        attempt: u32,
    ) -> Result<bool, DbError> {
        self.lease_until(workspace, turn, attempt, self.clock.now()).await
    }

    async fn lease_until(
        &self,
        workspace: WorkspaceId,
        turn: TurnId,
        attempt: u32,
        until: Timestamp,
    ) -> Result<bool, DbError> {
        self.db
            .write(move |conn| {
                Box::pin(async move { store::renew(conn, workspace, turn, attempt, until).await })
            })
            .await
    }

    /// Takes over what earlier processes left running: right only when this process owns the database alone.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recover(&self) -> Result<u64, DbError> {
        let (node, now) = (self.node, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move { store::end_leases_of_others(conn, node, now).await })
            })
            .await
    }

    /// Takes over what a node that is dead left running.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn end_leases_of(&self, node: NodeId) -> Result<u64, DbError> {
        let now = self.clock.now();
        self.db
            .write(move |conn| Box::pin(async move { store::end_leases_of(conn, node, now).await }))
            .await
    }

    /// Stores what explains a turn outside a step: results that came too late, cancelled tries.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn record_turn(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
        record: TurnRecord,
    ) -> Result<(), DbError> {
        let now = self.clock.now();
        let explained = Heard::Explained { conversation, turn: record.fence.turn };
        self.db
            .write(move |conn| {
                let TurnRecord { fence, json } = record.clone();
                Box::pin(async move {
                    store::put_turn_record(
                        conn,
                        workspace,
                        conversation,
                        fence.turn,
                        fence.attempt,
                        json,
                        now,
                    )
                    .await
                })
            })
            .await?;
        self.wire.tell_agents(workspace, explained);
        Ok(())
    }
}
