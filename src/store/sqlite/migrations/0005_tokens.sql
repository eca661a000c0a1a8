-- Refresh tokens that came in the place of those in the operator's file, sealed with a key made from the latter: this
-- table alone opens nothing. `settings` and `configured` are digests: of what asks, without anything secret, and of the
-- refresh token in the file. Another one there has no row, and so begins anew.
CREATE TABLE tokens (
    settings   BLOB NOT NULL CHECK (length(settings) = 16),
    configured BLOB NOT NULL CHECK (length(configured) = 16),
    sealed     BLOB NOT NULL,
    kept_at    INTEGER NOT NULL,
    PRIMARY KEY (settings, configured)
) WITHOUT ROWID, STRICT;
