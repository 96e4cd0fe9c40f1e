//! Every address as everybody: what the table does not allow is refused with the status it says, changes nothing and shows
//! nothing; what it allows is served.

use std::collections::{BTreeMap, BTreeSet};

use baton::access::role::Role;
use baton::access::{secret, store as members};
use baton::config::Secret;
use baton::server::{self, Extras};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::Belongings;
use super::callers::{self, Caller, Credentials};
use super::sample::{self, Hints};
use super::table::{self, Cell, Row};
use super::witness::{Scope, Witness, changed};
use crate::on_both_engines;
use crate::support::people::fresh_client_id;
use crate::support::{Engine, Live, Setup, Visitor, World};

/// A row about a conversation that a colleague of the caller holds.
const OF_A_COLLEAGUE: &str = " of a colleague";
/// The demo's own addresses stand in the table with these words before them.
const DEMO: [&str; 2] = ["demo ", "shop "];

/// The addresses of a router, as it prints itself: `GET /path` each.
///
/// The router has no list of its routes to ask for, but shows them to whoever debugs it.
fn addresses(router: &axum::Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let (handlers, paths) = shown.split_once("node: Node").expect("a router shows its paths");
    let (_, paths) = paths.split_once("paths: {").expect("paths");
    let (paths, _) = paths.split_once('}').map_or((paths, ""), |_| split_map(paths));
    let mut found = BTreeSet::new();
    for entry in paths.split("RouteId(").skip(1) {
        let (id, rest) = entry.split_once(')').expect("an id");
        let path = rest.split('"').nth(1).expect("a path");
        // What nesting adds for whatever lies below it.
        if path.contains("{*__private__") {
            continue;
        }
        for method in methods(handlers, id) {
            found.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    found
}

/// A map as it is shown, up to its end: braces within quotes are a path's own.
fn split_map(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '}' && !quoted
    });
    text.split_at(end.map_or(text.len(), |(at, _)| at))
}

/// HEAD goes where GET goes.
fn methods<'a>(handlers: &'a str, id: &str) -> impl Iterator<Item = &'static str> + 'a {
    let all = ["get", "put", "post", "patch", "delete", "options", "trace", "connect"];
    let starts = format!("RouteId({id}): ");
    let from = handlers.find(&starts).unwrap_or_else(|| panic!("no handlers of route {id}"));
    let entry = &handlers[from + starts.len()..];
    let entry = &entry[..entry.find("RouteId(").unwrap_or(entry.len())];
    all.into_iter().filter_map(move |method| {
        let (_, rest) = entry.split_once(&format!("{method}: "))?;
        (!rest.starts_with("None")).then_some(method)
    })
}

/// Operations of the document.
fn operations(document: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if ["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                all.insert(format!("{} {path}", method.to_uppercase()), operation.clone());
            }
        }
    }
    all
}

/// A new address without a row fails, a row without an address fails, and every operation is served.
#[tokio::test]
async fn every_address_has_its_row() {
    let place = crate::support::Place::fresh(Engine::Sqlite).await;
    let mut config = baton::config::Config::default();
    config.database.url = baton::config::Secret::new(&place.url);
    let built = server::build(&config, &Extras::default()).await.expect("builds a server");
    let site = baton::demo::shop::Shop {
        baton_origin: String::new(),
        shop_origin: String::new(),
        inbox_key: String::new(),
        studio_inbox_key: String::new(),
        workspace: baton::ids::Ids.fresh(),
        db: built.state.access.db.clone(),
    };
    let own = addresses(&built.router(None).expect("its routes"));
    let mut served = own.clone();
    let help = baton::demo::shop::help(site.clone());
    served.extend(addresses(&help).iter().map(|address| format!("demo {address}")));
    let shop = baton::demo::shop::router(site);
    served.extend(addresses(&shop).iter().map(|address| format!("shop {address}")));
    let document = serde_json::to_value(baton::app::document()).expect("a document");
    for operation in operations(&document).keys() {
        assert!(own.contains(operation), "{operation} stands in the document and is not served");
    }
    let rows = table::read();
    let listed: BTreeSet<String> =
        rows.keys().filter(|call| !call.starts_with("socket ")).cloned().collect();
    let base = |call: &String| call.trim_end_matches(OF_A_COLLEAGUE).to_owned();
    let without_row: Vec<_> = served.iter().filter(|address| !listed.contains(*address)).collect();
    let without_address: Vec<_> =
        listed.iter().filter(|call| !served.contains(&base(call))).collect();
    assert!(without_row.is_empty(), "add a row to tests/walls/table.tsv for {without_row:?}");
    assert!(
        without_address.is_empty(),
        "nothing answers what tests/walls/table.tsv lists: {without_address:?}"
    );
    built.state.access.db.close().await;
}

/// What came back.
struct Got {
    status: u16,
    headers: HeaderMap,
    text: String,
}

/// One call that is ready to be made.
struct Call<'a> {
    name: &'a str,
    method: Method,
    /// With everything in its place.
    path: String,
    body: Option<Value>,
}

impl Call<'_> {
    /// The same call with ids that nobody ever had.
    fn of_nobody(&self, home: &Belongings) -> Self {
        let ids = [
            &home.conversation,
            &home.contact,
            &home.turn,
            &home.alarm,
            &home.assistant,
            &home.inbox,
            &home.base,
            &home.article,
            &home.artifact,
        ];
        let path = ids.into_iter().fold(self.path.clone(), |path, id| {
            let (prefix, digits) = id.split_once('_').expect("a prefix");
            path.replace(id.as_str(), &format!("{prefix}_{}", "0".repeat(digits.len())))
        });
        Self { path, body: self.body.clone(), method: self.method.clone(), name: self.name }
    }

    async fn by(&self, world: &World, caller: &Caller) -> Got {
        if self.path.ends_with("/live") {
            let opened = Live::open(&caller.who, &world.origin, None).await;
            let status = opened.map_or_else(|status| status, |_| 101);
            return Got { status, headers: HeaderMap::new(), text: String::new() };
        }
        let url = format!("{}{}", world.origin, self.path);
        let mut request = caller.shows(world.http.request(self.method.clone(), url));
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        let response = request.send().await;
        let response =
            response.unwrap_or_else(|e| panic!("{} as {}: {e:?}", self.name, caller.who));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await;
        let text = text.unwrap_or_else(|e| panic!("{} as {}: {e:?}", self.name, caller.who));
        Got { status, headers, text }
    }
}

/// What is wrong with any answer, whoever asked.
fn careless(call: &Call<'_>, got: &Got) -> Vec<String> {
    let mut wrong = Vec::new();
    if got.status == 101 {
        return wrong;
    }
    if got.status >= 500 || (300..400).contains(&got.status) {
        wrong.push(format!("answered {}", got.status));
    }
    let header = |name: &str| got.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    for (name, part) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("content-security-policy", "script-src 'self';"),
        ("referrer-policy", "same-origin"),
        ("x-request-id", ""),
    ] {
        if !got.headers.contains_key(name) || !header(name).contains(part) {
            wrong.push(format!("the header {name} is `{}`", header(name)));
        }
    }
    if call.path.starts_with("/api/") && header("cache-control") != "no-store" {
        wrong.push(format!("may be cached: `{}`", header("cache-control")));
    }
    if got.headers.contains_key("location") || got.headers.contains_key("server") {
        wrong.push("has a header Location or Server".to_owned());
    }
    let signs = ["/auth/sign-in", "/auth/sign-out", "/auth/accept-invite"];
    if got.headers.contains_key("set-cookie") && !signs.iter().any(|path| call.path.ends_with(path))
    {
        wrong.push("sets a cookie".to_owned());
    }
    if got.status >= 400 {
        for inner in ["src/", ".rs", "SELECT", "sqlx", "panicked", "constraint", "baton_session="] {
            if got.text.contains(inner) {
                wrong.push(format!("tells of `{inner}`: {}", got.text));
            }
        }
    }
    wrong
}

/// What an answer shows that is not for this caller.
fn shown(
    call: &Call<'_>,
    caller: &Caller,
    home: &Belongings,
    away: &Belongings,
    got: &Got,
) -> Vec<String> {
    // The credentials stand in the body: whoever has them is shown whose they are.
    if ["/auth/sign-in", "/auth/accept-invite"].iter().any(|path| call.path.ends_with(path)) {
        return Vec::new();
    }
    let mut hidden: Vec<&String> = Vec::new();
    let (own, others) = if caller.at_home { (home, away) } else { (away, home) };
    hidden.extend(others.private.iter().chain(&others.personal));
    if caller.agent.is_none() {
        hidden.extend(&own.private);
        if caller.kind != "visitor" {
            hidden.extend(&own.personal);
        }
    }
    let seen = hidden.into_iter().filter(|words| got.text.contains(words.as_str()));
    seen.map(|words| format!("shows `{words}`")).collect()
}

/// The two businesses, everybody who calls, and who watches what is stored.
struct Scene<'a> {
    world: &'a World,
    document: Value,
    rows: BTreeMap<String, Row>,
    home: Belongings,
    away: Belongings,
    everybody: Vec<Caller>,
    witness: Witness,
    tried: usize,
    wrong: Vec<String>,
}

impl Scene<'_> {
    /// A call of `home`'s things, in a form that would be right for whoever may.
    async fn call<'n>(&self, name: &'n str, caller: &Caller, fresh: bool) -> Option<Call<'n>> {
        let base = name.trim_end_matches(OF_A_COLLEAGUE);
        let (method, path) = base.split_once(' ')?;
        let method: Method = method.parse().ok()?;
        let Some(short) = path.strip_prefix("/api/v1") else {
            return Some(Call { name, method, path: file(self.world, path).await, body: None });
        };
        let operations = operations(&self.document);
        let mut hints = self.hints(short, caller).await;
        let mut filled = self.home.fill(short).unwrap_or_else(|| match operations.get(base) {
            Some(_) => panic!("say in Belongings::fill what goes into {base}"),
            None => short.to_owned(),
        });
        if method != Method::GET && short.starts_with("/conversations/{id}/") {
            let id =
                if fresh { self.conversation(name).await } else { self.home.conversation.clone() };
            let epoch = self.home.person("Sari").epoch(&id).await;
            hints.insert("expected_epoch", json!(epoch));
            if !short.contains("suggestions") {
                filled = filled.replace(&self.home.conversation, &id);
            }
        }
        if fresh && short.contains("{article}") && method != Method::GET {
            filled = filled.replace(&self.home.article, &self.article().await);
        }
        if short.ends_with("/search") {
            filled.push_str("?q=refund");
        }
        let schema = operations
            .get(base)
            .and_then(|o| o.pointer("/requestBody/content/application~1json/schema").cloned());
        let body = schema.map(|schema| sample::of(&self.document, &schema, &hints));
        Some(Call { name, method, path: format!("/api/v1{filled}"), body })
    }

    async fn hints(&self, path: &str, caller: &Caller) -> Hints {
        let mut hints: Hints = [
            ("agent_id", json!(self.home.agent)),
            ("client_id", json!(fresh_client_id())),
            ("locale", json!("en")),
            ("name", json!("Somebody")),
            ("title", json!("A title")),
            ("body", json!("Some words")),
            ("public_seq", json!(0)),
        ]
        .into();
        match path {
            "/assistants/{id}" => {
                let path = format!("/assistants/{}", self.home.assistant);
                let now = self.home.person("Sari").get(&path).await.ok();
                hints.insert("version", now["version"].clone());
                hints.insert("config", now["config"].clone());
            }
            "/auth/sign-in" => {
                hints.insert("email", json!(format!("budi@{}.example", self.home.workspace)));
                hints.insert("password", json!(PASSWORD));
            }
            "/auth/check-invite" | "/auth/accept-invite" => {
                hints.insert("token", json!(self.invitation().await));
                hints.insert("email", json!(format!("{}@new.example", fresh_client_id())));
                hints.insert("password", json!(PASSWORD));
            }
            "/widget/{key}/session" => {
                if let Credentials::Bearer(token) = &caller.credentials {
                    hints.insert("token", json!(token));
                }
            }
            "/conversations/{id}/take-over" => {}
            _ => {}
        }
        hints
    }

    /// A conversation in the state in which the command is allowed.
    async fn conversation(&self, name: &str) -> String {
        let visitor =
            Visitor::arrive("Fitri", &self.world.http, &self.world.origin, &self.home.key).await;
        let id = visitor.ask_for_person().await["id"].as_str().expect("an id").to_owned();
        let sari = self.home.person("Sari");
        if name.ends_with(OF_A_COLLEAGUE) {
            let to = json!({ "agent_id": self.home.agent });
            sari.command(&id, "assign", to).await.ok();
        }
        if name.ends_with("/reopen") {
            sari.command(&id, "close", json!({ "outcome": "solved" })).await.ok();
        }

        id
    }

    async fn article(&self) -> String {
        let path = format!("/knowledge-bases/{}/articles", self.home.base);
        let body = json!({ "source": "text", "title": "T", "body": "B", "audience": "public", "locale": "en" });
        let made = self.home.person("Sari").post(&path, body).await.ok();
        made["id"].as_str().expect("an id").to_owned()
    }

    async fn invitation(&self) -> String {
        let token = secret::fresh_token();
        let (hash, now) = (secret::token_hash(&token), self.world.now());
        let workspace = self.world.business.workspace;
        let made = self.world.state.access.db.write(move |conn| {
            let hash = hash.clone();
            Box::pin(async move {
                members::create_invitation(conn, workspace, &hash, Role::Agent, now).await
            })
        });
        made.await.expect("makes an invitation");
        token
    }

    fn judge(&mut self, call: &Call<'_>, caller: &Caller, got: &Got, more: Vec<String>) {
        self.tried += 1;
        let mut wrong = careless(call, got);
        wrong.extend(shown(call, caller, &self.home, &self.away, got));
        wrong.extend(more);
        for wrong in wrong {
            self.wrong.push(format!("{} as {}: {wrong}", call.name, caller.who));
        }
    }

    /// Whatever is refused: the status, and nothing has changed.
    async fn refused(&mut self) {
        self.witness.quiet().await;
        let mut before = self.witness.digest(Scope::Everything).await;
        for (name, row) in self.rows.clone() {
            if name.ends_with(OF_A_COLLEAGUE) || is_elsewhere(&name) {
                continue;
            }
            for caller in self.everybody.clone() {
                let Cell::Refused(status) = caller.cell(&row) else { continue };
                let Some(call) = self.call(&name, &caller, false).await else { continue };
                let got = call.by(self.world, &caller).await;
                let mut more = Vec::new();
                if got.status != status {
                    more.push(format!("wanted {status}, got {} {}", got.status, got.text));
                }
                if status == 404 {
                    let unknown = call.of_nobody(&self.home);
                    let other = unknown.by(self.world, &caller).await;
                    if (other.status, &other.text) != (got.status, &got.text) {
                        more.push(format!(
                            "an unknown id is told apart: {} and {}",
                            other.text, got.text
                        ));
                    }
                    self.judge(&unknown, &caller, &other, Vec::new());
                }
                let after = self.witness.digest(Scope::Everything).await;
                let tables = changed(&before, &after);
                if !tables.is_empty() {
                    more.push(format!("changed {tables:?}"));
                    before = after;
                }
                self.judge(&call, &caller, &got, more);
            }
        }
    }

    /// Whatever is served with one's own: the thing itself is as it was.
    async fn own(&mut self) {
        let (workspace, conversation) =
            (self.home.workspace.clone(), self.home.conversation.clone());
        for (name, row) in self.rows.clone() {
            if is_elsewhere(&name) {
                continue;
            }
            for caller in self.everybody.clone() {
                if caller.cell(&row) != Cell::Own {
                    continue;
                }
                let scope = match caller.at_home {
                    true => Scope::Conversation(&conversation),
                    false => Scope::Workspace(&workspace),
                };
                let caller = match name.ends_with("/sign-out") {
                    true => caller.again(self.world, &self.away.workspace).await,
                    false => caller,
                };
                let Some(call) = self.call(&name, &caller, false).await else { continue };
                self.witness.quiet().await;
                let before = self.witness.digest(scope).await;
                let got = call.by(self.world, &caller).await;
                self.witness.quiet().await;
                let after = self.witness.digest(scope).await;
                let mut more = Vec::new();
                let tables = changed(&before, &after);
                if !tables.is_empty() {
                    more.push(format!("changed {tables:?}"));
                }
                // Who has nothing of their own yet is told so.
                if !(200..300).contains(&got.status) && got.status != 404 {
                    more.push(format!("wanted their own, got {} {}", got.status, got.text));
                }
                self.judge(&call, &caller, &got, more);
            }
        }
    }

    /// Whatever is allowed, on fresh things in the right state; and what a colleague's conversation changes in that.
    async fn allowed(&mut self) {
        for (name, row) in self.rows.clone() {
            if is_elsewhere(&name) {
                continue;
            }
            for caller in self.everybody.clone() {
                let cell = caller.cell(&row);
                let of_a_colleague = name.ends_with(OF_A_COLLEAGUE);
                if of_a_colleague && (caller.agent.is_none() || !caller.at_home) {
                    continue;
                }
                let wanted = match cell {
                    Cell::Allow => 200..300,
                    Cell::Refused(status) if of_a_colleague => status..status + 1,
                    _ => continue,
                };
                let workspace = self.home.workspace.clone();
                let caller = match name.ends_with("/sign-out") {
                    true => caller.again(self.world, &workspace).await,
                    false => caller,
                };
                let Some(mut call) = self.call(&name, &caller, true).await else { continue };
                if of_a_colleague
                    && let (true, Some(body)) = (name.contains("take-over"), &mut call.body)
                {
                    let id = call.path.split('/').nth(4).unwrap_or_default();
                    let epoch = self.home.person("Sari").epoch(id).await;
                    *body = json!({ "from_colleague": true, "expected_epoch": epoch });
                }
                let got = call.by(self.world, &caller).await;
                let mut more = Vec::new();
                if !wanted.contains(&got.status) && got.status != 101 {
                    more.push(format!("wanted {wanted:?}, got {} {}", got.status, got.text));
                }
                self.judge(&call, &caller, &got, more);
            }
        }
    }
}

/// Good enough for the rules of passwords.
const PASSWORD: &str = "a long enough password";

/// A row of the sockets or of the demo, which are walked elsewhere.
fn is_elsewhere(name: &str) -> bool {
    name.starts_with("socket ") || DEMO.iter().any(|demo| name.starts_with(demo))
}

/// An address outside the API with a file that is there.
async fn file(world: &World, path: &str) -> String {
    let page = world.http.get(format!("{}/", world.origin)).send().await.expect("the console");
    let page = page.text().await.expect("a page");
    let script = page.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js"));
    match path {
        "/assets/{*path}" => script.expect("the console's script: run `make web`").to_owned(),
        "/widget/{file}" => {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web/dist/widget");
            let files = std::fs::read_dir(folder).expect("the widget: run `make web`");
            let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
            let app = names.filter(|name| name.starts_with("app-")).min();
            format!("/widget/{}", app.expect("the widget's script"))
        }
        other => other.to_owned(),
    }
}

async fn everybody_calls_everything(engine: Engine) {
    let setup = Setup::default().standing_clock().config(|config| {
        let many = std::num::NonZeroU32::new(100_000).expect("many");
        config.limits.sign_in_per_minute = many;
        config.limits.sign_in_address_per_minute = many;
        // Without one the address is not there for anybody.
        config.metrics.token = Some(Secret::new("a-token-of-the-operators"));
    });
    let world = World::new(engine, setup).await;
    let other = world.another_business("Kopi Lain").await;
    let home = Belongings::of(&world, &world.business, "home7f3a").await;
    let away = Belongings::of(&world, &other, "away91bc").await;
    let everybody = callers::everybody(&world, &world.business, &home, &away).await;
    set_password(&world, &format!("budi@{}.example", home.workspace)).await;
    // The first use after a while is noted; from here on nobody's is.
    for caller in &everybody {
        let request = world.http.get(format!("{}/api/v1/auth/me", world.origin));
        let _status = caller.shows(request).send().await.expect("an answer");
    }
    let mut scene = Scene {
        document: serde_json::to_value(baton::app::document()).expect("a document"),
        rows: table::read(),
        witness: Witness::of(world.database()).await,
        world: &world,
        home,
        away,
        everybody,
        tried: 0,
        wrong: Vec::new(),
    };
    scene.refused().await;
    scene.own().await;
    scene.allowed().await;
    let addresses = scene.rows.keys().filter(|name| !is_elsewhere(name)).count();
    let (tried, wrong, callers) =
        (scene.tried, std::mem::take(&mut scene.wrong), scene.everybody.len());
    super::report(&format!(
        "walls: {addresses} rows x {callers} callers, {tried} calls, {} not as the table says",
        wrong.len()
    ));
    assert!(wrong.is_empty(), "{} of {tried} calls:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > addresses * callers, "only {tried} calls");
    drop(scene);
    world.end().await;
}

async fn set_password(world: &World, email: &str) {
    let access = &world.state.access;
    let hash = access.passwords.hash(PASSWORD).await.expect("hashes");
    let email = email.to_owned();
    let set = access.db.write(move |conn| {
        let (email, hash) = (email.clone(), hash.clone());
        Box::pin(async move { members::set_password(conn, &email, &hash).await })
    });
    set.await.expect("sets a password");
}

on_both_engines!(everybody_calls_everything);
