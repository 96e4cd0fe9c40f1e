//! From the AI to people and back: the timers that keep promises, the alarms of broken ones, the queue.
//!
//! What an obligation is and when an alarm is raised is decided by the conversation's machine; here is what makes its
//! timers fire and what agents and visitors are shown of them.

#[cfg(test)]
pub(crate) mod testing;
mod timers;

pub use timers::Timers;
