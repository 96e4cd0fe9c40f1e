//! What no table shows: requests forged by other pages, stolen and guessed credentials, lies about where somebody is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use baton::access::role::Role;
use baton::access::{secret, store as members};
use baton::db::sql;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::on_both_engines;
use crate::support::people::send;
use crate::support::{Engine, Setup, World};

const PASSWORD: &str = "a long enough password";

/// No rates but where the journey is about them.
fn unhurried() -> Setup {
    Setup::default().standing_clock().config(|config| {
        let many = std::num::NonZeroU32::new(100_000).expect("many");
        config.limits.sign_in_per_minute = many;
        config.limits.sign_in_address_per_minute = many;
    })
}

/// Every operation of the document that changes something, with ids of nobody.
fn unsafe_operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(baton::app::document()).expect("a document");
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            let method: Method = method.to_uppercase().parse().unwrap_or(Method::GET);
            if ["POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                let nobody = "0".repeat(32);
                let prefix = match path.split('/').nth(3).unwrap_or_default() {
                    "conversations" => "conv",
                    "alarms" => "alarm",
                    "assistants" => "asst",
                    "contacts" => "con",
                    "inboxes" => "inbox",
                    _ => "kb",
                };
                let path = path
                    .replace("{id}", &format!("{prefix}_{nobody}"))
                    .replace("{article}", &format!("art_{nobody}"))
                    .replace("{artifact}", &format!("aid_{nobody}"))
                    .replace("{index}", "0")
                    .replace("{key}", "nobodys-key");
                all.push((method, path));
            }
        }
    }
    all
}

async fn code_of(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

/// A page of somebody else's makes the browser of a signed-in agent ask: with the cookie, and whatever a page may send
/// without asking first.
async fn other_pages_cannot_act(engine: Engine) {
    let world = World::new(engine, unhurried()).await;
    let ana = world.agent("Ana");
    let budi = world.agent("Budi");
    let mut tried = 0;
    let mut wrong = Vec::new();
    let open = ["/auth/sign-in", "/auth/accept-invite", "/auth/check-invite"];
    for (method, path) in unsafe_operations() {
        if path.contains("/widget/") {
            continue;
        }
        let is_open = open.iter().any(|end| path.ends_with(end));
        let url = format!("{}{path}", world.origin);
        let request = || world.http.request(method.clone(), &url).header("cookie", &ana.cookie);
        let simple = [
            "text/plain",
            "text/plain;charset=UTF-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ];
        for kind in simple {
            let body = r#"{"email":"a@b.example","password":"a long enough password"}"#;
            let request = request().header("content-type", kind).body(body);
            let got = code_of(request.send().await.expect("an answer")).await;
            let wanted = if is_open { (415, "unsupported_media_type") } else { (403, "csrf") };
            if (got.0, got.1.as_str()) != wanted {
                wrong.push(format!("{method} {path} as {kind}: {got:?}"));
            }
            tried += 1;
        }
        if is_open && path.ends_with("/check-invite") {
            continue;
        }
        let body = match path.rsplit('/').next() {
            Some("accept-invite") => {
                json!({ "token": "x", "name": "x", "email": "a@b.example", "password": PASSWORD })
            }
            _ => json!({ "email": "a@b.example", "password": PASSWORD }),
        };
        let evil = ["https://evil.example", "null", "http://localhost.evil.example"];
        for origin in evil {
            let request =
                request().header("x-baton-csrf", &ana.csrf).header("origin", origin).json(&body);
            let response = request.send().await.expect("an answer");
            let readable = response.headers().contains_key("access-control-allow-origin");
            let got = code_of(response).await;
            if (got.0, got.1.as_str()) != (403, "origin") || readable {
                wrong.push(format!("{method} {path} from {origin}: {got:?}, readable: {readable}"));
            }
            tried += 1;
        }
        if !is_open {
            for csrf in ["", "x", &budi.csrf, &ana.csrf[..42]] {
                let request = request().header("x-baton-csrf", csrf).json(&json!({}));
                let got = code_of(request.send().await.expect("an answer")).await;
                if (got.0, got.1.as_str()) != (403, "csrf") {
                    wrong.push(format!("{method} {path} with the value {csrf:?}: {got:?}"));
                }
                tried += 1;
            }
        }
        // Asking first brings nothing either.
        let preflight = world
            .http
            .request(Method::OPTIONS, &url)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", method.as_str())
            .header("access-control-request-headers", "x-baton-csrf, content-type");
        let answer = preflight.send().await.expect("an answer");
        let allows =
            answer.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
        if allows || answer.status().is_success() {
            wrong
                .push(format!("{method} {path}: a preflight is answered with {}", answer.status()));
        }
        tried += 1;
    }
    super::report(&format!("walls: {tried} requests forged by other pages"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ana.get("/auth/me").await.ok()["agent"]["name"], "Ana");
    world.end().await;
}

/// What pages may talk to an inbox, at every address of the widget; never with cookies.
async fn only_listed_pages_reach_an_inbox(engine: Engine) {
    let world = World::new(engine, unhurried()).await;
    let rina = world.visitor("Rina").await;
    rina.write("Hello").await;
    let mut wrong = Vec::new();
    let origins = [
        ("https://shop.example", true),
        ("https://evil.example", false),
        ("https://shop.example.evil.example", false),
        ("https://evilshop.example", false),
        ("http://shop.example", false),
        ("https://shop.example:8443", false),
        ("null", false),
        ("file://", false),
        ("https://shop.example/path", false),
        ("", false),
    ];
    for (method, path) in unsafe_operations() {
        if !path.contains("/widget/") {
            continue;
        }
        let path = path.replace("nobodys-key", &world.business.key);
        for (origin, allowed) in origins {
            let url = format!("{}{path}", world.origin);
            let request = world.http.request(method.clone(), &url).bearer_auth(&rina.token);
            let body = json!({ "client_id": "x", "text": "x", "locale": "en", "public_seq": 0 });
            let request = request.header("origin", origin).json(&body);
            let response = request.send().await.expect("an answer");
            let headers = response.headers().clone();
            let got = code_of(response).await;
            let shared = headers.get("access-control-allow-origin").and_then(|v| v.to_str().ok());
            let served = got.1 != "origin";
            if served != allowed || (allowed && shared != Some(origin)) || shared == Some("*") {
                wrong.push(format!("{path} from {origin}: {got:?}, shared with {shared:?}"));
            }
            if headers.contains_key("access-control-allow-credentials") {
                wrong.push(format!("{path} from {origin} allows cookies"));
            }
            // What differs by page must not be taken from a cache for another one.
            let varies = headers.get_all("vary").iter().any(|v| v.as_bytes() == b"origin");
            if shared.is_some() && !varies {
                wrong.push(format!("{path} from {origin} does not vary"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.end().await;
}

async fn set_password(world: &World, email: &str, password: &str) -> String {
    let access = &world.state.access;
    let hash = access.passwords.hash(password).await.expect("hashes");
    let (email, stored) = (email.to_owned(), hash.clone());
    let set = access.db.write(move |conn| {
        let (email, hash) = (email.clone(), stored.clone());
        Box::pin(async move { members::set_password(conn, &email, &hash).await })
    });
    set.await.expect("sets a password");
    hash
}

fn sign_in(world: &World, email: &str, password: &str) -> reqwest::RequestBuilder {
    let body = json!({ "email": email, "password": password });
    world.http.post(format!("{}/api/v1/auth/sign-in", world.origin)).json(&body)
}

fn token_in(response: &Response) -> String {
    let cookie = response.headers().get("set-cookie").and_then(|v| v.to_str().ok());
    let cookie = cookie.expect("a cookie");
    let token = cookie.trim_start_matches("baton_session=").split(';').next();
    token.unwrap_or_default().to_owned()
}

/// Cookies keep to themselves; a session planted before signing in is not the one signed in.
async fn sessions_are_fresh_and_their_cookies_closed(engine: Engine) {
    for (public_url, secure) in [(None, false), (Some("https://desk.example"), true)] {
        let setup = unhurried().config(move |config| {
            config.public_url = public_url.map(str::to_owned);
        });
        let world = World::new(engine, setup).await;
        let email = format!("ana@{}.example", world.business.workspace);
        let hash = set_password(&world, &email, PASSWORD).await;
        // OWASP's first recommendation.
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let planted = "P".repeat(43);
        let request =
            sign_in(&world, &email, PASSWORD).header("cookie", format!("baton_session={planted}"));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        let cookie = response.headers()["set-cookie"].to_str().expect("text").to_owned();
        for part in ["; HttpOnly", "; SameSite=Lax", "; Path=/;"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Domain="), "{cookie}");
        assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
        let fresh = token_in(&response);
        assert!(fresh != planted && fresh.len() == 43, "{fresh}");
        let again = sign_in(&world, &email, PASSWORD).send().await.expect("an answer");
        assert_ne!(token_in(&again), fresh);
        let me = |token: &str| {
            let request = world.http.get(format!("{}/api/v1/auth/me", world.origin));
            send(request.header("cookie", format!("baton_session={token}")), "me")
        };
        me(&planted).await.refused(401, "unauthenticated");
        let csrf = me(&fresh).await.ok()["csrf"].as_str().expect("a value").to_owned();
        let out = world.http.post(format!("{}/api/v1/auth/sign-out", world.origin));
        let out =
            out.header("cookie", format!("baton_session={fresh}")).header("x-baton-csrf", csrf);
        let out = out.send().await.expect("an answer");
        assert!(out.headers()["set-cookie"].to_str().is_ok_and(|c| c.contains("Max-Age=0")));
        // Ended on the server, not only forgotten by the browser.
        me(&fresh).await.refused(401, "unauthenticated");
        // A page of the same name that came unencrypted is not ours.
        for origin in ["https://desk.example", "http://desk.example"] {
            let request = world.agent("Ana").request(Method::PATCH, "/auth/me");
            let request = request.header("host", "desk.example").header("origin", origin);
            let answer = send(request.json(&json!({ "locale": "en" })), origin).await;
            let own = !secure || origin.starts_with("https");
            assert_eq!(answer.status, if own { 200 } else { 403 }, "{}", answer.text);
        }
        // Whatever the request says of its host, links are made of what is configured.
        let sari = world.agent("Sari");
        let request =
            sari.request(Method::GET, "/inboxes").header("x-forwarded-host", "evil.example");
        let inboxes = send(request.header("host", "evil.example"), "inboxes").await.text;
        assert_eq!(inboxes.contains("https://desk.example/widget.js"), secure, "{inboxes}");
        assert_eq!(inboxes.contains("evil.example"), !secure, "{inboxes}");
        world.end().await;
    }
}

/// A known and an unknown address cannot be told apart, by words or by time; guessing is slowed down, wherever it is tried.
async fn passwords_cannot_be_guessed(engine: Engine) {
    let world = World::new(engine, unhurried()).await;
    let email = format!("ana@{}.example", world.business.workspace);
    set_password(&world, &email, PASSWORD).await;
    let mut fastest = [Duration::MAX; 2];
    let mut said = BTreeSet::new();
    for round in 0..6 {
        for (place, email) in
            [&email, &format!("nobody{round}@nowhere.example")].into_iter().enumerate()
        {
            world.pass(Duration::from_mins(10));
            let started = Instant::now();
            let answer = send(sign_in(&world, email, "a wrong password"), "a guess").await;
            fastest[place] = fastest[place].min(started.elapsed());
            said.insert((answer.status, answer.text));
        }
    }
    assert_eq!(said.len(), 1, "{said:?}");
    let [known, unknown] = fastest;
    let apart = known.max(unknown).as_secs_f64() / known.min(unknown).as_secs_f64();
    assert!(apart < 2.5, "a known address takes {known:?}, an unknown one {unknown:?}");
    // An invitation is no way around: what is tried there counts.
    world.pass(Duration::from_hours(2));
    let invitation = invite(&world, Role::Agent).await;
    let accept = |password: &str| {
        let body =
            json!({ "token": invitation, "name": "Eve", "email": email, "password": password });
        let url = format!("{}/api/v1/auth/accept-invite", world.origin);
        send(world.http.post(url).json(&body), "an invitation")
    };
    let mut refused = 0;
    for _ in 0..12 {
        let answer = accept("a wrong password").await;
        refused += usize::from(answer.status == 429);
    }
    assert!(refused >= 6, "twelve guesses were nearly all looked at");
    let signed = send(sign_in(&world, &email, PASSWORD), "the owner").await;
    signed.refused(429, "rate_limited");
    world.end().await;
}

/// Makes an invitation that is good for a week.
async fn invite(world: &World, role: Role) -> String {
    let token = secret::fresh_token();
    let (hash, now) = (secret::token_hash(&token), world.now());
    let workspace = world.business.workspace;
    let made = world.state.access.db.write(move |conn| {
        let hash = hash.clone();
        Box::pin(async move { members::create_invitation(conn, workspace, &hash, role, now).await })
    });
    made.await.expect("makes an invitation");
    token
}

/// An invitation makes one person, of the role that it was made for, for a week.
async fn invitations_are_used_once(engine: Engine) {
    let world = World::new(engine, unhurried()).await;
    let accept = |token: &str, who: &str| {
        let body = json!({
            "token": token, "name": who, "email": format!("{who}@new.example"), "password": PASSWORD,
        });
        let url = format!("{}/api/v1/auth/accept-invite", world.origin);
        send(world.http.post(url).json(&body), "an invitation")
    };
    let token = invite(&world, Role::Agent).await;
    let crowd: Vec<String> = (0..8).map(|n| format!("guest{n}")).collect();
    let answers = futures_util::future::join_all(crowd.iter().map(|who| accept(&token, who))).await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    assert_eq!(made[0].body["agent"]["role"], "agent");
    assert!(answers.iter().all(|a| [200, 404].contains(&a.status)), "{answers:?}");
    accept(&token, "late").await.refused(404, "not_found");
    // Nobody chooses their role, or makes an owner of themselves.
    let token = invite(&world, Role::Agent).await;
    let body = json!({
        "token": token, "name": "Eve", "email": "eve@new.example", "password": PASSWORD, "role": "owner",
    });
    let url = format!("{}/api/v1/auth/accept-invite", world.origin);
    send(world.http.post(url).json(&body), "with a role").await.refused(400, "invalid");
    // The database holds nothing that opens a door.
    let mut conn = world.state.access.db.read().await.expect("reads");
    let stored: Vec<(String,)> =
        sql("SELECT token_hash FROM invitation UNION ALL SELECT token_hash FROM session \
             UNION ALL SELECT token_hash FROM visitor_token")
        .all(&mut conn)
        .await
        .expect("reads");
    drop(conn);
    assert!(stored.len() > 4 && stored.iter().all(|(hash,)| *hash != token), "{}", stored.len());
    world.pass(Duration::from_hours(7 * 24));
    accept(&token, "late").await.refused(404, "not_found");
    world.end().await;
}

/// Where somebody comes from is what the connection says, unless a proxy of ours says otherwise.
async fn forwarded_addresses_count_only_behind_a_proxy(engine: Engine) {
    for trusted in [false, true] {
        let setup = Setup::default().standing_clock().config(move |config| {
            config.listen.trust_proxy = trusted;
        });
        let world = World::new(engine, setup).await;
        let guess = |address: String| {
            let request = sign_in(&world, "nobody@nowhere.example", "a wrong password");
            send(request.header("x-forwarded-for", address), "a guess")
        };
        let mut limited = 0;
        for n in 0..14 {
            // What stands before the last entry was said by the client.
            limited +=
                usize::from(guess(format!("203.0.113.{n}, 198.51.100.7")).await.status == 429);
        }
        assert!(limited > 0, "fourteen guesses from one address were all looked at");
        let elsewhere = guess("203.0.113.1, 198.51.100.8".to_owned()).await.status;
        assert_eq!(elsewhere, if trusted { 401 } else { 429 });
        for nonsense in
            ["", "unknown", "198.51.100.9\u{7}", "::1]", "1.2.3.4.5", &"9".repeat(5_000)]
        {
            let request = sign_in(&world, "nobody@nowhere.example", "x");
            let Ok(answer) = request.header("x-forwarded-for", nonsense).send().await else {
                continue;
            };
            assert!(answer.status().as_u16() < 500, "{nonsense:?}");
        }
        world.end().await;
    }
}

on_both_engines!(
    other_pages_cannot_act,
    only_listed_pages_reach_an_inbox,
    sessions_are_fresh_and_their_cookies_closed,
    passwords_cannot_be_guessed,
    invitations_are_used_once,
    forwarded_addresses_count_only_behind_a_proxy,
);
