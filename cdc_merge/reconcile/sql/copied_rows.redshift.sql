-- The rows of one target. What no column holds was not copied, so there is nothing to rescue.
INSERT INTO _cdc_rows_{{ target.number }} (n{% for column in target.columns %}, {{ column.name }}{% endfor %})
SELECT
    r.n{% for column in target.columns %},
    {{ column.value }}{% endfor %}

FROM _cdc_copied AS r
WHERE r.takes_{{ target.number }} AND NOT r.in_doubt
