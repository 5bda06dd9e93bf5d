-- Without a primary key a row may have been inserted twice by hand. The address of one copy is known, the others
-- are found by their key; there are hardly ever any.
DELETE FROM {{ target.table }} AS t
USING _cdc_resolved AS r
WHERE r.copies_{{ target.number }} > 1
    AND r.accepted_{{ target.number }}
{% for key in target.keys %}
    AND t.{{ key.name }} = {{ key.resolved }}
{% endfor %}
