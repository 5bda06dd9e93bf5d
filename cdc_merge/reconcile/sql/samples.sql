-- The first few keys of each verdict.
{% for verdict in ("different", "extra", "missing") %}
SELECT * FROM (
    SELECT c.verdict, c.cause, c.differing{% for key in target.keys %}, {{ key.shown('c.k%d' % loop.index0) }} AS k{{ loop.index0 }}{% endfor %}{% if target.is_each %}, CAST(c.place AS {{ text }}) AS place{% endif %}

    FROM _cdc_causes_{{ target.number }} AS c
    WHERE c.verdict = {{ verdict }}
    ORDER BY {% for key in target.keys %}c.k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, c.place{% endif %}

    LIMIT {{ samples }}
) AS few_{{ loop.index0 }}
{% if not loop.last %}UNION ALL
{% endif %}
{% endfor %}
