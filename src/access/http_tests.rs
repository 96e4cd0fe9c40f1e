//! Over the router, on every engine that is at hand.

use axum::Router;
use axum::http::{Method, header};
use serde_json::{Value, json};

use super::super::cors::with_cors;
use super::super::extract::Visitor;
use super::super::testing::{PASSWORD, member, send, signed_in, state};
use super::super::visitor::{self, IssuedToken};
use super::*;
use crate::api;
use crate::db::sql;
use crate::db::testing::databases;
use crate::ids::{ContactId, InboxId};

fn app(access: &AccessState) -> Router {
    router::<AccessState>().with_state(access.clone()).into()
}

async fn post(app: &Router, uri: &str, body: Value) -> super::super::testing::Answer {
    send(app, Method::POST, uri, &[], body).await
}

#[tokio::test]
async fn signing_in_sets_a_careful_cookie_and_me_answers() {
    for db in databases().await {
        let access = state(db);
        member(&access, Role::Agent, "ana@example.com").await;
        let app = app(&access);
        let input = json!({"email": " ANA@example.com", "password": PASSWORD});
        let answer = post(&app, "/auth/sign-in", input).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.headers[header::SET_COOKIE].to_str().expect("text").to_owned();
        assert!(cookie.contains("; Path=/; HttpOnly; SameSite=Lax; Max-Age="), "{cookie}");
        assert!(!cookie.contains("Secure"));
        let pair = cookie.split(';').next().expect("pair");
        let me = send(&app, Method::GET, "/auth/me", &[("cookie", pair)], Value::Null).await;
        assert_eq!(me.body, answer.body);
        assert_eq!(me.body["rights"], json!([]));
        assert_eq!(me.body["workspace"]["name"], "Test Shop");
        let csrf = me.body["csrf"].as_str().expect("csrf");
        let both = [("cookie", pair), ("x-baton-csrf", csrf)];
        let out = send(&app, Method::POST, "/auth/sign-out", &both, Value::Null).await;
        assert_eq!(out.status, 204);
        let me = send(&app, Method::GET, "/auth/me", &both, Value::Null).await;
        assert_eq!((me.status.as_u16(), me.code()), (401, "unauthenticated"));
    }
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_read_the_same() {
    for db in databases().await {
        let access = state(db);
        member(&access, Role::Agent, "ana@example.com").await;
        let app = app(&access);
        let wrong = json!({"email": "ana@example.com", "password": "wrong wrong"});
        let unknown = json!({"email": "who@example.com", "password": "wrong wrong"});
        let wrong = post(&app, "/auth/sign-in", wrong).await;
        let unknown = post(&app, "/auth/sign-in", unknown).await;
        assert_eq!((wrong.status.as_u16(), wrong.code()), (401, "bad_credentials"));
        assert_eq!((wrong.status, wrong.body), (unknown.status, unknown.body));
    }
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let guess = json!({"email": "ana@example.com", "password": "wrong wrong"});
        for _ in 0..4 {
            assert_eq!(post(&app, "/auth/sign-in", guess.clone()).await.status, 401);
        }
        let answer = post(&app, "/auth/sign-in", guess.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "rate_limited"));
        assert_eq!(answer.headers[header::RETRY_AFTER], "2");
        access.clock.advance(std::time::Duration::from_secs(2));
        assert_eq!(post(&app, "/auth/sign-in", guess).await.status, 401);
    }
}

#[tokio::test]
async fn one_account_has_one_spelling() {
    for db in databases().await {
        let access = state(db);
        member(&access, Role::Agent, "ana@example.com").await;
        let app = app(&access);
        for email in ["a\0na@example.com", "ana@example.com\u{7f}"] {
            let input = json!({"email": email, "password": PASSWORD});
            assert_eq!(post(&app, "/auth/sign-in", input).await.code(), "bad_credentials");
        }
        let long = json!({"email": "ana@example.com", "password": "x".repeat(10_000)});
        assert_eq!(post(&app, "/auth/sign-in", long).await.code(), "bad_credentials");
    }
}

#[tokio::test]
async fn a_proxy_is_believed_only_where_it_is_configured() {
    let Some(db) = databases().await.into_iter().next() else { return };
    let access = state(db);
    let guess = |access: &AccessState, from: &'static str| {
        let (app, n) = (app(access), access.ids.fresh::<AgentId>());
        async move {
            // Another e-mail each time, so that only the address counts.
            let input = json!({"email": format!("{n}@example.com"), "password": "wrong wrong"});
            let headers = [("x-forwarded-for", from)];
            let answer = send(&app, Method::POST, "/auth/sign-in", &headers, input).await;
            answer.status.as_u16()
        }
    };
    for _ in 0..60 {
        assert_eq!(guess(&access, "192.0.2.1").await, 401);
    }
    assert_eq!(guess(&access, "192.0.2.2").await, 429);
    let believing = AccessState { trust_proxy: true, ..access };
    assert_eq!(guess(&believing, "0.0.0.0, 192.0.2.2").await, 401);
    assert_eq!(guess(&believing, "192.0.2.2, 0.0.0.0").await, 429);
}

#[tokio::test]
async fn an_agent_may_not_ask_too_fast() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let ana = signed_in(&access, Role::Agent, "ana@example.com").await;
        for _ in 0..50 {
            assert_eq!(ana.send(&app, Method::GET, "/auth/me", Value::Null).await.status, 200);
        }
        let answer = ana.send(&app, Method::GET, "/auth/me", Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "rate_limited"));
    }
}

#[tokio::test]
async fn unsafe_methods_need_the_csrf_header_and_our_own_page() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let ana = signed_in(&access, Role::Admin, "ana@example.com").await;
        let cookie = ("cookie", ana.cookie.as_str());
        let csrf = ("x-baton-csrf", ana.csrf.as_str());
        let ask = async |headers: &[(&str, &str)]| {
            let answer = send(&app, Method::POST, "/live/ticket", headers, Value::Null).await;
            (answer.status.as_u16(), answer.code().to_owned())
        };
        assert_eq!(ask(&[cookie]).await, (403, "csrf".into()));
        assert_eq!(ask(&[cookie, ("x-baton-csrf", "guess")]).await, (403, "csrf".into()));
        assert_eq!(ask(&[csrf]).await, (401, "unauthenticated".into()));
        let evil = ("origin", "https://evil.example");
        assert_eq!(ask(&[cookie, csrf, evil]).await, (403, "origin".into()));
        assert_eq!(ask(&[cookie, csrf, ("origin", "null")]).await, (403, "origin".into()));
        assert_eq!(
            ask(&[cookie, csrf, ("origin", "https://baton.test")]).await,
            (200, String::new())
        );
        assert_eq!(ask(&[cookie, csrf]).await, (200, String::new()));
    }
}

#[tokio::test]
async fn the_owner_comes_in_through_the_invitation() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let start = store::first_start(&access.db, &access.clock, access.ids, "Shop").await;
        let token = start.expect("start").owner_invitation.expect("link");
        let invite = post(&app, "/auth/check-invite", json!({"token": token})).await;
        assert_eq!(invite.body, json!({"workspace": {"name": "Shop"}, "role": "owner"}));
        let accept = async |password: &str, email: &str| {
            let input =
                json!({"token": token, "name": "Ana", "email": email, "password": password});
            post(&app, "/auth/accept-invite", input).await
        };
        assert_eq!(accept("short", "ana@example.com").await.field(), "password");
        assert_eq!(accept(PASSWORD, "ana").await.field(), "email");
        let me = accept(PASSWORD, "ana@example.com").await;
        assert_eq!(me.status, 200, "{}", me.body);
        assert_eq!(me.body["agent"]["role"], "owner");
        assert!(me.headers.contains_key(header::SET_COOKIE));
        assert_eq!(me.body["rights"], json!(["take_from_colleague", "configure", "manage_people"]));
        let again = accept(PASSWORD, "bo@example.com").await;
        assert_eq!(
            (again.status.as_u16(), again.code(), again.field()),
            (404, "not_found", "token")
        );
    }
}

#[tokio::test]
async fn an_account_is_not_taken_over_by_an_invitation() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let (workspace, _) = member(&access, Role::Agent, "ana@example.com").await;
        let (hash, now) = (token_hash("invitation"), access.clock.now());
        let invited = access.db.write(move |conn| {
            let hash = hash.clone();
            Box::pin(async move {
                store::create_invitation(conn, workspace, &hash, Role::Admin, now).await
            })
        });
        invited.await.expect("stored");
        let accept = async |password: &str| {
            let input = json!({"token": "invitation", "name": "X", "email": "ana@example.com", "password": password});
            post(&app, "/auth/accept-invite", input).await
        };
        assert_eq!(accept("another password").await.field(), "password");
        assert_eq!(accept(PASSWORD).await.code(), "already_member");
    }
}

#[tokio::test]
async fn people_change_themselves() {
    for db in databases().await {
        let access = state(db);
        let app = app(&access);
        let ana = signed_in(&access, Role::Agent, "ana@example.com").await;
        let changed = json!({"name": " Ana B. ", "presence": "away", "locale": "id"});
        let me = ana.send(&app, Method::PATCH, "/auth/me", changed).await;
        assert_eq!(me.body["agent"]["name"], "Ana B.", "{}", me.body);
        assert_eq!(me.body["agent"]["presence"], "away");
        let me = ana.send(&app, Method::GET, "/auth/me", Value::Null).await;
        assert_eq!(me.body["agent"]["locale"], "id");
        let bad = ana.send(&app, Method::PATCH, "/auth/me", json!({"presence": "asleep"})).await;
        assert_eq!((bad.status.as_u16(), bad.field()), (400, "presence"), "{}", bad.body);
        let ticket = ana.send(&app, Method::POST, "/live/ticket", Value::Null).await;
        let ticket = ticket.body["ticket"].as_str().expect("ticket").to_owned();
        let owner = tickets::redeem(&access.db, &ticket, &access.clock)
            .await
            .expect("looks")
            .expect("good");
        assert_eq!(owner.agent, ana.agent);
    }
}

#[tokio::test]
async fn the_widget_answers_only_pages_that_its_inbox_allows() {
    for db in databases().await {
        let access = state(db);
        let workspace = super::super::testing::workspace(&access).await;
        let (inbox, contact): (InboxId, ContactId) = (access.ids.fresh(), access.ids.fresh());
        let token = IssuedToken::fresh(access.clock.now());
        let (stored, now) = (token.clone(), access.clock.now());
        let made = access.db.write(move |conn| {
            let token = stored.clone();
            Box::pin(async move {
                sql("INSERT INTO inbox (id, workspace, name, public_key, allowed_origins, settings, created_at) \
                     VALUES ($1, $2, 'Web', 'pk', '[\"https://shop.example\"]', '{}', 0)")
                .bind(inbox)
                .bind(workspace)
                .execute(conn)
                .await?;
                sql("INSERT INTO contact (id, workspace, locale, attributes, created_at, seen_at) \
                     VALUES ($1, $2, 'en', '{}', 0, 0)")
                .bind(contact)
                .bind(workspace)
                .execute(conn)
                .await?;
                visitor::issue(conn, workspace, inbox, contact, &token, now).await
            })
        });
        made.await.expect("stored");
        let routes = Router::new()
            .route("/widget/{key}/session", axum::routing::post(|| async { "ok" }))
            .route("/widget/messages", axum::routing::post(|_: Visitor| async { "ok" }));
        // Dressed as the server dresses it: its own fallbacks must not take the preflight away.
        let limits = api::Limits { max_body_bytes: 1024 };
        let app = with_cors(routes, &access).with_state(access.clone());
        let app = api::dress(app, limits, &access.clock);
        let origin =
            [("origin", "https://shop.example"), ("access-control-request-method", "POST")];
        let before = send(&app, Method::OPTIONS, "/widget/messages", &origin, Value::Null).await;
        assert_eq!(before.status, 204);
        assert_eq!(before.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://shop.example");
        assert!(!before.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        let ask = async |uri: &str, origin: &str, token: Option<&str>| {
            let bearer = format!("Bearer {}", token.unwrap_or_default());
            let mut headers = vec![("origin", origin)];
            headers.extend(token.map(|_| ("authorization", bearer.as_str())));
            let answer = send(&app, Method::POST, uri, &headers, Value::Null).await;
            let allowed = answer.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(allowed.and_then(|v| v.to_str().ok()), Some(origin));
            (answer.status.as_u16(), answer.code().to_owned())
        };
        let (shop, evil) = ("https://shop.example", "https://evil.example");
        let good = Some(token.token.as_str());
        let refused = (403, "origin".to_owned());
        let stranger = (401, "unauthenticated".to_owned());
        let fine = (200, String::new());
        assert_eq!(ask("/widget/messages", shop, None).await, stranger);
        assert_eq!(ask("/widget/messages", shop, Some("junk")).await, stranger);
        assert_eq!(ask("/widget/messages", shop, good).await, fine);
        assert_eq!(ask("/widget/messages", evil, good).await, refused);
        assert_eq!(ask("/widget/messages", "http://baton.test", good).await, fine);
        assert_eq!(ask("/widget/pk/session", shop, None).await, fine);
        assert_eq!(ask("/widget/pk/session", evil, None).await, refused);
    }
}
