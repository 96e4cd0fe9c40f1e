//! What people write: cleaning, sentences, tokens, conditions.

use super::{chopped, in_two, text};
use crate::assistant::config::{Conditions, PhraseCondition};
use crate::clock::Timestamp;
use crate::conditions::{self, Facts, Spoken, asks_for_person, fold};
use crate::conversation::{Actor, Message, PublicMessage};
use crate::ids::{ContactId, Ids};
use crate::text::{
    Language, MAX_TEXT_CHARS, Mood, SentenceSplitter, is_unwanted, normalise_user_text,
    tables_as_lists, token_id,
};

/// Cleaned text is clean, short enough, not empty, and stays as it is when cleaned again.
pub(super) fn user_text(bytes: &[u8]) {
    let text = text(bytes);
    let Ok(clean) = normalise_user_text(&text) else { return };
    assert!(!clean.trim().is_empty() && clean.chars().count() <= MAX_TEXT_CHARS);
    assert!(!clean.chars().any(is_unwanted) && !clean.contains('\r'));
    assert_eq!(normalise_user_text(&clean).as_ref(), Ok(&clean), "cleaning again changes nothing");
    let _mood = Mood::of(&clean);
}

/// Put together, sentences are the text; where the cuts fall does not depend on how it arrived.
pub(super) fn sentences(bytes: &[u8]) {
    let text = text(bytes);
    let whole = crate::text::sentences(&text);
    assert_eq!(whole.concat(), text);
    let mut splitter = SentenceSplitter::default();
    let mut parts: Vec<String> =
        chopped(&text).into_iter().flat_map(|piece| splitter.push(piece)).collect();
    parts.extend(splitter.finish());
    assert_eq!(parts, whole);
    let _lists = tables_as_lists(&text);
}

/// Tokens are never empty and do not depend on upper and lower case of the Latin script.
pub(super) fn terms(bytes: &[u8]) {
    let text = text(bytes);
    let languages: Vec<Language> =
        ["en", "id", "fr", "pt", "es", "de"].into_iter().filter_map(Language::of_locale).collect();
    for languages in [&[][..], &languages[..1], &languages] {
        let terms = crate::text::terms(&text, languages);
        assert!(terms.len() <= text.len(), "no more tokens than bytes");
        for term in &terms {
            let _related = crate::text::related(term, languages);
        }
    }
    assert_eq!(token_id(&text), token_id(&text));
    let _words = crate::text::count_words(&text);
}

/// What fires quotes the message it fired on, and a message from before the return never fires.
pub(super) fn conditions(bytes: &[u8]) {
    let text = text(bytes);
    let (phrase, said) = in_two(&text);
    let _folded = fold(said);
    for quote in [asks_for_person(said), Spoken::of(said).phrase(phrase)].into_iter().flatten() {
        assert!(said.contains(quote.trim()), "a quotation stands in the message");
    }
    let message = Message {
        public_seq: Some(3),
        ..Message::said(
            Ids.fresh(),
            7,
            Actor::Visitor(Ids.fresh::<ContactId>()),
            said,
            Timestamp::from_millis(0),
        )
    };
    let unanswered: Vec<PublicMessage> = PublicMessage::of(&message).into_iter().collect();
    let conditions = Conditions {
        asks_for_person: true,
        phrases: vec![PhraseCondition {
            name: "phrase".to_owned(),
            phrases: vec![phrase.to_owned()],
        }],
        ..Conditions::default()
    };
    let mut facts =
        Facts { unanswered: &unanswered, evidence_after: 0, ai_turns: 0, failed_answers: 0 };
    let fired = conditions::evaluate(&conditions, &facts);
    assert!(fired.is_none_or(|fired| fired.message_id == Some(message.id)));
    facts.evidence_after = message.seq;
    assert_eq!(
        conditions::evaluate(&conditions, &facts),
        None,
        "no evidence from before the return"
    );
}
