//! Against the double: set-up, nodes in each other's way, faults, repairs. What both backends must do is in the contract.

use std::sync::Arc;

use tonic::Code;

use super::super::Audience;
use super::super::index::{Hit, Point};
use super::super::qdrant_double::{Double, Fault, Store};
use super::super::shelf::{Ask, Corpus, DIMENSIONS, Shelf, ask, key, point, toward};
use super::*;

struct World {
    double: Double,
    shelf: Arc<Shelf>,
    base: BaseKey,
    corpus: Corpus,
}

impl World {
    fn new() -> Self {
        let (double, shelf, base) = (Double::start(), Arc::new(Shelf::default()), key());
        Self { double, shelf, base, corpus: Corpus::new(23) }
    }

    fn settings(&self, timeout: Duration) -> QdrantSettings {
        QdrantSettings {
            url: self.double.url(),
            api_key: Some(Secret::new("hunter2")),
            collection: "baton".to_owned(),
            timeout,
            words_bytes: usize::MAX,
        }
    }

    /// A node that waits as long as it takes.
    fn node(&self) -> QdrantIndex {
        self.node_of("test/space", Duration::from_secs(30))
    }

    fn node_of(&self, space: &str, timeout: Duration) -> QdrantIndex {
        QdrantIndex::new(&self.settings(timeout), space, DIMENSIONS).expect("an address")
    }

    fn fill(&mut self, count: usize) {
        let points = self.corpus.points(count);
        self.shelf.edit(self.base, points, &[]);
    }

    async fn ask(&self, node: &QdrantIndex, question: &Ask) -> Found {
        ask(node, &self.shelf, &[self.base], question).await
    }

    /// What the whole base in memory answers.
    async fn expected(&self, question: &Ask) -> Vec<Hit> {
        ask(&MemoryIndex::default(), &self.shelf, &[self.base], question).await.hits
    }

    async fn check(&self, node: &QdrantIndex, question: &Ask) {
        let found = self.ask(node, question).await;
        assert_eq!(found.degraded, None);
        assert_eq!(plain(&found.hits), plain(&self.expected(question).await));
    }

    /// What it answers by words alone.
    async fn by_words(&self, question: &Ask) -> Vec<(ChunkId, f64)> {
        plain(&self.expected(&Ask { dense: None, ..question.clone() }).await)
    }

    /// The chunks that Qdrant holds are those of the source that have a vector, each with its audience.
    fn check_stored(&self) {
        let mut expected: Vec<(String, String)> = self
            .shelf
            .points(self.base)
            .into_iter()
            .filter(|point| point.dense.is_some())
            .map(|point| (point.chunk.uuid().to_string(), point.audience.as_str().to_owned()))
            .collect();
        expected.sort();
        assert_eq!(self.double.with_store(|store| stored(store)), expected);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.double.stop();
    }
}

fn plain(hits: &[Hit]) -> Vec<(ChunkId, f64)> {
    hits.iter().map(|hit| (hit.chunk, hit.score)).collect()
}

fn stored(store: &Store) -> Vec<(String, String)> {
    let points = store.collections.values().flat_map(|collection| &collection.points);
    let audience = |value: &::qdrant_client::qdrant::Value| value.as_str().cloned();
    points
        .filter_map(|(id, point)| Some((id.clone(), audience(point.payload.get("audience")?)?)))
        .collect()
}

#[tokio::test]
async fn the_collection_is_set_up_once_whoever_comes_first() {
    let mut world = World::new();
    world.fill(10);
    let (a, b) = (world.node(), world.node());
    let question = world.corpus.ask(Reader::Agent);
    tokio::join!(world.check(&a, &question), world.check(&b, &question));
    world.check(&world.node(), &question).await;
    let shape = world.double.with_store(|store| {
        let (name, made) = store.collections.iter().next().expect("is there");
        let dense = &made.params["dense"];
        let index = |field: &str| {
            made.indexes.get(field).map(|index| format!("{:?}", index.field_index_params))
        };
        assert!(
            index("knowledge_base").is_some_and(|params| params.contains("is_tenant: Some(true)"))
        );
        assert!(
            index("workspace").is_some() && index("audience").is_some() && index("as_of").is_some()
        );
        (store.collections.len(), name.clone(), dense.size, dense.distance())
    });
    let name = shape.1.clone();
    assert!(name.starts_with("baton_24_"), "{name}");
    assert_eq!(shape, (1, name, 24, ::qdrant_client::qdrant::Distance::Dot));
    world.check_stored();
}

#[tokio::test]
async fn somebody_elses_collection_is_left_alone() {
    let mut world = World::new();
    world.fill(10);
    let question = world.corpus.ask(Reader::Agent);
    world.check(&world.node(), &question).await;
    world.double.with_store(|store| {
        let made = store.collections.values_mut().next().expect("is there");
        made.points.clear();
        made.params.get_mut("dense").expect("is there").size = 7;
    });
    let node = world.node();
    let found = world.ask(&node, &question).await;
    assert_eq!(plain(&found.hits), world.by_words(&question).await);
    assert!(matches!(node.health(), Health::Degraded(why) if why.contains("index.collection")));
    assert!(world.double.with_store(|store| stored(store)).is_empty());
}

#[tokio::test]
async fn a_slow_node_does_not_bring_back_what_a_faster_one_removed() {
    let mut world = World::new();
    let put = vec![
        point("one", Audience::Public, Some(toward(&[1.0]))),
        point("two", Audience::Public, Some(toward(&[0.9, 0.1]))),
        point("three", Audience::Public, Some(toward(&[0.8, 0.2]))),
    ];
    let (gone, flipped) = (put[0].chunk, put[1].clone());
    world.shelf.edit(world.base, put, &[]);
    let question = world.corpus.ask(Reader::Agent);
    // The slow one has read the first revision and is about to store it.
    let slow = world.node();
    world.double.fault("upsert", Fault::Hold);
    let slow_search = world.ask(&slow, &question);
    let fast_search = async {
        world.double.called("upsert", 1).await;
        let hidden = Point { audience: Audience::Internal, ..flipped };
        world.shelf.edit(world.base, vec![hidden], &[gone]);
        // The first call stays held until the faster node is through.
        let fast = world.node();
        world.double.let_in_all_but_first("upsert");
        world.check(&fast, &question).await;
        world.check_stored();
        world.double.mend("upsert");
    };
    let (found, ()) = tokio::join!(slow_search, fast_search);
    assert_eq!(found.degraded, None);
    world.check_stored();
    world.check(&slow, &question).await;
    let visitor = Ask { reader: Reader::Visitor, ..question };
    world.check(&slow, &visitor).await;
}

#[tokio::test]
async fn a_node_that_died_half_way_is_finished_by_the_next() {
    let mut world = World::new();
    world.fill(40);
    let question = world.corpus.ask(Reader::Agent);
    world.check(&world.node(), &question).await;
    // It stores what is new and dies before it deletes what is gone.
    let gone: Vec<ChunkId> = world.shelf.points(world.base)[..3].iter().map(|p| p.chunk).collect();
    let new = world.corpus.points(5);
    world.shelf.edit(world.base, new, &gone);
    let dying = world.node_of("test/space", Duration::from_secs(30));
    world.double.fault("delete", Fault::Hold);
    tokio::select! {
        _ = world.ask(&dying, &question) => unreachable!("the deletion is held"),
        () = world.double.called("delete", 1) => {}
    }
    drop(dying);
    world.double.mend("delete");
    world.check(&world.node(), &question).await;
    world.check_stored();
}

#[tokio::test]
async fn what_does_not_add_up_is_made_anew() {
    let mut world = World::new();
    world.fill(30);
    let question = world.corpus.ask(Reader::Agent);
    let visitor = Ask { reader: Reader::Visitor, ..question.clone() };
    world.check(&world.node(), &question).await;
    // A point too many, as of before: left behind by a node that died.
    world.double.with_store(|store| {
        let points = &mut store.collections.values_mut().next().expect("is there").points;
        let ghost = points.values().find(|p| p.payload.contains_key("audience")).cloned();
        points.insert(uuid::Uuid::nil().to_string(), ghost.expect("is there"));
    });
    world.check(&world.node(), &question).await;
    world.check_stored();
    // One too many was deleted; the marker says all is well.
    world.double.with_store(|store| {
        let points = &mut store.collections.values_mut().next().expect("is there").points;
        let id = points
            .iter()
            .find(|(_, p)| p.payload.contains_key("audience"))
            .map(|(id, _)| id.clone());
        points.remove(&id.expect("is there"));
    });
    world.check(&world.node(), &visitor).await;
    world.check_stored();
    // An older backup of the database came back.
    let points = world.corpus.points(12);
    world.fill(1);
    world.check(&world.node(), &question).await;
    world.shelf.restore(world.base, 1, points);
    world.check(&world.node(), &question).await;
    world.check_stored();
}

#[tokio::test]
async fn what_qdrant_says_is_only_a_proposal() {
    let mut world = World::new();
    world.fill(30);
    let foreign = key();
    let points = world.corpus.points(10);
    world.shelf.edit(foreign, points, &[]);
    let question = world.corpus.ask(Reader::Visitor);
    let node = world.node();
    world.check(&node, &question).await;
    ask(&node, &world.shelf, &[foreign], &question).await;
    // Everything in the collection claims to be public and ours.
    world.double.with_store(|store| {
        let made = store.collections.values_mut().next().expect("is there");
        for point in made.points.values_mut().filter(|p| p.payload.contains_key("audience")) {
            point.payload.insert("audience".to_owned(), "public".into());
            point.payload.insert("workspace".to_owned(), world.base.workspace.to_string().into());
            point.payload.insert("knowledge_base".to_owned(), world.base.base.to_string().into());
        }
    });
    world.check(&node, &question).await;
}

#[tokio::test]
async fn away_means_words_alone_and_it_comes_back_by_itself() {
    let mut world = World::new();
    world.fill(50);
    let question = world.corpus.ask(Reader::Agent);
    let node = world.node();
    world.check(&node, &question).await;
    world.double.stop();
    for _ in 0..3 {
        let found = world.ask(&node, &question).await;
        assert_eq!(found.degraded, Some(Degraded::Away));
        assert_eq!(plain(&found.hits), world.by_words(&question).await);
    }
    let Health::Degraded(why) = node.health() else { panic!("it is away") };
    assert!(!why.contains("hunter2"), "{why}");
    // What changes meanwhile is found by its words, by nodes that start meanwhile too.
    let points = world.corpus.points(5);
    world.shelf.edit(world.base, points, &[]);
    let found = world.ask(&node, &question).await;
    assert_eq!(plain(&found.hits), world.by_words(&question).await);
    let newcomer = world.node();
    let found = world.ask(&newcomer, &question).await;
    assert_eq!(plain(&found.hits), world.by_words(&question).await);
    world.double.start_again();
    node.shared.watch.until_well().await;
    newcomer.shared.watch.until_well().await;
    world.check(&node, &question).await;
    world.check(&newcomer, &question).await;
    world.check_stored();
}

#[tokio::test]
async fn slow_answers_and_error_codes_are_survived() {
    let mut world = World::new();
    world.fill(20);
    let question = world.corpus.ask(Reader::Agent);
    let node = world.node_of("test/space", Duration::from_millis(300));
    // It may need more than one wait to be ready.
    world.check(&world.node(), &question).await;
    while world.ask(&node, &question).await.degraded.is_some() {}
    world.double.fault("query_batch", Fault::Refuse(Code::Internal, 1));
    // The client asks again by itself, or words answer: never an error.
    world.ask(&node, &question).await;
    node.shared.watch.until_well().await;
    world.double.fault("query_batch", Fault::Hold);
    for _ in 0..3 {
        let found = world.ask(&node, &question).await;
        assert_eq!(found.degraded, Some(Degraded::Away));
        assert_eq!(plain(&found.hits), world.by_words(&question).await);
    }
    assert!(matches!(node.health(), Health::Degraded(why) if why.contains("no answer within")));
    world.double.mend("query_batch");
    node.shared.watch.until_well().await;
    while world.ask(&node, &question).await.degraded.is_some() {}
    world.check(&node, &question).await;
    // Slow, but not too slow.
    world.double.fault("query_batch", Fault::Slow(Duration::from_millis(5)));
    world.check(&node, &question).await;
}

#[tokio::test]
async fn a_refused_write_is_tried_again() {
    let mut world = World::new();
    world.fill(20);
    let question = world.corpus.ask(Reader::Agent);
    world.double.fault("upsert", Fault::Refuse(Code::ResourceExhausted, 2));
    world.check(&world.node(), &question).await;
    assert!(world.double.calls("upsert") > 2);
    // One that nobody may make is not; words go on.
    world.fill(1);
    world.double.fault("upsert", Fault::Refuse(Code::PermissionDenied, 1));
    let found = world.ask(&world.node(), &question).await;
    assert_eq!(plain(&found.hits), world.by_words(&question).await);
    world.check(&world.node(), &question).await;
}

#[tokio::test]
async fn a_lost_collection_is_made_anew() {
    let mut world = World::new();
    world.fill(20);
    let question = world.corpus.ask(Reader::Agent);
    let node = world.node();
    world.check(&node, &question).await;
    world.double.with_store(|store| store.collections.clear());
    let found = world.ask(&node, &question).await;
    assert_eq!(plain(&found.hits), world.by_words(&question).await);
    assert_eq!(node.health(), Health::Ok, "it answers: only the collection is gone");
    world.check(&node, &question).await;
    world.check_stored();
}

#[tokio::test]
async fn another_space_fills_beside_the_old_one() {
    let mut world = World::new();
    world.fill(20);
    let question = world.corpus.ask(Reader::Agent);
    let old = world.node();
    world.check(&old, &question).await;
    let new = world.node_of("test/better", Duration::from_secs(30));
    world.check(&new, &question).await;
    world.check(&old, &question).await;
    assert_eq!(world.double.with_store(|store| store.collections.len()), 2);
    world.double.with_store(|store| {
        let others = ["baton_other", "baton_x_12345678", "batons_24_12345678"];
        for name in others {
            let (params, indexes) = Default::default();
            let points = Default::default();
            let made = super::super::qdrant_double::Collection { params, indexes, points };
            store.collections.insert(name.to_owned(), made);
        }
    });
    let dropped = new.drop_other_collections().await.expect("drops");
    assert_eq!(dropped, [old.check().await.expect("answers")]);
    assert_eq!(world.double.with_store(|store| store.collections.len()), 4);
    world.check(&new, &question).await;
}
