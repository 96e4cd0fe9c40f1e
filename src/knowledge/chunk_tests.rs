use proptest::prelude::*;

use super::*;

fn words(count: usize) -> String {
    (0..count).map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ")
}

fn sections_of(body: &str) -> Vec<(String, String)> {
    chunk("Title", body).into_iter().map(|c| (c.section, c.text)).collect()
}

#[test]
fn headings_begin_chunks_and_give_the_path() {
    let long = words(130);
    let body = format!(
        "# Title\n\n{long}\n\n## Returns\n\n{long}\n\n### Abroad *now*\n\n{long}\n\n## Shipping\n\nFast."
    );
    let found = sections_of(&body);
    let sections: Vec<&str> = found.iter().map(|(section, _)| section.as_str()).collect();
    assert_eq!(sections, ["", "Returns", "Returns · Shipping"]);
    assert!(found[2].1.ends_with("## Shipping\n\nFast."));
}

#[test]
fn short_neighbours_share_a_chunk_under_their_headings() {
    let body = "## Hours\n\n### Monday\n\nNine to five.\n\n### Tuesday\n\nTen to six.";
    let text = "### Monday\n\nNine to five.\n\n### Tuesday\n\nTen to six.";
    assert_eq!(sections_of(body), [("Hours › Monday · Tuesday".to_owned(), text.to_owned())]);
    let body = "Intro.\n\n## Hours\n\n### Monday\n\nNine to five.\n\n## Place\n\nBandung.";
    let text = "Intro.\n\n## Hours\n\n### Monday\n\nNine to five.\n\n## Place\n\nBandung.";
    assert_eq!(sections_of(body), [("Hours · Place".to_owned(), text.to_owned())]);
}

#[test]
fn long_lists_are_cut_between_items() {
    let item = format!("- {}\n  - nested\n", words(60));
    let found = sections_of(&format!("Before.\n\n{}", item.repeat(12)));
    assert!(found.len() > 1);
    for (_, text) in &found {
        assert!(text.starts_with("Before.") || text.starts_with("- word0"), "{text}");
        assert!(text.ends_with("  - nested"), "{text}");
    }
}

#[test]
fn long_tables_repeat_their_header() {
    let rows: String = (0..80).map(|i| format!("| {i} | {} |\n", words(8))).collect();
    let found = sections_of(&format!("| No | Text |\n|---|---|\n{rows}"));
    assert!(found.len() > 1);
    assert!(found.iter().all(|(_, text)| text.starts_with("| No | Text |\n|---|---|\n| ")));
}

#[test]
fn code_stays_whole_and_is_no_heading() {
    let code = format!("```sh\n# {}\n```", words(400));
    let found = sections_of(&format!("{}\n\n{code}\n\n{}", words(200), words(200)));
    assert!(found.iter().any(|(_, text)| text.contains(&code)));
}

#[test]
fn long_prose_is_cut_between_sentences() {
    let sentence = format!("{}. ", words(40).replacen("word0", "Word0", 1));
    let found = sections_of(&sentence.repeat(30));
    assert!(found.len() >= 4);
    assert!(found.iter().all(|(_, text)| text.ends_with('.') && count_words(text) <= MAX_WORDS));
}

#[test]
fn the_hash_depends_on_all_that_is_indexed() {
    let piece = ChunkDraft { section: "A".to_owned(), text: "B".to_owned() };
    let base = content_hash("T", "en", &piece);
    assert_eq!(base, content_hash("T", "en", &piece));
    assert_ne!(base, content_hash("U", "en", &piece));
    assert_ne!(base, content_hash("T", "id", &piece));
}

proptest! {
    #[test]
    fn every_word_is_in_some_chunk(
        blocks in proptest::collection::vec(
            "(# [a-z]{3,6}|## [a-z]{3,6}|[a-z]{3,6}( [a-z]{3,6}){0,400}\\.|- [a-z]{3,6}\n- [a-z]{3,6}|\\| a \\| b \\|\n\\|---\\|---\\|\n\\| cc \\| dd \\|)",
            0..8,
        ),
    ) {
        let body = blocks.join("\n\n");
        let all: String =
            chunk("x", &body).iter().map(|c| format!("{} {} ", c.section, c.text)).collect();
        for block in blocks.iter().filter(|block| !block.starts_with('#')) {
            for word in block.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                prop_assert!(all.contains(word), "{} is missing", word);
            }
        }
    }
}
