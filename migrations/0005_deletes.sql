-- What a tombstone has to say where not every delete counts for every target of the source: the newest upsert known of
-- the key, and the newest change that was no expiry, with its time; empty: there was none. NULL: nobody asked, and the
-- tombstone's own position counts for all.
ALTER TABLE {{ tombstones }} ADD COLUMN upsert_position {{ text }};

ALTER TABLE {{ tombstones }} ADD COLUMN kept_position {{ text }};

ALTER TABLE {{ tombstones }} ADD COLUMN kept_at {{ timestamp }};
