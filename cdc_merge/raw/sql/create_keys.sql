-- What the merge has to know of each key: its newest change, whether it removes, and which target takes it.
CREATE TEMPORARY TABLE _cdc_keys (
    n BIGINT,
    partition_key {{ text }},
    sort_key {{ text }},
    position {{ text }},
    changed_at {{ moment }},
    removed BOOLEAN,
    could BOOLEAN
{% for target in targets %}
    , takes_{{ target.number }} BOOLEAN
{% endfor %}
)
