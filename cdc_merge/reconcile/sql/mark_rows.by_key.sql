-- Rows of items that are gone stay, as gone since the time the export can vouch for.
UPDATE {{ target.table }}
SET _cdc_deleted_at = {{ floor }}, _cdc_merged_at = {{ merged_at }}
FROM _cdc_verdicts_{{ target.number }} AS v
WHERE v.verdict = 'extra'
{% for key in target.keys %}
    AND {{ target.table | bare }}.{{ key.name }} = v.k{{ loop.index0 }}
{% endfor %}
{% if target.is_each %}
    AND {{ target.table | bare }}._cdc_index = v.place
{% endif %}
