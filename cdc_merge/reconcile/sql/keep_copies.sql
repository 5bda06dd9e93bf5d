-- No key is enforced, so a row may have been inserted twice by hand: the newest of its key is set aside, whole.
CREATE TEMPORARY TABLE _cdc_copies_{{ target.number }} AS
SELECT t.*
FROM (
    SELECT
        c.*,
        row_number() OVER (
            PARTITION BY {% for key in target.keys %}c.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, c._cdc_index{% endif %}

            ORDER BY c._cdc_position DESC
        ) AS _cdc_place,
        count(*) OVER (
            PARTITION BY {% for key in target.keys %}c.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, c._cdc_index{% endif %}

        ) AS _cdc_copies
    FROM {{ target.table }} AS c
) AS t
WHERE t._cdc_place = 1 AND t._cdc_copies > 1
