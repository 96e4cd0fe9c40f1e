//! Fitting what was said into what is left of a token budget.

use super::Said;
use crate::model::fence;
use crate::model::tokens::{FENCE_TOKENS, Left, TokenBudget};

/// The longest piece of one message in a digest, in characters.
const DIGEST_CHARS: usize = 160;

/// Cuts words in the middle until they fit into `limit` tokens together, the newest keeping most. Returns whether any were.
pub(super) fn truncate(said: &mut [Said], limit: usize, budget: &TokenBudget) -> bool {
    let mut left = limit;
    let mut truncated = false;
    for said in said.iter_mut().rev() {
        while budget.cost(&said.text) + FENCE_TOKENS > left && said.text.chars().count() > 80 {
            let keep = said.text.chars().count() * 2 / 3;
            said.text = cut_middle(&said.text, keep);
            truncated = true;
        }
        left = left.saturating_sub(budget.cost(&said.text) + FENCE_TOKENS);
    }
    truncated
}

/// The first and last parts of a text, `keep` characters in all.
fn cut_middle(text: &str, keep: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    let head = keep / 2;
    let tail = chars.len().saturating_sub(keep - head);
    let (head, tail) = (&chars[..head.min(chars.len())], &chars[tail..]);
    head.iter().chain(&[' ', '[', '…', ']', ' ']).chain(tail).collect()
}

/// What was said before the recent history, one shortened line a message; the newest lines that fit.
pub(super) fn digest(older: &[Said], left: &mut Left<'_>) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    for said in older.iter().rev() {
        let line = digested(said);
        if !left.take(&fence::defuse(&line)) {
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The same where everything fits.
pub(super) fn whole_digest(older: &[Said]) -> Option<String> {
    let lines: Vec<String> = older.iter().map(digested).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn digested(said: &Said) -> String {
    let first = said.text.split_inclusive(['.', '!', '?', '\n']).next().unwrap_or("").trim();
    format!("{}: {}", said.speaker, shorten(first, DIGEST_CHARS))
}

fn shorten(text: &str, chars: usize) -> String {
    let mut short: String = text.chars().take(chars).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
