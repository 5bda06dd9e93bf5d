-- No key is enforced, so a row may have been inserted twice by hand: the newest of its key is set aside, whole.
CREATE TEMPORARY TABLE _cdc_copies_{{ target.number }} AS
SELECT c.*
FROM {{ target.table }} AS c
QUALIFY row_number() OVER (
        PARTITION BY {% for key in target.keys %}c.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, c._cdc_index{% endif %}

        ORDER BY c._cdc_position DESC
    ) = 1
    AND count(*) OVER (
        PARTITION BY {% for key in target.keys %}c.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, c._cdc_index{% endif %}

    ) > 1
