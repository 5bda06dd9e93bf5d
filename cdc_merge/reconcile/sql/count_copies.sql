-- Rows beyond the first of their key.
SELECT count(*) - count(DISTINCT ({% for key in target.keys %}t.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, t._cdc_index{% endif %}))
FROM {{ target.table }} AS t
