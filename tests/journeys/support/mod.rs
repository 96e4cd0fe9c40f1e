//! What every journey needs: a server, people, visitors, sockets, and a look at what the model was sent.

pub mod balancer;
pub mod cluster;
pub mod command;
pub mod engine;
pub mod model;
pub mod people;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod scene;
pub mod socket;
pub mod trace;
pub mod world;

pub use engine::{Engine, Place};
pub use model::prompts;
pub use people::{Agent, Visitor};
pub use process::{Launch, Process};
pub use scene::{Scene, say};
pub use socket::{Live, kind_is};
pub use world::{Setup, World};

use std::time::Duration;

/// How long anything that must happen may take on a busy machine before the test says what it saw instead.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until the answer is there: for the few things that no socket tells.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let started = std::time::Instant::now();
    loop {
        match ask().await {
            Ok(found) => return found,
            Err(seen) if started.elapsed() > PATIENCE => panic!("{what} never came; seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// One test a journey and engine; PostgreSQL takes part where there is one.
#[macro_export]
macro_rules! on_both_engines {
    ($($journey:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $journey() {
                    Box::pin(super::$journey($crate::support::Engine::Sqlite)).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $journey() {
                    if $crate::support::engine::has_postgres() {
                        Box::pin(super::$journey($crate::support::Engine::Postgres)).await;
                    }
                }
            )*
        }
    };
}
