-- Rows the export does not have, or has with other values.
DELETE FROM {{ target.table }}
USING _cdc_verdicts_{{ target.number }} AS v
WHERE v.verdict IN ({% if not target.is_soft %}'extra', {% endif %}'different')
{% for key in target.keys %}
    AND {{ target.table | bare }}.{{ key.name }} = v.k{{ loop.index0 }}
{% endfor %}
{% if target.is_each %}
    AND {{ target.table | bare }}._cdc_index = v.place
{% endif %}
