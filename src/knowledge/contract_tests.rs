//! What every index must do: the same suite over the one in memory, Qdrant's double, and a real Qdrant where
//! `BATON_TEST_QDRANT` names one (its gRPC address).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::Ids;

use super::Audience;
use super::index::{Found, Hit, Point, Reader, Source, VectorIndex};
use super::memory::MemoryIndex;
use super::qdrant::{QdrantIndex, QdrantSettings};
use super::qdrant_double::Double;
use super::shelf::{Ask, Corpus, DIMENSIONS, Shelf, ask, key, point, tokens, toward};

/// A place where indexes live; every node of it sees the same.
enum Backend {
    Memory,
    Qdrant { settings: QdrantSettings, double: Option<Double> },
}

impl Backend {
    fn all() -> Vec<Self> {
        let double = Double::start();
        let mut all = vec![Self::Memory, Self::qdrant(double.url(), Some(double))];
        if let Ok(url) = std::env::var("BATON_TEST_QDRANT") {
            all.push(Self::qdrant(url, None));
        }
        all
    }

    fn qdrant(url: String, double: Option<Double>) -> Self {
        let settings = QdrantSettings {
            url,
            api_key: None,
            collection: format!("baton_test_{}", Ids.fresh::<uuid::Uuid>().as_simple()),
            // Nothing here is about time.
            timeout: Duration::from_secs(30),
            words_bytes: usize::MAX,
        };
        Self::Qdrant { settings, double }
    }

    fn node(&self) -> Box<dyn VectorIndex> {
        match self {
            Self::Memory => Box::new(MemoryIndex::default()),
            Self::Qdrant { settings, .. } => Box::new(self.index(settings)),
        }
    }

    fn index(&self, settings: &QdrantSettings) -> QdrantIndex {
        QdrantIndex::new(settings, "test/space", DIMENSIONS).expect("an address")
    }

    /// Leaves nothing on a server that is somebody's.
    async fn clean(self) {
        if let Self::Qdrant { settings, double } = self {
            let other = QdrantIndex::new(&settings, "another/space", 1).expect("an address");
            other.drop_other_collections().await.expect("drops");
            if let Some(double) = double {
                double.stop();
            }
        }
    }
}

fn chunks(found: &Found) -> Vec<crate::ids::ChunkId> {
    found.hits.iter().map(|hit| hit.chunk).collect()
}

async fn on_each<F: AsyncFn(&Backend)>(test: F) {
    for backend in Backend::all() {
        test(&backend).await;
        backend.clean().await;
    }
}

#[tokio::test]
async fn walls_hold() {
    on_each(async |backend| {
        let (node, shelf) = (backend.node(), Arc::new(Shelf::default()));
        let ours = key();
        let sibling = super::index::BaseKey { base: Ids.fresh(), ..ours };
        let foreign = key();
        let north = Some(toward(&[1.0]));
        for base in [ours, sibling, foreign] {
            let open = point("refund week", Audience::Public, north.clone());
            let secret = point("refund week", Audience::Internal, north.clone());
            shelf.edit(base, vec![open, secret], &[]);
        }
        for base in [ours, sibling, foreign] {
            for (reader, expected) in [(Reader::Visitor, 1), (Reader::Agent, 2)] {
                for text in ["refund", ""] {
                    let found =
                        ask(&*node, &shelf, &[base], &Ask::new(reader, text, north.clone())).await;
                    let own: Vec<Point> = shelf.points(base);
                    assert_eq!(found.hits.len(), expected);
                    assert!(found.hits.iter().all(|hit| {
                        own.iter().any(|p| p.chunk == hit.chunk && reader.may_read(p.audience))
                    }));
                }
            }
        }
        // The same base under another workspace is another base, and empty.
        let wrong = super::index::BaseKey { workspace: foreign.workspace, ..ours };
        let found = ask(&*node, &shelf, &[wrong], &Ask::new(Reader::Agent, "refund", north)).await;
        assert_eq!(found.hits, []);
    })
    .await;
}

#[tokio::test]
async fn both_lists_are_fused() {
    on_each(async |backend| {
        let (node, shelf, base) = (backend.node(), Arc::new(Shelf::default()), key());
        let put = vec![
            point("refund of the money", Audience::Public, Some(toward(&[0.0, 1.0]))),
            point("refund back", Audience::Public, Some(toward(&[0.8, 0.6]))),
            point("nothing shared", Audience::Public, Some(toward(&[1.0, 0.0]))),
        ];
        let both = put[1].chunk;
        shelf.edit(base, put, &[]);
        let question = Ask::new(Reader::Visitor, "refund", Some(toward(&[1.0])));
        let found = ask(&*node, &shelf, &[base], &question).await;
        assert_eq!((found.hits.len(), found.degraded), (3, None));
        assert_eq!(found.hits[0].chunk, both);
        assert!((found.hits[0].score - (1.0 / 61.0 + 1.0 / 62.0)).abs() < 1e-12);
        assert!(found.hits[0].cosine.is_some_and(|cosine| (cosine - 0.8).abs() < 1e-6));
    })
    .await;
}

/// Same chunks in the same order with the same scores; cosines may differ in the last digits.
#[track_caller]
fn check_same(found: &[Hit], expected: &[Hit]) {
    let plain =
        |hits: &[Hit]| -> Vec<_> { hits.iter().map(|hit| (hit.chunk, hit.score)).collect() };
    assert_eq!(plain(found), plain(expected));
    for (a, b) in found.iter().zip(expected) {
        match (a.cosine, b.cosine) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-5, "{a} and {b}"),
            (a, b) => assert_eq!(a, b),
        }
    }
}

#[tokio::test]
async fn every_backend_ranks_alike() {
    on_each(async |backend| {
        let mut corpus = Corpus::new(7);
        let (node, shelf) = (backend.node(), Arc::new(Shelf::default()));
        let reference = MemoryIndex::default();
        let first = key();
        let second = super::index::BaseKey { base: Ids.fresh(), ..first };
        shelf.edit(first, corpus.points(600), &[]);
        shelf.edit(second, corpus.points(150), &[]);
        for round in 0..60 {
            let reader = if round % 2 == 0 { Reader::Visitor } else { Reader::Agent };
            let bases: &[_] = if round % 3 == 0 { &[first] } else { &[first, second] };
            let mut question = corpus.ask(reader);
            match round % 5 {
                0 => question.dense = None,
                1 => question.tokens.clear(),
                _ => {}
            }
            let found = ask(&*node, &shelf, bases, &question).await;
            let expected = ask(&reference, &shelf, bases, &question).await;
            assert!(!expected.hits.is_empty());
            assert_eq!(found.degraded, None);
            check_same(&found.hits, &expected.hits);
        }
    })
    .await;
}

/// A chunk that goes, one that comes, one that changes its audience, one that loses its vector, one that gets one.
fn shuffle(corpus: &mut Corpus, shelf: &Shelf, base: super::index::BaseKey) {
    let all = shelf.points(base);
    let flipped = |point: &Point| Point {
        audience: match point.audience {
            Audience::Public => Audience::Internal,
            Audience::Internal => Audience::Public,
        },
        ..point.clone()
    };
    let again = |point: &Point, dense| Point { dense, ..point.clone() };
    let vector = Some(corpus.vector(DIMENSIONS));
    let put = vec![
        flipped(&all[1]),
        again(&all[2], None),
        again(&all[3], vector),
        corpus.point(DIMENSIONS),
    ];
    shelf.edit(base, put, &[all[0].chunk]);
}

#[tokio::test]
async fn revisions_are_followed_by_whoever_comes() {
    on_each(async |backend| {
        let mut corpus = Corpus::new(11);
        let (shelf, base) = (Arc::new(Shelf::default()), key());
        let source: Arc<dyn Source> = Arc::clone(&shelf) as _;
        let (early, late) = (backend.node(), backend.node());
        shelf.edit(base, corpus.points(60), &[]);
        let question = corpus.ask(Reader::Agent);
        ask(&*early, &shelf, &[base], &question).await;
        for round in 0..12 {
            shuffle(&mut corpus, &shelf, base);
            if round == 6 {
                // What went away before is not known any more.
                shelf.prune(base);
            }
            // One node follows each step, the other every third; one starts anew each time.
            let fresh = backend.node();
            let mut nodes = vec![&early, &fresh];
            if round % 3 == 2 {
                nodes.push(&late);
            }
            for node in nodes {
                for reader in [Reader::Agent, Reader::Visitor] {
                    let question = Ask { reader, ..corpus.ask(reader) };
                    // The whole base, made anew in memory, is what it must look like.
                    let expected = ask(&MemoryIndex::default(), &shelf, &[base], &question).await;
                    for _again in 0..2 {
                        let found = ask(&**node, &shelf, &[base], &question).await;
                        assert_eq!(found.degraded, None);
                        check_same(&found.hits, &expected.hits);
                    }
                    // Opened at an older revision it is no older.
                    let (_, now) = shelf.at(base);
                    let older = node.open(&[(base, now - 1)], &source).await.expect("opens");
                    let found = older.search(&question.query()).await.expect("searches");
                    check_same(&found.hits, &expected.hits);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_goes_away_while_it_is_read_is_not_found() {
    on_each(async |backend| {
        let mut corpus = Corpus::new(13);
        let (node, shelf, base) = (backend.node(), Arc::new(Shelf::default()), key());
        shelf.edit(base, corpus.points(1_500), &[]);
        let gone = shelf.points(base)[0].clone();
        let chunk = gone.chunk;
        let wanted = shelf.at(base);
        shelf.after_page(move |shelf| {
            shelf.edit(base, Vec::new(), &[chunk]);
        });
        let source: Arc<dyn Source> = Arc::clone(&shelf) as _;
        let reading = node.open(&[wanted], &source).await.expect("opens");
        let dense = gone.dense.clone().or_else(|| Some(toward(&[1.0])));
        let tokens = gone.tokens.counts.clone();
        let question = Ask { reader: Reader::Agent, tokens, dense, limit: 1_500 };
        let found = reading.search(&question.query()).await.expect("searches");
        assert!(!chunks(&found).contains(&chunk));
        let found = ask(&*node, &shelf, &[base], &question).await;
        assert!(!chunks(&found).contains(&chunk));
        let expected = ask(&MemoryIndex::default(), &shelf, &[base], &question).await;
        check_same(&found.hits, &expected.hits);
    })
    .await;
}

#[tokio::test]
async fn forgotten_bases_are_loaded_again_and_rebuilt_ones_are_the_same() {
    on_each(async |backend| {
        let mut corpus = Corpus::new(17);
        let (node, shelf, base) = (backend.node(), Arc::new(Shelf::default()), key());
        let source: Arc<dyn Source> = Arc::clone(&shelf) as _;
        shelf.edit(base, corpus.points(80), &[]);
        let question = corpus.ask(Reader::Agent);
        let expected = ask(&*node, &shelf, &[base], &question).await;
        node.forget(base).await.expect("forgets");
        check_same(&ask(&*node, &shelf, &[base], &question).await.hits, &expected.hits);
        node.rebuild(base, &source).await.expect("rebuilds");
        check_same(&ask(&*node, &shelf, &[base], &question).await.hits, &expected.hits);
    })
    .await;
}

#[tokio::test]
async fn odd_questions_and_empty_bases_are_answered() {
    on_each(async |backend| {
        let (node, shelf, base, empty) = (backend.node(), Arc::new(Shelf::default()), key(), key());
        let nothing = toward(&[0.0]);
        let put = vec![
            point("alpha beta", Audience::Public, Some(toward(&[1.0]))),
            point("", Audience::Public, Some(nothing.clone())),
            point("alpha", Audience::Public, None),
        ];
        let alpha = [put[2].chunk, put[0].chunk];
        shelf.edit(base, put, &[]);
        let by = |tokens: Vec<(u32, f32)>, dense: Option<Vec<f32>>| Ask {
            reader: Reader::Visitor,
            tokens,
            dense,
            limit: 10,
        };
        let word = tokens("alpha")[0].0;
        let found = async |question: Ask| ask(&*node, &shelf, &[base, empty], &question).await;
        assert_eq!(found(by(vec![], None)).await.hits, []);
        assert_eq!(found(by(vec![(0, 1.0), (u32::MAX, 1.0)], None)).await.hits, []);
        assert_eq!(chunks(&found(by(vec![(word, 1.0), (word, 1.0)], None)).await), alpha);
        assert_eq!(found(by(vec![(word, 0.0)], None)).await.hits, []);
        assert_eq!(
            found(Ask { limit: 0, ..by(vec![(word, 1.0)], Some(nothing.clone())) }).await.hits,
            []
        );
        // A vector of nothing is equally far from everything, and a question of nothing too.
        assert_eq!(found(by(vec![], Some(nothing))).await.hits.len(), 2);
        // A vector of another length is no vector of this space.
        assert_eq!(chunks(&found(by(vec![(word, 1.0)], Some(vec![1.0; 3]))).await), alpha);
        let alone =
            ask(&*node, &shelf, &[empty], &by(vec![(word, 1.0)], Some(toward(&[1.0])))).await;
        assert_eq!((alone.hits, alone.degraded), (vec![], None));
        assert_eq!(ask(&*node, &shelf, &[], &by(vec![(word, 1.0)], None)).await.hits, []);
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_chunks() {
    on_each(async |backend| {
        let mut corpus = Corpus::new(19);
        let (node, shelf, base) = (backend.node(), Arc::new(Shelf::default()), key());
        shelf.edit(base, corpus.points(10_000), &[]);
        let reference = MemoryIndex::default();
        for reader in [Reader::Visitor, Reader::Agent] {
            let question = corpus.ask(reader);
            let found = ask(&*node, &shelf, &[base], &question).await;
            let expected = ask(&reference, &shelf, &[base], &question).await;
            assert_eq!(found.hits.len(), 32);
            check_same(&found.hits, &expected.hits);
            let by_id: HashMap<_, _> =
                shelf.points(base).into_iter().map(|p| (p.chunk, p.audience)).collect();
            assert!(found.hits.iter().all(|hit| reader.may_read(by_id[&hit.chunk])));
        }
    })
    .await;
}
