//! Counting tokens: exact for models that use `o200k`, a calibrated estimate for all others.
//!
//! Invariant: loading the tokeniser (0.3 s, 45 MiB, once) never happens on an async thread, and not before somebody needs it: most
//! prompts fit by their bytes and are never counted. [`estimate`] starts it in the background and answers cautiously until it is
//! there.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, Once, PoisonError};

/// What an unknown model may need more than `o200k`: the tokenisers of common open models need 5 to 30 % more on mixed
/// text; 15 % is the middle, and [`Calibration`] corrects it from what the server reports.
pub const SAFETY_FACTOR: f64 = 1.15;

static LOADED: AtomicBool = AtomicBool::new(false);
static LOADING: Once = Once::new();

/// Tokens of a text in `o200k`. Exact; the first call loads the tokeniser, so not from an async thread before [`is_loaded`].
#[must_use]
pub fn count(text: &str) -> usize {
    let tokens = tiktoken_rs::o200k_base_singleton().count_ordinary(text);
    LOADED.store(true, Ordering::Release);
    tokens
}

/// Counts that were made before. Rules, passages and earlier messages come back turn after turn, and counting them costs
/// more than the rest of a turn.
static COUNTED: LazyLock<Counted> = LazyLock::new(Counted::default);

/// How many counts are remembered before all are forgotten: half a megabyte of them.
const MAX_COUNTED: usize = 16_384;

#[derive(Default)]
struct Counted {
    /// Keyed by chance, so that nobody can write two texts that are taken for each other.
    state: RandomState,
    counts: Mutex<HashMap<u64, usize>>,
}

impl Counted {
    fn of(&self, text: &str) -> usize {
        let key = self.state.hash_one(text);
        let counts = || self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts().get(&key).copied();
        known.unwrap_or_else(|| {
            let tokens = count(text);
            let mut counts = counts();
            if counts.len() >= MAX_COUNTED {
                counts.clear();
            }
            counts.insert(key, tokens);
            tokens
        })
    }
}

/// Tokens of a text without ever blocking: exact once the tokeniser is there, cautious until then.
#[must_use]
pub fn estimate(text: &str) -> usize {
    if is_loaded() {
        return COUNTED.of(text);
    }
    LOADING.call_once(|| {
        let load = || {
            let _ = count("");
        };
        // Without a thread the estimate stays cautious, which is safe.
        let _ = std::thread::Builder::new().name("tokens".into()).spawn(load);
    });
    cautious(text)
}

/// Whether counting is exact by now.
#[must_use]
pub fn is_loaded() -> bool {
    LOADED.load(Ordering::Acquire)
}

/// More than the real number in every language measured: ASCII has about four characters a token, other scripts about two
/// bytes.
fn cautious(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    ascii.div_ceil(3) + (text.len() - ascii).div_ceil(2)
}

/// How a model's own token count compares with ours. Shared between requests; learns from what the server reports.
#[derive(Debug)]
pub struct Calibration {
    /// The factor's bits.
    factor: AtomicU32,
}

impl Default for Calibration {
    fn default() -> Self {
        Self::starting_at(SAFETY_FACTOR)
    }
}

impl Calibration {
    /// A known factor to start from; 1.0 for models that use `o200k`.
    #[must_use]
    pub fn starting_at(factor: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a factor near one needs no more")]
        Self { factor: AtomicU32::new((factor as f32).to_bits()) }
    }

    /// The factor to multiply our count by.
    #[must_use]
    pub fn factor(&self) -> f64 {
        f64::from(f32::from_bits(self.factor.load(Ordering::Relaxed)))
    }

    /// Learns from one request: what we counted and what the server charged. Goes up at once, comes down slowly; figures
    /// that cannot be a tokeniser's (a cached or rewritten prompt) are ignored.
    pub fn learn(&self, counted: usize, reported: u64) {
        /// Below this the chat template's own tokens outweigh the text's.
        const ENOUGH: usize = 200;
        if counted < ENOUGH {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let seen = reported as f64 / counted as f64;
        if !(0.5..=3.0).contains(&seen) {
            return;
        }
        let old = self.factor();
        let new = if seen > old { seen } else { old.mul_add(0.9, seen * 0.1) };
        #[expect(clippy::cast_possible_truncation, reason = "a factor near one needs no more")]
        self.factor.store((new as f32).to_bits(), Ordering::Relaxed);
    }
}

/// How many tokens a prompt may have, and how to count them.
#[derive(Debug, Clone, Copy)]
pub struct TokenBudget {
    limit: usize,
    factor: f64,
}

impl TokenBudget {
    /// A budget of `limit` of the model's tokens.
    #[must_use]
    pub fn new(limit: usize, calibration: &Calibration) -> Self {
        Self { limit, factor: calibration.factor() }
    }

    /// What is left for the prompt in a model's window once the answer has its room.
    #[must_use]
    pub fn for_window(context: usize, answer: u32, calibration: &Calibration) -> Self {
        Self::new(context.saturating_sub(answer as usize), calibration)
    }

    /// The limit in the model's tokens.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The part `1/parts` of what the fixed texts leave, with those texts still in it.
    #[must_use]
    pub fn share_of(whole: &Self, fixed: &[&str], parts: usize) -> Self {
        let used: usize = fixed.iter().map(|text| whole.cost(text)).sum();
        let room = whole.limit.saturating_sub(used) / parts.max(1);
        Self { limit: used + room, factor: whole.factor }
    }

    /// Whether the texts fit together whatever they say: no token is shorter than a byte.
    #[must_use]
    pub fn surely_fits(&self, texts: &[&str]) -> bool {
        texts.iter().map(|text| text.len()).sum::<usize>() <= self.limit
    }

    /// Whether the texts fit together. No token is shorter than a byte, so texts whose bytes fit are not counted.
    #[must_use]
    pub fn fits(&self, texts: &[&str]) -> bool {
        self.surely_fits(texts)
            || texts.iter().map(|text| self.cost(text)).sum::<usize>() <= self.limit
    }

    /// The tokens a text costs in this budget.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "token counts are positive and far below 2^52"
    )]
    #[must_use]
    pub fn cost(&self, text: &str) -> usize {
        (estimate(text) as f64 * self.factor).ceil() as usize
    }
}

/// Tokens that a block's marks, number and names cost beside its words.
pub(crate) const FENCE_TOKENS: usize = 30;

/// What is left of a budget.
pub(crate) struct Left<'a> {
    budget: &'a TokenBudget,
    tokens: usize,
}

impl<'a> Left<'a> {
    /// What is left after texts that must be there in any case.
    pub fn after(budget: &'a TokenBudget, fixed: &[&str]) -> Self {
        let used: usize = fixed.iter().map(|text| budget.cost(text)).sum();
        Self { budget, tokens: budget.limit().saturating_sub(used) }
    }

    /// Takes blocks that must be there in any case.
    pub fn spend<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        let used: usize = texts.map(|text| self.budget.cost(text) + FENCE_TOKENS).sum();
        self.tokens = self.tokens.saturating_sub(used);
    }

    /// Takes a block of these words if it fits.
    pub fn take(&mut self, text: &str) -> bool {
        let cost = self.budget.cost(text) + FENCE_TOKENS;
        let fits = cost <= self.tokens;
        if fits {
            self.tokens -= cost;
        }
        fits
    }

    /// How many of the newest texts fit, given newest first. The first that does not ends it: history has no holes.
    pub fn take_newest<'t>(&mut self, newest_first: impl Iterator<Item = &'t str>) -> usize {
        newest_first.take_while(|text| self.take(text)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_like_o200k_and_estimates_above_it() {
        assert_eq!(count("Hello, world!"), 4);
        for text in [
            "Refunds reach your account within five business days of our approval.",
            "Pengembalian dana sampai ke rekening Anda dalam lima hari kerja.",
            "您可以在七天内申请退款,我们会在五个工作日内处理。",
            "Le remboursement est effectué sous cinq jours ouvrés.",
        ] {
            assert!(cautious(text) >= count(text), "{text}");
            assert!(text.len() >= count(text), "{text}");
        }
    }

    #[test]
    fn calibration_rises_at_once_and_falls_slowly() {
        let calibration = Calibration::default();
        calibration.learn(1_000, 1_300);
        assert!((calibration.factor() - 1.3).abs() < 0.001);
        calibration.learn(1_000, 1_000);
        assert!((calibration.factor() - 1.27).abs() < 0.001);
        calibration.learn(10, 100);
        calibration.learn(1_000, 100);
        calibration.learn(1_000, 90_000);
        assert!((calibration.factor() - 1.27).abs() < 0.001);
    }

    #[test]
    fn a_budget_counts_only_when_bytes_do_not_settle_it() {
        let budget = TokenBudget::new(10, &Calibration::starting_at(1.0));
        assert!(budget.fits(&["12345", "67890"]));
        assert!(!budget.fits(&["one two three four five six seven eight nine ten eleven twelve"]));
    }
}
