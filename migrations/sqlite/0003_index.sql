-- Indexes load faster and forget in time: a chunk's tokens are stored beside it (null: cut the text again), and tombstones
-- have an age, so that old ones can go; what an index misses up to `pruned_revision` it must load as a whole.
ALTER TABLE chunk ADD COLUMN tokens BLOB;
ALTER TABLE chunk ADD COLUMN tokens_by TEXT;
ALTER TABLE chunk_removed ADD COLUMN removed_at BIGINT;
ALTER TABLE knowledge_base ADD COLUMN pruned_revision BIGINT NOT NULL DEFAULT 0;
CREATE INDEX chunk_removed_age ON chunk_removed (removed_at);
