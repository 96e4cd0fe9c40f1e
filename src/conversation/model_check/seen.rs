//! What a run must have met at least once, so that the properties are not empty words.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! sights {
    ($($sight:ident = $says:literal;)*) => {
        /// Something worth meeting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Seen { $($sight,)* }
        impl Seen {
            pub const ALL: &'static [Self] = &[$(Self::$sight,)*];
            pub const fn says(self) -> &'static str {
                match self { $(Self::$sight => $says,)* }
            }
        }
    };
}

sights! {
    TakeoverOfTurn = "a takeover while a turn runs";
    TakeoverAfterRelease = "a takeover after a released sentence";
    FromColleague = "a conversation is taken from a colleague";
    LateResult = "a late result is dropped";
    Retaken = "a lost lease is retaken by another try";
    Superseded = "a turn is superseded";
    Overtaken = "an answer leaves a newer message to the next turn";
    Answered = "a question is answered";
    AnsweredAfterReturn = "a question is answered after a return";
    BrokeOff = "an answer breaks off and is kept";
    HandedOffOnEvidence = "words of the visitor hand off";
    Deadline = "the assistant takes too long";
    OwnersAlarmed = "an alarm reaches the owners";
    Thanks = "thanks after a close need no answer";
    ClosedOver = "a close exempts what waits";
    Reopened = "a closed conversation is reopened";
    Woken = "a snooze ends";
    LateEcho = "a late echo comes in";
    StaleScreen = "a stale screen is refused";
    StaleTimer = "a timer comes too late";
    Conflict = "two units load the same row";
    Deduplicated = "a message is sent again and stored once";
    AckLost = "an acknowledgement is lost";
    GateShut = "a sentence finds the gate shut";
    RolledBackStop = "a unit that stopped a turn is rolled back";
    CrashedUnit = "a node dies with a unit open";
    CrashedTurn = "a node dies after a released sentence";
}

/// What one run has met.
#[derive(Debug, Default)]
pub struct Sights(AtomicU64);

impl Sights {
    pub fn note(&self, sight: Seen) {
        let bit = 1 << sight as u64;
        // Most sights are met often: reading is cheaper than writing what is there.
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub fn has(&self, sight: Seen) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << sight as u64) != 0
    }
}
