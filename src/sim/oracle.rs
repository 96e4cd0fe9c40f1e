//! What must hold when the dust has settled: the laws on every log, what people were told, and that nothing is stuck.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::sights::Sight;
use super::world::World;
use crate::conversation::store::{self, Span};
use crate::conversation::{Column, Conversation, Logged, Record, lists, verify};
use crate::db::{Conn, DbError, sql};
use crate::ids::{ConversationId, MessageId};

/// How late a timer may be that is looked for every five seconds, and fired again after a failure.
const LATE: Duration = Duration::from_secs(15);
/// More events than any run logs.
const ALL: u32 = 1_000_000;

/// Checks everything; what is wrong goes to the run's list.
pub async fn judge(world: &World) {
    if let Err(error) = look(world).await {
        world.sim.wrong(format!("the database cannot be read at the end: {error}"));
    }
}

async fn look(world: &World) -> Result<(), DbError> {
    let mut conn = world.plain.read().await?;
    let ids: Vec<(String,)> = sql("SELECT id FROM conversation ORDER BY id").all(&mut conn).await?;
    for (id,) in ids {
        let id: ConversationId = crate::db::stored(&id)?;
        let workspace = world.shop.workspace;
        let Some(row) = lists::state(&mut conn, workspace, id).await? else { continue };
        let log = store::timeline(&mut conn, workspace, id, Span::After(0), ALL).await?;
        let number = world.sim.number(id);
        let wrong = |what: String| world.sim.wrong(format!("conversation {number}: {what}"));
        for violation in verify::verify(&row, &log) {
            wrong(violation.to_string());
        }
        promises(world, &row, &wrong);
        everybody_was_heard(world, &row, &log, &wrong);
        projections(&mut conn, &row, &log, &wrong).await?;
    }
    people(world, &mut conn).await?;
    work(world, &mut conn).await
}

/// Laws 3 and 8 on the state that is: nobody waits for longer than was promised without an alarm.
fn promises(world: &World, row: &Conversation, wrong: &impl Fn(String)) {
    let now = world.sim.now();
    let weather = &world.sim.weather;
    if let (Column::Assistant, Some(mark)) = (row.holder.column(), row.unanswered) {
        let since = row.returned.map_or(mark.at, |returned| returned.at.max(mark.at));
        if now.since(since) > Duration::from_millis(weather.assistant_ms) + LATE {
            wrong(format!("law 3: the AI has left seq {} unanswered since {since}", mark.seq));
        }
    }
    if let Some(open) = row.obligation
        && let Some(due_at) = open.due_at
        && now.since(due_at) > LATE
    {
        wrong(format!("law 8: the promise over seq {} was due at {due_at}: {open:?}", open.anchor));
    }
}

/// Law 3 on the log: every message was answered, promised, or needed no answer; in a fair world in time.
fn everybody_was_heard(world: &World, row: &Conversation, log: &[Logged], wrong: &impl Fn(String)) {
    let limit = Duration::from_millis(world.sim.weather.assistant_ms) + LATE;
    for (place, said) in log.iter().enumerate() {
        if !matches!(said.record, Record::VisitorWrote { .. }) {
            continue;
        }
        // Open already when it was said: then the promise covers it.
        let promised = log[..place].iter().rev().find_map(|before| match before.record {
            Record::ObligationOpened { .. } => Some(true),
            Record::ObligationEnded { .. } => Some(false),
            _ => None,
        });
        if promised == Some(true) {
            continue;
        }
        let mut since = said.at;
        let heard = log[place..].iter().find(|after| match &after.record {
            Record::AssistantAnswered { answers: Some((from, through)), .. } => {
                (*from..=*through).contains(&said.seq)
            }
            Record::ReturnedToAi { .. } => {
                since = after.at;
                false
            }
            Record::AgentWrote { .. }
            | Record::LateEcho { .. }
            | Record::ObligationOpened { .. }
            | Record::Exempted { .. }
            | Record::Closed { .. } => true,
            _ => false,
        });
        match heard {
            Some(heard) if world.sim.weather.is_fair() && heard.at.since(since) > limit => {
                wrong(format!("law 3: seq {} waited until {} in a fair world", said.seq, heard.at));
            }
            Some(_) => {}
            None if row.holder.column() == Column::Assistant && row.unanswered.is_some() => {}
            None => wrong(format!("law 3: nobody ever heard seq {}", said.seq)),
        }
    }
}

/// The rows beside the state say what the state says.
async fn projections(
    conn: &mut Conn,
    row: &Conversation,
    log: &[Logged],
    wrong: &impl Fn(String),
) -> Result<(), DbError> {
    let columns: (String, Option<String>, i64, i64, i64, Option<i64>) =
        sql("SELECT holder, assignee, epoch, seq, public_seq, waiting_since FROM conversation WHERE id = $1")
            .bind(row.id)
            .one(conn)
            .await?;
    let holder = match row.holder.column() {
        Column::Assistant => "assistant",
        Column::Queue => "queue",
        Column::Assigned => "assigned",
        Column::Closed => "closed",
    };
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let told = (
        holder.to_owned(),
        row.holder.assignee().map(|agent| agent.to_string()),
        signed(row.epoch),
        signed(row.seq),
        signed(row.public_seq),
        row.waiting.map(|mark| mark.at.millis()),
    );
    if columns != told {
        wrong(format!("the columns say {columns:?}, the state {told:?}"));
    }
    let open: Vec<(i64, Option<i64>, i64)> =
        sql("SELECT anchor_seq, due_at, step FROM obligation WHERE conversation = $1 AND ended_at IS NULL")
            .bind(row.id)
            .all(conn)
            .await?;
    let promised: Vec<(i64, i64)> =
        row.obligation.iter().map(|o| (signed(o.anchor), i64::from(o.step))).collect();
    if open.iter().map(|o| (o.0, o.2)).collect::<Vec<_>>() != promised {
        wrong(format!("the open promises are {open:?}, the state says {:?}", row.obligation));
    }
    let turns: Vec<(String, i64)> =
        sql("SELECT id, attempt FROM turn WHERE conversation = $1 AND ended_at IS NULL")
            .bind(row.id)
            .all(conn)
            .await?;
    let current: Vec<(String, i64)> =
        row.holder.turn().iter().map(|t| (t.id.to_string(), i64::from(t.attempt))).collect();
    if turns != current {
        wrong(format!("the turns that have not ended are {turns:?}, the state says {current:?}"));
    }
    let raised = log.iter().filter(|l| matches!(l.record, Record::AlarmRaised { .. })).count();
    let (alarms,): (i64,) =
        sql("SELECT COUNT(*) FROM alarm WHERE conversation = $1").bind(row.id).one(conn).await?;
    if usize::try_from(alarms) != Ok(raised) {
        wrong(format!("{raised} alarms in the log, {alarms} rows"));
    }
    for logged in log {
        let Record::AssistantAnswered { turn, .. } = &logged.record else { continue };
        let records: Vec<(String,)> =
            sql("SELECT record FROM turn_record WHERE turn = $1 ORDER BY attempt DESC LIMIT 1")
                .bind(*turn)
                .all(conn)
                .await?;
        let outcome = records.first().and_then(|(json,)| outcome_of(json));
        if !matches!(outcome.as_deref(), Some("answered" | "failed")) {
            wrong(format!("the reply at seq {} is explained as {outcome:?}", logged.seq));
        }
    }
    Ok(())
}

fn outcome_of(record: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    record["outcome"].as_str().map(str::to_owned)
}

/// What visitors and agents were told is what is stored, once and in order.
async fn people(world: &World, conn: &mut Conn) -> Result<(), DbError> {
    let stored: Vec<(String, String, String)> =
        sql("SELECT client_id, id, text FROM message WHERE client_id IS NOT NULL ORDER BY conversation, seq")
            .all(conn)
            .await?;
    let mut by_client: BTreeMap<&str, Vec<(MessageId, &str)>> = BTreeMap::new();
    for (client_id, id, text) in &stored {
        by_client.entry(client_id).or_default().push((crate::db::stored(id)?, text));
    }
    for (client_id, all) in &by_client {
        if all.len() > 1 {
            world.sim.wrong(format!("law 4: {client_id} is stored {} times", all.len()));
        }
    }
    let check = |client_id: &str, id: MessageId, text: Option<&str>| {
        let same = |found: &(MessageId, &str)| found.0 == id && text.is_none_or(|t| t == found.1);
        if !by_client.get(client_id).is_some_and(|all| all.iter().any(same)) {
            world
                .sim
                .wrong(format!("law 3: {client_id} was acknowledged and is not stored as that"));
        }
    };
    for (client_id, id) in world.agents_said.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        check(client_id, *id, None);
    }
    for (visitor, contact) in world.contacts.iter().enumerate() {
        let (acknowledged, read) = world
            .diary
            .with(visitor, |records| (records.acknowledged.clone(), records.read.clone()));
        for (client_id, (text, id)) in &acknowledged {
            check(client_id, *id, Some(text));
        }
        let all: Vec<(i64, String)> = sql("SELECT m.public_seq, m.id FROM message m
             JOIN conversation c ON c.id = m.conversation
             WHERE c.contact = $1 AND m.public_seq IS NOT NULL ORDER BY m.public_seq")
        .bind(*contact)
        .all(conn)
        .await?;
        let read: Vec<(i64, String)> = read
            .into_iter()
            .map(|(number, id)| (i64::try_from(number).unwrap_or(i64::MAX), id.to_string()))
            .collect();
        if read != all {
            world.sim.wrong(format!(
                "law 5: visitor {visitor} has read {} messages, {} are stored, or in another order",
                read.len(),
                all.len()
            ));
        }
    }
    Ok(())
}

/// No work is left over.
async fn work(world: &World, conn: &mut Conn) -> Result<(), DbError> {
    let jobs: Vec<(String, String, i64, i64)> =
        sql("SELECT kind, status, attempt, run_at FROM job WHERE status <> 'failed'")
            .all(conn)
            .await?;
    if !jobs.is_empty() {
        world.sim.wrong(format!("jobs that nobody does: {jobs:?}"));
    }
    let (made,): (i64,) = sql("SELECT COUNT(*) FROM artifact").one(conn).await?;
    if made > 0 {
        world.sim.saw(Sight::HelpMade);
    }
    let records: Vec<(String,)> = sql("SELECT record FROM turn_record").all(conn).await?;
    if records.iter().any(|(json,)| outcome_of(json).as_deref() == Some("discarded")) {
        world.sim.saw(Sight::LateResultDropped);
    }
    Ok(())
}
