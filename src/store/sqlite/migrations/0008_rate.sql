-- When a source changes, as far as was learned: see core/schedule/keep.rs.
ALTER TABLE sources ADD COLUMN rate BLOB;
