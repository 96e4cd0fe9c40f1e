//! What can be found wrong, and which law it breaks.

use serde::Serialize;

/// A law of the architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// The author of every public message is the holder.
    OneVoice,
    /// Nothing of the assistant's is committed under a stale fence.
    Silence,
    /// Whatever the visitor said is answered, exempted, or with somebody who will be reminded.
    NothingLost,
    /// Ranges of answered messages never overlap; one client id, one message.
    Once,
    /// Both numbers are gap-free, the state is the fold of its log, and the feed skips nothing.
    OneOrder,
    /// A trigger fires once on the same evidence, and never on what was said before a return.
    Triggers,
    /// Workspaces are apart, and what is internal is not shown.
    Walls,
    /// Every promise ends in what may end it; every step of its ladder is climbed once.
    Promises,
}

impl Law {
    /// Its number in the architecture.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::OneVoice => 1,
            Self::Silence => 2,
            Self::NothingLost => 3,
            Self::Once => 4,
            Self::OneOrder => 5,
            Self::Triggers => 6,
            Self::Walls => 7,
            Self::Promises => 8,
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $law:ident;)*) => {
        /// A kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The law it breaks.
            #[must_use]
            pub const fn law(self) -> Law {
                match self { $(Self::$kind => Law::$law,)* }
            }
        }
    };
}

kinds! {
    /// A public message by somebody who did not hold the conversation.
    Voice = "voice", OneVoice;
    /// A message is signed by another than the one who wrote it.
    Signature = "signature", OneVoice;
    /// Something of the assistant's under a stale fence.
    Fence = "fence", Silence;
    /// A stored row does not read.
    Unreadable = "unreadable", NothingLost;
    /// An event's message is not there.
    MessageMissing = "message_missing", NothingLost;
    /// The AI holds an unanswered message and no reply is due, or the other way round.
    NoTurn = "no_turn", NothingLost;
    /// A visitor waits for people without a promise, or the other way round.
    NoPromise = "no_promise", NothingLost;
    /// Closed over an unanswered message without an exemption.
    ClosedOver = "closed_over", NothingLost;
    /// The timer that would bring it to somebody's attention is not set.
    Timer = "timer", NothingLost;
    /// Running work whose lease has no end: nobody would ever take it over.
    Lease = "lease", NothingLost;
    /// A range of answered messages overlaps another, or is of something else.
    Range = "range", Once;
    /// A message stands in the log twice.
    MessageTwice = "message_twice", Once;
    /// Two messages under one client id.
    ClientIdTwice = "client_id_twice", Once;
    /// A conversation without events.
    NoLog = "no_log", OneOrder;
    /// An event does not follow the one before it.
    Gap = "gap", OneOrder;
    /// An event's epoch is not what the log leads to.
    Epoch = "epoch", OneOrder;
    /// The state row is not the fold of its log.
    State = "state", OneOrder;
    /// The columns beside the state say something else.
    Columns = "columns", OneOrder;
    /// A message beside no event, or beside one without words.
    MessageUnknown = "message_unknown", OneOrder;
    /// A message has another number than its event.
    MessageNumber = "message_number", OneOrder;
    /// A message's kind, time, turn or range are not its event's.
    MessageDiffers = "message_differs", OneOrder;
    /// The header of a turn is not what the log leads to.
    TurnHeader = "turn_header", OneOrder;
    /// Something beside a conversation that its log does not know.
    Stray = "stray", OneOrder;
    /// Events of a conversation stand in another order in the feed.
    FeedOrder = "feed_order", OneOrder;
    /// An event stands in the feed where no reader gets.
    FeedAhead = "feed_ahead", OneOrder;
    /// The feed would give a number out again.
    FeedCounter = "feed_counter", OneOrder;
    /// A trigger fired twice on the same evidence.
    EvidenceTwice = "evidence_twice", Triggers;
    /// Evidence that nobody had said.
    EvidenceUnsaid = "evidence_unsaid", Triggers;
    /// Evidence from before a return.
    EvidenceOld = "evidence_old", Triggers;
    /// A row of another workspace beside a conversation.
    Workspace = "workspace", Walls;
    /// The visitor is shown an internal source.
    Citation = "citation", Walls;
    /// A promise beside another, or ended by nothing.
    Promise = "promise", Promises;
    /// A step of a ladder climbed twice.
    AlarmTwice = "alarm_twice", Promises;
    /// The row of a promise is not what the log leads to.
    PromiseRow = "promise_row", Promises;
    /// The row of an alarm is not what the log leads to.
    AlarmRow = "alarm_row", Promises;
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}
