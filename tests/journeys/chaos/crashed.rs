//! A PostgreSQL server that crashes has never heard of the transactions whose end it had not written to the disk: it gives
//! their numbers to others. The feed's places are made of such numbers.

use baton::conversation::lists;
use baton::db::{Db, sql};
use baton::model::scripted::{Script, ScriptedServer};

use super::{Node, all_ready, opened};
use crate::support::cluster::{Cluster, Stop};
use crate::support::engine::has_postgres;
use crate::support::world::http_without_memory;
use crate::support::{Visitor, eventually};

/// Numbers taken by transactions that leave nothing: more than a node takes when it starts.
const TAKEN: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_in_the_feed_outlives_a_crash_of_the_database() {
    if !has_postgres() {
        return;
    }
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().expect("makes a temporary folder");
    let model = ScriptedServer::start(Script::instant()).await.expect("starts a model");
    let business = opened(&cluster, &model).await;
    let workspace = business.workspace;
    let mut node = [Node::new(&cluster.url(), &model.base_url(), folder.path(), "one")];
    node[0].tend();
    all_ready(&node).await;
    let origin = format!("http://{}", node[0].address);
    let rina = Visitor::arrive("Rina", &http_without_memory(), &origin, &business.key).await;
    rina.write("How long does a refund take?").await;
    node[0].kill().await;

    // Somebody asks where the feed stands, after transactions of which nothing will be left.
    let db = Db::open(&cluster.url()).await.expect("opens the database");
    let mut conn = db.read().await.expect("a connection");
    let mut taken = 0;
    for _ in 0..TAKEN {
        let number = sql("SELECT pg_current_xact_id()::text::bigint");
        (taken,) = number.one(&mut conn).await.expect("takes a number");
    }
    let place = lists::feed_now(&mut conn, workspace).await.expect("reads");
    let everywhere = lists::settled_everywhere(&mut conn).await.expect("reads");
    let all = "SELECT count(*) FROM event WHERE workspace = $1";
    let (before,): (i64,) = sql(all).bind(workspace).one(&mut conn).await.expect("counts");
    drop(conn);
    db.close().await;
    cluster.restart(Stop::Immediate).await;

    node[0].tend();
    all_ready(&node).await;
    rina.write("And how long does a parcel take?").await;
    let db = Db::open(&cluster.url()).await.expect("opens the database");
    eventually("everything new to stand above the place", || async {
        let mut conn = db.read().await.map_err(|error| error.to_string())?;
        let fed = lists::feed_after(&mut conn, workspace, place, 500).await;
        let fed = fed.map_err(|error| error.to_string())?;
        let (all,): (i64,) =
            sql(all).bind(workspace).one(&mut conn).await.map_err(|error| error.to_string())?;
        let reused = fed.iter().any(|fed| fed.cursor.tx <= taken);
        let above = fed.iter().all(|fed| fed.cursor > everywhere);
        let is_all = i64::try_from(fed.len()) == Ok(all - before) && all > before;
        if is_all && reused && above {
            return Ok(());
        }
        let said = format!("{fed:?} of {} are above {place} and {everywhere}", all - before);
        Err(format!("{said}; numbers up to {taken} are taken again: {reused}"))
    })
    .await;
    db.close().await;
    node[0].kill().await;
    drop(cluster);
}
