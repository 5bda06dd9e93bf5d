-- What was accepted is newer than the key's tombstone, so that one has done its work.
DELETE FROM {{ tombstones }}
USING _cdc_resolved AS r
WHERE {{ tombstones | bare }}.source = {{ source }}
    AND {{ tombstones | bare }}.partition_key = r.partition_key
    AND {{ tombstones | bare }}.sort_key = r.sort_key
    AND r.tombstone IS NOT NULL
    AND ({% for target in targets %}r.accepted_{{ loop.index0 }}{% if not loop.last %} OR {% endif %}{% endfor %})
