-- Which versions of some objects have been merged, when, and in which batch.
SELECT object_key, version, merged_at, batch_id
FROM {{ objects }}
WHERE source = {{ source }}
    AND bucket = {{ bucket }}
    AND object_key IN ({% for key in object_keys %}{{ key }}{% if not loop.last %}, {% endif %}{% endfor %})
