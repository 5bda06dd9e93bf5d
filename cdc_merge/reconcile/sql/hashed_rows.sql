{% if target.is_each or is_partial %}
-- The hash is made before a join that would carry all columns along.
SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}s.n, {% if target.is_each %}s.place, {% endif %}s.h
FROM (
    SELECT k.partition_key, k.sort_key, {% if target.is_each %}r.place, {% endif %}r.n, r.h
    FROM _cdc_keys AS k
    {% if is_partial %}LEFT {% endif %}JOIN (
        SELECT s.n, {% if target.is_each %}s.element_place AS place, {% endif %}{{ staged_hash }} AS h
        FROM _cdc_rows_{{ target.number }} AS s
    ) AS r ON r.n = k.n
) AS s
{% else %}
SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}s.n, {{ staged_hash }} AS h
FROM _cdc_keyed_{{ target.number }} AS s
{% endif %}
{% if buckets %}
WHERE {{ staged_hash_of_key }} % {{ buckets }} IN (SELECT b.bucket FROM _cdc_buckets_{{ target.number }} AS b)
{% endif %}
