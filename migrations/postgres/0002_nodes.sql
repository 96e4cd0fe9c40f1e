-- Several processes on one database: which of them are alive, which agents have a socket open where, and tickets for
-- sockets that any of them takes.
-- Why: a load balancer sends a browser's requests anywhere; whoever is online must be known everywhere, and must be missed
-- when the process that knew it is gone.

-- A process; alive until `expires_at`, which it moves on.
CREATE TABLE node (
    id         TEXT PRIMARY KEY,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- An agent's sockets on one node. The row stays after the last one closed (`left_at`) until the conversations they hold
-- have been told, so that a process that ends meanwhile does not lose it.
CREATE TABLE agent_presence (
    node      TEXT NOT NULL,
    workspace TEXT NOT NULL REFERENCES workspace (id),
    agent     TEXT NOT NULL REFERENCES agent (id),
    says      TEXT NOT NULL,
    left_at   BIGINT,
    PRIMARY KEY (node, agent)
);
CREATE INDEX agent_presence_agent ON agent_presence (workspace, agent);

-- What an agent's socket shows instead of the session's cookie: used once, for some seconds.
CREATE TABLE live_ticket (
    ticket_hash TEXT PRIMARY KEY,
    workspace   TEXT NOT NULL REFERENCES workspace (id),
    agent       TEXT NOT NULL REFERENCES agent (id),
    session     TEXT NOT NULL,
    expires_at  BIGINT NOT NULL
);
