//! Cuts running text into sentences while it is still arriving.
//!
//! Invariants: everything released, put together, is the input to the byte; where the cuts fall does not depend on how the
//! input was chopped up. A sentence is released once the first character of the next one is seen, because only then is it
//! known that no citation, closing quote or white space still belongs to it.

/// Collects text and releases complete sentences, each with the white space after it.
#[derive(Debug, Clone, Default)]
pub struct SentenceSplitter {
    waiting: String,
}

impl SentenceSplitter {
    /// Takes the next piece and returns the sentences that are now complete.
    pub fn push(&mut self, piece: &str) -> Vec<String> {
        self.waiting.push_str(piece);
        let mut released = Vec::new();
        while let Some(end) = first_cut(&self.waiting) {
            let rest = self.waiting.split_off(end);
            released.push(std::mem::replace(&mut self.waiting, rest));
        }
        released
    }

    /// The input is over: returns what is left.
    pub fn finish(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.waiting)).filter(|rest| !rest.is_empty())
    }
}

/// The sentences of a whole text; put together they are the text.
#[must_use]
pub fn sentences(text: &str) -> Vec<String> {
    let mut splitter = SentenceSplitter::default();
    let mut all = splitter.push(text);
    all.extend(splitter.finish());
    all
}

/// Where the first sentence ends, white space included; none while that is not certain.
fn first_cut(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let after = at + c.len_utf8();
        let cut = match c {
            '\n' => after_line(text, at),
            '。' | '！' | '？' | '｡' => after_mark(text, after, false),
            '.' | '…' if !ends_sentence(text, at) => Cut::No(after),
            '.' | '!' | '?' | '…' | '؟' | '۔' | '।' | '॥' => after_mark(text, after, true),
            _ => Cut::No(after),
        };
        match cut {
            Cut::At(end) => return Some(end),
            Cut::No(next) => at = next,
            Cut::Unknown => return None,
        }
    }
    None
}

enum Cut {
    /// The sentence ends here.
    At(usize),
    /// Not here; look on from there.
    No(usize),
    /// More input is needed.
    Unknown,
}

/// A line ends a sentence if a blank line, a list item, a heading, a quote or a table follows.
fn after_line(text: &str, at: usize) -> Cut {
    let gap = space(text, at);
    let Some(next) = text[gap..].chars().next() else { return Cut::Unknown };
    let blank_line = text[at..gap].matches('\n').count() > 1;
    let block =
        matches!(next, '-' | '*' | '+' | '#' | '|' | '>' | '•' | '`') || next.is_ascii_digit();
    if (blank_line || block) && !text[..at].trim().is_empty() { Cut::At(gap) } else { Cut::No(gap) }
}

/// After a closing mark: further marks, quotes, brackets and citations still belong to the sentence.
fn after_mark(text: &str, mut at: usize, needs_space: bool) -> Cut {
    at = skip(text, at, |c| {
        matches!(
            c,
            '.' | '!'
                | '?'
                | '…'
                | '。'
                | '！'
                | '？'
                | '"'
                | '\''
                | ')'
                | '»'
                | '”'
                | '’'
                | '」'
                | '』'
                | '）'
                | '》'
                | '*'
                | '_'
                | '`'
                | '~'
        )
    });
    let mut spaced = false;
    loop {
        let gap = space(text, at);
        let Some(next) = text[gap..].chars().next() else { return Cut::Unknown };
        if next == '[' || next == '【' {
            match citation(text, gap) {
                Cut::At(end) => {
                    at = end;
                    spaced = false;
                    continue;
                }
                Cut::Unknown => return Cut::Unknown,
                Cut::No(_) => {}
            }
        }
        spaced |= gap > at;
        let goes_on = needs_space && (!spaced || follows_on(text, gap, next));
        return if goes_on { Cut::No(gap) } else { Cut::At(gap) };
    }
}

/// A small letter after a full stop means that it was an abbreviation we do not know.
fn follows_on(text: &str, gap: usize, next: char) -> bool {
    let line_end = text[..gap].trim_end_matches([' ', '\t']).ends_with('\n');
    let stop = text[..gap].trim_end().ends_with(['.', '…']);
    stop && next.is_lowercase() && !line_end
}

/// `[1]`, `[^2]`, `[1, 2]` or `【1】` at `at`.
fn citation(text: &str, at: usize) -> Cut {
    let mut inside = text[at..].char_indices().skip(1);
    let mut digits = 0;
    loop {
        match inside.next() {
            None => return Cut::Unknown,
            Some((i, ']' | '】')) if digits > 0 => {
                return Cut::At(at + i + if text[at + i..].starts_with(']') { 1 } else { 3 });
            }
            Some((_, c)) if c.is_ascii_digit() => digits += 1,
            Some((_, '^' | ',' | ' ' | '-' | '†')) => {}
            Some(_) => return Cut::No(at),
        }
    }
}

/// Whether the full stop at `at` can end a sentence: not after an abbreviation, an initial, or a list marker.
fn ends_sentence(text: &str, at: usize) -> bool {
    let before = &text[..at];
    let start = before
        .rfind(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '“' | '[' | '*' | '/'))
        .map_or(0, |i| i + before[i..].chars().next().map_or(0, char::len_utf8));
    let word = &before[start..];
    let line_start = before[..start].trim_end_matches([' ', '\t', '*', '>']);
    let at_line_start = line_start.is_empty() || line_start.ends_with('\n');
    let marker = !word.is_empty() && word.len() <= 3 && word.bytes().all(|b| b.is_ascii_digit());
    if marker && at_line_start {
        return false;
    }
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    let dotted = word.len() <= 8 && word.split('.').all(|part| part.chars().count() == 1);
    let known = word.len() <= 8 && ABBREVIATIONS.contains(&word.to_lowercase().as_str());
    !(initial || dotted || known)
}

/// English, Indonesian, French, Portuguese, Spanish and German ones that stand before a capital letter or a number.
const ABBREVIATIONS: [&str; 66] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "no", "nos", "vs", "etc", "inc", "ltd",
    "co", "corp", "fig", "approx", "dept", "est", "ext", "tel", "vol", "pp", "min", "max", "eg",
    "ie", "cf", "al", "jan", "feb", "aug", "sept", "oct", "nov", "dec", "rp", "dll", "dsb", "dst",
    "jl", "jln", "yth", "bpk", "sdr", "hlm", "tgl", "kec", "kab", "mme", "mlle", "art", "av", "ex",
    "núm", "nº", "sra", "dra", "usd", "nr", "bzw", "ca", "usw", "str", "hr",
];

fn space(text: &str, at: usize) -> usize {
    skip(text, at, char::is_whitespace)
}

fn skip(text: &str, at: usize, wanted: impl Fn(char) -> bool) -> usize {
    text[at..].find(|c| !wanted(c)).map_or(text.len(), |i| at + i)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(wanted: &[&str]) {
        assert_eq!(sentences(&wanted.concat()), wanted);
    }

    #[test]
    fn sentences_of_several_languages() {
        check(&["You can return it. ", "Within 30 days! ", "Is that fine?"]);
        check(&["您可以在七天内申请退款。", "需要订单号吗？", "是。"]);
        check(&["他说：“可以。” ", "Then go."]);
        check(&[
            "Pengiriman gratis di atas Rp. 150.000 untuk sepatu, tas, dll. Berlaku setiap hari. ",
            "Ada lagi?",
        ]);
        check(&["هل وصل طلبي؟ ", "نعم."]);
    }

    #[test]
    fn stops_that_end_nothing() {
        check(&[
            "Mr. Smith of No. 5 paid 1.500 at https://a.example/x.html?y=1.2 e.g. by card. ",
            "Done.",
        ]);
        check(&["J. R. Tolkien lives in the U.S. today."]);
        check(&["It costs approx. five, version 2.1.0 or later... maybe. ", "Yes."]);
    }

    #[test]
    fn lists_and_citations_stay_with_their_sentence() {
        check(&[
            "Do this:\n\n",
            "1. Open the app.\n",
            "2. Tap **Pay**.\n",
            "- or call us\n",
            "* or write\n\n",
            "Good luck!",
        ]);
        check(&[
            "It takes 3 days. [1] ",
            "Then it is yours.[2][3] ",
            "See [the page](https://x.example). ",
            "Bye.",
        ]);
        check(&["退款需要三天。[1]", "谢谢。"]);
        check(&["**Yes.** ", "\"Sure.\" ", "(Fine.) ", "Ok."]);
    }

    #[test]
    fn a_sentence_is_released_as_soon_as_the_next_begins() {
        let mut splitter = SentenceSplitter::default();
        assert!(splitter.push("Hello there.").is_empty());
        assert!(splitter.push(" ").is_empty());
        assert_eq!(splitter.push("H"), ["Hello there. "]);
        assert_eq!(splitter.finish().as_deref(), Some("H"));
        assert_eq!(splitter.finish(), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_chopping_changes_nothing(
            text in "([A-Za-z]{1,4}|[.!?。…]|[0-9]{1,3}|\\[[0-9]\\]|[ \n]{1,2}|[*\"(\\[#-]|é|您|👍|dll){0,40}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let letters: Vec<char> = text.chars().collect();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(letters.len() + 1)).collect();
            places.extend([0, letters.len()]);
            places.sort_unstable();
            let mut splitter = SentenceSplitter::default();
            let mut chopped = Vec::new();
            for pair in places.windows(2) {
                let piece: String = letters[pair[0]..pair[1]].iter().collect();
                chopped.extend(splitter.push(&piece));
            }
            chopped.extend(splitter.finish());
            prop_assert_eq!(chopped.concat(), text.clone());
            prop_assert_eq!(chopped, sentences(&text));
        }
    }
}
