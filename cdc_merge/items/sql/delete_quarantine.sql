-- The records of the item in quarantine, with their bytes.
DELETE FROM {{ quarantine }}
WHERE id IN ({% for id in ids %}{{ id }}{% if not loop.last %}, {% endif %}{% endfor %})
