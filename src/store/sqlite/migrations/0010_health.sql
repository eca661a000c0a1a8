-- An endpoint's condition in more detail.

-- When the first of the failures in a row came. A breaker counts from there, and not from the last success: nothing may
-- have been sent for long.
ALTER TABLE endpoints ADD COLUMN failing_since INTEGER;

-- From when on the suspension that goes on is not in `suspended_before_ns` yet.
ALTER TABLE endpoints ADD COLUMN suspended_from INTEGER;
UPDATE endpoints SET suspended_from = since;

-- Since when it is paused, by a person's word and by its declaration.
ALTER TABLE endpoints ADD COLUMN paused_by_hand INTEGER;
ALTER TABLE endpoints ADD COLUMN paused_in_file INTEGER;

-- Until when the receiver asked to be left alone.
ALTER TABLE endpoints ADD COLUMN held_until INTEGER;

-- Since when it has been failing, as was told in an event.
ALTER TABLE endpoints ADD COLUMN told INTEGER;
