-- Rows the export does not have, or has with other values.
DELETE FROM {{ target.table }} AS t
WHERE {%+ filter is_among(row_address, rows) %}

    SELECT v.address
    FROM _cdc_verdicts_{{ target.number }} AS v
    WHERE v.verdict IN ({% if not target.is_soft %}'extra', {% endif %}'different')
{% endfilter %}

