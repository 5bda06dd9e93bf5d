-- Records that are tried again leave the quarantine in the same transaction; what fails again returns to it.
DELETE FROM {{ quarantine }}
WHERE id IN ({% for id in ids %}{{ id }}{% if not loop.last %}, {% endif %}{% endfor %})
