-- +goose Up
-- Indexes no statement reads, each of which every promise of a door had to write.
DROP INDEX parcels_partner;
DROP INDEX compartments_free;
DROP INDEX compartments_holder;
-- The live grants of a door in the order they are read. Without rev in it SQLite read every grant a
-- bank ever had instead, because those were in order.
DROP INDEX grants_door;
CREATE INDEX grants_live ON grants (bank, no, rev) WHERE ended_ms = 0;
