//! The gate of a running turn: nothing of the assistant's leaves the process once the gate is shut.
//!
//! A takeover shuts the gate inside its own unit of work, before COMMIT; the worker publishes a released sentence only while
//! it holds the gate open. So no draft is enqueued after a takeover's commit on this node, and a turn that has released
//! something is known to have done so. What another node has stopped is shut as soon as this one hears of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::guard::Guard;
use crate::ids::TurnId;

/// One try of a turn that runs on this node.
#[derive(Clone)]
pub struct Gate {
    attempt: u32,
    state: Arc<Mutex<State>>,
    stopped: CancellationToken,
}

#[derive(Default)]
struct State {
    /// The try has its lease; until then another node's might.
    leased: bool,
    shut: bool,
    released: bool,
}

impl Gate {
    /// Runs `publish` if the gate is open, and remembers that something was released. Returns whether it ran.
    pub fn release(&self, publish: impl FnOnce()) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.shut && !Guard::Gate.is_broken() {
            return false;
        }
        state.released = true;
        publish();
        true
    }

    /// Cancelled when the gate is shut.
    #[must_use]
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Shuts it, unless something was released of which the caller does not know.
    fn shut(&self, knows_of_release: bool) -> bool {
        if Guard::Gate.is_broken() {
            return true;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.released && !knows_of_release {
            return false;
        }
        state.shut = true;
        drop(state);
        self.stopped.cancel();
        true
    }

    /// The try has its lease: from now on this gate is where its sentences pass.
    pub fn leased(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).leased = true;
    }

    fn is_leased(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).leased
    }

    fn may_have_released(&self, attempt: u32) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        attempt != self.attempt || !state.leased || state.released
    }
}

/// The gates of every turn that runs on this node.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<HashMap<TurnId, Gate>>>);

impl Gates {
    /// Opens the gate of a try that starts to run here; an earlier try of its turn is shut. None if this try, or a later
    /// one, has a gate already: it is in other hands here.
    #[must_use]
    pub fn open(&self, turn: TurnId, attempt: u32) -> Option<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.get(&turn).is_some_and(|there| there.attempt >= attempt) {
            return None;
        }
        let gate = Gate { attempt, state: Arc::default(), stopped: CancellationToken::new() };
        let before = gates.insert(turn, gate.clone());
        drop(gates);
        if let Some(before) = before {
            before.shut(true);
        }
        Some(gate)
    }

    /// Shuts the gate of a turn, if it runs here. `false` if a sentence has slipped out of which the caller does not know:
    /// then it stays open, and the caller decides again.
    #[must_use]
    pub fn shut(&self, turn: TurnId, knows_of_release: bool) -> bool {
        self.of(turn).is_none_or(|gate| gate.shut(knows_of_release))
    }

    /// Shuts the gate of a turn if it runs here in this try or an earlier one.
    pub fn shut_through(&self, turn: TurnId, attempt: u32) {
        if let Some(gate) = self.of(turn).filter(|gate| gate.attempt <= attempt) {
            gate.shut(true);
        }
    }

    /// The tries that run here, by all that is known here: those that have their lease. Of others the database may know
    /// nothing yet.
    #[must_use]
    pub fn running(&self) -> Vec<(TurnId, u32)> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let leased = gates.iter().filter(|(_, gate)| gate.is_leased());
        leased.map(|(turn, gate)| (*turn, gate.attempt)).collect()
    }

    /// Forgets a try that has ended; a later one of its turn keeps its gate.
    pub fn forget(&self, turn: TurnId, attempt: u32) {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.get(&turn).is_some_and(|gate| gate.attempt == attempt) {
            gates.remove(&turn);
        }
    }

    /// Whether this try of the turn has released a sentence. One that does not run here, or does not yet by all that is
    /// known here, might have: it counts as if.
    #[must_use]
    pub fn may_have_released(&self, turn: TurnId, attempt: u32) -> bool {
        self.of(turn).is_none_or(|gate| gate.may_have_released(attempt))
    }

    fn of(&self, turn: TurnId) -> Option<Gate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&turn).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    #[test]
    fn nothing_passes_a_shut_gate() {
        let gates = Gates::default();
        let turn: TurnId = Ids.fresh();
        assert!(gates.may_have_released(turn, 1), "unknown turns are treated with care");
        let gate = gates.open(turn, 1).expect("nobody else runs it");
        assert!(gates.may_have_released(turn, 1), "another node may have the lease");
        assert_eq!(gates.running(), [], "its lease is not committed yet");
        gate.leased();
        assert!(!gates.may_have_released(turn, 1));
        assert_eq!(gates.running(), [(turn, 1)]);
        gates.shut_through(turn, 0);
        let mut passed = 0;
        assert!(gate.release(|| passed += 1));
        assert!(gates.may_have_released(turn, 1));
        assert!(gates.shut(turn, true));
        assert!(!gate.release(|| passed += 1));
        assert_eq!(passed, 1);
        assert!(gate.stopped().is_cancelled());
    }

    #[test]
    fn of_another_try_nothing_is_known() {
        let gates = Gates::default();
        let turn: TurnId = Ids.fresh();
        let first = gates.open(turn, 1).expect("nobody else runs it");
        first.leased();
        assert!(gates.may_have_released(turn, 2), "the second try runs elsewhere");
    }

    #[test]
    fn a_try_has_one_gate_and_a_later_one_takes_its_place() {
        let gates = Gates::default();
        let turn: TurnId = Ids.fresh();
        let first = gates.open(turn, 1).expect("nobody else runs it");
        assert!(gates.open(turn, 1).is_none(), "it is in other hands");
        assert!(!first.stopped().is_cancelled());
        let second = gates.open(turn, 2).expect("it is a new try");
        assert!(first.stopped().is_cancelled());
        gates.forget(turn, 1);
        assert!(gates.shut(turn, true));
        assert!(second.stopped().is_cancelled(), "the end of the first left the second its gate");
        gates.forget(turn, 2);
        assert!(gates.open(turn, 1).is_some());
    }

    #[test]
    fn a_sentence_that_slips_out_keeps_the_gate_open_for_who_does_not_know() {
        let gates = Gates::default();
        let turn: TurnId = Ids.fresh();
        let gate = gates.open(turn, 1).expect("nobody else runs it");
        gate.leased();
        let looked = gates.may_have_released(turn, 1);
        assert!(gate.release(|| {}));
        assert!(!gates.shut(turn, looked));
        assert!(gate.release(|| {}), "it is still open");
        assert!(gates.shut(turn, gates.may_have_released(turn, 1)));
        assert!(!gate.release(|| {}));
        assert!(gates.shut(Ids.fresh(), false), "what does not run here cannot slip out");
    }
}
