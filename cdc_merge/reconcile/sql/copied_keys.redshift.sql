-- The keys of what was copied and is not in doubt, beside those of the items that the worker has read.
INSERT INTO _cdc_keys (n, partition_key, sort_key, "position", removed, could{% for target in taken %}, takes_{{ target.number }}{% endfor %})
SELECT r.n, r.{{ keys[0] }}, {% if keys | length > 1 %}r.{{ keys[1] }}{% else %}''{% endif %}, '', FALSE, TRUE{% for target in taken %}, r.takes_{{ target.number }}{% endfor %}

FROM _cdc_copied AS r
WHERE NOT r.in_doubt
