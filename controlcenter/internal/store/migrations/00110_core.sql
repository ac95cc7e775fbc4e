-- +goose Up

-- The relay keeps in memory what it works on, so nothing asks any more which facts of a bank are busy.
-- next_ms is 0 while a fact is not handed out; afterwards it says when it was or, when it waits to be
-- tried again, until when it waits.
DROP INDEX outbox_busy;
