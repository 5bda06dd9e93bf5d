-- Changes of one key at one position that are not the same after all.
SELECT count(*)
FROM _cdc_wide AS s
JOIN _cdc_wide AS o
    ON o.partition_key = s.partition_key
    AND o.sort_key = s.sort_key
WHERE s.nth = 1
    AND o.nth > 1
    AND NOT (
        s.removed = o.removed
        AND {{ same("s.changed_at", "o.changed_at") }}
        AND {{ same("s.entity", "o.entity") }}
{% for target in targets %}
        AND s.takes_{{ target.number }} = o.takes_{{ target.number }}
        AND {{ same_text("s.rescued_%d" % target.number, "o.rescued_%d" % target.number) }}
{% for column in target.columns %}
        AND {{ same_text("s." ~ column.wide.text, "o." ~ column.wide.text) if column.is_text else same("s." ~ column.wide.text, "o." ~ column.wide.text) }}
{% endfor %}
{% endfor %}
    )
