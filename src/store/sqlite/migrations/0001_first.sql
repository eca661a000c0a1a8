-- The first schema. Released migrations never change; a change is a new file.
--
-- Words are those of the enums in `core`, so that a person reading the database sees what the log says. Every CHECK
-- mirrors an enum: a column that a variant lacks is NULL exactly when the variant is another. They are written with
-- CASE and OR, because SQLite builds a table in memory for each `IN (…)` of more than two words, at each row written.
-- Times are milliseconds since the Unix epoch and end in `_at` (or are called `since`); durations are nanoseconds,
-- which loses nothing.

-- What holds for the state as a whole.
CREATE TABLE meta (
    only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- Drawn once. The mark outside the database names it, so that another database in its place is noticed.
    instance      BLOB NOT NULL CHECK (length(instance) = 16),
    -- Of every xxh3 in here: those hashes do not resist people who choose the content, unless the seed is unknown.
    seed          INTEGER NOT NULL,
    -- Rises in every write transaction. Compared with the mark at start.
    commits       INTEGER NOT NULL CHECK (commits >= 0),
    -- Numbers given out so far. Kept apart from the rows, so that deleting the newest row never frees its number.
    last_event    INTEGER NOT NULL CHECK (last_event >= 0),
    last_delivery INTEGER NOT NULL CHECK (last_delivery >= 0)
) STRICT;

INSERT INTO meta VALUES (1, randomblob(16), random(), 0, 0, 0);

CREATE TABLE sources (
    id               INTEGER PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    last_seq         INTEGER NOT NULL CHECK (last_seq >= 0),
    identity         BLOB NOT NULL CHECK (length(identity) = 16),
    comparison       BLOB NOT NULL CHECK (length(comparison) = 16),
    shape            TEXT CHECK (shape = 'list' OR shape = 'object'),
    -- When the first complete listing was seen; until then `baseline_silent` tells whether new items may ring.
    baseline_at      INTEGER,
    baseline_silent  INTEGER NOT NULL CHECK (baseline_silent = 0 OR baseline_silent = 1),
    -- The validator: one of the two, or none.
    etag             TEXT,
    last_modified    TEXT CHECK (last_modified IS NULL OR etag IS NULL),
    body_hash        BLOB CHECK (length(body_hash) = 16),
    has_missing      INTEGER NOT NULL CHECK (has_missing = 0 OR has_missing = 1),
    interval_ns      INTEGER NOT NULL CHECK (interval_ns >= 0),
    due_at           INTEGER NOT NULL,
    failures         INTEGER NOT NULL CHECK (failures BETWEEN 0 AND 4294967295),
    last_poll_at     INTEGER,
    last_success_at  INTEGER,
    last_change_at   INTEGER,
    fault_whose      TEXT CHECK (fault_whose = 'source' OR fault_whose = 'endpoint' OR fault_whose = 'us'),
    fault_retry      TEXT CHECK (fault_retry = 'later' OR fault_retry = 'never'),
    fault_code       TEXT,
    fault_sentence   TEXT,
    fault_since      INTEGER,
    CHECK ((fault_whose IS NULL) = (fault_retry IS NULL)
       AND (fault_whose IS NULL) = (fault_code IS NULL)
       AND (fault_whose IS NULL) = (fault_sentence IS NULL)
       AND (fault_whose IS NULL) = (fault_since IS NULL))
) STRICT;

-- The snapshot without its content: loaded whole at each poll, so rows are small. SQLite has no page checksums;
-- `row_hash` covers every column of the row, and by way of `content_hash` the content.
CREATE TABLE items (
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
        WHEN 'lost'        THEN missing IS NULL AND held_since IS NULL
        WHEN 'deleted'     THEN missing IS NULL AND held_since IS NULL
        WHEN 'quarantined' THEN missing IS NULL AND held_since IS NULL
        ELSE 0 END)
) WITHOUT ROWID, STRICT;

-- Listing what the brake holds must not read every item.
CREATE INDEX items_held ON items (source, key) WHERE standing = 'held';

-- Whole items. Read for changed items only. A tombstone has no row here.
CREATE TABLE contents (
    source  INTEGER NOT NULL,
    key     TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (source, key)
) WITHOUT ROWID, STRICT;

-- Events never change. Their bodies stand apart, so that listing by type, key or time reads small rows only.
-- The source's name is copied: an event's bytes name it for ever, also when the source is renamed.
CREATE TABLE events (
    no       INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    source   TEXT NOT NULL,
    type     TEXT NOT NULL,
    key      TEXT NOT NULL,
    seq      INTEGER NOT NULL CHECK (seq >= 0),
    at       INTEGER NOT NULL,
    -- Covers every column and the body; verified before anything is sent.
    row_hash INTEGER NOT NULL
) STRICT;

-- By id, in blocks of 4096 events. Ids are hashes: in one plain index every new event would touch a page of its own,
-- and most of what is written would be that index. Here new events share the few pages of the newest block, and
-- finding one looks into each block: a millisecond per million events. Not unique: a source that is baselined anew may
-- find the same change again, and that has the same id.
CREATE INDEX events_id ON events (no >> 12, id);
CREATE INDEX events_source ON events (source);

-- The envelope, byte for byte as it is signed and sent. Here and in `attempts` nothing is REFERENCED: the row meant is
-- written in the same breath, and looking it up again would cost more than a tenth of all throughput.
CREATE TABLE bodies (
    event INTEGER PRIMARY KEY,
    body  TEXT NOT NULL
) STRICT;

-- Every endpoint that was ever known, its condition, and how many of its deliveries stand where. The counts change
-- with the deliveries, in the same transaction: counting rows would read all of history at each look.
CREATE TABLE endpoints (
    id                  INTEGER PRIMARY KEY,
    name                TEXT NOT NULL UNIQUE,
    breaker             TEXT NOT NULL,
    since               INTEGER,
    probe_at            INTEGER,
    probes              INTEGER,
    failures            INTEGER NOT NULL CHECK (failures BETWEEN 0 AND 4294967295),
    failing_lane        INTEGER,
    last_success_at     INTEGER NOT NULL,
    suspended_before_ns INTEGER NOT NULL CHECK (suspended_before_ns >= 0),
    fault_whose         TEXT CHECK (fault_whose = 'source' OR fault_whose = 'endpoint' OR fault_whose = 'us'),
    fault_retry         TEXT CHECK (fault_retry = 'later' OR fault_retry = 'never'),
    fault_code          TEXT,
    fault_sentence      TEXT,
    waiting             INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    pending             INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
    delivered           INTEGER NOT NULL DEFAULT 0 CHECK (delivered >= 0),
    exhausted           INTEGER NOT NULL DEFAULT 0 CHECK (exhausted >= 0),
    discarded           INTEGER NOT NULL DEFAULT 0 CHECK (discarded >= 0),
    CHECK (CASE breaker
        WHEN 'closed'   THEN since IS NULL AND probe_at IS NULL AND probes IS NULL
        WHEN 'open'     THEN since IS NOT NULL AND probe_at IS NOT NULL AND probes IS NOT NULL
        WHEN 'disabled' THEN since IS NOT NULL AND probe_at IS NULL AND probes IS NULL
        ELSE 0 END),
    CHECK ((fault_whose IS NULL) = (fault_retry IS NULL)
       AND (fault_whose IS NULL) = (fault_code IS NULL)
       AND (fault_whose IS NULL) = (fault_sentence IS NULL))
) STRICT;

CREATE TABLE deliveries (
    id                   INTEGER PRIMARY KEY,
    endpoint             INTEGER NOT NULL REFERENCES endpoints (id),
    event                INTEGER NOT NULL REFERENCES events (no),
    lane                 INTEGER,
    trigger              TEXT NOT NULL CHECK (trigger = 'change' OR trigger = 'replay'),
    status               TEXT NOT NULL,
    due_at               INTEGER,
    finished_at          INTEGER,
    reason               TEXT,
    created_at           INTEGER NOT NULL,
    attempts             INTEGER NOT NULL CHECK (attempts BETWEEN 0 AND 4294967295),
    started_at           INTEGER,
    started_suspended_ns INTEGER CHECK ((started_suspended_ns IS NULL) = (started_at IS NULL)),
    -- Only a delivery in a lane can wait: there it is behind another.
    CHECK (CASE status
        WHEN 'waiting'   THEN due_at IS NULL AND finished_at IS NULL AND reason IS NULL AND lane IS NOT NULL
        WHEN 'pending'   THEN due_at IS NOT NULL AND finished_at IS NULL AND reason IS NULL
        WHEN 'delivered' THEN due_at IS NULL AND finished_at IS NOT NULL AND reason IS NULL
        WHEN 'exhausted' THEN due_at IS NULL AND finished_at IS NOT NULL AND reason IS NOT NULL
        WHEN 'discarded' THEN due_at IS NULL AND finished_at IS NOT NULL AND reason IS NULL
        ELSE 0 END)
) STRICT;

-- By event: replay asks whether a pair is under way, and listings follow one event.
CREATE INDEX deliveries_event ON deliveries (event);
-- What is due. Holds unfinished deliveries only, so it stays small however long history grows.
CREATE INDEX deliveries_due ON deliveries (endpoint, due_at) WHERE status = 'pending';
-- Who is first in a lane, and whether anybody is. The row's id follows by itself.
CREATE INDEX deliveries_lane ON deliveries (endpoint, lane) WHERE finished_at IS NULL AND lane IS NOT NULL;
-- Dead letters are few, and people look for them.
CREATE INDEX deliveries_dead ON deliveries (id) WHERE status = 'exhausted';

CREATE TABLE attempts (
    delivery       INTEGER NOT NULL,
    number         INTEGER NOT NULL CHECK (number >= 1),
    at             INTEGER NOT NULL,
    took_ns        INTEGER NOT NULL CHECK (took_ns >= 0),
    status         INTEGER CHECK (status BETWEEN 0 AND 65535),
    fault_whose    TEXT CHECK (fault_whose = 'source' OR fault_whose = 'endpoint' OR fault_whose = 'us'),
    fault_retry    TEXT CHECK (fault_retry = 'later' OR fault_retry = 'never'),
    fault_code     TEXT,
    fault_sentence TEXT,
    answer         TEXT NOT NULL,
    PRIMARY KEY (delivery, number),
    CHECK ((fault_whose IS NULL) = (fault_retry IS NULL)
       AND (fault_whose IS NULL) = (fault_code IS NULL)
       AND (fault_whose IS NULL) = (fault_sentence IS NULL))
) WITHOUT ROWID, STRICT;
