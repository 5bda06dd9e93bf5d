-- What was copied, by numbers that no other staged row has, with what of it is in doubt: a value that may not be what
-- the item has, a key that the table cannot hold, and a row that has what a copy cannot tell.
CREATE TEMPORARY TABLE _cdc_copied AS
SELECT
    -1 * ROW_NUMBER() OVER (ORDER BY {% for key in keys %}r.{{ key }}{% if not loop.last %}, {% endif %}{% endfor %}) AS n,
{% for attribute in attributes %}
    r.{{ attribute.column }},
{% endfor %}
{% for target in taken %}
    r.takes_{{ target.number }},
{% endfor %}
    CASE
{% if held %}
        WHEN h.k0 IS NOT NULL THEN TRUE
{% endif %}
{% for doubt in doubts %}
        WHEN {{ doubt.when }} THEN TRUE
{% endfor %}
        ELSE FALSE
    END AS in_doubt
FROM (
    SELECT
{% for attribute in attributes %}
        c.{{ attribute.column }},
{% endfor %}
{% for target in taken %}
        CASE WHEN {{ target.takes }} THEN TRUE ELSE FALSE END AS takes_{{ target.number }}{% if not loop.last %},{% endif %}

{% endfor %}
    FROM (
        SELECT
{% for attribute in attributes %}
            d.{{ attribute.name }} AS {{ attribute.column }}{% if not loop.last %},{% endif %}

{% endfor %}
        FROM _cdc_dynamodb AS d
    ) AS c
) AS r
{% if held %}
LEFT JOIN (
    SELECT DISTINCT k0{% if keys | length > 1 %}, k1{% endif %}

    FROM (
{% for table in held %}
        SELECT {% for key in table.keys %}t.{{ key }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

        FROM {{ table.table }} AS t
        WHERE t._cdc_rescued IS NOT NULL
{% for column in table.texts %}
            OR octet_length(t.{{ column }}) = 0
{% endfor %}
{% if not loop.last %}
        UNION ALL
{% endif %}
{% endfor %}
    ) AS known
) AS h
    ON {% for key in compared %}h.k{{ loop.index0 }} = {{ key }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endif %}
