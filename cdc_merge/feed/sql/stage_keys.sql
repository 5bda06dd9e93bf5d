-- What the merge has to know of each key: its newest change, whether it removes, and which target takes it.
CREATE OR REPLACE VIEW stage_keys AS
SELECT
    l.n, l.partition_key, l.sort_key, l.position,
    f.changed_at, f.removed,
    {{ could }} AS could
{% for number in targets %}
    , f.takes_{{ number }}
{% endfor %}
FROM latest AS l
JOIN facts AS f ON f.n = l.n
