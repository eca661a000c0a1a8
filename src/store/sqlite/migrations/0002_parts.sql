-- What `identity` and `comparison` were made of: a short digest for each key that is set, as `url=0f3a5b77 key=…`. Only
-- for telling people which key changed; nothing is decided by it. Empty: not known, written by an earlier version.
ALTER TABLE sources ADD COLUMN parts TEXT NOT NULL DEFAULT '';
