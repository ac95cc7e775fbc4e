-- +goose Up
-- Each entry of the audit carries its number and a hash over itself and the hash before it, and the
-- newest of both stand apart, so that an entry that was changed, deleted or put in is seen.
ALTER TABLE audit ADD COLUMN no BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_no ON audit (no);
CREATE TABLE audit_head (
    id    BIGINT PRIMARY KEY, -- one row: 1
    no    BIGINT NOT NULL,
    hash  TEXT NOT NULL,
    older BIGINT NOT NULL     -- entries from before the chain; they have the number 0
);
INSERT INTO audit_head (id, no, hash, older) SELECT 1, 0, '', COUNT(*) FROM audit;
