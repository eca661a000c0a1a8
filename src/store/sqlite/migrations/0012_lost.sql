-- Since when an item that rang no deletion is not listed: so long it is remembered for. What vanished before this column
-- was there counts from the next complete listing without it.

ALTER TABLE items ADD COLUMN lost_since INTEGER CHECK (lost_since IS NULL OR standing = 'lost');
