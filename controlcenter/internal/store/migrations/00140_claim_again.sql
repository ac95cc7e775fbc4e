-- +goose Up
-- A claim code that was used stays known until its time is over: the board that used it may ask
-- for its answer again, when the first one was lost on its way.
ALTER TABLE banks ADD COLUMN claim_used BIGINT NOT NULL DEFAULT 0;
