//! Every parser of outside bytes, as a function that takes any bytes and panics if what it promises does not hold.
//!
//! For tests alone (the cargo feature `fuzzing`). `fuzz/` drives these functions by coverage; the test below runs each on its
//! seeds in `tests/fuzz` and on every input that once broke one. Beside not panicking, each states what must hold of the
//! result: cleaned text is clean, cuts fall at the same place however the input was chopped, data stays inside its fence.

mod knowledge;
mod model;
mod outside;
mod words;

/// A parser with what must hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: the folder of its seeds, and what the command line takes.
    pub name: &'static str,
    /// Feeds it.
    pub feed: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 14] = [
    Target { name: "user_text", feed: words::user_text },
    Target { name: "sentences", feed: words::sentences },
    Target { name: "terms", feed: words::terms },
    Target { name: "conditions", feed: words::conditions },
    Target { name: "answer", feed: model::answer },
    Target { name: "verdicts", feed: model::verdicts },
    Target { name: "help", feed: model::help },
    Target { name: "completion", feed: model::completion },
    Target { name: "prompt", feed: model::prompt },
    Target { name: "article", feed: knowledge::article },
    Target { name: "excerpts", feed: knowledge::excerpts },
    Target { name: "config", feed: outside::config },
    Target { name: "frames", feed: outside::frames },
    Target { name: "names", feed: outside::names },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// The bytes as text: what is no UTF-8 is replaced, as the door does.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The text in two parts, cut where its first byte says.
fn in_two(text: &str) -> (&str, &str) {
    let at = text.bytes().next().map_or(0, |byte| usize::from(byte) * text.len() / 256);
    text.split_at(text.floor_char_boundary(at))
}

/// The text chopped into pieces of changing size, as it might come over a wire.
fn chopped(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut rest, mut size) = (text, 1);
    while !rest.is_empty() {
        let mut end = rest.floor_char_boundary(size.min(rest.len()));
        if end == 0 {
            end = rest.chars().next().map_or(rest.len(), char::len_utf8);
        }
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
        size = size % 7 + 2;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_seed_and_every_input_that_once_broke_a_parser_passes() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        let folders = std::fs::read_dir(&seeds).expect("the seeds").count();
        assert_eq!(folders, TARGETS.len(), "a folder of seeds for each target, and no other");
        for Target { name, feed } in TARGETS {
            let files: Vec<_> = std::fs::read_dir(seeds.join(name))
                .unwrap_or_else(|_| panic!("{name} has no seeds"))
                .map(|entry| entry.expect("an entry").path())
                .collect();
            assert!(!files.is_empty(), "{name} has no seeds");
            for file in files {
                let bytes = std::fs::read(&file).expect("a seed");
                feed(&bytes);
                // Cut short and with a bit flipped, too: the nearest neighbours of what is right.
                for at in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
                    feed(&bytes[..at]);
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << (at % 8);
                    feed(&flipped);
                }
            }
        }
    }

    #[test]
    fn chopped_text_is_whole() {
        for text in ["", "a", "Grüße 👋 an 你好", "abcdefghijklmnopqrstuvwxyz"] {
            assert_eq!(chopped(text).concat(), text);
            let (one, two) = in_two(text);
            assert_eq!(format!("{one}{two}"), text);
        }
    }
}
