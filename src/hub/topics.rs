//! Keyed broadcast: whoever subscribes to a key hears what is published under it, until it lags or leaves.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use tokio::sync::broadcast;

/// Keyed broadcast channels, made on the first subscription and dropped with the last.
pub struct Topics<K, T> {
    channels: Mutex<HashMap<K, broadcast::Sender<T>>>,
    capacity: usize,
}

impl<K: Eq + Hash + Clone, T: Clone> Topics<K, T> {
    /// Channels that hold `capacity` messages for the slowest subscriber; beyond that it is told that it lags.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { channels: Mutex::default(), capacity }
    }

    /// Hears everything published under `key` from now on.
    pub fn subscribe(&self, key: K) -> broadcast::Receiver<T> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if channels.len() > 64 && channels.len().is_multiple_of(64) {
            channels.retain(|_, sender| sender.receiver_count() > 0);
        }
        channels.entry(key).or_insert_with(|| broadcast::channel(self.capacity).0).subscribe()
    }

    /// Tells every subscriber of `key`; nobody there is fine.
    pub fn publish(&self, key: &K, message: T) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = channels.get(key)
            && sender.send(message).is_err()
        {
            channels.remove(key);
        }
    }

    /// How many listen under `key`.
    pub fn listeners(&self, key: &K) -> usize {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.get(key).map_or(0, broadcast::Sender::receiver_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_subscribers_of_the_key_hear_in_order() {
        let topics = Topics::new(8);
        let mut one = topics.subscribe(1);
        let mut two = topics.subscribe(2);
        topics.publish(&1, "a");
        topics.publish(&1, "b");
        topics.publish(&3, "nobody");
        assert_eq!(one.recv().await, Ok("a"));
        assert_eq!(one.recv().await, Ok("b"));
        assert!(two.try_recv().is_err());
        drop(one);
        topics.publish(&1, "gone");
        assert_eq!(topics.listeners(&1), 0);
    }
}
