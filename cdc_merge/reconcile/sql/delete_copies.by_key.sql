-- All rows of a key that is there twice.
DELETE FROM {{ target.table }}
USING _cdc_copies_{{ target.number }} AS c
WHERE {% for key in target.keys %}{{ target.table | bare }}.{{ key.name }} = c.{{ key.name }}{% if not loop.last %} AND {% endif %}{% endfor %}{% if target.is_each %} AND {{ target.table | bare }}._cdc_index = c._cdc_index{% endif %}

