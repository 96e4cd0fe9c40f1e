//! What every part of a run shares: the seed, the weather, what was seen, what went wrong, and the ordered trace of all
//! that was committed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use super::chance::Chance;
use super::power::Life;
use super::sights::{Sight, Sights};
use super::weather::Weather;
use crate::clock::Timestamp;
use crate::conversation::{Conversation, Draft, Fence, Live, Phase, lists};
use crate::db::{Db, sql};
use crate::hub::Hearing;
use crate::ids::{ConversationId, TurnId, WorkspaceId};

/// When every run begins.
pub const START: Timestamp = Timestamp::from_millis(1_764_000_000_000);

/// So many statements without any time passing are a loop that never waits.
const RUSH: u32 = 20_000;

/// What a run shares.
pub struct Sim {
    pub seed: u64,
    pub weather: Weather,
    began: Instant,
    /// Nothing is spoiled any more.
    calm: AtomicBool,
    /// Nobody begins anything new.
    over: AtomicBool,
    sights: Mutex<Sights>,
    wrong: Mutex<Vec<String>>,
    rush: Mutex<(Option<Instant>, u32)>,
    watch: Mutex<Watch>,
}

/// What was committed, and who heard what.
struct Watch {
    db: Db,
    workspace: WorkspaceId,
    feed: i64,
    known: BTreeMap<ConversationId, Conversation>,
    numbers: BTreeMap<ConversationId, usize>,
    /// Which node's commit ended which try of which turn.
    ended: BTreeMap<(TurnId, u32, u64), Life>,
    /// How many sentences each turn has released.
    released: BTreeMap<TurnId, u32>,
    started_by: BTreeMap<TurnId, Life>,
    /// Until when which try of a turn is leased, by the clock of the node that leased it.
    leases: BTreeMap<TurnId, (i64, i64)>,
    ears: Vec<(Life, Hearing<Live>)>,
    trace: Vec<String>,
}

impl Sim {
    pub fn new(seed: u64, weather: Weather, db: Db, workspace: WorkspaceId) -> Arc<Self> {
        let watch = Watch {
            db,
            workspace,
            feed: 0,
            known: BTreeMap::new(),
            numbers: BTreeMap::new(),
            ended: BTreeMap::new(),
            released: BTreeMap::new(),
            started_by: BTreeMap::new(),
            leases: BTreeMap::new(),
            ears: Vec::new(),
            trace: Vec::new(),
        };
        Arc::new(Self {
            seed,
            weather,
            began: Instant::now(),
            calm: AtomicBool::new(false),
            over: AtomicBool::new(false),
            sights: Mutex::default(),
            wrong: Mutex::default(),
            rush: Mutex::default(),
            watch: Mutex::new(watch),
        })
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    /// True time, whatever the nodes' clocks say.
    pub fn now(&self) -> Timestamp {
        START + self.began.elapsed()
    }

    pub fn chance(&self, name: &str) -> Chance {
        Chance::of(self.seed, name)
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    pub fn calm_down(&self) {
        self.note("calm");
        self.calm.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub fn saw(&self, sight: Sight) {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).saw(sight);
    }

    pub fn sights(&self) -> Sights {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A law is broken.
    pub fn wrong(&self, what: impl Into<String>) {
        let what = what.into();
        self.note(&format!("WRONG: {what}"));
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn watch<T>(&self, f: impl FnOnce(&mut Watch) -> T) -> T {
        f(&mut self.watch.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a line to the trace.
    pub fn note(&self, what: &str) {
        let at = self.began.elapsed().as_millis();
        self.watch(|watch| watch.trace.push(format!("{at:>8} {what}")));
    }

    pub fn trace(&self) -> Vec<String> {
        self.watch(|watch| watch.trace.clone())
    }

    /// The trace as one number.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.watch(|watch| watch.trace.hash(&mut hasher));
        hasher.finish()
    }

    /// The number that a conversation has in the trace.
    pub fn number(&self, id: ConversationId) -> usize {
        self.watch(|watch| watch.number(id))
    }

    /// Counts a statement; a task that asks and asks while no time passes is stopped for good.
    pub async fn step(&self) {
        let rushing = {
            let mut rush = self.rush.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if rush.0 == Some(now) {
                rush.1 += 1;
            } else {
                *rush = (Some(now), 0);
            }
            rush.1
        };
        if rushing == RUSH {
            self.wrong("a loop that never waits");
        }
        if rushing >= RUSH {
            std::future::pending::<()>().await;
        }
    }

    /// Hears what a node tells a visitor.
    pub fn listen(&self, life: Life, ear: Hearing<Live>) {
        self.watch(|watch| watch.ears.push((life, ear)));
    }

    /// A node is about to commit: what it has told until now, it has told before.
    pub fn about_to_commit(&self, life: Life) {
        for draft in self.watch(|watch| watch.heard(Some(life))) {
            self.judge_draft(life, &draft);
        }
    }

    /// Everything told until now is judged.
    pub fn hear_all(&self) {
        let lives: Vec<Life> = self.watch(|watch| watch.ears.iter().map(|(l, _)| *l).collect());
        for life in lives {
            self.about_to_commit(life);
        }
    }

    /// No draft leaves a node after its own commit has ended the try.
    fn judge_draft(&self, life: Life, draft: &Draft) {
        let key = (draft.turn, draft.attempt, draft.epoch);
        let ended = self.watch(|watch| {
            *watch.released.entry(draft.turn).or_default() += 1;
            watch.ended.get(&key).copied()
        });
        match ended {
            Some(by) if by == life => {
                let c = self.number(draft.conversation);
                self.wrong(format!(
                    "law 2: a draft of {} try {} in conversation {c} left node {life:?} after that node's own commit had ended it",
                    draft.turn, draft.attempt
                ));
            }
            Some(_) => self.saw(Sight::DraftAfterEndElsewhere),
            None => {}
        }
    }

    /// A node has committed: what is new goes into the trace.
    pub fn committed(&self, life: Life) {
        let at = self.began.elapsed().as_millis();
        let (seen, taken) = self.watch(|watch| (watch.read(at, life), watch.read_leases()));
        for sight in seen {
            self.saw(sight);
        }
        // Clocks may be apart by twice what they may be wrong.
        let apart = i64::try_from(2 * self.weather.skew_ms).unwrap_or(i64::MAX);
        for (turn, until) in taken {
            let left = until - self.now().millis() - apart;
            if left > 0 {
                self.wrong(format!("law 2: {turn} was taken {left} ms before its lease was over"));
            }
        }
    }

    /// Every conversation that anything was committed of.
    pub fn conversations(&self) -> Vec<ConversationId> {
        self.watch(|watch| watch.known.keys().copied().collect())
    }

    /// A while of the actors' time.
    pub async fn pause(&self, how_long: Duration) {
        tokio::time::sleep(how_long).await;
    }
}

/// One committed event, as the trace tells it.
type Row = (i64, String, i64, i64, String, String, String);

impl Watch {
    fn number(&mut self, id: ConversationId) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(id).or_insert(next)
    }

    fn heard(&mut self, of: Option<Life>) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for (life, ear) in &mut self.ears {
            if of.is_some_and(|of| of != *life) {
                continue;
            }
            loop {
                match ear.try_recv() {
                    Ok(Live::Draft(draft)) => drafts.push((*draft).clone()),
                    Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
        }
        drafts
    }

    /// Reads what was committed since, with the simulation's own connection.
    fn read(&mut self, at: u128, life: Life) -> Vec<Sight> {
        let (db, after, workspace) = (self.db.clone(), self.feed, self.workspace);
        let rows: Vec<Row> = crate::db::simulated::at_once(async {
            let mut conn = db.read().await?;
            sql("SELECT feed, conversation, seq, epoch, kind, actor_kind, data FROM event WHERE feed > $1 ORDER BY feed")
                .bind(after)
                .all(&mut conn)
                .await
        })
        .expect("the log can be read");
        let mut sights = Vec::new();
        let mut changed = Vec::new();
        let mut made_due = None;
        for (feed, conversation, seq, epoch, kind, actor, data) in rows {
            self.feed = feed;
            let id: ConversationId = conversation.parse().expect("a conversation's id");
            let number = self.number(id);
            self.trace.push(format!(
                "{at:>8} node {}.{} conversation {number} seq {seq} epoch {epoch} {actor} {kind} {}",
                life.0,
                life.1,
                brief(&data)
            ));
            self.sight(&mut sights, life, (&kind, &actor), &data);
            match kind.as_str() {
                "turn_due" => made_due = Some((id, seq)),
                // Nobody can lease in a commit of its own what is not committed yet.
                "turn_started" if made_due == Some((id, seq - 1)) => {
                    sights.push(Sight::TakenAtOnce);
                }
                _ => {}
            }
            if !changed.contains(&id) {
                changed.push(id);
            }
        }
        for id in changed {
            let now = crate::db::simulated::at_once(async {
                lists::state(&mut db.read().await?, workspace, id).await
            });
            let now = now.expect("the state can be read").expect("it is stored");
            let before = self.known.insert(id, now.clone());
            if let Some(fence) = before.as_ref().and_then(running)
                && running(&now) != Some(fence)
            {
                self.ended.insert((fence.turn, fence.attempt, fence.epoch), life);
            }
        }
        sights
    }

    /// Reads who has leased what until when. Returns the leases that another try has taken over.
    fn read_leases(&mut self) -> Vec<(TurnId, i64)> {
        let db = self.db.clone();
        let rows: Vec<(String, i64, i64)> = crate::db::simulated::at_once(async {
            let mut conn = db.read().await?;
            sql("SELECT id, attempt, lease_until FROM turn WHERE status = 'running'")
                .all(&mut conn)
                .await
        })
        .expect("the turns can be read");
        let mut leases = BTreeMap::new();
        let mut taken = Vec::new();
        for (turn, attempt, until) in rows {
            let turn: TurnId = turn.parse().expect("a turn's id");
            leases.insert(turn, (attempt, until));
            if let Some((before, was_until)) = self.leases.get(&turn)
                && *before != attempt
            {
                taken.push((turn, *was_until));
            }
        }
        self.leases = leases;
        taken
    }

    fn sight(
        &mut self,
        sights: &mut Vec<Sight>,
        life: Life,
        (kind, actor): (&str, &str),
        data: &str,
    ) {
        let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        let turn = text("turn").parse::<TurnId>().ok();
        sights.extend(match kind {
            "turn_started" => {
                let before = turn.and_then(|turn| self.started_by.insert(turn, life));
                match before {
                    Some(before) if before.0 != life.0 => Some(Sight::TurnTakenByOther),
                    Some(_) => Some(Sight::TurnTriedAgain),
                    None => None,
                }
            }
            "turn_cancelled" => {
                let released = turn.is_some_and(|turn| self.released.contains_key(&turn));
                match text("reason").as_str() {
                    "deadline" => Some(Sight::DeadlineMissed),
                    "takeover" if released => Some(Sight::TakeoverAfterRelease),
                    _ => None,
                }
            }
            "turn_superseded" => Some(Sight::Superseded),
            "turn_due" if actor == "system" => Some(Sight::AnsweredInTwo),
            "assistant_answered" if data["answers"].is_null() => Some(Sight::BrokenReplyKept),
            "assistant_answered" if data["still_unanswered"] == true => {
                Some(Sight::StillUnanswered)
            }
            "assistant_answered" => Some(Sight::Answered),
            "handed_off" if text("reason") == "ai_unavailable" => Some(Sight::AssistantGone),
            "queued" if text("reason") == "agent_offline" => Some(Sight::QueuedAsOffline),
            "alarm_raised" if text("recipient") == "owners" => Some(Sight::OwnersAlarm),
            "alarm_raised" => Some(Sight::Alarm),
            "exempted" if text("reason") == "thanks" => Some(Sight::Thanks),
            "exempted" if text("reason") == "closed" => Some(Sight::ClosedOverQuestion),
            "reopened" if data["by"]["kind"] == "visitor" => Some(Sight::ReopenedByVisitor),
            "noticed" if text("code") == "idle_nudge" => Some(Sight::Nudged),
            "closed" if text("outcome") == "timeout" => Some(Sight::ClosedIdle),
            "snoozed" => Some(Sight::Snoozed),
            "unsnoozed" => Some(Sight::Woken),
            "returned_to_ai" => Some(Sight::Returned),
            "contact_blocked" => Some(Sight::Blocked),
            _ => None,
        });
    }
}

/// The fence of the try that runs.
fn running(c: &Conversation) -> Option<Fence> {
    let turn = c.holder.turn().filter(|turn| matches!(turn.phase, Phase::Running { .. }))?;
    Some(Fence { epoch: c.epoch, turn: turn.id, attempt: turn.attempt })
}

/// An event's data without its ids, which say nothing to a reader.
fn brief(data: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(data) else {
        return String::new();
    };
    let words = fields.iter().filter(|(_, value)| {
        !value.as_str().is_some_and(|text| text.len() > 32 && text.contains('_'))
            && !value.is_object()
    });
    words.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
