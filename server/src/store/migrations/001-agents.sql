-- Times are microseconds since the Unix epoch.

CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    email      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    id              TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name            TEXT NOT NULL,
    slug            TEXT NOT NULL,
    description     TEXT,
    source_type     TEXT NOT NULL,
    git_repo_url    TEXT,
    git_branch      TEXT NOT NULL,
    default_model   TEXT NOT NULL,
    max_turns       INTEGER NOT NULL,
    timeout_seconds INTEGER NOT NULL,
    status          TEXT NOT NULL,
    status_message  TEXT,
    -- The archive that was uploaded last, whether or not it was ever deployed.
    upload_hash     TEXT,
    -- The deployment that goes on, unless none does.
    deploying_id    TEXT,
    -- The deployment whose code serves, unless none does.
    serving_id      TEXT,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    UNIQUE (user_id, slug)
) STRICT, WITHOUT ROWID;

CREATE INDEX agents_newest ON agents (user_id, created_at DESC, id DESC);

CREATE TABLE deployments (
    id          TEXT PRIMARY KEY,
    agent_id    TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    status      TEXT NOT NULL,
    source_hash TEXT,
    -- The built code, and node's arguments that run it, as a JSON list.
    code_hash   TEXT,
    node_args   TEXT,
    error       TEXT,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX deployments_newest ON deployments (agent_id, started_at DESC, id DESC);
CREATE INDEX deployments_running ON deployments (status) WHERE status = 'running';

CREATE TABLE invocations (
    id             TEXT PRIMARY KEY,
    user_id        TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    agent_id       TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    session_id     TEXT NOT NULL,
    sandbox_id     TEXT,
    status         TEXT NOT NULL,
    error_message  TEXT,
    -- The first characters of prompt and response, so that lists need not read the whole.
    prompt_start   TEXT NOT NULL,
    response_start TEXT NOT NULL DEFAULT '',
    input_tokens   INTEGER NOT NULL DEFAULT 0,
    output_tokens  INTEGER NOT NULL DEFAULT 0,
    -- Decimal text: a binary fraction would not keep the cents.
    cost_usd       TEXT NOT NULL DEFAULT '0',
    duration_ms    INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX invocations_newest ON invocations (user_id, created_at DESC, id DESC);
CREATE INDEX invocations_newest_by_status ON invocations (user_id, status, created_at DESC, id DESC);
CREATE INDEX invocations_newest_of_agent ON invocations (agent_id, created_at DESC, id DESC);
CREATE INDEX invocations_newest_of_agent_by_status ON invocations (agent_id, status, created_at DESC, id DESC);
CREATE INDEX invocations_running ON invocations (status) WHERE status = 'running';

CREATE TABLE invocation_texts (
    invocation_id TEXT PRIMARY KEY REFERENCES invocations (id) ON DELETE CASCADE,
    prompt        TEXT NOT NULL,
    response      TEXT NOT NULL DEFAULT '',
    log           TEXT NOT NULL DEFAULT ''
) STRICT;
