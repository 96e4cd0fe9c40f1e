-- The spine: workspaces and people, inboxes and contacts, assistants and knowledge, conversations with their log.
-- Why: one row of state per conversation beside an append-only log, written in one transaction by one door.
-- Ids are prefixed UUIDv7 text, times are UTC milliseconds, JSON is text. Every table carries its workspace.

CREATE TABLE workspace (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE account (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL CONSTRAINT account_email_unique UNIQUE,
    password_hash TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE agent (
    id          TEXT PRIMARY KEY,
    workspace   TEXT NOT NULL REFERENCES workspace (id),
    account     TEXT NOT NULL REFERENCES account (id),
    name        TEXT NOT NULL,
    role        TEXT NOT NULL,
    presence    TEXT NOT NULL DEFAULT 'online',
    locale      TEXT NOT NULL DEFAULT 'en',
    created_at  BIGINT NOT NULL,
    disabled_at BIGINT,
    CONSTRAINT agent_account_unique UNIQUE (workspace, account)
);

CREATE TABLE invitation (
    token_hash TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    role       TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);

CREATE TABLE session (
    token_hash TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    agent      TEXT NOT NULL REFERENCES agent (id),
    csrf       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_agent ON session (workspace, agent);

CREATE TABLE assistant (
    id         TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    name       TEXT NOT NULL,
    published  BIGINT,
    stopped    BOOLEAN NOT NULL DEFAULT FALSE,
    created_at BIGINT NOT NULL
);
CREATE INDEX assistant_workspace ON assistant (workspace);

CREATE TABLE assistant_version (
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    assistant  TEXT NOT NULL REFERENCES assistant (id),
    number     BIGINT NOT NULL,
    config     TEXT NOT NULL,
    created_by TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (assistant, number)
);

CREATE TABLE inbox (
    id              TEXT PRIMARY KEY,
    workspace       TEXT NOT NULL REFERENCES workspace (id),
    name            TEXT NOT NULL,
    public_key      TEXT NOT NULL CONSTRAINT inbox_key_unique UNIQUE,
    assistant       TEXT REFERENCES assistant (id),
    allowed_origins TEXT NOT NULL,
    settings        TEXT NOT NULL,
    stopped         BOOLEAN NOT NULL DEFAULT FALSE,
    created_at      BIGINT NOT NULL
);
CREATE INDEX inbox_workspace ON inbox (workspace);

CREATE TABLE contact (
    id         TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    name       TEXT,
    email      TEXT,
    phone      TEXT,
    locale     TEXT NOT NULL,
    blocked    BOOLEAN NOT NULL DEFAULT FALSE,
    attributes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);
CREATE INDEX contact_workspace ON contact (workspace, id);

CREATE TABLE visitor_token (
    token_hash TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    inbox      TEXT NOT NULL REFERENCES inbox (id),
    contact    TEXT NOT NULL REFERENCES contact (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX visitor_token_contact ON visitor_token (workspace, contact);

CREATE TABLE knowledge_base (
    id         TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL REFERENCES workspace (id),
    name       TEXT NOT NULL,
    revision   BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);
CREATE INDEX knowledge_base_workspace ON knowledge_base (workspace);

CREATE TABLE article (
    id             TEXT PRIMARY KEY,
    workspace      TEXT NOT NULL REFERENCES workspace (id),
    knowledge_base TEXT NOT NULL REFERENCES knowledge_base (id),
    source         TEXT NOT NULL,
    source_key     TEXT NOT NULL,
    title          TEXT NOT NULL,
    body           TEXT NOT NULL,
    audience       TEXT NOT NULL,
    locale         TEXT NOT NULL,
    url            TEXT,
    content_hash   TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    CONSTRAINT article_source_unique UNIQUE (knowledge_base, source, source_key)
);
CREATE INDEX article_base ON article (workspace, knowledge_base, id);

-- `dense` holds little-endian f32 values, normalised; `encoder` names what made them and the sparse tokens.
CREATE TABLE chunk (
    id             TEXT PRIMARY KEY,
    workspace      TEXT NOT NULL REFERENCES workspace (id),
    knowledge_base TEXT NOT NULL REFERENCES knowledge_base (id),
    article        TEXT NOT NULL REFERENCES article (id),
    ordinal        BIGINT NOT NULL,
    section        TEXT NOT NULL,
    text           TEXT NOT NULL,
    audience       TEXT NOT NULL,
    content_hash   TEXT NOT NULL,
    encoder        TEXT NOT NULL,
    dense          BLOB,
    revision       BIGINT NOT NULL
);
CREATE INDEX chunk_revision ON chunk (workspace, knowledge_base, revision);
CREATE INDEX chunk_article ON chunk (workspace, article);

-- Which chunks went away at which revision, so that an index in memory can follow.
CREATE TABLE chunk_removed (
    workspace      TEXT NOT NULL REFERENCES workspace (id),
    knowledge_base TEXT NOT NULL REFERENCES knowledge_base (id),
    chunk          TEXT NOT NULL,
    revision       BIGINT NOT NULL,
    PRIMARY KEY (knowledge_base, chunk)
);
CREATE INDEX chunk_removed_revision ON chunk_removed (workspace, knowledge_base, revision);

-- The state row. `state` is the holder with what only it carries, as JSON; the columns beside it are what lists,
-- timers and fences ask for. `seq` is the compare-and-set: it grows with every step.
CREATE TABLE conversation (
    id              TEXT PRIMARY KEY,
    workspace       TEXT NOT NULL REFERENCES workspace (id),
    inbox           TEXT NOT NULL REFERENCES inbox (id),
    contact         TEXT NOT NULL REFERENCES contact (id),
    state           TEXT NOT NULL,
    holder          TEXT NOT NULL,
    assignee        TEXT,
    team            TEXT,
    queued_at       BIGINT,
    epoch           BIGINT NOT NULL,
    seq             BIGINT NOT NULL,
    public_seq      BIGINT NOT NULL,
    next_timer_at   BIGINT,
    waiting_since   BIGINT,
    locale          TEXT NOT NULL,
    page_url        TEXT,
    page_title      TEXT,
    last_message    TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE INDEX conversation_list ON conversation (workspace, updated_at);
CREATE INDEX conversation_holder ON conversation (workspace, holder, updated_at);
CREATE INDEX conversation_assignee ON conversation (workspace, assignee, updated_at);
CREATE INDEX conversation_queue ON conversation (workspace, inbox, queued_at);
CREATE UNIQUE INDEX conversation_contact_unique ON conversation (inbox, contact);
CREATE INDEX conversation_timer ON conversation (next_timer_at) WHERE next_timer_at IS NOT NULL;

-- The log: ids, enums and numbers only, so that it survives erasure. `feed` orders a workspace's events for clients that
-- resume; `tx` is the writing transaction, below whose oldest running one readers stop.
CREATE TABLE event (
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    conversation TEXT NOT NULL REFERENCES conversation (id),
    seq          BIGINT NOT NULL,
    epoch        BIGINT NOT NULL,
    kind         TEXT NOT NULL,
    actor_kind   TEXT NOT NULL,
    actor        TEXT,
    message      TEXT,
    data         TEXT NOT NULL,
    at           BIGINT NOT NULL,
    feed         INTEGER PRIMARY KEY AUTOINCREMENT,
    tx           BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT event_seq_unique UNIQUE (conversation, seq)
);
CREATE INDEX event_feed ON event (workspace, tx, feed);

-- Words live beside the log. `public_seq` is null for what the visitor must not see.
CREATE TABLE message (
    id            TEXT PRIMARY KEY,
    workspace     TEXT NOT NULL REFERENCES workspace (id),
    conversation  TEXT NOT NULL REFERENCES conversation (id),
    seq           BIGINT NOT NULL,
    public_seq    BIGINT,
    kind          TEXT NOT NULL,
    notice        TEXT,
    author_kind   TEXT NOT NULL,
    author        TEXT,
    author_name   TEXT,
    text          TEXT NOT NULL,
    citations     TEXT NOT NULL,
    client_id     TEXT,
    turn          TEXT,
    answers_from  BIGINT,
    answers_to    BIGINT,
    incomplete    BOOLEAN NOT NULL DEFAULT FALSE,
    flags         TEXT NOT NULL,
    at            BIGINT NOT NULL,
    CONSTRAINT message_seq_unique UNIQUE (conversation, seq),
    CONSTRAINT message_client_unique UNIQUE (conversation, author_kind, client_id)
);
CREATE INDEX message_public ON message (conversation, public_seq);

-- The turn header, written only by the committing door.
CREATE TABLE turn (
    id           TEXT PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    conversation TEXT NOT NULL REFERENCES conversation (id),
    status       TEXT NOT NULL,
    attempt      BIGINT NOT NULL,
    node         TEXT,
    run_at       BIGINT NOT NULL,
    lease_until  BIGINT,
    created_at   BIGINT NOT NULL,
    ended_at     BIGINT
);
CREATE INDEX turn_due ON turn (run_at) WHERE status = 'due';
CREATE INDEX turn_lease ON turn (lease_until) WHERE status = 'running';
CREATE INDEX turn_conversation ON turn (conversation);

-- What explains and replays a turn: prompt and output as sent, passages, verdicts, tokens, times.
CREATE TABLE turn_record (
    turn         TEXT NOT NULL REFERENCES turn (id),
    attempt      BIGINT NOT NULL,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    conversation TEXT NOT NULL REFERENCES conversation (id),
    record       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (turn, attempt)
);

-- A promise to a waiting visitor; at most one open per conversation.
CREATE TABLE obligation (
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    conversation TEXT NOT NULL REFERENCES conversation (id),
    opened_seq   BIGINT NOT NULL,
    anchor_seq   BIGINT NOT NULL,
    opened_at    BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    step         BIGINT NOT NULL,
    ended_at     BIGINT,
    ended_by     TEXT,
    PRIMARY KEY (conversation, opened_seq)
);
CREATE UNIQUE INDEX obligation_open ON obligation (conversation) WHERE ended_at IS NULL;

-- A broken promise: who must look, who did.
CREATE TABLE alarm (
    id              TEXT PRIMARY KEY,
    workspace       TEXT NOT NULL REFERENCES workspace (id),
    conversation    TEXT NOT NULL REFERENCES conversation (id),
    kind            TEXT NOT NULL,
    anchor_seq      BIGINT NOT NULL,
    step            BIGINT NOT NULL,
    recipient       TEXT NOT NULL,
    raised_at       BIGINT NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at BIGINT,
    ended_at        BIGINT,
    CONSTRAINT alarm_step_unique UNIQUE (conversation, kind, anchor_seq, step)
);
CREATE INDEX alarm_open ON alarm (workspace, raised_at) WHERE acknowledged_at IS NULL AND ended_at IS NULL;

-- Briefs, summaries, suggested replies.
CREATE TABLE artifact (
    id           TEXT PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    conversation TEXT NOT NULL REFERENCES conversation (id),
    kind         TEXT NOT NULL,
    state        TEXT NOT NULL,
    at_seq       BIGINT NOT NULL,
    source       TEXT,
    content      TEXT,
    fates        TEXT NOT NULL DEFAULT '{}',
    created_at   BIGINT NOT NULL
);
CREATE INDEX artifact_conversation ON artifact (conversation, kind, created_at);

-- Durable due work other than turns and timers: inserted with what caused it, leased with `attempt` as the fence.
CREATE TABLE job (
    id           TEXT PRIMARY KEY,
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    conversation TEXT REFERENCES conversation (id),
    kind         TEXT NOT NULL,
    payload      TEXT NOT NULL,
    status       TEXT NOT NULL,
    attempt      BIGINT NOT NULL DEFAULT 0,
    node         TEXT,
    run_at       BIGINT NOT NULL,
    lease_until  BIGINT,
    last_error   TEXT,
    created_at   BIGINT NOT NULL
);
CREATE INDEX job_due ON job (run_at) WHERE status = 'due';
CREATE INDEX job_lease ON job (lease_until) WHERE status = 'running';

-- Why a conversation was handed off, in words: the condition that fired and what the visitor said.
CREATE TABLE handoff (
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    conversation TEXT NOT NULL REFERENCES conversation (id),
    seq          BIGINT NOT NULL,
    condition    TEXT,
    evidence     TEXT,
    message      TEXT,
    PRIMARY KEY (conversation, seq)
);

-- How far each agent has read a conversation.
CREATE TABLE read_mark (
    workspace    TEXT NOT NULL REFERENCES workspace (id),
    agent        TEXT NOT NULL REFERENCES agent (id),
    conversation TEXT NOT NULL REFERENCES conversation (id),
    seq          BIGINT NOT NULL,
    PRIMARY KEY (agent, conversation)
);
