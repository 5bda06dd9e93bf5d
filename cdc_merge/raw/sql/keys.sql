INSERT INTO _cdc_keys
SELECT
    s.n, s.partition_key, s.sort_key, s.position, s.changed_at, s.removed,
    {{ could }} AS could
{% for target in targets %}
    , s.takes_{{ target.number }}
{% endfor %}
FROM _cdc_wide AS s
WHERE s.nth = 1
