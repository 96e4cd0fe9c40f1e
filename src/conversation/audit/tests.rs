//! Every kind of finding is found: a stored database is damaged, and exactly what was damaged is told.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqliteConnection};

use super::super::commit_tests::{World, by};
use super::super::verify::Kind;
use super::*;
use crate::conversation::{
    By, Closer, Command, Conversation, Event, Evidence, HandoffCode, Outcome, Target, Words,
};
use crate::db::testing::{copy_of, fresh};
use crate::ids::{ContactId, Ids};

/// Four conversations: one that went through every hand, one closed, one being answered, one waiting for the AI.
async fn furnish(url: &str) {
    let db = Db::open(url).await.expect("opens");
    let w = World::new(db.clone()).await;
    // One: answered; asked again; handed off with evidence; missed twice; taken over; answered by a person; noted.
    let c = w.commit(w.says("How long does it take?", "c1")).await;
    let fence = w.leased(&c).await;
    let c = w.commit(w.answers(&c, fence)).await;
    let asked = w.door.commit(w.says("I want to cancel", "c2")).await.expect("commits");
    let fence = w.leased(&asked.conversation).await;
    let mut hands_off = w.command(c.id, Event::TurnHandsOff { fence, reason: HandoffCode::Worded });
    let message = asked.message.map(|message| message.id);
    let (condition, quote) = (Some("cancels".to_owned()), Some("cancel".to_owned()));
    hands_off.evidence = Some(Evidence { condition, quote, message });
    w.commit(hands_off).await;
    for _ in 0..2 {
        w.clock.advance(Duration::from_secs(601));
        w.door.fire_timers(w.workspace, c.id).await.expect("fires");
    }
    let takes = Event::AgentTakesOver {
        by: By { agent: w.ana, expected_epoch: None },
        from_colleague: false,
    };
    let c = w.commit(w.command(c.id, takes)).await;
    let words = |text: &str| Words { text: text.to_owned(), ..Words::default() };
    let writes = Event::AgentWrites { by: by(w.ana, &c), message: Ids.fresh() };
    w.commit(w.command(c.id, writes).with_words(words("Ana here."))).await;
    let notes = Event::AgentNotes { agent: w.ana, message: Ids.fresh() };
    w.commit(w.command(c.id, notes).with_words(words("VIP"))).await;
    w.commit(w.says("Thank you, and when?", "c3")).await;
    // Two: closed. Three: being answered. Four: due. Five: in the queue.
    let closed = w.commit(w.says_as(w.contact().await, "Hello?", "d1")).await;
    let outcome = Outcome::Solved;
    let closer = Closer::Agent(by(w.ana, &closed));
    w.commit(w.command(closed.id, Event::Close { by: closer, outcome })).await;
    let running = w.commit(w.says_as(w.contact().await, "Running", "e1")).await;
    w.leased(&running).await;
    w.commit(w.says_as(w.contact().await, "Due", "f1")).await;
    let queued = w.commit(w.says_as(w.contact().await, "Queue", "g1")).await;
    let fence = w.leased(&queued).await;
    let reason = HandoffCode::NoAnswer;
    w.commit(w.command(queued.id, Event::TurnHandsOff { fence, reason })).await;
    db.close().await;
}

impl World {
    async fn commit(&self, command: Command) -> Conversation {
        self.door.commit(command).await.expect("commits").conversation
    }

    fn says_as(&self, contact: ContactId, text: &str, client_id: &str) -> Command {
        let mut command = self.says(text, client_id);
        if let Target::Contact { contact: who, .. } = &mut command.target {
            *who = contact;
        }
        command
    }

    async fn contact(&self) -> ContactId {
        let (contact, workspace): (ContactId, _) = (Ids.fresh(), self.workspace);
        let made = self.door.db().write(move |conn| {
            Box::pin(async move {
                crate::db::sql(
                    "INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at)
                     VALUES ($1, $2, 'en', '{}', 0, 0)",
                )
                .bind(contact)
                .bind(workspace)
                .execute(conn)
                .await
            })
        });
        made.await.expect("a contact");
        contact
    }
}

/// Where one thing stands: of the first conversation, or by what it is.
const FIRST: &str = "(SELECT conversation FROM event WHERE kind = 'noted')";

/// Statements that damage, and what is then found.
struct Damage {
    what: &'static [&'static str],
    found: &'static [Kind],
}

const fn damage(what: &'static [&'static str], found: &'static [Kind]) -> Damage {
    Damage { what, found }
}

/// `{first}` is the conversation that went through every hand; a line `-- drop TABLE NAME …` takes a constraint away.
#[rustfmt::skip]
const DAMAGES: &[Damage] = &[
    damage(&["UPDATE event SET actor_kind = 'system', actor = NULL WHERE conversation = {first} AND kind = 'agent_wrote'",
        "UPDATE message SET author_kind = 'system', author = NULL WHERE conversation = {first} AND author_kind = 'agent' AND kind = 'text'"],
        &[Kind::Voice]),
    damage(&["UPDATE message SET author_kind = 'system', author = NULL WHERE conversation = {first} AND author_kind = 'agent' AND kind = 'text'"],
        &[Kind::Signature]),
    damage(&["UPDATE event SET data = '{\"by' WHERE conversation = {first} AND kind = 'noted'"],
        &[Kind::Unreadable]),
    damage(&["DELETE FROM message WHERE conversation = {first} AND kind = 'note'"],
        &[Kind::MessageMissing]),
    damage(&["UPDATE conversation SET next_timer_at = NULL WHERE id = (SELECT conversation FROM turn WHERE status = 'due')"],
        &[Kind::Timer]),
    damage(&["UPDATE conversation SET next_timer_at = next_timer_at + 1 WHERE id = {first}"],
        &[Kind::Timer]),
    damage(&["UPDATE turn SET lease_until = NULL WHERE status = 'running'"],
        &[Kind::Lease]),
    damage(&["UPDATE job SET status = 'running' WHERE conversation = {first}"],
        &[Kind::Lease]),
    damage(&["-- drop message message_client_unique UNIQUE (conversation, author_kind, client_id)",
        "UPDATE message SET client_id = 'c1' WHERE client_id = 'c2'"],
        &[Kind::ClientIdTwice]),
    damage(&["UPDATE conversation SET state = replace(state, '\"episode\":1', '\"episode\":2') WHERE id = {first}"],
        &[Kind::State]),
    damage(&["UPDATE conversation SET holder = 'queue' WHERE id = {first}"],
        &[Kind::Columns]),
    damage(&["UPDATE conversation SET waiting_since = NULL WHERE id = {first}"],
        &[Kind::Columns]),
    damage(&["UPDATE event SET epoch = epoch + 1 WHERE conversation = {first} AND kind = 'noted'"],
        &[Kind::Epoch]),
    damage(&["UPDATE message SET public_seq = public_seq + 50 WHERE client_id = 'c3'"],
        &[Kind::MessageNumber]),
    damage(&["UPDATE event SET message = NULL WHERE conversation = {first} AND kind = 'noted'"],
        &[Kind::MessageNumber]),
    damage(&["UPDATE message SET at = at + 1 WHERE client_id = 'c3'"],
        &[Kind::MessageDiffers]),
    damage(&["UPDATE message SET kind = 'return_note' WHERE conversation = {first} AND kind = 'note'"],
        &[Kind::MessageDiffers]),
    damage(&["UPDATE turn SET attempt = 7 WHERE status = 'running'"],
        &[Kind::TurnHeader]),
    damage(&["UPDATE turn SET ended_at = NULL WHERE status = 'answered'"],
        &[Kind::TurnHeader]),
    damage(&["UPDATE obligation SET ended_by = 'close' WHERE conversation = {first} AND ended_by = 'reply'"],
        &[Kind::PromiseRow]),
    damage(&["UPDATE obligation SET due_at = due_at + 1 WHERE ended_at IS NULL AND conversation = {first}"],
        &[Kind::PromiseRow]),
    damage(&["DELETE FROM alarm WHERE recipient = 'owners'"],
        &[Kind::AlarmRow]),
    damage(&["UPDATE alarm SET acknowledged_by = 'nobody' WHERE recipient = 'owners'"],
        &[Kind::AlarmRow]),
    damage(&["INSERT INTO handoff (workspace, conversation, seq, evidence) SELECT workspace, id, 1, 'x' FROM conversation WHERE id = {first}"],
        &[Kind::Stray]),
    damage(&["INSERT INTO read_mark (workspace, agent, conversation, seq) SELECT c.workspace, a.id, c.id, c.seq + 1 FROM conversation c JOIN agent a ON a.workspace = c.workspace WHERE c.id = {first}"],
        &[Kind::Stray]),
    damage(&["INSERT INTO turn_record (turn, attempt, workspace, conversation, record, created_at) SELECT id, 9, workspace, conversation, '{}', 0 FROM turn WHERE status = 'running'"],
        &[Kind::Stray]),
    damage(&["INSERT INTO artifact (id, workspace, conversation, kind, state, at_seq, created_at) SELECT 'aid_1', workspace, id, 'brief', 'ready', seq + 1, 0 FROM conversation WHERE id = {first}"],
        &[Kind::Stray]),
    damage(&["INSERT INTO workspace (id, name, created_at) VALUES ('ws_00000000000000000000000000000001', 'Other', 0)",
        "UPDATE alarm SET workspace = 'ws_00000000000000000000000000000001'"],
        &[Kind::Workspace]),
    damage(&["INSERT INTO workspace (id, name, created_at) VALUES ('ws_00000000000000000000000000000001', 'Other', 0)",
        "UPDATE contact SET workspace = 'ws_00000000000000000000000000000001'"],
        &[Kind::Workspace]),
    damage(&["UPDATE message SET citations = '[{\"article_id\":\"art_00000000000000000000000000000001\",\"chunk_id\":\"chk_00000000000000000000000000000001\",\"title\":\"t\",\"section\":null,\"url\":null,\"audience\":\"internal\"}]' WHERE author_kind = 'assistant'"],
        &[Kind::Citation]),
    damage(&["UPDATE event SET tx = 9000000000000000 WHERE kind = 'noted'"],
        &[Kind::FeedAhead]),
    damage(&["INSERT INTO message (id, workspace, conversation, seq, kind, author_kind, text, citations, flags, at) SELECT 'msg_00000000000000000000000000000001', workspace, id, seq + 1, 'note', 'system', 'x', '[]', '[]', 0 FROM conversation WHERE id = {first}"],
        &[Kind::MessageUnknown]),
    damage(&["INSERT INTO message (id, workspace, conversation, seq, kind, author_kind, text, citations, flags, at) SELECT 'msg_00000000000000000000000000000001', workspace, id, 1, 'note', 'system', 'x', '[]', '[]', 0 FROM conversation WHERE id = {first}",
        ],
        &[Kind::MessageUnknown, Kind::MessageNumber]),
];

/// The damages that need more than a statement that both engines read.
fn special(postgres: bool) -> Vec<Damage> {
    let counter: &[&str] = if postgres {
        &["SELECT setval(pg_get_serial_sequence('event', 'feed'), 1)"]
    } else {
        &["UPDATE sqlite_sequence SET seq = 1 WHERE name = 'event'"]
    };
    vec![damage(counter, &[Kind::FeedCounter])]
}

/// Runs one statement; what the engine refuses is told.
async fn execute(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    let statement = statement.replace("{first}", FIRST);
    if let Some(path) = url.strip_prefix("sqlite:") {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(false);
        let mut conn: SqliteConnection = options.connect().await.expect("opens");
        if let Some(dropped) = statement.strip_prefix("-- drop ") {
            without(&mut conn, dropped).await?;
        } else {
            conn.execute(AssertSqlSafe(statement.as_str())).await?;
        }
        conn.close().await
    } else {
        let mut conn = PgConnection::connect(url).await.expect("connects");
        let made = match statement.strip_prefix("-- drop ") {
            Some(dropped) => match dropped.split(' ').collect::<Vec<_>>().as_slice() {
                [table, name, ..] => format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
                _ => statement.clone(),
            },
            None => statement.clone(),
        };
        conn.execute(AssertSqlSafe(made.as_str())).await?;
        conn.close().await
    }
}

/// SQLite drops no constraints: the table is made again without it.
async fn without(conn: &mut SqliteConnection, dropped: &str) -> Result<(), sqlx::Error> {
    let (table, constraint) = dropped.split_once(' ').unwrap_or((dropped, ""));
    let made: String = sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE name = $1")
        .bind(table)
        .fetch_one(&mut *conn)
        .await?;
    let copy = made
        .replacen(&format!("CREATE TABLE {table}"), "CREATE TABLE copy", 1)
        .replace(&format!(",\n    CONSTRAINT {constraint}"), "");
    assert!(!copy.contains(constraint), "{constraint} was not dropped: {made}");
    let all = format!(
        "{copy}; INSERT INTO copy SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE copy RENAME TO {table}"
    );
    conn.execute(AssertSqlSafe(all.as_str())).await.map(drop)
}

async fn found(url: &str) -> Vec<Finding> {
    let db = Db::open_to_read(url).await.expect("opens");
    let found = findings(&db).await;
    db.close().await;
    found.expect("reads")
}

#[tokio::test]
async fn every_damage_is_found_and_nothing_else() {
    let mut wrong = Vec::new();
    for url in fresh().await {
        furnish(&url).await;
        assert_eq!(found(&url).await, [], "an honest database has no findings");
        let special = special(!url.starts_with("sqlite:"));
        for damage in DAMAGES.iter().chain(&special) {
            let copy = copy_of(&url).await;
            for statement in damage.what {
                if let Err(error) = execute(&copy, statement).await {
                    wrong.push(format!("{statement}: {error}"));
                }
            }
            let found = found(&copy).await;
            let kinds: BTreeSet<Kind> = found.iter().map(|f| f.violation.kind).collect();
            if kinds != damage.found.iter().copied().collect() {
                let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                wrong.push(format!("{:?}\n    {}", damage.what, shown.join("\n    ")));
            }
            for finding in &found {
                let text = finding.to_string();
                assert!(!text.contains("cancel\"") && !text.contains("Ana here"), "{text}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
