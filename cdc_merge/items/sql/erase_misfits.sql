-- The samples of the item; the counts stay, and the next item whose value does not fit is the sample.
UPDATE {{ misfits }}
SET first_key = NULL, first_value = NULL
WHERE source = {{ source }} AND first_key = {{ key }}
