//! From the AI to people and back: the timers that keep promises, and how long the queue takes.
//!
//! What an obligation is and when an alarm is raised is decided by the conversation's machine; here is what makes its
//! timers fire. Alarms are shown by the inbox.

mod queue;
#[cfg(test)]
pub(crate) mod testing;
mod timers;

pub use queue::ExpectedWait;
pub use timers::Timers;
