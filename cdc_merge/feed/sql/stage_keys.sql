-- What the merge has to know of each key: its newest change, whether it removes, and which target takes it.
INSERT INTO stage_keys
SELECT
    n, partition_key, sort_key, position,
    TRY(make_timestamptz(epoch_micros({{ created_at }}, {{ precision }}))) AS changed_at,
    removed,
    {{ could }} AS could
{% for _ in takes %}
    , takes_{{ loop.index0 }}
{% endfor %}
FROM wide
