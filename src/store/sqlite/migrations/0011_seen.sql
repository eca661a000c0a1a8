-- The clock, as it was last believed. A clock that is far ahead of it at a start may be wrong, and makes nothing old.

ALTER TABLE meta ADD COLUMN seen_at INTEGER;
UPDATE meta SET seen_at = (SELECT max(last_poll_at) FROM sources);
