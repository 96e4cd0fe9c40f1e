//! The service over both engines: storing, following, searching, folders.

use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::clock::Timestamp;
use crate::db::sql;
use crate::db::testing::databases;
use crate::knowledge::{EmbedError, Passage};

struct World {
    knowledge: Knowledge,
    workspace: WorkspaceId,
    base: KnowledgeBaseId,
}

impl World {
    async fn new(db: Db, embedder: Option<Arc<dyn Embedder>>) -> Self {
        let workspace = workspace(&db).await;
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let knowledge = Knowledge::new(db, clock, Ids, embedder);
        let base = knowledge.create_base(workspace, "Help").await.expect("makes a base").id;
        Self { knowledge, workspace, base }
    }

    async fn all() -> Vec<Self> {
        let mut worlds = Vec::new();
        for db in databases().await {
            worlds.push(Self::new(db, None).await);
        }
        worlds
    }

    async fn put(&self, key: &str, draft: ArticleDraft) -> Stored {
        self.knowledge
            .put_article(self.workspace, self.base, "test", key, draft)
            .await
            .expect("stores the article")
    }

    async fn found(&self, query: &str) -> Vec<Passage> {
        self.knowledge
            .search_for_agents(self.workspace, &[self.base], query, None, 5)
            .await
            .expect("searches")
    }

    async fn texts(&self, query: &str) -> Vec<String> {
        self.found(query).await.into_iter().map(|passage| passage.text).collect()
    }

    async fn revision(&self) -> i64 {
        let base = self.knowledge.base(self.workspace, self.base).await.expect("reads");
        base.expect("is there").revision
    }
}

async fn workspace(db: &Db) -> WorkspaceId {
    let id: WorkspaceId = Ids.fresh();
    db.write(move |conn| {
        Box::pin(async move {
            sql("INSERT INTO workspace (id, name, created_at) VALUES ($1, 'Shop', 0)")
                .bind(id)
                .execute(conn)
                .await
        })
    })
    .await
    .expect("makes a workspace");
    id
}

fn draft(title: &str, body: &str) -> ArticleDraft {
    ArticleDraft {
        title: title.to_owned(),
        body: body.to_owned(),
        audience: Audience::Public,
        locale: "en".to_owned(),
        url: None,
        updated: None,
    }
}

/// Two sections, each long enough to be a chunk of its own.
fn returns() -> String {
    let filler = "Sundry remarks follow here. ".repeat(32);
    format!(
        "## Refunds\n\nA refund takes five days. {filler}\n\n## Exchanges\n\nWe swap sizes free of charge. {filler}"
    )
}

#[tokio::test]
async fn an_edit_keeps_what_did_not_change() {
    for world in World::all().await {
        let first = world.put("returns", draft("Returns", &returns())).await;
        assert_eq!((first.change, first.chunks_added), (Change::Added, 2));
        let refunds = world.found("refund").await[0].chunk_id;
        let again = world.put("returns", draft("Returns", &returns())).await;
        assert_eq!((again.change, again.article), (Change::Unchanged, first.article));
        assert_eq!(world.revision().await, 1);

        let edited = returns().replace("free of charge", "for two euros");
        let edit = world.put("returns", draft("Returns", &edited)).await;
        assert_eq!(edit.change, Change::Changed);
        assert_eq!((edit.chunks_added, edit.chunks_kept, edit.chunks_removed), (1, 1, 1));
        assert_eq!(world.found("refund").await[0].chunk_id, refunds);
        assert!(world.texts("swap sizes").await[0].starts_with("We swap sizes for two euros."));
        assert!(world.texts("charge").await.is_empty());
        assert_eq!(world.revision().await, 2);
    }
}

#[tokio::test]
async fn a_deleted_article_is_gone() {
    for world in World::all().await {
        let stored = world.put("returns", draft("Returns", &returns())).await;
        assert_eq!(world.found("refund").await.len(), 1);
        let elsewhere = workspace(&world.knowledge.db).await;
        let delete = |workspace| world.knowledge.delete_article(workspace, stored.article);
        assert!(!delete(elsewhere).await.expect("refuses"));
        assert!(delete(world.workspace).await.expect("deletes"));
        assert!(!delete(world.workspace).await.expect("is gone"));
        assert!(world.found("refund").await.is_empty());
        let left: (i64,) = sql("SELECT COUNT(*) FROM chunk WHERE workspace = $1")
            .bind(world.workspace)
            .one(&mut world.knowledge.db.read().await.expect("reads"))
            .await
            .expect("counts");
        assert_eq!(left.0, 0);
    }
}

#[tokio::test]
async fn internal_knowledge_never_reaches_a_visitor() {
    for world in World::all().await {
        let public = draft("Refunds", "A refund takes five days.");
        world.put("public", public.clone()).await;
        let secret = ArticleDraft {
            audience: Audience::Internal,
            ..draft("Refunds", "A refund above 100 euros needs a supervisor.")
        };
        world.put("internal", secret).await;
        let (workspace, base) = (world.workspace, world.base);
        let visible = async || {
            world
                .knowledge
                .search_public(workspace, &[base], "refund supervisor", None, 9)
                .await
                .expect("searches")
        };
        assert_eq!(visible().await.len(), 1);
        assert_eq!(world.found("refund supervisor").await.len(), 2);
        // What was public and is no more disappears at once, with its chunk id kept.
        world.put("public", ArticleDraft { audience: Audience::Internal, ..public }).await;
        assert!(visible().await.is_empty());
        assert_eq!(world.found("refund").await.len(), 2);
    }
}

#[tokio::test]
async fn workspaces_are_apart() {
    for world in World::all().await {
        world.put("returns", draft("Returns", &returns())).await;
        let other = World::new(world.knowledge.db.clone(), None).await;
        let knowledge = &other.knowledge;
        let foreign = knowledge
            .search_for_agents(other.workspace, &[world.base], "refund", None, 5)
            .await
            .expect("searches");
        assert!(foreign.is_empty());
        assert!(knowledge.base(other.workspace, world.base).await.expect("reads").is_none());
        let refused =
            knowledge.put_article(other.workspace, world.base, "test", "x", draft("X", "Y")).await;
        assert!(matches!(refused, Err(KnowledgeError::NoSuchBase(_))), "{refused:?}");
        let listed = knowledge.articles(other.workspace, world.base, None, None, 5).await;
        assert!(matches!(listed, Err(KnowledgeError::NoSuchBase(_))), "{listed:?}");
    }
}

#[tokio::test]
async fn articles_are_listed_by_page_and_by_word() {
    for world in World::all().await {
        for name in ["Alpha 100%", "Beta", "Gamma"] {
            world.put(name, draft(name, "Words.")).await;
        }
        let list = async |q, before, limit| {
            let (workspace, base) = (world.workspace, world.base);
            let page = world.knowledge.articles(workspace, base, q, before, limit).await;
            let page = page.expect("lists");
            let titles: Vec<String> = page.articles.iter().map(|a| a.title.clone()).collect();
            (titles, page.next)
        };
        let (first, next) = list(None, None, 2).await;
        assert_eq!(first, ["Gamma", "Beta"]);
        assert_eq!(list(None, next, 2).await, (vec!["Alpha 100%".to_owned()], None));
        assert_eq!(list(Some("0%"), None, 5).await.0, ["Alpha 100%"]);
        assert_eq!(list(Some("%"), None, 5).await.0.len(), 1);
        assert_eq!(list(Some("BETA"), None, 5).await.0, ["Beta"]);
    }
}

#[tokio::test]
async fn questions_and_answers_are_articles() {
    for world in World::all().await {
        let (workspace, base) = (world.workspace, world.base);
        let put = async |question, answer| {
            let knowledge = &world.knowledge;
            knowledge.put_question(workspace, base, question, answer, Audience::Public, "en").await
        };
        put("Do you ship abroad?", "Not yet.").await.expect("stores");
        put("do you ship  abroad?", "Yes, to Norway.").await.expect("replaces");
        assert_eq!(world.texts("ship abroad").await, ["Yes, to Norway."]);
        let problem = put(" ", "Yes").await.expect_err("refuses").to_string();
        assert!(problem.contains("`question`"), "{problem}");
    }
}

/// Vectors by letter counts, so that spelling is meaning; fails when told.
#[derive(Default)]
struct Letters {
    asked: Mutex<Vec<String>>,
    broken: std::sync::atomic::AtomicBool,
}

#[async_trait::async_trait]
impl Embedder for Letters {
    fn space(&self) -> String {
        "test/letters/26".to_owned()
    }
    fn dimensions(&self) -> usize {
        26
    }
    async fn embed(
        &self,
        texts: &[String],
        purpose: EmbedPurpose,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        if self.broken.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(EmbedError { reason: "away".to_owned(), retryable: true });
        }
        if purpose == EmbedPurpose::Document {
            self.asked.lock().expect("is whole").extend(texts.iter().cloned());
        }
        let vector = |text: &String| {
            let mut counts = vec![0.0; 26];
            for letter in text.bytes().filter(u8::is_ascii_lowercase) {
                counts[usize::from(letter - b'a')] += 1.0;
            }
            counts
        };
        Ok(texts.iter().map(vector).collect())
    }
}

#[tokio::test]
async fn only_new_chunks_are_embedded_and_a_broken_model_stops_nothing() {
    for db in databases().await {
        let letters = Arc::new(Letters::default());
        let world = World::new(db, Some(letters.clone())).await;
        world.put("returns", draft("Returns", &returns())).await;
        assert_eq!(letters.asked.lock().expect("is whole").len(), 2);
        world.put("returns", draft("Returns", &returns().replace("five", "six"))).await;
        assert_eq!(letters.asked.lock().expect("is whole").len(), 3);
        // No word in common, but the letters are close.
        let close = &world.found("rfund tkes sx dys").await[0];
        assert!(close.kept && close.why.contains("cosine"), "{}", close.why);

        letters.broken.store(true, std::sync::atomic::Ordering::SeqCst);
        let stored = world.put("more", draft("Gifts", "We wrap gifts.")).await;
        assert_eq!(stored.change, Change::Added);
        assert_eq!(world.texts("gifts").await, ["We wrap gifts."]);
        letters.broken.store(false, std::sync::atomic::Ordering::SeqCst);
        let retried = world.put("more", draft("Gifts", "We wrap gifts.")).await;
        assert_eq!((retried.change, retried.chunks_kept), (Change::Changed, 1));
        let settled = world.put("more", draft("Gifts", "We wrap gifts.")).await;
        assert_eq!(settled.change, Change::Unchanged);
    }
}

async fn run(db: &Db, text: &'static str) -> u64 {
    db.write(move |conn| Box::pin(async move { sql(text).execute(conn).await }))
        .await
        .expect("runs")
}

#[tokio::test]
async fn tombstones_end_and_whoever_is_behind_loads_the_whole_base() {
    for world in World::all().await {
        let (knowledge, db) = (&world.knowledge, &world.knowledge.db);
        let stored = world.put("returns", draft("Returns", &returns())).await;
        world.put("gifts", draft("Gifts", "We wrap gifts.")).await;
        let behind = knowledge.clone();
        assert_eq!(world.found("refund").await.len(), 1);
        let ahead = Knowledge::new(db.clone(), knowledge.clock.clone(), Ids, None);
        knowledge.delete_article(world.workspace, stored.article).await.expect("deletes");
        // One was left by the version before, which knew no age.
        run(db, "UPDATE chunk_removed SET removed_at = NULL WHERE chunk = (SELECT MIN(chunk) FROM chunk_removed)")
            .await;
        assert_eq!(knowledge.prune_tombstones().await.expect("prunes"), 0, "too young");
        knowledge.clock.advance(super::super::tombstones::KEPT * 2);
        world.put("cards", draft("Cards", "We print cards.")).await;
        assert_eq!(knowledge.prune_tombstones().await.expect("prunes"), 2);
        assert_eq!(knowledge.prune_tombstones().await.expect("prunes"), 0);
        let search = async |knowledge: &Knowledge, query| {
            let found =
                knowledge.search_for_agents(world.workspace, &[world.base], query, None, 5).await;
            found.expect("searches").len()
        };
        for node in [&behind, &ahead] {
            assert_eq!(search(node, "refund").await, 0);
            assert_eq!(search(node, "gifts").await, 1);
            assert_eq!(search(node, "cards").await, 1);
        }
    }
}

#[tokio::test]
async fn chunks_of_the_version_before_are_cut_again() {
    for world in World::all().await {
        world.put("returns", draft("Returns", &returns())).await;
        let (db, clock) = (world.knowledge.db.clone(), world.knowledge.clock.clone());
        let expected = world.found("refund exchange").await;
        for change in [
            "UPDATE chunk SET tokens = NULL, tokens_by = NULL",
            "UPDATE chunk SET tokens_by = 'words/0'",
        ] {
            run(&db, change).await;
            let fresh = Knowledge::new(db.clone(), clock.clone(), Ids, None);
            let found = fresh
                .search_for_agents(world.workspace, &[world.base], "refund exchange", None, 5)
                .await
                .expect("searches");
            assert_eq!(found, expected);
        }
    }
}

#[tokio::test]
async fn more_than_one_page_of_one_revision_is_loaded() {
    for world in World::all().await {
        let db = world.knowledge.db.clone();
        world.put("returns", draft("Returns", "A refund takes five days.")).await;
        run(
            &db,
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
             INSERT INTO chunk (id, workspace, knowledge_base, article, ordinal, section, text, audience, content_hash, encoder, revision) \
             SELECT 'chk_' || SUBSTR('00000000000000000000000000000000' || CAST(n.i AS TEXT), LENGTH(CAST(n.i AS TEXT)) + 1), \
             c.workspace, c.knowledge_base, c.article, n.i, '', 'gift number ' || CAST(n.i AS TEXT), 'public', CAST(n.i AS TEXT), \
             c.encoder, c.revision FROM chunk c, n",
        )
        .await;
        let fresh = Knowledge::new(db, world.knowledge.clock.clone(), Ids, None);
        for query in ["gift 1", "gift 1000", "gift 1001", "gift 2500"] {
            let found =
                fresh.search_for_agents(world.workspace, &[world.base], query, None, 1).await;
            assert_eq!(found.expect("searches")[0].text, query.replace("gift", "gift number"));
        }
    }
}

/// The letters, upside down: another space of the same length.
struct Others(Letters);

#[async_trait::async_trait]
impl Embedder for Others {
    fn space(&self) -> String {
        "test/others/26".to_owned()
    }
    fn dimensions(&self) -> usize {
        26
    }
    async fn embed(
        &self,
        texts: &[String],
        purpose: EmbedPurpose,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let made = self.0.embed(texts, purpose).await?;
        Ok(made.into_iter().map(|v| v.into_iter().rev().collect()).collect())
    }
}

#[tokio::test]
async fn another_embedding_model_takes_over_while_search_goes_on() {
    for db in databases().await {
        let double = crate::knowledge::qdrant_double::Double::start();
        let world = World::new(db.clone(), Some(Arc::new(Letters::default()))).await;
        world.put("returns", draft("Returns", &returns())).await;
        let clock = world.knowledge.clock.clone();
        let node = |embedder: Arc<dyn Embedder>| {
            let settings = crate::knowledge::QdrantSettings {
                url: double.url(),
                api_key: None,
                collection: "baton".to_owned(),
                timeout: std::time::Duration::from_secs(30),
                words_bytes: usize::MAX,
            };
            let index = crate::knowledge::QdrantIndex::new(&settings, &embedder.space(), 26);
            let index = Arc::new(index.expect("an address"));
            Knowledge::with_index(db.clone(), clock.clone(), Ids, Some(embedder), index)
        };
        let close = async |knowledge: &Knowledge| {
            let (workspace, bases) = (world.workspace, [world.base]);
            let found =
                knowledge.find_public(workspace, &bases, "rfund tkes sx dys", None, 5).await;
            let found = found.expect("searches");
            assert_eq!(found.degraded, None);
            found.passages.iter().any(|p| p.kept && p.why.contains("cosine"))
        };
        let old = node(Arc::new(Letters::default()));
        assert!(close(&old).await);
        let new = node(Arc::new(Others(Letters::default())));
        assert!(!close(&new).await, "no vector of this space yet");
        assert_eq!(
            new.search_public(world.workspace, &[world.base], "refund", None, 5)
                .await
                .expect("searches")
                .len(),
            1
        );
        assert_eq!(new.embed_missing(world.workspace).await.expect("embeds"), 2);
        assert_eq!(new.embed_missing(world.workspace).await.expect("embeds"), 0);
        assert!(close(&new).await);
        assert!(!close(&old).await, "its vectors are gone, its words are not");
        assert_eq!(new.rebuild(world.workspace).await.expect("rebuilds"), 1);
        assert!(close(&new).await);
        double.stop();
    }
}

#[tokio::test]
async fn a_folder_is_followed() {
    for world in World::all().await {
        let outside = tempfile::tempdir().expect("makes a folder");
        let folder = tempfile::tempdir().expect("makes a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("makes folders");
            std::fs::write(path, text).expect("writes");
        };
        write("en/refunds.md", "---\ntitle: Refunds\nlocale: en\n---\nA refund takes five days.");
        write("broken.md", "---\naudiance: internal\n---\n# Secret\n\nX");
        write("big.md", &"x".repeat(MAX_BODY + 1));
        write("notes.txt", "not an article");
        write("README.md", "# About this folder\n\nX");
        write(".git/x.md", "# Hidden\n\nX");
        std::fs::write(folder.path().join("latin.md"), b"# Caf\xe9").expect("writes");
        std::fs::write(outside.path().join("secret.md"), "# Secret\n\nX").expect("writes");
        link(&outside.path().join("secret.md"), &folder.path().join("link.md"));
        link(outside.path(), &folder.path().join("linked"));
        let ingest = async || {
            let (workspace, base) = (world.workspace, world.base);
            world.knowledge.ingest_folder(workspace, base, folder.path()).await.expect("takes it")
        };
        let report = ingest().await;
        assert_eq!((report.added, report.changed, report.removed), (1, 0, 0), "{report:?}");
        let files: Vec<&str> = report.errors.iter().map(|e| e.file.as_str()).collect();
        assert_eq!(files, ["big.md", "broken.md", "latin.md", "link.md"]);
        assert!(report.errors[0].reason.contains("1 MiB"), "{report:?}");
        assert!(report.errors[1].reason.contains("`audiance`"), "{report:?}");
        assert!(report.errors[3].reason.contains("outside"), "{report:?}");

        write("broken.md", "# Gifts\n\nWe wrap gifts.");
        let report = ingest().await;
        assert_eq!((report.added, report.unchanged, report.errors.len()), (1, 1, 3), "{report:?}");
        write("broken.md", "---\nnonsense\n---\n");
        std::fs::remove_file(folder.path().join("en/refunds.md")).expect("removes");
        let report = ingest().await;
        assert_eq!((report.removed, report.errors.len()), (1, 4), "{report:?}");
        assert!(world.found("refund").await.is_empty());
        assert_eq!(world.texts("gifts").await, ["We wrap gifts."], "a broken file loses nothing");
    }
}

const MAX_BODY: usize = crate::knowledge::article::MAX_BODY_BYTES;

#[cfg(unix)]
fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).expect("links");
}

#[tokio::test]
async fn a_missing_folder_is_an_error() {
    for world in World::all().await {
        let missing = Path::new("/does/not/exist");
        let result = world.knowledge.ingest_folder(world.workspace, world.base, missing).await;
        let problem = result.expect_err("refuses").to_string();
        assert!(problem.starts_with("folder /does/not/exist: "), "{problem}");
    }
}

#[tokio::test]
async fn the_askers_language_wins_between_equals_and_twins_show_once() {
    for world in World::all().await {
        let body = "## WhatsApp\n\nWhatsApp: +62 811 2222";
        world.put("en", draft("Contact", body)).await;
        let id = ArticleDraft { locale: "id".to_owned(), ..draft("Kontak", body) };
        let indonesian = world.put("id", id).await.article;
        let search = async |locale| {
            let (knowledge, bases) = (&world.knowledge, [world.base]);
            let found = knowledge
                .search_for_agents(world.workspace, &bases, "whatsapp", Some(locale), 5)
                .await
                .expect("searches");
            (found[0].article_id, found.len())
        };
        assert_eq!(search("id-ID").await.0, indonesian);
        assert_ne!(search("en").await.0, indonesian);
        world.put("twin", draft("Contact", &body.replace("## WhatsApp", "## whatsapp"))).await;
        assert_eq!(search("en").await.1, 2);
    }
}
