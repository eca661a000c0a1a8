-- Entries of sources with `for_each`. Each has a row in `sources`, named SOURCE/ENTRY: the names of sources hold no
-- slash. So whatever belongs to a source by its number belongs to an entry in the same way.

-- When the item became what `until` waits for; from then on it is not polled.
ALTER TABLE sources ADD COLUMN ended_at INTEGER;

-- When an entry was found to be one no more. What is known of it waits for its return.
ALTER TABLE sources ADD COLUMN left_at INTEGER;

-- The entries of a source share its event numbers: the last one is the greatest of all its rows, found at the end of
-- this index.
ALTER TABLE sources ADD COLUMN source TEXT
    GENERATED ALWAYS AS (CASE instr(name, '/') WHEN 0 THEN name ELSE substr(name, 1, instr(name, '/') - 1) END) VIRTUAL;
CREATE INDEX sources_seq ON sources (source, last_seq);

-- Empty for a source without entries. Covered by `row_hash` when it is not empty.
ALTER TABLE events ADD COLUMN entry TEXT NOT NULL DEFAULT '';
