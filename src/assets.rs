//! The two web bundles, embedded in the binary: one file is the whole product.
//!
//! Content-hashed names are cached for ever, the entry points never. A missing build is a clear message, not a blank page.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

const FOREVER: &str = "public, max-age=31536000, immutable";
const CHECK_AGAIN: &str = "no-cache";
/// The loader is small and asked for on every page view; five minutes keep it fresh enough after an upgrade.
const LOADER: &str = "public, max-age=300";

/// Routes of the console and the widget's files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(console))
        .route("/assets/{*path}", get(console_asset))
        .route("/widget.js", get(loader))
        .route("/widget/{file}", get(widget_asset))
        .layer(tower_http::compression::CompressionLayer::new())
}

/// A file of the demo shop, as text.
#[must_use]
pub fn demo_file(path: &str) -> Option<EmbeddedFile> {
    Dist::get(&format!("demo/{path}")).filter(|_| descends(path))
}

async fn console(headers: HeaderMap) -> Response {
    file("console/index.html", CHECK_AGAIN, &headers).unwrap_or_else(|| missing_build("console"))
}

async fn console_asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&format!("console/assets/{path}"), FOREVER, &headers).unwrap_or_else(not_found)
}

async fn loader(headers: HeaderMap) -> Response {
    let loader = file("widget/widget.js", LOADER, &headers);
    for_other_sites(loader.unwrap_or_else(|| missing_build("widget")))
}

async fn widget_asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    for_other_sites(file(&format!("widget/{name}"), FOREVER, &headers).unwrap_or_else(not_found))
}

/// The widget lives on other people's pages, which may ask for isolation or load it as a module.
fn for_other_sites(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "There is no such file.\n").into_response()
}

fn missing_build(which: &str) -> Response {
    let text = format!(
        "The {which} is not part of this build. Run `make web` (or `npm ci && npm run build` in web/), then build again.\n"
    );
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// Whether a path names a file below its folder: a debug build reads from the disk, where `..` has a meaning.
fn descends(path: &str) -> bool {
    !path.contains(['\\', '\0']) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// An embedded file, unless the client has it already.
fn file(path: &str, cache: &'static str, headers: &HeaderMap) -> Option<Response> {
    let file = Dist::get(path).filter(|_| descends(path))?;
    let tag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..8]));
    let known =
        headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(
            |value| value.split(',').any(|one| one.trim().trim_start_matches("W/") == tag),
        );
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = file.data.into_owned().into_response();
        if let Ok(mime) = HeaderValue::from_str(file.metadata.mimetype()) {
            response.headers_mut().insert(header::CONTENT_TYPE, mime);
        }
        response
    };
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    Some(response)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _infallible = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_build_says_what_to_do() {
        assert_eq!(missing_build("console").status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(file("console/no-such-file.js", FOREVER, &HeaderMap::new()).is_none());
    }

    #[test]
    fn paths_only_descend() {
        assert!(descends("widget/app-en-7451e74ad2.js") && descends("console/assets/a.b/c"));
        for path in
            ["widget/../console/index.html", "a/./b", "a//b", "/a", "a\\..\\b", "a\0.js", ""]
        {
            assert!(!descends(path), "{path:?}");
        }
    }
}
