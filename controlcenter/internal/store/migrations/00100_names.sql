-- +goose Up
-- Who shows a name at the broker. Banks, partners, persons and the control centers share one space
-- of names there, so an id belongs to one of them for ever.
CREATE TABLE names (
    id   TEXT PRIMARY KEY,
    kind TEXT NOT NULL -- bank, partner, person, center
);
INSERT INTO names (id, kind) VALUES ('lockerfleet-controlcenter', 'center');
INSERT INTO names (id, kind) SELECT id, 'bank' FROM banks WHERE id NOT IN (SELECT id FROM names);
INSERT INTO names (id, kind) SELECT id, 'partner' FROM partners WHERE id NOT IN (SELECT id FROM names);
INSERT INTO names (id, kind) SELECT id, 'person' FROM people WHERE id NOT IN (SELECT id FROM names);
