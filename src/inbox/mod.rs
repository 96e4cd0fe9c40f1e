//! What agents see and do: lists, timelines, commands, alarms over HTTP, and the live feed of their workspace.
//!
//! Every command goes through `conversation::commit`; nothing here changes a conversation by itself.

mod after;
mod alarms;
mod colleagues;
mod commands;
mod conversations;
mod counted;
mod errors;
mod feed;
pub mod live;
pub mod presence;
mod pump;
mod rows;
mod timeline;
mod told;
mod turns;
mod viewers;
pub mod wire;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;

pub use after::{after_articles, after_change};
pub(crate) use errors::commit_error;
pub use feed::{Feeds, Told};

/// The routes of this feature.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::counts))
        .routes(routes!(conversations::get))
        .routes(routes!(timeline::timeline))
        .routes(routes!(conversations::read))
        .routes(routes!(conversations::typing))
        .routes(routes!(commands::take_over))
        .routes(routes!(commands::write))
        .routes(routes!(commands::note))
        .routes(routes!(commands::assign))
        .routes(routes!(commands::return_to_queue))
        .routes(routes!(commands::assign_to_ai))
        .routes(routes!(commands::close))
        .routes(routes!(commands::reopen))
        .routes(routes!(commands::snooze))
        .routes(routes!(commands::ai_mode))
        .routes(routes!(turns::explain))
        .routes(routes!(colleagues::agents))
        .routes(routes!(alarms::list))
        .routes(routes!(alarms::acknowledge))
}

#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod tests;
