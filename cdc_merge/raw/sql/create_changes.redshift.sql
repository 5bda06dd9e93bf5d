-- What orders the records, and the new image of each.
CREATE TEMPORARY TABLE _cdc_changes (
    partition_key {{ text }},
    sort_key {{ text }},
    position {{ text }},
    removed BOOLEAN,
    changed_at TIMESTAMP WITH TIME ZONE,
    doubt VARCHAR(10),
    image SUPER
)
