//! What follows from a change made in a feature that knows nothing of sockets and names: done around its router.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::app::AppState;
use crate::conversation::others::Item;
use crate::ids::ContactId;

/// After a change of people, set-up or contacts: names are read anew, sockets look again whether they are still welcome,
/// rows of the contact are told.
pub async fn after_change(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if safe || !response.status().is_success() {
        return response;
    }
    if let Some(contact) = contact_in(&path) {
        state.feeds.tell_contact(contact);
        state.conversations.wire().others.tell(|| Item::Contact(contact));
    } else if !path.ends_with("/live/ticket") && !path.ends_with("/auth/sign-in") {
        state.names.forget_all();
        state.feeds.look_again();
        state.conversations.wire().others.tell(|| Item::Settings);
    }
    response
}

/// The contact in `…/contacts/{id}`.
fn contact_in(path: &str) -> Option<ContactId> {
    let (_, id) = path.split_once("/contacts/")?;
    id.split('/').next()?.parse().ok()
}

/// After a change of articles: the other nodes read it before somebody asks.
pub async fn after_articles(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let response = next.run(request).await;
    if !safe && response.status().is_success() {
        state.conversations.wire().others.tell(|| Item::Knowledge);
    }
    response
}
