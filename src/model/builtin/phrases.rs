//! The few words of its own that the built-in answerer has, in English and Indonesian.

/// A language it has words in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    English,
    Indonesian,
}

impl Own {
    /// The language of a locale; English for all that it does not speak.
    pub fn of(locale: &str) -> Self {
        let code = locale.split(['-', '_']).next().unwrap_or_default();
        if code.eq_ignore_ascii_case("id") || code.eq_ignore_ascii_case("ms") {
            Self::Indonesian
        } else {
            Self::English
        }
    }

    pub fn pick<'a>(self, english: &'a str, indonesian: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Indonesian => indonesian,
        }
    }

    pub fn greeting(self) -> &'static str {
        self.pick("Hello! How can I help you?", "Halo! Ada yang bisa saya bantu?")
    }

    pub fn welcome(self) -> &'static str {
        self.pick(
            "You're welcome! Is there anything else I can help with?",
            "Sama-sama! Ada lagi yang bisa saya bantu?",
        )
    }
}

const GREETINGS: &str = "hi hello hey hallo halo hai helo good morning afternoon evening day there selamat pagi siang sore \
malam assalamualaikum permisi min kak mas mbak admin gan sis team everyone";
const THANKS: &str = "thanks thank you thx ty so very much many a lot again ok okay oke great perfect nice cool got it \
understood good for your help the that's all terima kasih makasih terimakasih trims banyak ya kak min mas mbak sip siap baik \
mantap atas bantuannya infonya sudah cukup itu saja";
const THANKING: &str = "thanks thank thx ty makasih terima terimakasih trims";

/// Small talk that needs no knowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SmallTalk {
    Greeting,
    Thanks,
}

/// Whether a message is small talk and nothing else.
pub(super) fn small_talk(message: &str) -> Option<SmallTalk> {
    let lower = message.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .collect();
    let all_of =
        |list: &str| words.iter().all(|word| list.split_whitespace().any(|known| known == *word));
    if words.is_empty() || words.len() > 8 {
        None
    } else if all_of(GREETINGS) {
        Some(SmallTalk::Greeting)
    } else if all_of(THANKS) && words.iter().any(|w| THANKING.split_whitespace().any(|t| t == *w)) {
        Some(SmallTalk::Thanks)
    } else {
        None
    }
}
