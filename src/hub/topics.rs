//! Keyed broadcast: whoever subscribes to a key hears what is published under it, until it lags or leaves.
//!
//! Thousands of visitors listen and hardly ever hear anything, so a subscriber costs no room before there is something for it:
//! the ring of a broadcast channel is there from the start, for each key.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Room that an empty queue may keep for what comes next.
const KEPT: usize = 8;

/// Keyed broadcast, each key from its first subscription until its last one ends.
pub struct Topics<K, T> {
    ears: Mutex<HashMap<K, Vec<Weak<Ear<T>>>>>,
    capacity: usize,
}

/// One subscription. Dropping it ends it.
pub struct Hearing<T> {
    ear: Arc<Ear<T>>,
}

struct Ear<T> {
    unheard: Mutex<Unheard<T>>,
    comes: Notify,
}

/// What was published and not yet heard.
struct Unheard<T> {
    messages: VecDeque<T>,
    /// Lost since something was heard last: nothing of it is kept.
    lost: u64,
    is_over: bool,
}

impl<T> Ear<T> {
    fn lock(&self) -> MutexGuard<'_, Unheard<T>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Hearing<T> {
    /// The next message.
    ///
    /// # Errors
    /// When this subscription fell so far behind that messages were lost (it goes on with what comes after), or when there
    /// will be no more.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        loop {
            match self.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Lagged(lost)) => return Err(RecvError::Lagged(lost)),
                Err(TryRecvError::Closed) => return Err(RecvError::Closed),
                // What comes between the look and the wait leaves its permit.
                Err(TryRecvError::Empty) => self.ear.comes.notified().await,
            }
        }
    }

    /// The next message, if it is there.
    ///
    /// # Errors
    /// As [`Hearing::recv`]; and when there is none now.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut unheard = self.ear.lock();
        if unheard.lost > 0 {
            return Err(TryRecvError::Lagged(std::mem::take(&mut unheard.lost)));
        }
        let message = unheard.messages.pop_front();
        if unheard.messages.is_empty() {
            unheard.messages.shrink_to(KEPT);
        }
        message.ok_or(if unheard.is_over { TryRecvError::Closed } else { TryRecvError::Empty })
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Topics<K, T> {
    /// Keeps `capacity` messages for a subscriber; with one more, they are lost, and it is told that it lags.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { ears: Mutex::default(), capacity }
    }

    /// Hears everything published under `key` from now on.
    pub fn subscribe(&self, key: K) -> Hearing<T> {
        let unheard = Unheard { messages: VecDeque::new(), lost: 0, is_over: false };
        let ear = Arc::new(Ear { unheard: Mutex::new(unheard), comes: Notify::new() });
        let mut ears = self.lock();
        if ears.len() > 64 && ears.len().is_multiple_of(64) {
            ears.retain(|_, heard| heard.iter().any(|ear| ear.strong_count() > 0));
        }
        let heard = ears.entry(key).or_default();
        heard.retain(|ear| ear.strong_count() > 0);
        heard.push(Arc::downgrade(&ear));
        Hearing { ear }
    }

    /// Tells every subscriber of `key`; nobody there is fine.
    pub fn publish(&self, key: &K, message: T) {
        let mut ears = self.lock();
        let Some(heard) = ears.get_mut(key) else { return };
        heard.retain(|ear| {
            let Some(ear) = ear.upgrade() else { return false };
            let mut unheard = ear.lock();
            if unheard.messages.len() >= self.capacity {
                unheard.lost += u64::try_from(unheard.messages.len()).unwrap_or(u64::MAX);
                unheard.messages.clear();
            }
            unheard.messages.push_back(message.clone());
            drop(unheard);
            ear.comes.notify_one();
            true
        });
        if heard.is_empty() {
            ears.remove(key);
        }
    }

    /// How many listen under `key`.
    pub fn listeners(&self, key: &K) -> usize {
        let ears = self.lock();
        ears.get(key).map_or(0, |heard| heard.iter().filter(|ear| ear.strong_count() > 0).count())
    }
}

impl<K, T> Topics<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<Weak<Ear<T>>>>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> Drop for Topics<K, T> {
    fn drop(&mut self) {
        for ear in self.lock().values().flatten().filter_map(Weak::upgrade) {
            ear.lock().is_over = true;
            ear.comes.notify_one();
        }
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

    #[tokio::test]
    async fn who_falls_behind_is_told_how_much_is_lost_and_goes_on_after_it() {
        let topics = Topics::new(3);
        let mut slow = topics.subscribe(1);
        for number in 1..=5 {
            topics.publish(&1, number);
        }
        assert_eq!(slow.recv().await, Err(RecvError::Lagged(3)));
        assert_eq!((slow.recv().await, slow.recv().await), (Ok(4), Ok(5)));
        assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_message_and_by_the_end() {
        let topics = Arc::new(Topics::new(3));
        let mut waits = topics.subscribe(1);
        let waiting = tokio::spawn(async move { (waits.recv().await, waits.recv().await) });
        tokio::task::yield_now().await;
        topics.publish(&1, 7);
        tokio::task::yield_now().await;
        drop(topics);
        assert_eq!(waiting.await.expect("ends"), (Ok(7), Err(RecvError::Closed)));
    }

    #[test]
    fn an_idle_subscription_keeps_no_room() {
        let topics = Topics::new(256);
        let mut idle = topics.subscribe(1);
        assert_eq!(idle.ear.lock().messages.capacity(), 0);
        for number in 0..200 {
            topics.publish(&1, number);
        }
        while idle.try_recv().is_ok() {}
        assert!(idle.ear.lock().messages.capacity() <= KEPT);
    }
}
