-- When it was last told that nothing of a source changes.
ALTER TABLE sources ADD COLUMN silent_at INTEGER;
