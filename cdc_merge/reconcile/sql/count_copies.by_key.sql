-- Rows beyond the first of their key.
SELECT coalesce(sum(c.copies - 1), 0)
FROM (
    SELECT count(*) AS copies
    FROM {{ target.table }} AS t
    GROUP BY {% for key in target.keys %}t.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, t._cdc_index{% endif %}

) AS c
