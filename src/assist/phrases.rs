//! The few words of its own that extractive help has, in English and Indonesian. Pure.

use crate::conversation::{HandoffCode, Outcome};
use crate::model::Tone;

/// A language it has words in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    English,
    Indonesian,
}

/// Words so common that a few of them tell the language.
const ENGLISH: &str = "the is are was you your my and of to for with how what when where i it can do does have has not will";
const INDONESIAN: &str = "yang dan di ke dari untuk saya aku kami ini itu tidak bisa apa berapa kapan dengan ada atau sudah \
belum mau kalau gimana bagaimana apakah kak ya dong nya anda akan pada hari juga";

impl Own {
    /// The language of a locale, if it has words in it.
    pub fn known(locale: &str) -> Option<Self> {
        match locale.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "id" | "ms" => Some(Self::Indonesian),
            _ => None,
        }
    }

    /// The language of a locale; English for all that it does not speak.
    pub fn of(locale: &str) -> Self {
        Self::known(locale).unwrap_or(Self::English)
    }

    /// The language of a text, if its commonest words tell.
    pub fn of_text(text: &str) -> Option<Self> {
        let (mut english, mut indonesian) = (0, 0);
        for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
            english += usize::from(ENGLISH.split_whitespace().any(|known| known == word));
            indonesian += usize::from(INDONESIAN.split_whitespace().any(|known| known == word));
        }
        if english > 2 * indonesian {
            Some(Self::English)
        } else if indonesian > 2 * english {
            Some(Self::Indonesian)
        } else {
            None
        }
    }

    pub fn pick<'a>(self, english: &'a str, indonesian: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Indonesian => indonesian,
        }
    }

    /// Why people hold a conversation, as part of a sentence.
    pub fn reason(self, code: HandoffCode) -> &'static str {
        let (english, indonesian) = match code {
            HandoffCode::AskedForPerson => {
                ("the visitor asked for a person", "pengunjung minta dilayani staf")
            }
            HandoffCode::NoAnswer => {
                ("the knowledge holds no answer", "jawabannya tidak ada di basis pengetahuan")
            }
            HandoffCode::Phrase | HandoffCode::Worded => {
                ("a takeover condition was met", "sebuah syarat pengambilalihan terpenuhi")
            }
            HandoffCode::FailedAnswers => {
                ("the AI’s answers did not help", "jawaban AI tidak membantu")
            }
            HandoffCode::MaxTurns => {
                ("the AI had replied as often as it may", "AI sudah mencapai batas balasan")
            }
            HandoffCode::ModelFailed
            | HandoffCode::JudgeFailed
            | HandoffCode::Deadline
            | HandoffCode::AiUnavailable => ("the AI could not answer", "AI tidak dapat menjawab"),
            HandoffCode::JobDescription => (
                "the job description leaves this to a person",
                "menurut uraian tugas, ini ditangani staf",
            ),
            HandoffCode::AiOff => ("the AI is switched off here", "AI dimatikan di sini"),
            HandoffCode::Assigned => ("it was assigned by hand", "ditugaskan secara manual"),
            HandoffCode::Returned => {
                ("a colleague put it back into the queue", "dikembalikan rekan ke antrean")
            }
            HandoffCode::Reopened => {
                ("it was reopened after the close", "dibuka kembali setelah ditutup")
            }
            HandoffCode::AgentRemoved | HandoffCode::AgentOffline | HandoffCode::Missed => {
                ("its agent did not get to it", "stafnya belum sempat menangani")
            }
        };
        self.pick(english, indonesian)
    }

    /// What to do next, by why people hold it.
    pub fn next_step(self, code: Option<HandoffCode>, open: bool) -> &'static str {
        let (english, indonesian) = match (code, open) {
            (Some(HandoffCode::AskedForPerson), false) => (
                "Say hello and ask what it is about: they asked for a person without saying why.",
                "Sapa dan tanyakan keperluannya: pengunjung minta dilayani staf tanpa menyebut alasannya.",
            ),
            (Some(HandoffCode::AskedForPerson), true) => (
                "Say hello as a person and answer the open question.",
                "Sapa sebagai staf dan jawab pertanyaan yang masih terbuka.",
            ),
            (Some(HandoffCode::NoAnswer), _) => (
                "Find the answer for them, since the knowledge has none; then add it to the knowledge.",
                "Carikan jawabannya karena belum ada di basis pengetahuan, lalu tambahkan ke sana.",
            ),
            (Some(HandoffCode::JobDescription), _) => (
                "Take care of it yourself: the job description leaves this to a person.",
                "Tangani sendiri: menurut uraian tugas, ini bagian staf.",
            ),
            (Some(HandoffCode::Phrase | HandoffCode::Worded), _) => (
                "Handle it by your rules for this condition.",
                "Tangani sesuai aturan untuk syarat ini.",
            ),
            (Some(HandoffCode::FailedAnswers), _) => (
                "Ask what is still unclear before answering again: the AI’s answers did not help.",
                "Tanyakan dulu apa yang masih kurang jelas: jawaban AI belum membantu.",
            ),
            (Some(HandoffCode::MaxTurns), _) => (
                "Settle it in one reply if you can: the AI has answered many times already.",
                "Selesaikan dalam satu balasan bila bisa: AI sudah berkali-kali menjawab.",
            ),
            (
                Some(
                    HandoffCode::ModelFailed
                    | HandoffCode::JudgeFailed
                    | HandoffCode::Deadline
                    | HandoffCode::AiUnavailable
                    | HandoffCode::AiOff,
                ),
                true,
            ) => (
                "Answer the open question: the AI has not.",
                "Jawab pertanyaan yang masih terbuka: AI belum menjawabnya.",
            ),
            (
                Some(
                    HandoffCode::Assigned
                    | HandoffCode::Returned
                    | HandoffCode::AgentRemoved
                    | HandoffCode::AgentOffline
                    | HandoffCode::Missed,
                ),
                true,
            ) => (
                "Go on where your colleague stopped and answer the open question.",
                "Lanjutkan dari rekan Anda dan jawab pertanyaan yang masih terbuka.",
            ),
            (Some(HandoffCode::Reopened), _) => (
                "Check what is left of the closed case: they have come back.",
                "Periksa apa yang tersisa dari kasus sebelumnya: pengunjung kembali.",
            ),
            (_, true) => ("Answer the open question.", "Jawab pertanyaan yang masih terbuka."),
            (_, false) => (
                "Nothing is open: ask whether there is anything else.",
                "Tidak ada yang terbuka: tanyakan apakah masih ada yang dibutuhkan.",
            ),
        };
        self.pick(english, indonesian)
    }

    /// How a conversation ended.
    pub fn outcome(self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Solved => self.pick("Closed as solved.", "Ditutup: selesai."),
            Outcome::Unsolved => self.pick("Closed as not solved.", "Ditutup: belum selesai."),
            Outcome::Spam => self.pick("Closed as spam.", "Ditutup: spam."),
            Outcome::Timeout => self.pick(
                "Closed because the visitor went quiet.",
                "Ditutup karena pengunjung tidak membalas.",
            ),
        }
    }

    /// How a suggested reply begins: each of the three a little differently, the first by name and mood.
    pub fn opening(self, number: usize, tone: Tone, name: Option<&str>, upset: bool) -> String {
        if number == 0 && upset {
            return self
                .pick("I’m sorry for the trouble.", "Mohon maaf atas kendalanya.")
                .to_owned();
        }
        match (number, tone, name) {
            (0, Tone::Friendly, Some(name)) => match self {
                Self::English => format!("Hi {name}, thanks for waiting!"),
                Self::Indonesian => format!("Halo Kak {name}, terima kasih sudah menunggu!"),
            },
            (0, Tone::Friendly, None) => {
                self.pick("Thanks for waiting!", "Terima kasih sudah menunggu!").to_owned()
            }
            (0, Tone::Neutral | Tone::Formal, _) => {
                self.pick("Thank you for waiting.", "Terima kasih telah menunggu.").to_owned()
            }
            (1, Tone::Friendly, _) => {
                self.pick("Happy to help.", "Dengan senang hati kami bantu.").to_owned()
            }
            (1, Tone::Neutral | Tone::Formal, _) => self
                .pick("Thank you for your question.", "Terima kasih atas pertanyaannya.")
                .to_owned(),
            _ => self.pick("It may help to know:", "Mungkin informasi ini membantu:").to_owned(),
        }
    }

    /// How a suggested reply ends.
    pub fn closing(self, number: usize, tone: Tone) -> &'static str {
        match (number, tone) {
            (0, Tone::Friendly | Tone::Neutral) => self.pick(
                "Let me know if anything is unclear.",
                "Kabari saya kalau ada yang masih kurang jelas.",
            ),
            (0, Tone::Formal) => self.pick(
                "Please let us know if you have any further questions.",
                "Silakan hubungi kami kembali bila masih ada pertanyaan.",
            ),
            (1, _) => {
                self.pick("Does that answer your question?", "Apakah ini menjawab pertanyaannya?")
            }
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_words_tell_the_language() {
        for (text, expected) in [
            ("How long does a refund take?", Some(Own::English)),
            ("Berapa lama refund saya masuk ya?", Some(Own::Indonesian)),
            ("QRIS refund", None),
            ("Wie lange dauert das?", None),
        ] {
            assert_eq!(Own::of_text(text), expected, "{text}");
        }
    }
}
