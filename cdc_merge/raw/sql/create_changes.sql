-- What orders the records, and the new image of each.
CREATE TEMPORARY TABLE _cdc_changes (
    partition_key {{ text }},
    sort_key {{ text }},
    position {{ text }},
    removed BOOLEAN,
    changed_at {{ moment }},
    doubt {{ text }},
    image {{ document }}
)
