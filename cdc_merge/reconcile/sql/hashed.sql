-- The export's rows of one target: their keys, and a hash of all else, made before the join that would carry it along.
CREATE TEMPORARY TABLE _cdc_hashed_{{ target.number }} AS
SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}, {% endfor %}r.n, {% if target.is_each %}r.place, {% endif %}r.h
FROM _cdc_keys AS s
{% if is_partial %}LEFT {% endif %}JOIN (
    SELECT r.n, {% if target.is_each %}r.element_place AS place, {% endif %}{{ staged_hash }} AS h
    FROM _cdc_rows_{{ target.number }} AS r
) AS r ON r.n = s.n
