-- Buckets, and the agents that they are mounted in.

CREATE TABLE buckets (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    slug         TEXT NOT NULL,
    provider     TEXT NOT NULL,
    bucket_name  TEXT NOT NULL,
    region       TEXT,
    endpoint_url TEXT,
    -- Sealed.
    credentials  BLOB,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (user_id, slug)
) STRICT, WITHOUT ROWID;

CREATE INDEX buckets_newest ON buckets (user_id, created_at DESC, id DESC);

CREATE TABLE mounts (
    id                TEXT PRIMARY KEY,
    agent_id          TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    -- Without an action: a bucket goes after its mounts, or with its user.
    bucket_id         TEXT NOT NULL REFERENCES buckets (id),
    mount_path        TEXT NOT NULL,
    source_prefix     TEXT NOT NULL,
    -- A JSON list.
    permission_rules  TEXT NOT NULL,
    cache_enabled     INTEGER NOT NULL,
    cache_ttl_seconds INTEGER NOT NULL,
    enabled           INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (agent_id, mount_path)
) STRICT, WITHOUT ROWID;

CREATE INDEX mounts_of_bucket ON mounts (bucket_id);
