-- +goose Up
-- The public keys of boards. The newest row without an end is the key of the bank now; older ones stay
-- for the custody that rests on them. head is the hash of the newest closing signed with the key.
CREATE TABLE device_keys (
    bank     TEXT   NOT NULL,
    key      TEXT   NOT NULL, -- Ed25519, hexadecimal
    from_ms  BIGINT NOT NULL,
    until_ms BIGINT NOT NULL DEFAULT 0,
    head     TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (bank, key)
);
-- What a board signed of the closing behind a link; empty when it was not asked to.
ALTER TABLE custody ADD COLUMN statement TEXT NOT NULL DEFAULT '';
ALTER TABLE custody ADD COLUMN board_sig TEXT NOT NULL DEFAULT '';
ALTER TABLE custody ADD COLUMN board_key TEXT NOT NULL DEFAULT '';
-- A secret that is about to follow the one in use, and when the one in use ends; 0 = never.
ALTER TABLE banks ADD COLUMN next_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE banks ADD COLUMN secret_until_ms BIGINT NOT NULL DEFAULT 0;
