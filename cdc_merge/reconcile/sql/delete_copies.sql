-- Without a primary key a row may have been inserted twice by hand: the newest of its key stays.
DELETE FROM {{ target.table }} AS t
WHERE t.{{ row_address }} IN (
    SELECT address
    FROM (
        SELECT
            c.{{ row_address }} AS address,
            row_number() OVER (
                PARTITION BY {% for key in target.keys %}c.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, c._cdc_index{% endif %}

                ORDER BY c._cdc_position DESC, c.{{ row_address }}
            ) AS place
        FROM {{ target.table }} AS c
    ) AS ranked
    WHERE place > 1
)
