-- Managed files, and the agents that they are attached to.

CREATE TABLE files (
    id            TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    filename      TEXT NOT NULL,
    content_type  TEXT,
    -- While an upload is pending, what it reserves.
    size_bytes    INTEGER NOT NULL,
    -- The content, which files may share; NULL while none has arrived.
    sha256_hash   TEXT,
    scope         TEXT NOT NULL,
    scope_id      TEXT,
    description   TEXT,
    -- A JSON list.
    tags          TEXT NOT NULL,
    upload_status TEXT NOT NULL,
    -- When a pending upload goes.
    expires_at    INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX files_newest ON files (user_id, created_at DESC, id DESC);
CREATE INDEX files_sizes ON files (user_id, size_bytes);
CREATE INDEX files_by_hash ON files (sha256_hash) WHERE sha256_hash IS NOT NULL;
CREATE INDEX files_pending ON files (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE attachments (
    id         TEXT PRIMARY KEY,
    agent_id   TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    file_id    TEXT NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    mount_path TEXT NOT NULL,
    read_only  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (agent_id, file_id),
    UNIQUE (agent_id, mount_path)
) STRICT, WITHOUT ROWID;

CREATE INDEX attachments_of_file ON attachments (file_id);
