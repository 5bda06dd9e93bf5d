-- The export's rows of one target: their keys, and a hash of all else, made before a join that would carry it along.
CREATE TEMPORARY TABLE _cdc_hashed_{{ target.number }} AS
SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}s.n, {% if target.is_each %}s.place, {% endif %}s.h
FROM (
{% if target.is_each or is_partial %}
    SELECT k.partition_key, k.sort_key, {% if target.is_each %}r.place, {% endif %}r.n, r.h
    FROM _cdc_keys AS k
    {% if is_partial %}LEFT {% endif %}JOIN (
        SELECT r.n, {% if target.is_each %}r.element_place AS place, {% endif %}{{ staged_hash }} AS h
        FROM _cdc_rows_{{ target.number }} AS r
    ) AS r ON r.n = k.n
{% else %}
    SELECT r.partition_key, r.sort_key, r.n, {{ staged_hash }} AS h
    FROM _cdc_keyed_{{ target.number }} AS r
{% endif %}
) AS s
