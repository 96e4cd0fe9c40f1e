//! A gate in a stream: a test holds an answer in the middle and lets it go on, without a clock.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Holds every stream it is given to after so many tokens, until it is opened.
#[derive(Debug, Clone)]
pub struct Gate {
    after: usize,
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// A closed gate behind `tokens` tokens; 0 = before the first.
    #[must_use]
    pub fn after(tokens: usize) -> Self {
        Self {
            after: tokens,
            arrived: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    /// Where in the stream it stands.
    #[must_use]
    pub fn position(&self) -> usize {
        self.after
    }

    /// Waits until a stream has arrived at the gate. Each arrival is seen once.
    pub async fn arrived(&self) {
        // The semaphore is never closed.
        if let Ok(permit) = self.arrived.acquire().await {
            permit.forget();
        }
    }

    /// Lets one waiting stream, or the next to come, pass.
    pub fn let_one_pass(&self) {
        self.open.add_permits(1);
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.open.close();
    }

    /// A stream has come to the gate and waits.
    pub(super) async fn pass(&self) {
        self.arrived.add_permits(1);
        // A closed semaphore is an open gate.
        if let Ok(permit) = self.open.acquire().await {
            permit.forget();
        }
    }
}
