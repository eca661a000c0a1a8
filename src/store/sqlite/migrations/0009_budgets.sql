-- What was spent of written limits, so that a restart neither crosses a window nor forgets what was overspent: see
-- core/budget/kept.rs. The holder is `api NAME` or `source NAME`.
CREATE TABLE budgets (
    holder TEXT PRIMARY KEY,
    kept   BLOB NOT NULL
) WITHOUT ROWID, STRICT;

-- Before that, the server does not want to be asked, or would give the same answer.
ALTER TABLE sources ADD COLUMN not_before_at INTEGER;
