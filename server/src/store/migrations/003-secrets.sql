-- Which master key everything sealed is sealed with: the key's fingerprint, not the key.
CREATE TABLE master_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    fingerprint TEXT NOT NULL
) STRICT;

CREATE TABLE secrets (
    agent_id   TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    key        TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (agent_id, key)
) STRICT, WITHOUT ROWID;
