//! All SQL of nodes and of the agents who have a socket open on them.
//!
//! A node is a process, so its rows belong to no workspace; what is read of agents names theirs. A node is alive until its row
//! says otherwise; a process of an earlier version has no row and is neither alive nor dead.

use std::time::Duration;

use super::Availability;
use crate::clock::Timestamp;
use crate::db::{Conn, DbError, sql, stored};
use crate::ids::{AgentId, NodeId, WorkspaceId};

/// What one heartbeat found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// This node counted as dead, or was unknown.
    pub was_dead: bool,
    /// The other nodes that are alive.
    pub others: Vec<NodeId>,
}

/// Says that a node is alive until then.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn beat(
    conn: &mut Conn,
    node: NodeId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Beat, DbError> {
    let known: Option<(i64,)> =
        sql("SELECT expires_at FROM node WHERE id = $1").bind(node).optional(conn).await?;
    sql("INSERT INTO node (id, started_at, expires_at) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET expires_at = EXCLUDED.expires_at")
    .bind(node)
    .bind(now)
    .bind(until)
    .execute(conn)
    .await?;
    let others: Vec<(String,)> =
        sql("SELECT id FROM node WHERE id <> $1 AND expires_at > $2 ORDER BY id")
            .bind(node)
            .bind(now)
            .all(conn)
            .await?;
    Ok(Beat {
        was_dead: known.is_none_or(|(end,)| end <= now.millis()),
        others: others.into_iter().map(|(id,)| stored(&id)).collect::<Result<_, _>>()?,
    })
}

/// A node ends.
///
/// # Errors
/// When the database is away.
pub async fn end(conn: &mut Conn, node: NodeId, now: Timestamp) -> Result<(), DbError> {
    sql("UPDATE node SET expires_at = $2 WHERE id = $1").bind(node).bind(now).execute(conn).await?;
    Ok(())
}

/// Every other node has ended: right only for who owns the database alone.
///
/// # Errors
/// When the database is away.
pub async fn end_others(conn: &mut Conn, node: NodeId, now: Timestamp) -> Result<u64, DbError> {
    sql("UPDATE node SET expires_at = $2 WHERE id <> $1 AND expires_at > $2")
        .bind(node)
        .bind(now)
        .execute(conn)
        .await
}

/// The nodes that are dead and still have a row.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn dead(conn: &mut Conn, now: Timestamp) -> Result<Vec<NodeId>, DbError> {
    let rows: Vec<(String,)> =
        sql("SELECT id FROM node WHERE expires_at <= $1 ORDER BY id").bind(now).all(conn).await?;
    rows.into_iter().map(|(id,)| stored(&id)).collect()
}

/// Removes the row of a dead node once nobody is missed there any more.
///
/// # Errors
/// When the database is away.
pub async fn bury(conn: &mut Conn, node: NodeId, now: Timestamp) -> Result<(), DbError> {
    sql("DELETE FROM node WHERE id = $1 AND expires_at <= $2
         AND NOT EXISTS (SELECT 1 FROM agent_presence p WHERE p.node = $1)")
    .bind(node)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps what an agent says on a node; nothing said is that they left it just now.
///
/// # Errors
/// When the database is away.
pub async fn keep_agent(
    conn: &mut Conn,
    node: NodeId,
    workspace: WorkspaceId,
    agent: AgentId,
    says: Option<Availability>,
    now: Timestamp,
) -> Result<(), DbError> {
    let Some(says) = says else {
        sql("UPDATE agent_presence SET left_at = $4
             WHERE node = $1 AND workspace = $2 AND agent = $3 AND left_at IS NULL")
        .bind(node)
        .bind(workspace)
        .bind(agent)
        .bind(now)
        .execute(conn)
        .await?;
        return Ok(());
    };
    sql("INSERT INTO agent_presence (node, workspace, agent, says, left_at) VALUES ($1, $2, $3, $4, NULL)
         ON CONFLICT (node, agent) DO UPDATE SET says = EXCLUDED.says, left_at = NULL")
        .bind(node)
        .bind(workspace)
        .bind(agent)
        .bind(says.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// An agent on another node.
pub type Elsewhere = (NodeId, WorkspaceId, AgentId, Availability);

/// Agents with a socket open on nodes other than this one that are alive, of every workspace.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn agents_elsewhere(
    conn: &mut Conn,
    node: NodeId,
    now: Timestamp,
) -> Result<Vec<Elsewhere>, DbError> {
    let rows: Vec<(String, String, String, String)> =
        sql("SELECT p.node, p.workspace, p.agent, p.says FROM agent_presence p JOIN node n ON n.id = p.node
             WHERE p.node <> $1 AND n.expires_at > $2 AND p.left_at IS NULL")
            .bind(node)
            .bind(now)
            .all(conn)
            .await?;
    rows.into_iter()
        .map(|(node, workspace, agent, says)| {
            let says = match says.as_str() {
                "online" => Availability::Online,
                "away" => Availability::Away,
                _ => Availability::Offline,
            };
            Ok((stored(&node)?, stored(&workspace)?, stored(&agent)?, says))
        })
        .collect()
}

/// An agent whose sockets on one node are gone, and whose conversations may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The node.
    pub node: NodeId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: AgentId,
    /// Since when.
    pub since: Timestamp,
    /// They have a socket open on a node that is alive.
    pub is_back: bool,
}

/// Agents who are missed: their node is dead, or it lives but has not told for `slack` that they left.
///
/// # Errors
/// When the database is away or a row is broken.
pub async fn missed(
    conn: &mut Conn,
    now: Timestamp,
    slack: Duration,
) -> Result<Vec<Missed>, DbError> {
    let rows: Vec<(String, String, String, i64, bool)> =
        sql("SELECT p.node, p.workspace, p.agent, COALESCE(p.left_at, n.expires_at) AS since,
                EXISTS (SELECT 1 FROM agent_presence q JOIN node m ON m.id = q.node
                    WHERE q.workspace = p.workspace AND q.agent = p.agent AND q.left_at IS NULL
                        AND m.expires_at > $1) AS is_back
             FROM agent_presence p JOIN node n ON n.id = p.node
             WHERE n.expires_at <= $1 OR p.left_at <= $2 ORDER BY since")
        .bind(now)
        .bind(now - slack)
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|(node, workspace, agent, since, is_back)| {
            Ok(Missed {
                node: stored(&node)?,
                workspace: stored(&workspace)?,
                agent: stored(&agent)?,
                since: Timestamp::from_millis(since),
                is_back,
            })
        })
        .collect()
}

/// Forgets that an agent left a node: everybody knows.
///
/// # Errors
/// When the database is away.
pub async fn forget_left(conn: &mut Conn, node: NodeId, agent: AgentId) -> Result<(), DbError> {
    sql("DELETE FROM agent_presence WHERE node = $1 AND agent = $2 AND left_at IS NOT NULL")
        .bind(node)
        .bind(agent)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets that an agent was on a node that is dead: everybody knows.
///
/// # Errors
/// When the database is away.
pub async fn forget_missed(conn: &mut Conn, missed: Missed, now: Timestamp) -> Result<(), DbError> {
    sql("DELETE FROM agent_presence WHERE node = $1 AND agent = $2
         AND (left_at IS NOT NULL OR EXISTS (SELECT 1 FROM node n WHERE n.id = $1 AND n.expires_at <= $3))")
        .bind(missed.node)
        .bind(missed.agent)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}
