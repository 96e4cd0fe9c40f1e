//! What visitors see and do: the widget's REST surface and its socket.
//!
//! Invariants: a visitor sees public messages and display names, never a note, an internal source or an agent's id; every
//! request that carries an Origin is checked against the inbox's list; the same client id stores one message.

pub mod live;
mod messages;
mod session;
mod view;
pub mod wire;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;

/// The routes of this feature; the app puts the CORS layer around them.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(session::session))
        .routes(routes!(messages::conversation))
        .routes(routes!(messages::write))
        .routes(routes!(messages::request_person))
        .routes(routes!(messages::close))
        .routes(routes!(session::contact))
        .routes(routes!(messages::typing))
        .routes(routes!(messages::seen))
}

#[cfg(test)]
mod tests;
