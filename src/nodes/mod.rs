//! Several processes on one PostgreSQL database: what they tell each other, and how each is missed when it ends.
//!
//! Every node speaks and listens on one channel of the database (`bridge`): conversations that were changed, turns that were
//! stopped, sentences that were released, who is here. All of it is a hint. The truth stands in the database, which every node
//! reads again whenever it may have missed something and every two seconds (`catch_up`) in any case, from a cursor that skips
//! nothing. Who is alive and which agents have a socket open where stands in rows with an end (`keeper`).
//!
//! What does not travel: rates are counted by each node for itself; a turn that runs on another node counts as if it had
//! released something, so a newer message waits for its reply instead of replacing it; knowledge is found by the revision
//! that every search reads. Timers, due turns and jobs are found by every node's own look at the database.
//!
//! On SQLite there is one process: nothing is told, only the rows of agents are kept, for the next start.

mod bridge;
mod catch_up;
mod hear;
mod keeper;
mod packet;

use crate::app::AppState;

/// Starts what connects this process with the others on its database, and takes over what ended ones left. Returns once the
/// others are heard, or cannot be for now.
pub async fn start(state: &AppState) {
    let mut keeper = keeper::Keeper::new(state);
    keeper.begin().await;
    if let Some(channel) = state.conversations.db().channel() {
        bridge::start(state, channel).await;
        state.tasks.spawn(catch_up::run(state.clone()));
    }
    state.tasks.spawn(keeper.run());
}
