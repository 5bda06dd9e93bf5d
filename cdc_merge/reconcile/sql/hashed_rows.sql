{% if target.is_each or is_partial %}
-- The hash is made before a join that would carry all columns along, and keys that are not wanted go before it.
SELECT {% for key in target.keys %}s.k{{ loop.index0 }}, {% endfor %}r.n, {% if target.is_each %}r.place, {% endif %}r.h
FROM (
    SELECT *
    FROM (SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}s.n FROM _cdc_keys AS s) AS s
{% if buckets %}
    WHERE {{ staged_key_hash }} % {{ buckets }} IN (SELECT b.bucket FROM _cdc_buckets_{{ target.number }} AS b)
{% endif %}
) AS s
{% if is_partial %}LEFT {% endif %}JOIN (
    SELECT s.n, {% if target.is_each %}s.element_place AS place, {% endif %}{{ staged_hash }} AS h
    FROM _cdc_rows_{{ target.number }} AS s
) AS r ON r.n = s.n
{% else %}
SELECT *
FROM (
    SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}s.n, {{ staged_hash }} AS h
    FROM _cdc_keyed_{{ target.number }} AS s
) AS s
{% if buckets %}
WHERE {{ staged_key_hash }} % {{ buckets }} IN (SELECT b.bucket FROM _cdc_buckets_{{ target.number }} AS b)
{% endif %}
{% endif %}
