-- +goose Up
-- Tickets of grants, members of groups, and grant revisions that neither issue nor end a grant.
ALTER TABLE grants ADD COLUMN member TEXT NOT NULL DEFAULT '';      -- whose it is in a group; '' = the holder's
ALTER TABLE grants ADD COLUMN ticket BIGINT NOT NULL DEFAULT 1;     -- number of the ticket that counts
ALTER TABLE grants ADD COLUMN receipt BIGINT NOT NULL DEFAULT 0;    -- 1: only that ticket opens, as a receipt
CREATE INDEX grants_shared ON grants (parcel, member) WHERE ended_ms = 0 AND member <> '';
CREATE TABLE grant_changes (
    bank     TEXT   NOT NULL,
    rev      BIGINT NOT NULL,
    grant_id TEXT   NOT NULL,
    PRIMARY KEY (bank, rev)
) {{clustered}};
