//! The gate of a running turn: nothing of the assistant's leaves the process once the gate is shut.
//!
//! A takeover shuts the gate inside its own unit of work, before COMMIT; the worker publishes a released sentence only while
//! it holds the gate open. So no draft is enqueued after a takeover's commit on this node, and a turn that has released
//! something is known to have done so. What another node has stopped is shut as soon as this one hears of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

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
    shut: bool,
    released: bool,
}

impl Gate {
    /// Runs `publish` if the gate is open, and remembers that something was released. Returns whether it ran.
    pub fn release(&self, publish: impl FnOnce()) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.shut {
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

    fn shut(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shut = true;
        self.stopped.cancel();
    }

    fn has_released(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).released
    }
}

/// The gates of every turn that runs on this node.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<HashMap<TurnId, Gate>>>);

impl Gates {
    /// Opens the gate of a try that starts to run here; an earlier try of the turn is shut.
    #[must_use]
    pub fn open(&self, turn: TurnId, attempt: u32) -> Gate {
        let gate = Gate { attempt, state: Arc::default(), stopped: CancellationToken::new() };
        let before =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(turn, gate.clone());
        if let Some(before) = before {
            before.shut();
        }
        gate
    }

    /// Shuts the gate of a turn, if it runs here.
    pub fn shut(&self, turn: TurnId) {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&turn).cloned();
        if let Some(gate) = gate {
            gate.shut();
        }
    }

    /// Shuts the gate of a turn if it runs here in this try or an earlier one.
    pub fn shut_through(&self, turn: TurnId, attempt: u32) {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&turn).cloned();
        if let Some(gate) = gate.filter(|gate| gate.attempt <= attempt) {
            gate.shut();
        }
    }

    /// The tries that run here.
    #[must_use]
    pub fn running(&self) -> Vec<(TurnId, u32)> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().map(|(turn, gate)| (*turn, gate.attempt)).collect()
    }

    /// Forgets a turn that has ended.
    pub fn forget(&self, turn: TurnId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&turn);
    }

    /// Whether the turn has released a sentence. A turn that does not run here might have, so it counts as if.
    #[must_use]
    pub fn may_have_released(&self, turn: TurnId) -> bool {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&turn).cloned();
        gate.is_none_or(|gate| gate.has_released())
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
        assert!(gates.may_have_released(turn), "unknown turns are treated with care");
        let gate = gates.open(turn, 2);
        assert_eq!(gates.running(), [(turn, 2)]);
        gates.shut_through(turn, 1);
        assert!(!gates.may_have_released(turn));
        let mut passed = 0;
        assert!(gate.release(|| passed += 1));
        assert!(gates.may_have_released(turn));
        gates.shut(turn);
        assert!(!gate.release(|| passed += 1));
        assert_eq!(passed, 1);
        assert!(gate.stopped().is_cancelled());
    }
}
