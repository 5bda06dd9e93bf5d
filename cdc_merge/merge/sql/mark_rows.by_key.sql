-- Items that are gone keep their row: only the time of it is written.
UPDATE {{ target.table }}
SET _cdc_deleted_at = coalesce(r.deleted_at_{{ target.number }}, {{ merged_at }}), _cdc_merged_at = {{ merged_at }}
FROM _cdc_resolved AS r
WHERE r.marks_{{ target.number }}
{% for key in target.keys %}
    AND {{ target.table | bare }}.{{ key.name }} = {{ key.resolved }}
{% endfor %}
