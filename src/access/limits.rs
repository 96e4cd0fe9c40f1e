//! How often each address, agent and contact may ask.
//!
//! Time comes from the injected clock, so that tests can hold it still.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::api::ApiError;
use crate::clock::{Clock, Timestamp};
use crate::ids::{AgentId, ContactId};

/// Failed sign-ins in a row before each further one must wait.
const FREE_FAILURES: u32 = 3;
/// The longest wait between two sign-ins that fail.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// After how long failed sign-ins are forgotten.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// Checks between two clean-ups of keys that have recovered.
const SWEEP_EVERY: u32 = 4_096;
/// Keys remembered for failed sign-ins at most.
const MAX_REMEMBERED: usize = 100_000;

/// The rates, with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Sign-ins per minute for one address and one e-mail.
    pub sign_in_per_minute: NonZeroU32,
    /// Sign-ins per minute for one address, whatever the e-mail.
    pub sign_in_address_per_minute: NonZeroU32,
    /// Messages per minute of one contact.
    pub visitor_messages_per_minute: NonZeroU32,
    /// Messages of one contact at once.
    pub visitor_messages_burst: NonZeroU32,
    /// New visitor sessions per minute for one address.
    pub visitor_sessions_per_minute: NonZeroU32,
    /// API requests per second of one agent.
    pub agent_requests_per_second: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        Self::from(&crate::config::Limits::default())
    }
}

impl From<&crate::config::Limits> for Rates {
    fn from(limits: &crate::config::Limits) -> Self {
        Self {
            sign_in_per_minute: limits.sign_in_per_minute,
            sign_in_address_per_minute: limits.sign_in_address_per_minute,
            visitor_messages_per_minute: limits.visitor_messages_per_minute,
            visitor_messages_burst: limits.visitor_messages_burst,
            visitor_sessions_per_minute: limits.visitor_sessions_per_minute,
            agent_requests_per_second: limits.agent_requests_per_second,
        }
    }
}

/// Asked too often; the caller may come back after the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("asked too often; try again in {} ms", retry_after.as_millis())]
pub struct Limited {
    /// How long to wait.
    pub retry_after: Duration,
}

impl From<Limited> for ApiError {
    fn from(limited: Limited) -> Self {
        Self::rate_limited(limited.retry_after)
    }
}

/// Our clock, as the limiter asks for it.
#[derive(Debug, Clone)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        // A clock that is set back must not refuse everybody until it has caught up.
        self.0.steady().into()
    }
}

/// One rate for each key.
pub struct Limiter<K: Hash + Eq + Clone> {
    inner: RateLimiter<K, DashMapStateStore<K>, Ticks, NoOpMiddleware<Nanos>>,
    clock: Ticks,
    checks: AtomicU32,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(quota: Quota, clock: &Clock) -> Self {
        let clock = Ticks(clock.clone());
        let inner = RateLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        Self { inner, clock, checks: AtomicU32::new(0) }
    }

    /// Counts one request of `key`.
    ///
    /// # Errors
    /// [`Limited`] when it has asked too often.
    pub fn check(&self, key: &K) -> Result<(), Limited> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.inner.retain_recent();
        }
        self.inner
            .check_key(key)
            .map_err(|until| Limited { retry_after: until.wait_time_from(self.clock.now()) })
    }
}

type SignInKey = (IpAddr, String);

/// Failed sign-ins in a row, each making the next wait longer.
struct Failures {
    clock: Clock,
    seen: Mutex<HashMap<SignInKey, Streak>>,
}

#[derive(Clone, Copy)]
struct Streak {
    failures: u32,
    at: Timestamp,
}

impl Streak {
    fn wait(self) -> Duration {
        let over = self.failures.saturating_sub(FREE_FAILURES);
        if over == 0 {
            return Duration::ZERO;
        }
        Duration::from_secs(1_u64 << over.min(16)).min(LONGEST_WAIT)
    }
}

impl Failures {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<SignInKey, Streak>) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check(&self, key: &SignInKey) -> Result<(), Limited> {
        let now = self.clock.now();
        let Some(streak) = self.with(|seen| seen.get(key).copied()) else { return Ok(()) };
        let retry_after = streak.wait().saturating_sub(now.since(streak.at));
        if retry_after.is_zero() { Ok(()) } else { Err(Limited { retry_after }) }
    }

    fn record(&self, key: SignInKey) {
        let now = self.clock.now();
        self.with(|seen| {
            if seen.len() >= MAX_REMEMBERED {
                seen.retain(|_, streak| now.since(streak.at) < LONGEST_WAIT);
            }
            if seen.len() >= MAX_REMEMBERED {
                // Still full: a flood from many addresses. The per-minute rates go on holding.
                seen.clear();
            }
            let streak = seen.entry(key).or_insert(Streak { failures: 0, at: now });
            if now.since(streak.at) >= FORGET_AFTER {
                streak.failures = 0;
            }
            streak.failures = streak.failures.saturating_add(1);
            streak.at = now;
        });
    }

    fn forget(&self, key: &SignInKey) {
        self.with(|seen| seen.remove(key));
    }
}

/// Every limit of the installation.
pub struct RateLimits {
    sign_in: Limiter<SignInKey>,
    sign_in_address: Limiter<IpAddr>,
    failures: Failures,
    visitor_messages: Limiter<ContactId>,
    visitor_sessions: Limiter<IpAddr>,
    agent_api: Limiter<AgentId>,
}

impl RateLimits {
    /// With these rates.
    #[must_use]
    pub fn new(rates: &Rates, clock: &Clock) -> Self {
        let messages = Quota::per_minute(rates.visitor_messages_per_minute)
            .allow_burst(rates.visitor_messages_burst);
        Self {
            sign_in: Limiter::new(Quota::per_minute(rates.sign_in_per_minute), clock),
            sign_in_address: Limiter::new(
                Quota::per_minute(rates.sign_in_address_per_minute),
                clock,
            ),
            failures: Failures { clock: clock.clone(), seen: Mutex::default() },
            visitor_messages: Limiter::new(messages, clock),
            visitor_sessions: Limiter::new(
                Quota::per_minute(rates.visitor_sessions_per_minute),
                clock,
            ),
            agent_api: Limiter::new(Quota::per_second(rates.agent_requests_per_second), clock),
        }
    }

    /// Before a password is looked at.
    ///
    /// # Errors
    /// [`Limited`] when this address, alone or with this e-mail, has tried too often.
    pub fn sign_in(&self, address: IpAddr, email: &str) -> Result<(), Limited> {
        let address = network(address);
        self.sign_in_address.check(&address)?;
        let key = (address, email.to_owned());
        self.failures.check(&key)?;
        self.sign_in.check(&key)
    }

    /// After a password was wrong: the next try waits longer.
    pub fn sign_in_failed(&self, address: IpAddr, email: &str) {
        self.failures.record((network(address), email.to_owned()));
    }

    /// After a password was right.
    pub fn sign_in_succeeded(&self, address: IpAddr, email: &str) {
        self.failures.forget(&(network(address), email.to_owned()));
    }

    /// Before an invitation is looked at.
    ///
    /// # Errors
    /// [`Limited`] when this address has tried too often.
    pub fn invitation(&self, address: IpAddr) -> Result<(), Limited> {
        self.sign_in_address.check(&network(address))
    }

    /// Before a visitor's message is taken.
    ///
    /// # Errors
    /// [`Limited`] when this contact writes too fast.
    pub fn visitor_message(&self, contact: ContactId) -> Result<(), Limited> {
        self.visitor_messages.check(&contact)
    }

    /// Before a new contact is made for an address.
    ///
    /// # Errors
    /// [`Limited`] when this address has started too many.
    pub fn visitor_session(&self, address: IpAddr) -> Result<(), Limited> {
        self.visitor_sessions.check(&network(address))
    }

    /// Before any request of an agent.
    ///
    /// # Errors
    /// [`Limited`] when this agent asks too fast.
    pub fn agent_request(&self, agent: AgentId) -> Result<(), Limited> {
        self.agent_api.check(&agent)
    }
}

/// One household, one key: an IPv6 customer owns a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    fn limits() -> (RateLimits, Clock) {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        (RateLimits::new(&Rates::default(), &clock), clock)
    }

    fn allowed(mut try_once: impl FnMut() -> Result<(), Limited>) -> usize {
        (0..200).take_while(|_| try_once().is_ok()).count()
    }

    #[test]
    fn a_contact_may_burst_then_waits_for_its_rate() {
        let (limits, clock) = limits();
        let contact: ContactId = Ids.fresh();
        assert_eq!(allowed(|| limits.visitor_message(contact)), 10);
        let limited = limits.visitor_message(contact).expect_err("limited");
        assert_eq!(limited.retry_after, Duration::from_secs(3));
        clock.advance(limited.retry_after);
        assert_eq!(allowed(|| limits.visitor_message(contact)), 1);
        assert_eq!(allowed(|| limits.visitor_message(Ids.fresh())), 200);
    }

    #[test]
    fn sign_ins_are_counted_by_address_and_email() {
        let (limits, _) = limits();
        let here: IpAddr = "192.0.2.1".parse().expect("address");
        assert_eq!(allowed(|| limits.sign_in(here, "a@b.c")), 10);
        assert_eq!(allowed(|| limits.sign_in(here, "d@b.c")), 10);
    }

    #[test]
    fn failures_make_the_next_try_wait_longer() {
        let (limits, clock) = limits();
        let here: IpAddr = "192.0.2.1".parse().expect("address");
        let mut waits = Vec::new();
        for _ in 0..6 {
            clock.advance(LONGEST_WAIT);
            limits.sign_in(here, "a@b.c").expect("waited long enough");
            limits.sign_in_failed(here, "a@b.c");
            waits.push(limits.sign_in(here, "a@b.c").err().map(|l| l.retry_after.as_secs()));
        }
        assert_eq!(waits, [None, None, None, Some(2), Some(4), Some(8)]);
        limits.sign_in_succeeded(here, "a@b.c");
        assert_eq!(limits.sign_in(here, "a@b.c"), Ok(()));
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let one: IpAddr = "2001:db8::1".parse().expect("address");
        let two: IpAddr = "2001:db8::ffff:2".parse().expect("address");
        assert_eq!(network(one), network(two));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("address");
        assert_eq!(network(mapped).to_string(), "192.0.2.1");
    }
}
