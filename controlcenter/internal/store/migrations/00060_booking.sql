-- +goose Up
-- What banks keep by themselves: their own compartments, waitlists and goods, as they last told, and what they are asked.
CREATE TABLE own (
    bank    TEXT PRIMARY KEY,
    rev     BIGINT NOT NULL,             -- of the document the bank is told
    doors   TEXT NOT NULL,               -- JSON list of no, size, class
    rules   TEXT NOT NULL,               -- JSON
    applied BIGINT NOT NULL DEFAULT 0,   -- newest revision the bank reported
    leaving TEXT NOT NULL DEFAULT '[]'   -- JSON list of compartments left out and not given back
);
CREATE TABLE spots (
    bank      TEXT NOT NULL,
    id        TEXT NOT NULL,
    state     TEXT NOT NULL,             -- waiting, offered, claimed, missed, left, lapsed
    alive     BIGINT NOT NULL,           -- 1 while waiting or offered
    size      TEXT NOT NULL,
    class     TEXT NOT NULL,
    priority  BIGINT NOT NULL,
    joined_ms BIGINT NOT NULL,
    until_ms  BIGINT NOT NULL,
    no        BIGINT NOT NULL,
    grant_id  TEXT NOT NULL,
    contact   TEXT NOT NULL,             -- JSON
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (bank, id)
);
CREATE INDEX spots_order ON spots (bank, alive, priority, joined_ms, id);
CREATE TABLE stays (
    bank      TEXT NOT NULL,
    id        TEXT NOT NULL,
    state     TEXT NOT NULL,             -- opened, stored, due, doubtful, collected, recalled, void
    no        BIGINT NOT NULL,
    spot      TEXT NOT NULL,
    grant_id  TEXT NOT NULL,             -- newest authority over the goods
    until_ms  BIGINT NOT NULL,
    reminded  BIGINT NOT NULL,
    contact   TEXT NOT NULL,             -- JSON
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (bank, id)
);
CREATE INDEX stays_newest ON stays (bank, created_ms, id);
-- Which bank made a grant by itself: its number follows from the bank's key.
CREATE TABLE own_grants (
    id         TEXT PRIMARY KEY,
    bank       TEXT NOT NULL
);
CREATE TABLE asks (
    id          TEXT PRIMARY KEY,        -- rises with time
    bank        TEXT NOT NULL,
    data        TEXT NOT NULL,           -- JSON of the request
    made_ms     BIGINT NOT NULL,
    answered_ms BIGINT NOT NULL DEFAULT 0,
    reason      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX asks_pending ON asks (bank, id) WHERE answered_ms = 0;
CREATE TABLE cases (
    id        TEXT PRIMARY KEY,
    bank      TEXT NOT NULL,
    code      TEXT NOT NULL,             -- late_decision, two_holders
    about     TEXT NOT NULL,
    center    TEXT NOT NULL,             -- what the control center has, JSON
    device    TEXT NOT NULL,             -- what the bank says, JSON
    opened_ms BIGINT NOT NULL,
    closed_ms BIGINT NOT NULL DEFAULT 0,
    closed_by TEXT NOT NULL DEFAULT '',
    note      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX cases_open ON cases (opened_ms) WHERE closed_ms = 0;
CREATE INDEX cases_newest ON cases (opened_ms, id);
