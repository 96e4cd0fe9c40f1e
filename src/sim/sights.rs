//! What a run has met, counted, so that a simulation that no longer reaches something fails instead of growing quiet.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! sights {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A fault, or an interleaving worth meeting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sight { $($(#[$doc])* $name,)* }
        impl Sight {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

sights! {
    // Faults.
    /// A transaction could not begin.
    BeginFailed,
    /// A read failed.
    ReadFailed,
    /// COMMIT failed and nothing was stored.
    CommitFailed,
    /// COMMIT failed for the caller, and everything was stored.
    OutcomeUnknown,
    /// The engine gave up a transaction in the middle of a unit.
    TransactionLost,
    /// A unit met a conflict.
    Conflict,
    /// The database was away for a while.
    Outage,
    /// Everything could be read for a while, nothing stored.
    DiskFull,
    /// A node froze for longer than a lease.
    Frozen,
    /// A node was killed.
    Killed,
    /// A node was killed with a transaction open.
    KilledInTransaction,
    /// A node was killed after COMMIT, before anybody heard of it.
    KilledBeforeAck,
    /// A node was stopped in order.
    StoppedInOrder,
    /// A node came back.
    Restarted,
    /// A node that owns the database alone took over what its earlier life left.
    Recovered,
    /// A clock went wrong.
    Skewed,
    /// A wake-up was lost.
    WakeUpLost,
    /// A model refused.
    ModelFailed,
    /// A stream broke off.
    StreamCut,
    /// A model never came to an end.
    ModelHung,
    /// A model wanted a person.
    ModelHandedOff,
    /// A judge failed.
    JudgeFailed,
    /// A judge saw a condition come true.
    JudgeFired,
    /// A model gave nonsense to a job.
    NonsenseForJob,
    // Interleavings.
    /// More than one unit in one transaction.
    GroupCommitted,
    /// A human took over after a released sentence and before the reply was committed.
    TakeoverAfterRelease,
    /// A reply that came too late was dropped, its turn explained all the same.
    LateResultDropped,
    /// A turn was leased by the commit that made it due.
    TakenAtOnce,
    /// Another node took a turn over.
    TurnTakenByOther,
    /// A node took up its own turn again.
    TurnTriedAgain,
    /// Drafts of a turn that another node had ended already.
    DraftAfterEndElsewhere,
    /// A message came a second time under its id.
    SentTwice,
    /// One message on its way twice at once.
    SentTwiceAtOnce,
    /// A client gave up waiting.
    ClientGaveUp,
    /// An agent's screen was out of date.
    StaleEpoch,
    /// A command was refused for another reason.
    Refused,
    /// An agent took over what a colleague held.
    TakenFromColleague,
    /// A reply was answered.
    Answered,
    /// A reply that broke off was kept.
    BrokenReplyKept,
    /// A reply said that it cannot answer.
    StillUnanswered,
    /// A turn was superseded.
    Superseded,
    /// A message came while a reply was being written, and got its own.
    AnsweredInTwo,
    /// The AI missed its deadline.
    DeadlineMissed,
    /// The assistant was stopped while it held something.
    AssistantGone,
    /// An alarm.
    Alarm,
    /// The owners' alarm.
    OwnersAlarm,
    /// Bare thanks after a close.
    Thanks,
    /// A visitor came back.
    ReopenedByVisitor,
    /// A conversation was closed over an unanswered message.
    ClosedOverQuestion,
    /// An idle conversation was asked about.
    Nudged,
    /// An idle conversation was closed.
    ClosedIdle,
    /// A snooze.
    Snoozed,
    /// A snooze ended by itself or by the visitor.
    Woken,
    /// A conversation went back to the AI.
    Returned,
    /// An assignee was away for too long.
    QueuedAsOffline,
    /// A contact was blocked.
    Blocked,
    /// A brief, summary or set of suggestions was made.
    HelpMade,
    /// A job came again.
    JobTriedAgain,
}

/// How often each was met.
#[derive(Default, Clone)]
pub struct Sights(BTreeMap<Sight, u64>);

impl Sights {
    pub fn saw(&mut self, sight: Sight) {
        *self.0.entry(sight).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (sight, times) in &other.0 {
            *self.0.entry(*sight).or_default() += times;
        }
    }

    /// What was never met.
    pub fn missing(&self) -> Vec<Sight> {
        Sight::ALL.iter().copied().filter(|sight| !self.0.contains_key(sight)).collect()
    }
}

impl fmt::Display for Sights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sight in Sight::ALL {
            let times = self.0.get(sight).copied().unwrap_or_default();
            write!(f, "{sight:?}={times} ")?;
        }
        Ok(())
    }
}
