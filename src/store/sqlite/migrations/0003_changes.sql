-- Creations that are held, values that have to last, and what a source asks for next.

-- A standing more. SQLite cannot change a CHECK, so that the table is made anew; its rows and their hashes stay as
-- they are.
CREATE TABLE items_new (
    source       INTEGER NOT NULL REFERENCES sources (id),
    key          TEXT NOT NULL,
    fingerprint  BLOB NOT NULL CHECK (length(fingerprint) = 32),
    raw          INTEGER NOT NULL,
    changes      INTEGER NOT NULL CHECK (changes >= 0),
    standing     TEXT NOT NULL,
    missing      INTEGER,
    held_since   INTEGER,
    content_hash INTEGER NOT NULL,
    row_hash     INTEGER NOT NULL,
    PRIMARY KEY (source, key),
    CHECK (CASE standing
        WHEN 'present'     THEN missing IS NOT NULL AND held_since IS NULL
        WHEN 'held'        THEN missing IS NULL AND held_since IS NOT NULL
        WHEN 'held_new'    THEN missing IS NULL AND held_since IS NOT NULL
        WHEN 'lost'        THEN missing IS NULL AND held_since IS NULL
        WHEN 'deleted'     THEN missing IS NULL AND held_since IS NULL
        WHEN 'quarantined' THEN missing IS NULL AND held_since IS NULL
        ELSE 0 END)
) WITHOUT ROWID, STRICT;

INSERT INTO items_new SELECT source, key, fingerprint, raw, changes, standing, missing, held_since, content_hash, row_hash
    FROM items;
DROP TABLE items;
ALTER TABLE items_new RENAME TO items;

-- Listing what is held must not read every item.
CREATE INDEX items_held ON items (source, key) WHERE held_since IS NOT NULL;

-- New values that have to last before they ring. `row_hash` covers every column.
CREATE TABLE settling (
    source      INTEGER NOT NULL REFERENCES sources (id),
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    raw         INTEGER NOT NULL,
    polls       INTEGER NOT NULL CHECK (polls BETWEEN 0 AND 4294967295),
    content     TEXT NOT NULL,
    row_hash    INTEGER NOT NULL,
    PRIMARY KEY (source, key)
) WITHOUT ROWID, STRICT;

-- Where the last complete incremental poll ended, and the digest of the `since` that says what that means.
ALTER TABLE sources ADD COLUMN watermark TEXT;
ALTER TABLE sources ADD COLUMN watermark_of BLOB
    CHECK (length(watermark_of) = 16 AND (watermark IS NULL) = (watermark_of IS NULL));
-- When everything is to be listed again.
ALTER TABLE sources ADD COLUMN sweep_due_at INTEGER;
-- A digest of the credentials that the last complete listing was asked for with.
ALTER TABLE sources ADD COLUMN credentials INTEGER;
