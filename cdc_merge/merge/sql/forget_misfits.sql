-- The tables are made anew: what did not fit the old ones says nothing of them, and may be masked now.
DELETE FROM {{ misfits }}
WHERE source = {{ source }}
    AND target IN ({% for target in targets %}{{ target.label }}{% if not loop.last %}, {% endif %}{% endfor %})
