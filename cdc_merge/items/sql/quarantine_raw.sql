-- Some records in quarantine.
SELECT id, object_key, version, record, byte_offset, reason, detail, {{ "raw" | quoted }}
FROM {{ quarantine }}
WHERE id IN ({% for id in ids %}{{ id }}{% if not loop.last %}, {% endif %}{% endfor %})
