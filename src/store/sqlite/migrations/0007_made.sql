-- What endpoints with a `body` or another `format` are sent in place of the envelope: once for each pair of event and endpoint, so that every
-- attempt and every replay sends the same bytes. Endpoints without one have no rows here.
CREATE TABLE made (
    event      INTEGER NOT NULL,
    endpoint   INTEGER NOT NULL,
    -- Both are there, or neither: then the endpoint's expressions failed, and it is made when its turn comes.
    media_type TEXT,
    body       TEXT CHECK ((body IS NULL) = (media_type IS NULL)),
    -- A CloudEvent in binary mode: its attributes go along as headers.
    is_binary  INTEGER NOT NULL CHECK (is_binary = 0 OR is_binary = 1),
    -- Covers every column; verified before anything is sent.
    row_hash   INTEGER NOT NULL,
    PRIMARY KEY (event, endpoint)
) STRICT;

-- Whether the table above has a row for it: one that got lost there must not make a delivery send something else.
ALTER TABLE deliveries ADD COLUMN is_made INTEGER NOT NULL DEFAULT 0 CHECK (is_made = 0 OR is_made = 1);
