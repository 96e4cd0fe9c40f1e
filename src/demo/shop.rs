//! The demo shop: another site on another origin that carries the widget, with its help pages.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use pulldown_cmark::{Event, Parser, html};

use crate::assets;
use crate::db::{Db, DbError, sql};
use crate::ids::WorkspaceId;

/// What the shop's pages are filled with.
#[derive(Clone)]
pub struct Shop {
    /// Where Baton answers, as the browser sees it.
    pub baton_origin: String,
    /// Where the shop's own pages are.
    pub shop_origin: String,
    /// The inbox whose assistant has no model.
    pub inbox_key: String,
    /// The inbox whose assistant is played by the scripted model.
    pub studio_inbox_key: String,
    /// The demo workspace, whose public articles are the shop's help pages.
    pub workspace: WorkspaceId,
    /// The database.
    pub db: Db,
}

/// The shop's own site.
pub fn router(shop: Shop) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/{file}", get(page))
        .merge(help_routes())
        .with_state(Arc::new(shop))
}

/// The help pages alone, so that links in answers also work in the console.
pub fn help(shop: Shop) -> Router {
    help_routes().with_state(Arc::new(shop))
}

fn help_routes() -> Router<Arc<Shop>> {
    Router::new()
        .route("/help", get(help_index))
        .route("/help/shop.css", get(stylesheet))
        .route("/help/{*path}", get(help_page))
}

async fn index(State(shop): State<Arc<Shop>>) -> Response {
    serve(&shop, "index.html")
}

async fn page(State(shop): State<Arc<Shop>>, Path(file): Path<String>) -> Response {
    serve(&shop, &file)
}

fn serve(shop: &Shop, name: &str) -> Response {
    let Some(file) = assets::demo_file(name) else {
        return (
            StatusCode::NOT_FOUND,
            "There is no such page. Was the web build made? Run `make web`.\n",
        )
            .into_response();
    };
    let mime = HeaderValue::from_str(file.metadata.mimetype())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    if !name.ends_with(".html") {
        return ([(header::CONTENT_TYPE, mime)], file.data.into_owned()).into_response();
    }
    let filled = String::from_utf8_lossy(&file.data)
        .replace("{{BATON_ORIGIN}}", &shop.baton_origin)
        .replace("{{CONSOLE_URL}}", &shop.baton_origin)
        .replace("{{INBOX_KEY}}", &shop.inbox_key)
        .replace("{{STUDIO_INBOX_KEY}}", &shop.studio_inbox_key);
    Html(filled).into_response()
}

/// The help pages' own way to it: on Baton's address the shop's other files are not served.
async fn stylesheet(State(shop): State<Arc<Shop>>) -> Response {
    serve(&shop, "shop.css")
}

async fn help_index(State(shop): State<Arc<Shop>>) -> Response {
    let rows = public_articles(&shop).await;
    answer(rows.map(|rows| {
        let list = |of: &str| -> String {
            let of_locale = rows.iter().filter(|(_, _, locale)| locale == of);
            let line = |(title, url, _): &(String, String, String)| {
                format!("<li><a href=\"{}\">{}</a></li>", escape(url), escape(title))
            };
            of_locale.map(line).collect()
        };
        let lists = format!(
            "<h1>Help centre</h1><ul>{}</ul><div lang=\"id\"><h2>Bahasa Indonesia</h2><ul>{}</ul></div>",
            list("en"),
            list("id")
        );
        document(&shop, "en", "Help centre", &lists)
    }))
}

async fn public_articles(shop: &Shop) -> Result<Vec<(String, String, String)>, DbError> {
    let mut conn = shop.db.read().await?;
    sql("SELECT title, url, locale FROM article WHERE workspace = $1 AND audience = 'public' AND url LIKE '/help/%' ORDER BY locale, title")
        .bind(shop.workspace)
        .all(&mut conn)
        .await
}

async fn help_page(State(shop): State<Arc<Shop>>, Path(path): Path<String>) -> Response {
    let found = article(&shop, format!("/help/{path}")).await;
    match found {
        Ok(Some((title, body, locale))) => {
            let text = format!("<h1>{}</h1>{}", escape(&title), markdown(&body));
            Html(document(&shop, &locale, &title, &text)).into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, "There is no such help page.\n").into_response(),
        Err(error) => answer(Err(error)),
    }
}

async fn article(shop: &Shop, url: String) -> Result<Option<(String, String, String)>, DbError> {
    let mut conn = shop.db.read().await?;
    sql("SELECT title, body, locale FROM article WHERE workspace = $1 AND audience = 'public' AND url = $2")
        .bind(shop.workspace)
        .bind(url)
        .optional(&mut conn)
        .await
}

fn answer(page: Result<String, DbError>) -> Response {
    match page {
        Ok(page) => Html(page).into_response(),
        Err(error) => {
            tracing::warn!(error = %error, "a help page could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment.\n").into_response()
        }
    }
}

/// Markdown to HTML; raw HTML in it is shown as text.
fn markdown(text: &str) -> String {
    let options = pulldown_cmark::Options::ENABLE_TABLES;
    let safe = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        other => other,
    });
    let mut out = String::new();
    html::push_html(&mut out, safe);
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn document(shop: &Shop, locale: &str, title: &str, body: &str) -> String {
    let (home, help) =
        if locale == "id" { ("id.html", "Pusat bantuan") } else { ("index.html", "Help centre") };
    format!(
        "<!doctype html><html lang=\"{locale}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · Tanah Tinggi Coffee</title><link rel=\"icon\" href=\"data:,\">\
         <link rel=\"stylesheet\" href=\"/help/shop.css\"></head><body>\
         <header class=\"nav\"><nav class=\"wrap\" aria-label=\"{help}\">\
         <a class=\"logo\" href=\"{shop}/{home}\">Tanah Tinggi</a><a href=\"/help\">{help}</a></nav></header>\
         <main class=\"help\">{body}</main></body></html>",
        locale = escape(locale),
        title = escape(title),
        shop = escape(&shop.shop_origin),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_pages_never_carry_raw_html() {
        let page = markdown("Hi <script>alert(1)</script> **you**\n\n<img src=x onerror=y>");
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("<strong>you</strong>"));
    }
}
