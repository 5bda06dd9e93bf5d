-- A sample may show what is masked from now on.
UPDATE {{ misfits }}
SET first_key = NULL, first_value = NULL
WHERE source = {{ source }}
    AND target = {{ target.label }}
    AND first_value IS NOT NULL
