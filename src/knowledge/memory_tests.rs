use proptest::prelude::*;

use super::*;
use crate::ids::{ArticleId, Ids, KnowledgeBaseId, WorkspaceId};
use crate::knowledge::index::TokenCounts;
use crate::text::terms;

fn key() -> BaseKey {
    BaseKey { workspace: Ids.fresh::<WorkspaceId>(), base: Ids.fresh::<KnowledgeBaseId>() }
}

fn point(text: &str, audience: Audience, dense: Option<Vec<f32>>) -> Point {
    Point {
        chunk: Ids.fresh(),
        article: Ids.fresh::<ArticleId>(),
        audience,
        tokens: TokenCounts::of(&terms(text, &[])),
        dense,
    }
}

fn public(text: &str) -> Point {
    point(text, Audience::Public, None)
}

async fn found(index: &MemoryIndex, bases: &[BaseKey], reader: Reader, text: &str) -> Vec<Hit> {
    let tokens = tokens(text);
    let query = IndexQuery { bases, reader, tokens: &tokens, dense: None, limit: 10 };
    index.search(&query).await.expect("searches")
}

fn tokens(text: &str) -> Vec<(u32, f32)> {
    terms(text, &[]).iter().flat_map(|t| t.forms.iter().map(|&form| (form, 1.0))).collect()
}

fn chunks(hits: &[Hit]) -> Vec<ChunkId> {
    hits.iter().map(|hit| hit.chunk).collect()
}

#[tokio::test]
async fn rare_words_weigh_more_and_long_texts_less() {
    let index = MemoryIndex::default();
    let base = key();
    let put = vec![
        public("the refund takes a week"),
        public("the parcel takes a week"),
        public("the refund is a long story about the parcel and the week and other things"),
    ];
    let wanted = [put[0].chunk, put[2].chunk];
    index.apply(base, Difference { to: 1, put, removed: vec![] }).await.expect("applies");
    assert_eq!(chunks(&found(&index, &[base], Reader::Visitor, "refund").await), wanted);
}

#[tokio::test]
async fn what_is_removed_is_gone_and_what_is_put_again_is_replaced() {
    let index = MemoryIndex::default();
    let base = key();
    let vector = |x: f32| Some(vec![x, 0.0]);
    let put = vec![
        point("alpha one", Audience::Public, vector(1.0)),
        point("alpha two", Audience::Public, vector(0.5)),
        point("alpha three", Audience::Public, None),
    ];
    let (first, second) = (put[0].chunk, put[1].clone());
    index.apply(base, Difference { to: 1, put, removed: vec![] }).await.expect("applies");
    let changed = Point { tokens: TokenCounts::of(&terms("beta", &[])), ..second.clone() };
    let change = Difference { to: 2, put: vec![changed], removed: vec![first] };
    for _ in 0..2 {
        index.apply(base, change.clone()).await.expect("applies");
        assert_eq!(index.count(base).await.expect("counts"), 2);
        assert_eq!(index.revision(base).await.expect("reads"), 2);
        assert_eq!(found(&index, &[base], Reader::Agent, "one two").await, []);
        assert_eq!(chunks(&found(&index, &[base], Reader::Agent, "beta").await), [second.chunk]);
    }
    let query = IndexQuery {
        bases: &[base],
        reader: Reader::Agent,
        tokens: &[],
        dense: Some(&[1.0, 0.0]),
        limit: 5,
    };
    let hits = index.search(&query).await.expect("searches");
    assert_eq!(chunks(&hits), [second.chunk]);
    assert_eq!(hits[0].cosine, Some(0.5));
}

#[tokio::test]
async fn both_lists_are_fused() {
    let index = MemoryIndex::default();
    let base = key();
    let put = vec![
        point("refund of the money", Audience::Public, Some(vec![0.0, 1.0])),
        point("refund back", Audience::Public, Some(vec![0.8, 0.6])),
        point("nothing shared", Audience::Public, Some(vec![1.0, 0.0])),
    ];
    let both = put[1].chunk;
    index.apply(base, Difference { to: 1, put, removed: vec![] }).await.expect("applies");
    let tokens = tokens("refund");
    let query = IndexQuery {
        bases: &[base],
        reader: Reader::Visitor,
        tokens: &tokens,
        dense: Some(&[1.0, 0.0]),
        limit: 3,
    };
    let hits = index.search(&query).await.expect("searches");
    assert_eq!(hits.len(), 3);
    assert_eq!(hits[0].chunk, both);
    assert!((hits[0].score - (1.0 / 61.0 + 1.0 / 62.0)).abs() < 1e-9);
}

#[tokio::test]
async fn forgotten_and_foreign_bases_are_empty() {
    let index = MemoryIndex::default();
    let base = key();
    let difference = Difference { to: 3, put: vec![public("alpha")], removed: vec![] };
    index.apply(base, difference).await.expect("applies");
    let foreign = BaseKey { workspace: Ids.fresh(), ..base };
    assert_eq!(found(&index, &[foreign], Reader::Agent, "alpha").await, []);
    index.forget(base).await.expect("forgets");
    assert_eq!(index.revision(base).await.expect("reads"), 0);
    assert_eq!(found(&index, &[base], Reader::Agent, "alpha").await, []);
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
        let (with, without) = (MemoryIndex::default(), MemoryIndex::default());
        let base = key();
        let all = Difference { to: 1, put: points.clone(), removed: vec![] };
        let open = points.into_iter().filter(|p| p.audience == Audience::Public).collect();
        runtime.block_on(async {
            with.apply(base, all).await.expect("applies");
            let open = Difference { to: 1, put: open, removed: vec![] };
            without.apply(base, open).await.expect("applies");
            prop_assert_eq!(
                found(&with, &[base], Reader::Visitor, &question).await,
                found(&without, &[base], Reader::Visitor, &question).await
            );
            Ok(())
        })?;
    }
}
