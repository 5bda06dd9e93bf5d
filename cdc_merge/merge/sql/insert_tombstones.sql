-- Everything accepted leaves a trace: where no row bears the change's position, a tombstone does. Only a key that
-- by itself shows that no target could ever take the item needs none; but where a `where` was another once, and left a
-- row or a tombstone, what takes its place must be known when it is so again.
INSERT INTO {{ tombstones }} (source, partition_key, sort_key, position, changed_at)
SELECT {{ source }}, r.partition_key, r.sort_key, r.position, r.changed_at
FROM _cdc_resolved AS r
WHERE (r.could OR r.tombstone IS NOT NULL{% for target in targets %} OR r.is_there_{{ target.number }}{% endfor %})
    AND ({% for target in targets %}r.accepted_{{ loop.index0 }}{% if not loop.last %} OR {% endif %}{% endfor %})
{% for target in targets %}
    AND NOT (r.takes_{{ loop.index0 }} AND (r.accepted_{{ loop.index0 }} OR r.is_same_{{ loop.index0 }}))
{% endfor %}
