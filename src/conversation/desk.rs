//! Where the commit that makes a turn due finds a worker of this node for it.
//!
//! A turn that need not wait for more words is leased by the very commit that makes it due: one commit, one fsync and one
//! round of wake-ups less between a question and its answer. The machine steps twice; the log reads as if a worker had been
//! very quick.
//!
//! Invariants: a place is kept before the turn is leased and given back if the transaction is rolled back; the turn's gate is
//! open before COMMIT, so that whoever stops the turn a moment later finds it, and counts as leased from COMMIT on; a node
//! whose worker is away, full, has others waiting for a place or is about to lease the turn itself leases nothing this way,
//! and the turn stays due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::state::{Conversation, Fence};
use super::store::{DueTurn, TurnFacts};
use crate::hub::{Gate, Gates};
use crate::ids::TurnId;

/// The desk of one process; nobody sits there until a worker opens it.
#[derive(Default)]
pub struct TurnDesk(RwLock<Option<Open>>);

#[derive(Clone)]
struct Open {
    places: Arc<Semaphore>,
    taken: mpsc::UnboundedSender<TakenTurn>,
    crowded: Arc<AtomicBool>,
}

/// A turn that was leased by the commit that made it due.
pub struct TakenTurn {
    /// What it may commit under.
    pub fence: Fence,
    /// The state it was leased in.
    pub conversation: Conversation,
    /// What else a turn asks of its conversation.
    pub facts: TurnFacts,
    /// Where it runs.
    pub place: Place,
}

impl TakenTurn {
    /// As it was due before.
    #[must_use]
    pub fn due(&self) -> DueTurn {
        DueTurn {
            turn: self.fence.turn,
            workspace: self.conversation.workspace,
            conversation: self.conversation.id,
            attempt: self.fence.attempt.saturating_sub(1),
        }
    }
}

/// A place in the worker and the open gate of the try that has it; both end when this is dropped.
pub struct Place {
    turn: TurnId,
    attempt: u32,
    gate: Gate,
    gates: Gates,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Opens the gate of a try that is about to be leased; none if it is about to be leased here already.
    #[must_use]
    pub fn of(
        gates: &Gates,
        turn: TurnId,
        attempt: u32,
        permit: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let gate = gates.open(turn, attempt)?;
        Some(Self { turn, attempt, gate, gates: gates.clone(), _permit: permit })
    }

    /// The gate of the turn.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gates.forget(self.turn, self.attempt);
    }
}

/// The worker's side of the desk.
pub struct TakenTurns(mpsc::UnboundedReceiver<TakenTurn>);

impl TakenTurns {
    /// The next one.
    pub async fn next(&mut self) -> Option<TakenTurn> {
        self.0.recv().await
    }

    /// Takes nothing more; returns what was taken and not begun.
    pub fn close(mut self) -> Vec<TakenTurn> {
        self.0.close();
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

impl TurnDesk {
    /// A worker with these places sits down; an earlier one gets nothing any more. While it is `crowded`, due turns wait for
    /// a place, and nothing is taken past them.
    pub fn open(&self, places: Arc<Semaphore>, crowded: Arc<AtomicBool>) -> TakenTurns {
        let (taken, arriving) = mpsc::unbounded_channel();
        let open = Open { places, taken, crowded };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
        TakenTurns(arriving)
    }

    /// Keeps a place for a try and opens its gate, if there is a worker with one to spare.
    pub(super) fn seat(&self, gates: &Gates, turn: TurnId, attempt: u32) -> Option<Seat> {
        let open = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        if open.taken.is_closed() || open.crowded.load(Ordering::SeqCst) {
            return None;
        }
        let permit = open.places.try_acquire_owned().ok()?;
        let place = Place::of(gates, turn, attempt, permit)?;
        Some(Seat { place, taken: open.taken })
    }
}

/// A kept place, and the way to its worker.
pub(super) struct Seat {
    place: Place,
    taken: mpsc::UnboundedSender<TakenTurn>,
}

impl Seat {
    /// For the running turn of a state that is about to be committed.
    pub fn taken_by(self, leased: &Conversation, facts: TurnFacts) -> Option<OnItsWay> {
        let turn = leased.holder.turn()?;
        let fence = Fence { epoch: leased.epoch, turn: turn.id, attempt: turn.attempt };
        let Self { place, taken } = self;
        Some(OnItsWay {
            turn: TakenTurn { fence, conversation: leased.clone(), facts, place },
            taken,
        })
    }
}

/// A turn that its worker gets once the commit that leases it is durable.
pub(super) struct OnItsWay {
    turn: TakenTurn,
    taken: mpsc::UnboundedSender<TakenTurn>,
}

impl OnItsWay {
    /// The lease is committed: from now on the turn's gate is where its sentences pass. Call it before anything else.
    pub fn leased(&self) {
        self.turn.place.gate.leased();
    }

    /// Hands the turn to its worker; call it after COMMIT. Without a worker any more, the lease ends by itself.
    pub fn begin(self) {
        let Self { turn, taken } = self;
        let _stopped = taken.send(turn);
    }
}
