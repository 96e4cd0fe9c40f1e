//! How a visitor feels, by their words alone, in English and Indonesian. Pure.
//!
//! Careful rather than clever: an agent who reads "annoyed" over a plain question learns to ignore the label. Words that
//! only hint (`still`, `belum`) need a second hint, and "how long" is a question before it is a complaint.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a visitor feels, by their last words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    /// Matter-of-fact.
    #[default]
    Calm,
    /// Afraid of what may come.
    Worried,
    /// Losing patience.
    Annoyed,
    /// Out of patience.
    Angry,
    /// Content.
    Happy,
}

impl Mood {
    /// The stored and shown name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Worried => "worried",
            Self::Annoyed => "annoyed",
            Self::Angry => "angry",
            Self::Happy => "happy",
        }
    }

    /// How these words feel.
    #[must_use]
    pub fn of(text: &str) -> Self {
        of(text)
    }
}

/// A word ending in `*` stands for all that begin so.
const ANGRY: &str = "angry furious ridiculous unacceptable scam* fraudster* worst disgust* pathetic liar* stupid idiot* sue \
damn wtf outrag* rip-off ripoff bullshit \
marah penipu* penipuan sampah bodoh keterlaluan brengsek goblok tolol bangsat anjing sialan polisi bohong* dibohong* tertipu";
const ANNOYED: &str = "annoy* frustrat* disappoint* useless terrible awful horrible unhelpful nobody ignored unhappy poor bad \
waste* incompetent fed \
kecewa* mengecewakan kesal sebel capek males ribet susah parah payah jelek buruk lemot mahal";
const HINTS: &str = "still again already waiting late delay* slow twice weeks enough seriously nothing never \
masih terus berkali-kali berkali nunggu menunggu lama lambat telat terlambat belum nggak gak kok";
const WORRIED: &str = "worr* afraid anxious concern* scared urgent* asap emergency stolen allerg* hacked unauthori* panic* \
khawatir kuatir takut cemas panik darurat alergi dicuri kehilangan segera";
const HAPPY: &str = "great perfect love lovely awesome excellent wonderful amazing happy glad fantastic delicious brilliant \
mantap keren bagus senang puas suka hebat enak lezat nyaman ramah luar recommended rekomen*";
const NOT: &str = "not no never don't doesn't didn't isn't wasn't cannot can't tidak tak gak ga nggak enggak bukan kurang belum";
const PLAIN: [&str; 8] = [
    "how long",
    "how late",
    "berapa lama",
    "seberapa lama",
    "not yet",
    "no problem",
    "tidak apa",
    "gak apa",
];

fn of(text: &str) -> Mood {
    let mut lower = text.to_lowercase().replace('’', "'");
    for plain in PLAIN {
        lower = lower.replace(plain, " ");
    }
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '-')
        .filter(|word| !word.is_empty())
        .collect();
    let hits = |list: &str| words.iter().filter(|word| is_in(word, list)).count();
    let marks = text.contains("!!") || text.contains("??") || text.contains("?!");
    let (annoyed, hints) = (hits(ANNOYED), hits(HINTS));
    let praise = words.iter().enumerate().filter(|(_, word)| is_in(word, HAPPY));
    let (denied, praised): (Vec<_>, Vec<_>) = praise.partition(|(at, _)| {
        words[at.saturating_sub(2)..*at].iter().any(|before| is_in(before, NOT))
    });
    let annoyed = annoyed + denied.len();
    if hits(ANGRY) > 0 || shouts(text) || (annoyed > 0 && (marks || annoyed > 2)) {
        Mood::Angry
    } else if hits(WORRIED) > 0 {
        Mood::Worried
    } else if annoyed > praised.len() || (hints >= 2 && praised.is_empty()) || (hints > 0 && marks)
    {
        Mood::Annoyed
    } else if !praised.is_empty() {
        Mood::Happy
    } else {
        Mood::Calm
    }
}

fn is_in(word: &str, list: &str) -> bool {
    list.split_whitespace().any(|known| match known.strip_suffix('*') {
        Some(stem) => word.starts_with(stem),
        None => word == known,
    })
}

/// Several words in capitals, and hardly anything else.
fn shouts(text: &str) -> bool {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 2).collect();
    let loud = words.iter().filter(|word| word.chars().all(char::is_uppercase)).count();
    loud >= 3 && loud * 3 >= words.len() * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mood: Mood, texts: &[&str]) {
        for text in texts {
            assert_eq!(of(text), mood, "{text}");
        }
    }

    #[test]
    fn plain_questions_are_calm() {
        check(
            Mood::Calm,
            &[
                "How long does a refund take?",
                "halo kak, berapa lama refund saya kalau bayar pakai QRIS ya?",
                "My order has not arrived yet. Where is it?",
                "ok thanks. can I talk to a person please",
                "Pesanan saya belum sampai, bisa dicek?",
                "",
            ],
        );
    }

    #[test]
    fn feelings_are_told_apart() {
        check(
            Mood::Angry,
            &[
                "This is ridiculous, where is my money",
                "kalian penipu ya",
                "WHERE IS MY ORDER NOW",
                "I am so disappointed!!",
            ],
        );
        check(
            Mood::Annoyed,
            &[
                "I am still waiting and nobody answers",
                "kecewa sih sama pelayanannya",
                "udah lama nunggu kok belum dibalas",
                "not happy with this",
            ],
        );
        check(
            Mood::Worried,
            &["I think my card was stolen, it is urgent", "saya takut paketnya hilang"],
        );
        check(Mood::Happy, &["Perfect, that was quick, I love it", "mantap kak, kopinya enak"]);
    }
}
