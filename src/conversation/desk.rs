//! Where the commit that makes a turn due finds a worker of this node for it.
//!
//! A turn that need not wait for more words is leased by the very commit that makes it due: one commit, one fsync and one
//! round of wake-ups less between a question and its answer. The machine steps twice; the log reads as if a worker had been
//! very quick.
//!
//! Invariants: a place is kept before the turn is leased and given back if the transaction is rolled back; the turn's gate is
//! open before COMMIT, so that whoever stops the turn a moment later finds it; a node whose worker is away, full or has
//! others waiting for a place leases nothing this way, and the turn stays due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::state::{Conversation, Fence};
use super::store::TurnFacts;
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

/// A place in the worker and the open gate of the turn that has it; both end when this is dropped.
pub struct Place {
    turn: TurnId,
    gate: Gate,
    gates: Gates,
    taken: mpsc::UnboundedSender<TakenTurn>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// The gate of the turn.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gates.forget(self.turn);
    }
}

/// The worker's side of the desk.
pub struct TakenTurns {
    arriving: mpsc::UnboundedReceiver<TakenTurn>,
    crowded: Arc<AtomicBool>,
}

impl TakenTurns {
    /// The next one.
    pub async fn next(&mut self) -> Option<TakenTurn> {
        self.arriving.recv().await
    }

    /// Says whether due turns wait for a place: then nothing is taken past them.
    pub fn crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Ordering::Relaxed);
    }

    /// Takes nothing more; returns what was taken and not begun.
    pub fn close(mut self) -> Vec<TakenTurn> {
        self.arriving.close();
        std::iter::from_fn(|| self.arriving.try_recv().ok()).collect()
    }
}

impl TurnDesk {
    /// A worker with these places sits down; an earlier one gets nothing any more.
    pub fn open(&self, places: Arc<Semaphore>) -> TakenTurns {
        let (taken, arriving) = mpsc::unbounded_channel();
        let crowded: Arc<AtomicBool> = Arc::default();
        let open = Open { places, taken, crowded: Arc::clone(&crowded) };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
        TakenTurns { arriving, crowded }
    }

    /// Keeps a place for a turn and opens its gate, if there is a worker with one to spare.
    pub(super) fn place(&self, gates: &Gates, turn: TurnId) -> Option<Place> {
        let open = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        if open.taken.is_closed() || open.crowded.load(Ordering::Relaxed) {
            return None;
        }
        let permit = open.places.try_acquire_owned().ok()?;
        let gate = gates.open(turn);
        let (gates, taken) = (gates.clone(), open.taken);
        Some(Place { turn, gate, gates, taken, _permit: permit })
    }
}

impl TakenTurn {
    /// The running turn of a state that is about to be committed.
    pub(super) fn of(leased: &Conversation, facts: TurnFacts, place: Place) -> Option<Self> {
        let turn = leased.holder.turn()?;
        let fence = Fence { epoch: leased.epoch, turn: turn.id, attempt: turn.attempt };
        Some(Self { fence, conversation: leased.clone(), facts, place })
    }

    /// Hands the turn to its worker; call it after COMMIT. Without a worker any more, the lease ends by itself.
    pub(super) fn begin(self) {
        let taken = self.place.taken.clone();
        let _stopped = taken.send(self);
    }
}
