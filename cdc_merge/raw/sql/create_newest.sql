-- The newest change of each key. Changes at one position are the same change: `nth` counts them.
CREATE TEMPORARY TABLE _cdc_newest (
    partition_key {{ text }},
    sort_key {{ text }},
    position {{ text }},
    removed BOOLEAN,
    changed_at {{ moment }},
    nth BIGINT,
    image {{ document }}
)
