//! Splitting a growing answer into sentences that can be shown. Nothing is lost: the pieces joined are the whole.

/// Words after which a full stop ends nothing.
const ABBREVIATIONS: [&str; 15] = [
    "e.g", "i.e", "etc", "dr", "mr", "mrs", "ms", "vs", "approx", "dll", "dsb", "spt", "jl", "rp",
    "pt",
];

/// Splits a growing text.
#[derive(Debug, Default)]
pub(super) struct Sentences {
    buffer: String,
}

impl Sentences {
    /// Adds words and returns the sentences that are now complete, each with the white space that ends it.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.buffer.push_str(text);
        let mut complete = Vec::new();
        while let Some(end) = end_of_first(&self.buffer) {
            let rest = self.buffer.split_off(end);
            complete.push(std::mem::replace(&mut self.buffer, rest));
        }
        complete
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What is left.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        (!rest.is_empty()).then_some(rest)
    }
}

/// Where the first sentence ends for certain, behind its white space; none while it could go on.
fn end_of_first(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    let mut has_words = false;
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        has_words |= c.is_alphanumeric();
        if !has_words {
            continue;
        }
        match c {
            '\n' => {
                let rest = text.get(at..)?;
                let end = at + (rest.len() - rest.trim_start_matches('\n').len());
                // More line breaks may follow; they belong to this sentence.
                return (end < text.len()).then_some(end);
            }
            '。' | '！' | '？' => return Some(at + c.len_utf8()),
            '.' | '!' | '?' | '…' => {
                let end = closed(text, at + c.len_utf8());
                let after = text.get(end..)?;
                let is_end = after.starts_with([' ', '\t'])
                    && !(c == '.' && is_abbreviation(text.get(..at)?, after.trim_start()));
                if is_end && next.is_some() {
                    return Some(end + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Behind any closing quotes, brackets and emphasis that follow a full stop.
fn closed(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or("");
    let trimmed = rest.trim_start_matches(['"', '”', '\'', '’', ')', ']', '*', '»', '.', '!', '?']);
    from + (rest.len() - trimmed.len())
}

/// Whether the text before a full stop ends in an abbreviation, an initial or the number of a list item.
fn is_abbreviation(before: &str, after: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or(before);
    let word = line.rsplit(char::is_whitespace).next().unwrap_or(line);
    let is_item = word == line.trim() && word.chars().all(|c| c.is_ascii_digit());
    let folded = word.trim_start_matches(['(', '"', '*']).to_lowercase();
    // "No. 5" is a number, "No. We do not" an answer; while nothing follows it may be either.
    let is_number = folded == "no" && after.chars().next().is_none_or(|c| c.is_ascii_digit());
    is_item || is_number || ABBREVIATIONS.contains(&folded.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut whole = Sentences::default();
        let mut pieces = whole.push(text);
        pieces.extend(whole.finish());
        assert_eq!(pieces, expected, "{text}");
        let mut slow = Sentences::default();
        let mut drops: Vec<String> = text.chars().flat_map(|c| slow.push(&c.to_string())).collect();
        drops.extend(slow.finish());
        assert_eq!(drops, expected, "{text}, one character at a time");
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        check("One. Two! Three?", &["One. ", "Two! ", "Three?"]);
        check("It costs Rp 1.000.000 today. Ok.", &["It costs Rp 1.000.000 today. ", "Ok."]);
        check("See e.g. Dr. Tan. Bye", &["See e.g. Dr. Tan. ", "Bye"]);
        check("He said \"no.\" Then left.", &["He said \"no.\" ", "Then left."]);
        check("Steps:\n1. Open it.\n2. Close it.", &["Steps:\n", "1. Open it.\n", "2. Close it."]);
        check("One.\n\nTwo.", &["One.\n\n", "Two."]);
        check("您好。可以退款。", &["您好。", "可以退款。"]);
        check("No. We do not, order No. 5 too.", &["No. ", "We do not, order No. 5 too."]);
        check("Wait... really?", &["Wait... ", "really?"]);
        check("", &[]);
        check("no end", &["no end"]);
    }
}
