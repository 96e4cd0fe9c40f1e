use std::sync::Arc;

use proptest::prelude::*;

use super::super::Audience;
use super::super::index::Point;
use super::super::shelf::{Ask, Corpus, Shelf, ask, key, point};
use super::*;

#[tokio::test]
async fn rare_words_weigh_more_and_long_texts_less() {
    let (index, shelf, base) = (MemoryIndex::default(), Arc::new(Shelf::default()), key());
    let public = |text: &str| point(text, Audience::Public, None);
    let put = vec![
        public("the refund takes a week"),
        public("the parcel takes a week"),
        public("the refund is a long story about the parcel and the week and other things"),
    ];
    let wanted = [put[0].chunk, put[2].chunk];
    shelf.edit(base, put, &[]);
    let found = ask(&index, &shelf, &[base], &Ask::new(Reader::Visitor, "refund", None)).await;
    let chunks: Vec<_> = found.hits.iter().map(|hit| hit.chunk).collect();
    assert_eq!(chunks, wanted);
}

#[tokio::test]
async fn what_was_not_searched_for_longest_makes_room_and_comes_back() {
    let shelf = Arc::new(Shelf::default());
    let mut corpus = Corpus::new(3);
    let bases: Vec<BaseKey> = (0..6).map(|_| key()).collect();
    for base in &bases {
        shelf.edit(*base, corpus.points(50), &[]);
    }
    let question = corpus.ask(Reader::Agent);
    let whole = MemoryIndex::default();
    let mut expected = Vec::new();
    for base in &bases {
        expected.push(ask(&whole, &shelf, &[*base], &question).await);
    }
    let limit = whole.bytes() / 2;
    let index = MemoryIndex::with_limit(limit);
    for round in 0..3 {
        for (base, expected) in bases.iter().zip(&expected) {
            assert_eq!(ask(&index, &shelf, &[*base], &question).await, *expected, "round {round}");
            assert!(index.bytes() <= limit, "{} of {limit}", index.bytes());
            assert!((1..=3).contains(&index.len()));
        }
    }
    // The first stays while it is used, although it was loaded first.
    ask(&index, &shelf, &[bases[0]], &question).await;
    ask(&index, &shelf, &[bases[1]], &question).await;
    ask(&index, &shelf, &[bases[0]], &question).await;
    ask(&index, &shelf, &[bases[2]], &question).await;
    ask(&index, &shelf, &[bases[3]], &question).await;
    assert!(!index.state().held.contains_key(&bases[1]));
    // All at once need more than there is room for: they are read nevertheless.
    let all = ask(&index, &shelf, &bases, &question).await;
    assert_eq!(all, ask(&whole, &shelf, &bases, &question).await);
    assert!(index.bytes() <= limit);
}

#[tokio::test]
async fn one_base_larger_than_the_limit_is_still_searched() {
    let (shelf, base) = (Arc::new(Shelf::default()), key());
    let mut corpus = Corpus::new(5);
    shelf.edit(base, corpus.points(20), &[]);
    let index = MemoryIndex::with_limit(1);
    let found = ask(&index, &shelf, &[base], &corpus.ask(Reader::Agent)).await;
    assert!(!found.hits.is_empty());
    assert_eq!(index.len(), 1);
}

#[tokio::test]
async fn searches_at_once_load_a_base_once() {
    let (shelf, base) = (Arc::new(Shelf::default()), key());
    let mut corpus = Corpus::new(9);
    shelf.edit(base, corpus.points(30), &[]);
    let (index, question) = (MemoryIndex::default(), corpus.ask(Reader::Agent));
    let bases = [base];
    let each = (0..8).map(|_| ask(&index, &shelf, &bases, &question));
    let found = futures_util::future::join_all(each).await;
    assert!(found.iter().all(|one| *one == found[0]));
    let source: Arc<dyn Source> = Arc::clone(&shelf) as _;
    let wanted = [shelf.at(base)];
    let open = || index.snapshot(&wanted, source.as_ref());
    let (a, b) = tokio::join!(open(), open());
    assert!(Arc::ptr_eq(&a.expect("opens").bases[0], &b.expect("opens").bases[0]));
}

/// Scanning keeps the best without sorting everything: the same as sorting everything.
#[tokio::test]
async fn the_best_are_the_best() {
    let (shelf, base) = (Arc::new(Shelf::default()), key());
    let mut corpus = Corpus::new(21);
    shelf.edit(base, corpus.points(1_000), &[]);
    let index = MemoryIndex::default();
    let mut question = corpus.ask(Reader::Agent);
    question.tokens.clear();
    let wanted = question.dense.clone().expect("has one");
    let mut expected: Vec<(f32, _)> = shelf
        .points(base)
        .iter()
        .filter_map(|p| Some((rank::dot(p.dense.as_deref()?, &wanted), p.chunk)))
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let found = ask(&index, &shelf, &[base], &question).await;
    let found: Vec<_> =
        found.hits.iter().map(|hit| (hit.cosine.expect("has one"), hit.chunk)).collect();
    assert_eq!(found, expected[..32]);
}

proptest! {
    /// Law 7: for a visitor, internal knowledge might as well not exist.
    #[test]
    fn a_visitor_cannot_tell_whether_internal_knowledge_exists(
        texts in proptest::collection::vec(("[abcde]( [abcde]){0,6}", any::<bool>()), 1..12),
        question in "[abcde]( [abcde]){0,3}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let points: Vec<Point> = texts
            .iter()
            .map(|(text, internal)| {
                point(text, if *internal { Audience::Internal } else { Audience::Public }, None)
            })
            .collect();
        let (base, with, without) = (key(), Arc::new(Shelf::default()), Arc::new(Shelf::default()));
        with.edit(base, points.clone(), &[]);
        without.edit(base, points.into_iter().filter(|p| p.audience == Audience::Public).collect(), &[]);
        let question = Ask::new(Reader::Visitor, &question, None);
        runtime.block_on(async {
            prop_assert_eq!(
                ask(&MemoryIndex::default(), &with, &[base], &question).await,
                ask(&MemoryIndex::default(), &without, &[base], &question).await
            );
            Ok(())
        })?;
    }
}
