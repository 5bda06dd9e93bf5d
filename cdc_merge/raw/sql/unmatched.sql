-- The items that no target takes, counted by what seems to be their entity.
SELECT s.entity, count(*)
FROM _cdc_wide AS s
WHERE s.nth = 1
    AND NOT s.removed
{% for target in targets %}
    AND NOT s.takes_{{ target.number }}
{% endfor %}
GROUP BY s.entity
