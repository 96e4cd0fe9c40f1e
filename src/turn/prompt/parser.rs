//! Reading a model's answer as it streams: control marks are obeyed, citation marks collected, sentences released.
//!
//! Invariant: nothing between square brackets reaches a visitor before it is known not to be a mark, however the marks are
//! split over deltas; after a control mark nothing is released at all.

use std::collections::BTreeSet;

use crate::text::{SentenceSplitter, is_unwanted};

/// A mark longer than this is none.
const MAX_MARK_CHARS: usize = 40;

/// The longest reason kept, in characters.
const MAX_REASON_CHARS: usize = 300;

/// What an answer turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Words for the visitor.
    Answer {
        /// All released sentences, without marks.
        text: String,
        /// Numbers of the passages cited, ascending.
        cited: Vec<usize>,
    },
    /// The passages do not answer the question.
    NoAnswer,
    /// The job description says that a person must do it.
    Handoff {
        /// For the colleague; may be empty.
        reason: String,
    },
    /// Nothing at all.
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    NoAnswer,
    Handoff,
}

/// Reads an answer as it streams.
#[derive(Debug)]
pub struct AnswerParser {
    passages: usize,
    /// From an opening bracket on, while it may still become a mark.
    pending: String,
    /// White space that is dropped if a citation mark follows.
    space: String,
    sentences: SentenceSplitter,
    /// A word has come.
    begun: bool,
    released: String,
    cited: BTreeSet<usize>,
    control: Option<Control>,
    reason: String,
}

impl AnswerParser {
    /// A parser for an answer whose prompt held passages numbered up to `passages`.
    #[must_use]
    pub fn new(passages: usize) -> Self {
        Self {
            passages,
            pending: String::new(),
            space: String::new(),
            sentences: SentenceSplitter::default(),
            begun: false,
            released: String::new(),
            cited: BTreeSet::new(),
            control: None,
            reason: String::new(),
        }
    }

    /// Adds a delta and returns the sentences that may now be shown, each with its trailing space.
    pub fn push(&mut self, delta: &str) -> Vec<String> {
        let mut clean = String::new();
        for c in delta.chars().filter(|c| !is_unwanted(*c)) {
            self.read(c, &mut clean);
        }
        self.release(&clean)
    }

    /// What has been released so far. If the outcome is not an answer, the visitor may have read it.
    #[must_use]
    pub fn released(&self) -> &str {
        &self.released
    }

    /// Numbers of the passages cited so far.
    #[must_use]
    pub fn cited(&self) -> Vec<usize> {
        self.cited.iter().copied().collect()
    }

    /// Ends a complete answer: the last sentence, if it had not been released, and what it all was.
    #[must_use]
    pub fn finish(mut self) -> (Option<String>, Outcome) {
        let mut clean = String::new();
        // Each round shows at least one character of what is pending, so this ends.
        while !self.pending.is_empty() {
            if let Some(control) = begun_control(&self.pending) {
                self.control = self.control.or(Some(control));
                break;
            }
            if is_begun_mark(&self.pending) {
                break;
            }
            self.flush(&mut clean);
        }
        let mut last = self.sentences.push(&clean).concat();
        last.push_str(self.sentences.finish().unwrap_or_default().trim_end());
        if self.control.is_some() {
            last.clear();
        }
        // What is all punctuation (the empty shell of a mark in bold) is not worth a message.
        if self.released.is_empty() && !last.contains(char::is_alphanumeric) && !is_symbolic(&last)
        {
            last.clear();
        }
        self.released.push_str(&last);
        let outcome = match self.control {
            Some(Control::NoAnswer) => Outcome::NoAnswer,
            Some(Control::Handoff) => Outcome::Handoff { reason: tidy(&self.reason) },
            None if self.released.trim().is_empty() => Outcome::Empty,
            None => Outcome::Answer {
                text: self.released.trim().to_owned(),
                cited: self.cited.into_iter().collect(),
            },
        };
        ((!last.is_empty()).then_some(last), outcome)
    }

    fn read(&mut self, c: char, clean: &mut String) {
        if self.control.is_some() {
            if self.reason.len() < MAX_REASON_CHARS * 4 {
                self.reason.push(c);
            }
            return;
        }
        if !self.pending.is_empty() {
            self.pending.push(c);
            self.settle(clean);
        } else if matches!(c, '[' | '【') {
            self.pending.push(c);
        } else if c.is_whitespace() {
            self.space.push(c);
        } else {
            // Nothing is shown before the first word.
            let space = std::mem::take(&mut self.space);
            if std::mem::replace(&mut self.begun, true) {
                clean.push_str(&space);
            }
            clean.push(c);
        }
    }

    /// Decides what the pending bracket is, as soon as that is certain.
    fn settle(&mut self, clean: &mut String) {
        let double = self.pending.starts_with("[[");
        // `[[handoff: the reason]]`: the reason inside the mark instead of behind it, with or without the colon.
        let name = self.pending.trim_end_matches(|c: char| !c.is_alphabetic() && c != ']');
        if double
            && name.len() < self.pending.len()
            && let Some(control) = control(name)
        {
            self.control = Some(control);
            self.pending.clear();
            return;
        }
        let closed = if double {
            self.pending.ends_with("]]")
        } else {
            self.pending.ends_with([']', '】'])
        };
        let inner = self.pending.trim_matches(['[', ']', '【', '】']);
        if closed {
            if let Some(control) = control(inner) {
                self.control = Some(control);
            } else if let Some(numbers) = numbers(inner) {
                self.cited.extend(numbers.into_iter().filter(|n| (1..=self.passages).contains(n)));
            } else if !(double && is_name(inner)) {
                self.flush(clean);
                return;
            }
            if !self.space.contains('\n') {
                self.space.clear();
            }
            self.pending.clear();
            return;
        }
        // `[[x]` may still become `[[x]]`; a line break or too many characters settle it.
        if self.pending.contains('\n') || self.pending.chars().count() > MAX_MARK_CHARS {
            self.flush(clean);
        }
    }

    /// The pending bracket begins no mark: it is shown. What stands behind it is read again, since a mark may begin there.
    fn flush(&mut self, clean: &mut String) {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.chars();
        let Some(bracket) = rest.next() else { return };
        let space = std::mem::take(&mut self.space);
        if std::mem::replace(&mut self.begun, true) {
            clean.push_str(&space);
        }
        clean.push(bracket);
        for c in rest {
            self.read(c, clean);
        }
    }

    fn release(&mut self, clean: &str) -> Vec<String> {
        let complete = self.sentences.push(clean);
        if self.control.is_some() {
            return Vec::new();
        }
        for sentence in &complete {
            self.released.push_str(sentence);
        }
        complete
    }
}

/// The control mark of that name, however it is spelled.
fn control(inner: &str) -> Option<Control> {
    match squeezed(inner).as_str() {
        "noanswer" => Some(Control::NoAnswer),
        "handoff" => Some(Control::Handoff),
        _ => None,
    }
}

/// The control mark that a text cut off at its end must have become.
fn begun_control(pending: &str) -> Option<Control> {
    let name = squeezed(pending.strip_prefix("[[")?.trim_end_matches(']'));
    let begun = |full: &str| name.len() >= 3 && full.starts_with(&name);
    if begun("noanswer") {
        Some(Control::NoAnswer)
    } else if begun("handoff") {
        Some(Control::Handoff)
    } else {
        None
    }
}

/// A mark cut off at its end: not worth showing.
fn is_begun_mark(pending: &str) -> bool {
    let inner = pending.trim_start_matches(['[', '【']);
    pending.starts_with("[[") || inner.chars().all(|c| c.is_ascii_digit() || c == ',' || c == ' ')
}

fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect()
}

/// A name such as only marks have; an unknown mark is dropped, not shown.
fn is_name(inner: &str) -> bool {
    !inner.is_empty()
        && inner.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '))
}

/// `1`, `1, 2`, `^3`, `passage 4`, `5†source`; none for anything else, years among them.
fn numbers(inner: &str) -> Option<Vec<usize>> {
    let inner = inner.split('†').next().unwrap_or(inner).trim();
    let inner = ["passage", "Passage", "source", "Source", "^", "#"]
        .iter()
        .find_map(|prefix| inner.strip_prefix(prefix))
        .unwrap_or(inner);
    let numbers: Option<Vec<usize>> = inner
        .split([',', ';', '&'])
        .map(|part| part.trim().trim_start_matches('^').parse().ok().filter(|n| *n < 100))
        .collect();
    numbers.filter(|numbers| !numbers.is_empty())
}

/// An emoji is an answer too.
fn is_symbolic(text: &str) -> bool {
    text.chars().any(|c| !c.is_ascii() && !c.is_whitespace() && !"…“”‘’–—".contains(c))
}

/// One line, of a length people read.
fn tidy(reason: &str) -> String {
    let words: Vec<&str> = reason.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.trim_matches(['*', '`', '"', ':', '-', ' ', ']']);
    line.chars().take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses whole, and one character at a time: both must agree.
    fn parse(text: &str, passages: usize) -> (Vec<String>, Outcome) {
        let run = |deltas: Vec<String>| {
            let mut parser = AnswerParser::new(passages);
            let mut shown: Vec<String> = Vec::new();
            for delta in deltas {
                shown.extend(parser.push(&delta));
            }
            let (last, outcome) = parser.finish();
            shown.extend(last);
            (shown, outcome)
        };
        let whole = run(vec![text.to_owned()]);
        let drops = run(text.chars().map(String::from).collect());
        assert_eq!(whole.1, drops.1, "{text}");
        assert_eq!(whole.0.concat().trim_end(), drops.0.concat().trim_end(), "{text}");
        drops
    }

    fn check(text: &str, shown: &str, cited: &[usize]) {
        let (sentences, outcome) = parse(text, 3);
        let expected = Outcome::Answer { text: shown.to_owned(), cited: cited.to_vec() };
        assert_eq!(outcome, expected, "{text}");
        assert_eq!(sentences.concat().trim_end(), shown, "{text}");
    }

    #[test]
    fn what_an_unclosed_bracket_holds_back_is_said_once() {
        check("It takes 5 days. [see the page. Free", "It takes 5 days. [see the page. Free", &[]);
    }

    #[test]
    fn a_mark_may_hold_its_reason_without_a_colon() {
        for text in [
            "[[handoff refund above the limit]]",
            "[[hand-off: refund above the limit]]",
            "[[HANDOFF refund above the limit, so that a colleague has to look]]",
        ] {
            let (shown, outcome) = parse(text, 3);
            assert!(shown.is_empty(), "{shown:?}");
            let Outcome::Handoff { reason } = outcome else { panic!("{text}: {outcome:?}") };
            assert!(reason.starts_with("refund above the limit"), "{reason}");
        }
        let (_, outcome) = parse("[[no answer (not in the passages)]]", 3);
        assert_eq!(outcome, Outcome::NoAnswer);
    }

    #[test]
    fn citation_marks_are_collected_and_never_shown() {
        check(
            "Refunds take five days. [1] Shipping is free. [2]",
            "Refunds take five days. Shipping is free.",
            &[1, 2],
        );
        check("Refunds take five days [1]. Yes.", "Refunds take five days. Yes.", &[1]);
        check("Refunds[1][3], quick.", "Refunds, quick.", &[1, 3]);
        check("Both [1, 2] and [^3] count.", "Both and count.", &[1, 2, 3]);
        check("Also 【2†source】 this.", "Also this.", &[2]);
        check("Out of range [9] [0] [12].", "Out of range.", &[]);
        check("[2] Starts with it.", "Starts with it.", &[2]);
        check("One. [1]\n\nTwo. [2]\n- three [3]", "One.\n\nTwo.\n- three", &[1, 2, 3]);
        check("Ends in a cut mark. [1", "Ends in a cut mark.", &[]);
        check("Passage named [passage 2].", "Passage named.", &[2]);
    }

    #[test]
    fn other_brackets_stay() {
        check(
            "See [our page](https://x.y/z) for it.",
            "See [our page](https://x.y/z) for it.",
            &[],
        );
        check("Since [2024] and [x].", "Since [2024] and [x].", &[]);
        check("A [ ] box and a[b", "A [ ] box and a[b", &[]);
        check(
            "Hi [a very long bracket that cannot be a mark at all, really]",
            "Hi [a very long bracket that cannot be a mark at all, really]",
            &[],
        );
    }

    #[test]
    fn control_marks_are_obeyed_and_never_shown() {
        for text in [
            "[[no_answer]]",
            " [[NO_ANSWER]]\n",
            "**[[no_answer]]**",
            "[no_answer]",
            "[[no answer]] Sorry.",
            "[[no_ans",
        ] {
            let (shown, outcome) = parse(text, 3);
            assert_eq!(outcome, Outcome::NoAnswer, "{text}");
            assert_eq!(shown.concat(), "", "{text}");
        }
        let (shown, outcome) = parse("[[handoff]] Refund of Rp900.000,\nabove the limit.", 3);
        let reason = "Refund of Rp900.000, above the limit.".to_owned();
        assert_eq!(outcome, Outcome::Handoff { reason });
        assert!(shown.is_empty());
        let (shown, outcome) = parse("I will pass you on [[handoff]]: refund", 3);
        assert_eq!(outcome, Outcome::Handoff { reason: "refund".into() });
        assert!(shown.is_empty(), "an unfinished sentence is not released: {shown:?}");
        let (shown, outcome) = parse("[[Handoff: above the limit]]", 3);
        assert_eq!(outcome, Outcome::Handoff { reason: "above the limit".into() });
        assert!(shown.is_empty(), "{shown:?}");
        let (shown, outcome) = parse("Hello. [[handoff]] refund", 3);
        assert_eq!(outcome, Outcome::Handoff { reason: "refund".into() });
        assert!(shown.concat().len() <= "Hello. ".len());
        check("Odd \u{202E}way\u{202C} and \0 nothing.\r\n", "Odd way and  nothing.", &[]);
        check("Unknown [[thing]] marks vanish.", "Unknown marks vanish.", &[]);
    }

    #[test]
    fn nothing_is_empty() {
        for text in ["", "  \n", "[1]", "**", "``"] {
            assert_eq!(parse(text, 3).1, Outcome::Empty, "{text:?}");
        }
        check("👍", "👍", &[]);
    }

    #[test]
    fn sentences_come_as_soon_as_they_are_certain() {
        let mut parser = AnswerParser::new(1);
        assert!(parser.push("Refunds take five days.").is_empty());
        assert!(parser.push(" [").is_empty());
        assert!(parser.push("1").is_empty());
        assert!(parser.push("]").is_empty());
        assert_eq!(parser.push(" T"), vec!["Refunds take five days. "]);
        assert_eq!(parser.released(), "Refunds take five days. ");
        assert_eq!(parser.cited(), vec![1]);
    }
}
