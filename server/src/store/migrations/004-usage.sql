-- Sessions, and usage by day.

CREATE TABLE sessions (
    agent_id           TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    -- Given by whoever invoked the agent.
    id                 TEXT NOT NULL,
    sandbox_id         TEXT,
    created_at         INTEGER NOT NULL,
    last_invocation_at INTEGER,
    PRIMARY KEY (agent_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_newest ON sessions (agent_id, created_at DESC, id DESC);

-- Invocations anew, with two differences. Money is whole picodollars, 10 to the -12th of a dollar: prices of a million
-- tokens have up to six decimals, so that of one token has up to twelve, and sums of these are exact. And the agent is no
-- foreign key: to delete one with very many invocations in one transaction would hold up every other write for seconds.
-- Without their agent they are gone for every query; the rows follow in portions (see `departed`).
CREATE TABLE new_invocations (
    id               TEXT PRIMARY KEY,
    user_id          TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    agent_id         TEXT NOT NULL,
    session_id       TEXT NOT NULL,
    sandbox_id       TEXT,
    status           TEXT NOT NULL,
    error_message    TEXT,
    -- The first characters of prompt and response, so that lists need not read the whole.
    prompt_start     TEXT NOT NULL,
    response_start   TEXT NOT NULL DEFAULT '',
    input_tokens     INTEGER NOT NULL DEFAULT 0,
    output_tokens    INTEGER NOT NULL DEFAULT 0,
    cost_picodollars INTEGER NOT NULL DEFAULT 0,
    duration_ms      INTEGER NOT NULL DEFAULT 0,
    created_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE new_invocation_texts (
    invocation_id TEXT PRIMARY KEY REFERENCES new_invocations (id) ON DELETE CASCADE,
    prompt        TEXT NOT NULL,
    response      TEXT NOT NULL DEFAULT '',
    log           TEXT NOT NULL DEFAULT ''
) STRICT;

INSERT INTO new_invocations
    SELECT id, user_id, agent_id, session_id, sandbox_id, status, error_message, prompt_start, response_start,
        input_tokens, output_tokens, CAST(round(CAST(cost_usd AS REAL) * 1e12) AS INTEGER), duration_ms, created_at
    FROM invocations;
INSERT INTO new_invocation_texts SELECT invocation_id, prompt, response, log FROM invocation_texts;
-- In this order: dropping a table deletes what refers to it.
DROP TABLE invocation_texts;
DROP TABLE invocations;
ALTER TABLE new_invocations RENAME TO invocations;
ALTER TABLE new_invocation_texts RENAME TO invocation_texts;

CREATE INDEX invocations_newest ON invocations (user_id, created_at DESC, id DESC);
CREATE INDEX invocations_newest_by_status ON invocations (user_id, status, created_at DESC, id DESC);
CREATE INDEX invocations_newest_of_agent ON invocations (agent_id, created_at DESC, id DESC);
CREATE INDEX invocations_newest_of_agent_by_status ON invocations (agent_id, status, created_at DESC, id DESC);
CREATE INDEX invocations_newest_of_session ON invocations (agent_id, session_id, created_at DESC, id DESC);
CREATE INDEX invocations_running ON invocations (status) WHERE status = 'running';

-- Agents that were deleted, until the last of their invocations has gone too.
CREATE TABLE departed (
    agent_id TEXT PRIMARY KEY,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX departed_of_user ON departed (user_id);

-- What an agent's invocations of one UTC day add up to; `day` is days since the Unix epoch. Kept by the triggers below, in
-- the transaction that changes the invocations. An invocation goes only with its agent, whose days go with it at once, so
-- that no trigger is needed where invocations are deleted.
CREATE TABLE agent_days (
    agent_id         TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    day              INTEGER NOT NULL,
    user_id          TEXT NOT NULL,
    running          INTEGER NOT NULL,
    completed        INTEGER NOT NULL,
    failed           INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    cost_picodollars INTEGER NOT NULL,
    PRIMARY KEY (agent_id, day)
) STRICT, WITHOUT ROWID;

-- The same of all of a user's agents.
CREATE TABLE user_days (
    user_id          TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    day              INTEGER NOT NULL,
    running          INTEGER NOT NULL,
    completed        INTEGER NOT NULL,
    failed           INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    cost_picodollars INTEGER NOT NULL,
    PRIMARY KEY (user_id, day)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER agent_day_added AFTER INSERT ON agent_days BEGIN
    INSERT INTO user_days (user_id, day, running, completed, failed, input_tokens, output_tokens, cost_picodollars)
    VALUES (new.user_id, new.day, new.running, new.completed, new.failed, new.input_tokens, new.output_tokens,
        new.cost_picodollars)
    ON CONFLICT DO UPDATE SET
        running = running + excluded.running,
        completed = completed + excluded.completed,
        failed = failed + excluded.failed,
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        cost_picodollars = cost_picodollars + excluded.cost_picodollars;
END;

CREATE TRIGGER agent_day_changed AFTER UPDATE ON agent_days BEGIN
    UPDATE user_days SET
        running = running + new.running - old.running,
        completed = completed + new.completed - old.completed,
        failed = failed + new.failed - old.failed,
        input_tokens = input_tokens + new.input_tokens - old.input_tokens,
        output_tokens = output_tokens + new.output_tokens - old.output_tokens,
        cost_picodollars = cost_picodollars + new.cost_picodollars - old.cost_picodollars
    WHERE user_id = new.user_id AND day = new.day;
END;

-- Fires for an agent's days also where the agent's end takes them along.
CREATE TRIGGER agent_day_removed AFTER DELETE ON agent_days BEGIN
    UPDATE user_days SET
        running = running - old.running,
        completed = completed - old.completed,
        failed = failed - old.failed,
        input_tokens = input_tokens - old.input_tokens,
        output_tokens = output_tokens - old.output_tokens,
        cost_picodollars = cost_picodollars - old.cost_picodollars
    WHERE user_id = old.user_id AND day = old.day;
    DELETE FROM user_days WHERE user_id = old.user_id AND day = old.day AND running + completed + failed = 0;
END;

-- After `agent_day_added`, which carries the sums on to the users.
INSERT INTO agent_days
    SELECT agent_id, created_at / 86400000000, user_id, sum(status = 'running'), sum(status = 'completed'),
        sum(status = 'failed'), sum(input_tokens), sum(output_tokens), sum(cost_picodollars)
    FROM invocations GROUP BY 1, 2;

CREATE TRIGGER invocation_added AFTER INSERT ON invocations BEGIN
    INSERT INTO agent_days (agent_id, day, user_id, running, completed, failed, input_tokens, output_tokens,
        cost_picodollars)
    VALUES (new.agent_id, new.created_at / 86400000000, new.user_id, new.status = 'running', new.status = 'completed',
        new.status = 'failed', new.input_tokens, new.output_tokens, new.cost_picodollars)
    ON CONFLICT DO UPDATE SET
        running = running + excluded.running,
        completed = completed + excluded.completed,
        failed = failed + excluded.failed,
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        cost_picodollars = cost_picodollars + excluded.cost_picodollars;
END;

-- Where the agent has gone there is no row, and nothing to count.
CREATE TRIGGER invocation_changed AFTER UPDATE OF status, input_tokens, output_tokens, cost_picodollars ON invocations
BEGIN
    UPDATE agent_days SET
        running = running + (new.status = 'running') - (old.status = 'running'),
        completed = completed + (new.status = 'completed') - (old.status = 'completed'),
        failed = failed + (new.status = 'failed') - (old.status = 'failed'),
        input_tokens = input_tokens + new.input_tokens - old.input_tokens,
        output_tokens = output_tokens + new.output_tokens - old.output_tokens,
        cost_picodollars = cost_picodollars + new.cost_picodollars - old.cost_picodollars
    WHERE agent_id = new.agent_id AND day = new.created_at / 86400000000;
END;
