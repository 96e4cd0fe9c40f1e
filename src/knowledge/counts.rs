//! How many chunks there are, for the set-up screens.

use std::collections::HashMap;

use super::index::BaseKey;
use super::store::parsed;
use super::{Knowledge, KnowledgeError};
use crate::db::sql;
use crate::ids::{ArticleId, KnowledgeBaseId, WorkspaceId};

impl Knowledge {
    /// How many chunks each base of a workspace has; bases without any are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn chunks_by_base(
        &self,
        workspace: WorkspaceId,
    ) -> Result<HashMap<KnowledgeBaseId, u64>, KnowledgeError> {
        let rows: Vec<(String, i64)> = sql("SELECT knowledge_base, COUNT(*) FROM chunk \
             WHERE workspace = $1 GROUP BY knowledge_base")
        .bind(workspace)
        .all(&mut self.db.read_much().await?)
        .await?;
        rows.into_iter()
            .map(|(id, count)| Ok((parsed(&id)?, u64::try_from(count).unwrap_or(0))))
            .collect()
    }

    /// How many chunks the articles of a base between two ids, both included, have.
    ///
    /// # Errors
    /// What the database says.
    pub async fn chunks_by_article(
        &self,
        workspace: WorkspaceId,
        base: KnowledgeBaseId,
        (first, last): (ArticleId, ArticleId),
    ) -> Result<HashMap<ArticleId, u64>, KnowledgeError> {
        let key = BaseKey { workspace, base };
        let rows: Vec<(String, i64)> = sql("SELECT article, COUNT(*) FROM chunk \
             WHERE workspace = $1 AND knowledge_base = $2 AND article >= $3 AND article <= $4 GROUP BY article")
        .bind(key.workspace)
        .bind(key.base)
        .bind(first)
        .bind(last)
        .all(&mut self.db.read_much().await?)
        .await?;
        rows.into_iter()
            .map(|(id, count)| Ok((parsed(&id)?, u64::try_from(count).unwrap_or(0))))
            .collect()
    }
}
