-- What a process writes to learn whether the database takes writes again after it has refused some (disk full, read-only):
-- without a try of its own, a node that nobody sends traffic to would never know.
CREATE TABLE write_probe (
    id    BIGINT PRIMARY KEY,
    tries BIGINT NOT NULL,
    -- As long as what people write: a disk with room for a byte is still full.
    room  TEXT NOT NULL
);
INSERT INTO write_probe (id, tries, room) VALUES (1, 0, '');

-- Jobs that were given up are shown to operators until they are swept out.
CREATE INDEX job_failed ON job (created_at) WHERE status = 'failed';
