//! What a unit of work is promised, on both engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{sql, testing};

#[tokio::test]
async fn what_commit_refuses_was_neither_acknowledged_nor_told() {
    for db in testing::databases().await {
        let told = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&told);
        let written = db.write(move |conn| {
            let tells = Arc::clone(&tells);
            Box::pin(async move {
                // Only COMMIT looks at this reference, and there is no row 2.
                sql("CREATE TABLE probe (id INTEGER PRIMARY KEY, other INTEGER REFERENCES probe (id) DEFERRABLE INITIALLY DEFERRED)")
                    .execute(conn)
                    .await?;
                sql("INSERT INTO probe (id, other) VALUES (1, 2)").execute(conn).await?;
                conn.after_commit(move || tells.store(true, Ordering::SeqCst));
                Ok(())
            })
        });
        let written = written.await;
        assert!(written.is_err(), "acknowledged, but not stored ({:?})", db.kind());
        assert!(!told.load(Ordering::SeqCst), "told, but not stored ({:?})", db.kind());
    }
}
