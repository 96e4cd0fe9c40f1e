//! Extractive help reads like something an agent can use, in both languages.

use super::super::said::question;
use super::super::suggest::suggestions;
use super::super::thread::{Reason, Settings};
use super::*;
use crate::clock::Timestamp;
use crate::conversation::{Conversation, Mark, Outcome};
use crate::ids::Ids;
use crate::knowledge::Citation;
use crate::model::Tone;

const VISITOR: &str = "visitor";
const AI: &str = "ai";
const ANA: &str = "ana";
const NOTE: &str = "note";

/// A thread of these words; visitor messages behind the last public reply are unanswered.
fn thread(locale: &str, said: &[(&str, &str)]) -> Thread {
    let now = Timestamp::from_millis(0);
    let mut conversation =
        Conversation::unborn(Ids.fresh(), Ids.fresh(), Ids.fresh(), Ids.fresh(), now);
    conversation.holder = Holder::Assistant { turn: None };
    let messages: Vec<Message> = (1..)
        .zip(said)
        .map(|(seq, (who, text))| {
            let (author, kind) = match *who {
                VISITOR => (Actor::Visitor(conversation.contact), MessageKind::Text),
                AI => (Actor::Assistant(Ids.fresh()), MessageKind::Text),
                NOTE => (Actor::Agent(Ids.fresh()), MessageKind::Note),
                _ => (Actor::Agent(Ids.fresh()), MessageKind::Text),
            };
            Message {
                public_seq: (kind == MessageKind::Text).then_some(seq),
                kind,
                author_name: matches!(author, Actor::Agent(_)).then(|| "Ana".to_owned()),
                citations: if *who == AI {
                    vec![citation("Refund times", Audience::Public)]
                } else {
                    vec![]
                },
                ..Message::said(Ids.fresh(), seq, author, *text, now)
            }
        })
        .collect();
    let replied = messages
        .iter()
        .rfind(|m| m.public_seq.is_some() && !matches!(m.author, Actor::Visitor(_)))
        .map_or(0, |m| m.seq);
    let waiting = messages.iter().find(|m| m.seq > replied && m.public_seq.is_some());
    conversation.unanswered = waiting.map(|m| Mark { seq: m.seq, at: now });
    Thread {
        conversation,
        locale: locale.to_owned(),
        agents_locale: locale.to_owned(),
        contact_name: None,
        agent_name: None,
        settings: Settings { bases: Vec::new(), model: "default".into(), tone: Tone::Friendly },
        messages,
        reason: None,
    }
}

fn handed(mut thread: Thread, code: HandoffCode) -> Thread {
    thread.reason = Some(Reason { code, condition: None, quote: None, message: None });
    thread
}

fn citation(title: &str, audience: Audience) -> Citation {
    passage(title, audience, "").citation()
}

fn passage(title: &str, audience: Audience, text: &str) -> Passage {
    Passage {
        chunk_id: Ids.fresh(),
        article_id: Ids.fresh(),
        title: title.to_owned(),
        section: None,
        url: None,
        audience,
        text: text.to_owned(),
        score: 1.0,
        kept: true,
        why: String::new(),
    }
}

fn check_wants(locale: &str, said: &[(&str, &str)], expected: &str) {
    let thread = handed(thread(locale, said), HandoffCode::AskedForPerson);
    assert_eq!(brief(&thread, &[]).wants, expected);
}

#[test]
fn what_they_want_is_their_question_and_not_their_greeting() {
    check_wants(
        "en",
        &[
            (VISITOR, "Hi there!"),
            (VISITOR, "Good morning, my order TT-1000482 has not arrived. Where is it now?"),
        ],
        "My order TT-1000482 has not arrived. Where is it now?",
    );
    check_wants(
        "en",
        &[
            (VISITOR, "Hello, how long does a refund take by QRIS?"),
            (AI, "One to three working days."),
            (VISITOR, "ok thanks. can I talk to a person please"),
        ],
        "How long does a refund take by QRIS?",
    );
    check_wants(
        "id",
        &[
            (VISITOR, "Halo kak"),
            (VISITOR, "mau tanya dong kak, paket saya kok belum sampai ya? resinya 88120034"),
        ],
        "Mau tanya dong kak, paket saya kok belum sampai ya? (88120034)",
    );
    check_wants("en", &[(VISITOR, "hi")], "A person. They have not said yet what it is about.");
}

#[test]
fn numbers_given_elsewhere_are_not_lost() {
    check_wants(
        "en",
        &[
            (VISITOR, "Can you cancel my order before it is roasted?"),
            (AI, "Which order is it?"),
            (VISITOR, "TT-2003001"),
        ],
        "Can you cancel my order before it is roasted? (TT-2003001)",
    );
}

#[test]
fn a_brief_says_what_was_tried_and_what_to_do() {
    let said = [
        (VISITOR, "How long does a refund take by QRIS?"),
        (AI, "Happy to help! Refunds by **QRIS** take 1–3 working days."),
        (NOTE, "Bank says it was sent on Monday."),
        (VISITOR, "It has been two weeks, this is ridiculous! Where is my money?"),
    ];
    let thread = handed(thread("en", &said), HandoffCode::FailedAnswers);
    let brief = brief(&thread, &[passage("Refund limits", Audience::Internal, "")]);
    assert_eq!(
        brief.tried,
        [
            "The AI answered from “Refund times”: “Refunds by QRIS take 1–3 working days.”",
            "Ana noted: “Bank says it was sent on Monday.”",
        ]
    );
    assert_eq!(brief.open_question, "Where is my money?");
    assert_eq!(brief.mood, Mood::Angry);
    assert_eq!(
        brief.next_step,
        "Apologise for the trouble. Ask what is still unclear before answering again: the AI’s answers did not help. \
         See “Refund limits” (internal)."
    );
}

#[test]
fn the_condition_that_fired_is_named() {
    let mut thread =
        handed(thread("id", &[(VISITOR, "Saya mau lapor ke pengacara")]), HandoffCode::Phrase);
    if let Some(reason) = &mut thread.reason {
        reason.condition = Some("Hukum".into());
        reason.quote = Some("pengacara".into());
    }
    let step = brief(&thread, &[]).next_step;
    assert!(step.ends_with("Syarat “Hukum”: “pengacara”."), "{step}");
}

#[test]
fn every_reason_has_a_next_step_and_words() {
    for own in [Own::English, Own::Indonesian] {
        for code in HandoffCode::ALL {
            for open in [true, false] {
                assert!(!own.next_step(Some(*code), open).is_empty());
            }
            assert!(!own.reason(*code).is_empty());
        }
    }
}

#[test]
fn a_summary_tells_the_whole_story() {
    let said = [
        (VISITOR, "Hi! How long does a refund take by QRIS?"),
        (AI, "Refunds by QRIS take 1–3 working days."),
        (ANA, "I have asked the bank about it and will write tomorrow."),
    ];
    let mut thread = handed(thread("en", &said), HandoffCode::AskedForPerson);
    thread.contact_name = Some("Budi".into());
    assert_eq!(
        summary(&thread).text,
        "Budi wrote: “How long does a refund take by QRIS?”\nThe AI answered from “Refund times”.\n\
         It went to a person because the visitor asked for a person.\n\
         Ana replied: “I have asked the bank about it and will write tomorrow.”\nNothing is open."
    );
    thread.conversation.holder = Holder::Closed {
        by: Actor::System,
        outcome: Outcome::Solved,
        at: Timestamp::from_millis(0),
    };
    assert!(summary(&thread).text.ends_with("\nClosed as solved."));
}

const TIMES: &str = "## How long it takes\n\nIt depends on how you paid:\n\n| You paid by | Money reaches you in |\n|---|---|\n\
    | QRIS | 1–3 working days |\n| Debit card | 5–10 working days |";

fn suggested(thread: &Thread, passages: &[Passage]) -> Vec<(String, bool)> {
    let question = question(thread);
    let replies = suggestions(thread, &question, passages);
    replies.into_iter().map(|r| (r.text.clone(), r.is_internal())).collect()
}

#[test]
fn replies_quote_one_passage_each_in_a_courteous_frame() {
    let mut thread = thread("en", &[(VISITOR, "hello\nHow long is the refund by QRIS?")]);
    thread.contact_name = Some("Budi".into());
    let replies = suggested(
        &thread,
        &[
            passage("Refund times", Audience::Public, TIMES),
            passage(
                "Refund limits",
                Audience::Internal,
                "A QRIS refund above 2 million needs the finance desk.",
            ),
            passage(
                "Cancel",
                Audience::Public,
                "A cancelled order paid by QRIS gets its refund at once.",
            ),
            passage(
                "Again",
                Audience::Public,
                "A cancelled order paid by QRIS gets its refund at once!",
            ),
        ],
    );
    assert_eq!(replies.len(), 3, "{replies:?}");
    let (first, _) = &replies[0];
    assert!(
        first.starts_with("Hi Budi, thanks for waiting!\n\nIt depends on how you paid:"),
        "{first}"
    );
    let qris = first.lines().find(|line| line.starts_with("- QRIS: "));
    assert!(qris.is_some_and(|line| line.ends_with("1–3 working days")), "{first}");
    assert!(first.ends_with("\n\nLet me know if anything is unclear."), "{first}");
    assert!(replies[1].0.contains("gets its refund at once"), "{replies:?}");
    assert_eq!(
        replies[2],
        ("A QRIS refund above 2 million needs the finance desk.".to_owned(), true),
        "what is internal comes last and unframed"
    );
}

#[test]
fn of_a_long_list_only_what_was_asked_for() {
    let rows: String = ["Cash", "Debit card", "Credit card", "Gift card", "Points", "Foreign card"]
        .iter()
        .map(|way| format!("| {way} | some days |\n"))
        .collect();
    let text = format!("{TIMES}\n{rows}");
    let thread = thread("en", &[(VISITOR, "How long is the refund by QRIS?")]);
    let replies = suggested(&thread, &[passage("Refund times", Audience::Public, &text)]);
    let items: Vec<&str> = replies[0].0.lines().filter(|line| line.starts_with("- ")).collect();
    assert_eq!(items.len(), 1, "{replies:?}");
}

#[test]
fn replies_speak_the_visitors_language() {
    let thread =
        thread("en", &[(VISITOR, "halo kak, berapa lama refund saya kalau bayar pakai QRIS ya?")]);
    let replies = suggested(
        &thread,
        &[
            passage(
                "Refund times",
                Audience::Public,
                "The refund by QRIS is in your account within 3 days.",
            ),
            passage(
                "Lama refund",
                Audience::Public,
                "Refund QRIS masuk ke rekening kamu dalam 1–3 hari kerja.",
            ),
        ],
    );
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert!(
        replies[0].0.starts_with("Terima kasih sudah menunggu! Refund QRIS masuk"),
        "{replies:?}"
    );
}

#[test]
fn nothing_below_the_floor_is_suggested() {
    let thread = thread("en", &[(VISITOR, "Do you sell tractors?")]);
    let mut dropped = passage("Refund times", Audience::Public, TIMES);
    dropped.kept = false;
    assert!(suggested(&thread, &[dropped]).is_empty());
}

#[test]
fn a_short_question_is_looked_up_with_what_it_follows() {
    let said =
        [(VISITOR, "Do you ship to Singapore?"), (AI, "Yes, we do."), (VISITOR, "and how long?")];
    assert!(question(&thread("en", &said)).contains("Singapore"));
}
